//! The probes of type `http` and `https`: a request that is answered as expected.

use std::{net::SocketAddr, ops::RangeInclusive};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::{CONNECTION, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use regex::bytes::Regex;

use super::probe::{Failure, Fault, Stream};
use crate::model::CheckRequest;

/// Of a body, in bytes: more is not looked at.
const LONGEST: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Http {
    method: Method,
    path: Uri,
    host: Option<HeaderValue>,
    status: Vec<RangeInclusive<u16>>,
    expect: Option<Regex>,
}

impl Http {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let method = request.method.as_deref().unwrap_or("GET");
        let path = request.path.as_deref().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(Fault::new("path", &format!("{path} does not begin with /"))
                .mend("a host belongs to `host`, a query after the path"));
        }
        let host = request.host.as_deref().map(HeaderValue::from_str).transpose();
        Ok(Self {
            method: method.parse().map_err(|error| Fault::new("method", &error))?,
            path: path.parse().map_err(|error| Fault::new("path", &error))?,
            host: host.map_err(|error| Fault::new("host", &error))?,
            status: ranges(request.status.as_deref().unwrap_or("200-399"))?,
            expect: super::pattern(request)?,
        })
    }

    pub(super) async fn ask(
        &self,
        stream: Box<dyn Stream>,
        at: SocketAddr,
    ) -> Result<String, Failure> {
        let broken = |error: hyper::Error| Failure::new("L7RSP", &error);
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let host = self.host.clone().map_or_else(|| HeaderValue::from_str(&at.to_string()), Ok);
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path.clone())
            .header(HOST, host.map_err(|error| Failure::new("L7RSP", &error))?)
            .header(USER_AGENT, concat!("xdplb/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::new("L7RSP", &error))?;
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            self.judge(head.status, body).await
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            judged = &mut answer => judged,
            ended = connection => {
                ended.map_err(broken)?;
                answer.await
            }
        }
    }

    async fn judge(&self, status: StatusCode, body: Incoming) -> Result<String, Failure> {
        let code = status.as_u16();
        if !self.status.iter().any(|range| range.contains(&code)) {
            return Err(Failure::new(format!("L7STS/{code}"), &"another status is expected"));
        }
        if let Some(expect) = &self.expect {
            let body = beginning(body).await.map_err(|error| Failure::new("L7RSP", &error))?;
            if !expect.is_match(&body) {
                let detail = format!("the body does not match {expect}");
                return Err(Failure::new(format!("L7RSP/{code}"), &detail));
            }
        }
        Ok(format!("L7OK/{code} answered"))
    }
}

async fn beginning(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= LONGEST {
            bytes.truncate(LONGEST);
            break;
        }
    }
    Ok(bytes)
}

/// As in `200-299,401`.
fn ranges(text: &str) -> Result<Vec<RangeInclusive<u16>>, Fault> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (100 <= first && first <= last && last <= 999).then_some(first..=last)
    };
    let parts = text.split(',').map(range).collect::<Option<Vec<_>>>();
    parts.ok_or_else(|| {
        Fault::new("status", &format!("{text} is no list of status codes"))
            .mend("write codes and ranges, as in \"200-299,401\"")
    })
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn codes_and_ranges_are_told_from_nonsense() {
        assert_eq!(ranges("200-299, 401"), Ok(vec![200..=299, 401..=401]));
        for nonsense in ["", "200-", "299-200", "20", "2xx", "200;300", "-1"] {
            assert!(ranges(nonsense).is_err(), "{nonsense}");
        }
    }
}
