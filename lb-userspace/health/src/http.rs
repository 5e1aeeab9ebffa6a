//! The probes of type `http` and `https`: send a request and check the answer.

use std::{error::Error as _, fmt, net::SocketAddr, ops::RangeInclusive};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::handshake,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT},
    http::response::Parts,
};
use hyper_util::rt::TokioIo;
use lb_model::CheckRequest;
use regex_syntax::{ParserBuilder, hir::Look};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    fault::Fault,
    heard::Heard,
    host::Host,
    outcome::{Failure, wrong_protocol},
    pattern::Pattern,
    search::{self, Pieces},
};

/// A connection to a backend, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[derive(Debug)]
pub(super) struct Http {
    method: Method,
    path: Uri,
    host: Option<HeaderValue>,
    status: Vec<RangeInclusive<u16>>,
    expect: Option<Expected>,
}

/// Returns the description of an answer that cannot be read.
fn told(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        return "the head of the answer is too large".to_owned();
    }
    if error.is_parse_status() {
        return "the answer has an invalid status code".to_owned();
    }
    if error.is_parse() {
        let part = match error.to_string() {
            part if part.contains("content-length") => "Content-Length",
            part if part.contains("transfer-encoding") => "Transfer-Encoding",
            part if part.contains("version") => "HTTP version",
            _ => "header",
        };
        return format!("the answer has an invalid {part}");
    }
    if error.is_incomplete_message() {
        return "the server closed the connection before the end of the answer".to_owned();
    }
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    format!("the answer cannot be read: {cause}")
}

impl Http {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let method = request.method.as_deref().unwrap_or(CheckRequest::METHOD);
        let path = request.path.as_deref().unwrap_or(CheckRequest::PATH);
        if !path.starts_with('/') {
            return Err(Fault::new("path", &format!("{path} does not start with /"))
                .fix("set the host by `host`; a query follows the path"));
        }
        let host = request.host.as_deref().map(Host::new).transpose()?;
        let host = host.map(|host| HeaderValue::from_str(&host.header)).transpose();
        Ok(Self {
            method: method.parse().map_err(|error| Fault::new("method", &error))?,
            path: path.parse().map_err(|error| Fault::new("path", &error))?,
            host: host.map_err(|error| Fault::new("host", &error))?,
            status: ranges(request.status.as_deref().unwrap_or(CheckRequest::STATUS))?,
            expect: Pattern::of(request)?.map(Expected::new),
        })
    }

    pub(super) async fn ask(
        &self,
        stream: Box<dyn Stream>,
        at: SocketAddr,
        heard: &Heard,
        body_heard: &Heard,
    ) -> Result<String, Failure> {
        let broken = |error: hyper::Error| {
            if heard.is_nothing() || heard.is_other_than(b"HTTP/") {
                return wrong_protocol("HTTP", "L7RSP", heard);
            }
            Failure::new("L7RSP", &told(&error))
        };
        let stream = TokioIo::new(heard.listen_to(stream));
        let (mut sender, connection) = handshake(stream).await.map_err(broken)?;
        let request = self.request(at)?;
        let answer = async {
            let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            self.judge(&parts, body, body_heard).await
        };
        tokio::pin!(answer);
        tokio::select! {
            biased;
            judged = &mut answer => judged,
            // The connection has ended: use the answer received before.
            _ = connection => answer.await,
        }
    }

    fn request(&self, at: SocketAddr) -> Result<Request<Empty<Bytes>>, Failure> {
        let host = self.host.clone().map_or_else(|| HeaderValue::from_str(&at.to_string()), Ok);
        Request::builder()
            .method(self.method.clone())
            .uri(self.path.clone())
            .header(HOST, host.map_err(|error| Failure::new("L7RSP", &error))?)
            .header(USER_AGENT, concat!("xdplb/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(|error| Failure::new("L7RSP", &error))
    }

    async fn judge(&self, parts: &Parts, body: Incoming, heard: &Heard) -> Result<String, Failure> {
        let code = parts.status.as_u16();
        if !self.status.iter().any(|range| range.contains(&code)) {
            let detail = format!("got {code}, want {}", shown(&self.status));
            return Err(Failure::new(format!("L7STS/{code}"), &detail));
        }
        if let Some(expect) = &self.expect {
            // Without either header, the body ends with the connection, even by a reset.
            let is_bounded = [CONTENT_LENGTH, TRANSFER_ENCODING]
                .iter()
                .any(|header| parts.headers.contains_key(header));
            expect.find_in(body, heard, is_bounded).await.map_err(|error| {
                let detail = error.as_ref().map(told);
                let detail = detail.unwrap_or_else(|| {
                    if heard.is_nothing() {
                        return format!("the body is empty, want {expect}");
                    }
                    format!("the body does not match {expect}: got {heard}")
                });
                Failure::new(format!("L7RSP/{code}"), &detail)
            })?;
        }
        Ok(format!("L7OK/{code} answered"))
    }
}

struct Body<'a> {
    body: Incoming,
    heard: &'a Heard,
}

impl Pieces for Body<'_> {
    type Error = hyper::Error;

    async fn next(&mut self) -> hyper::Result<Option<Bytes>> {
        let frame = self.body.frame().await.transpose()?;
        let piece = frame.map(|frame| frame.into_data().unwrap_or_default());
        if let Some(piece) = &piece {
            self.heard.note(piece);
        }
        Ok(piece)
    }
}

/// Pattern that a body must match.
#[derive(Debug)]
struct Expected {
    pattern: Pattern,
    /// Set if a match may become invalid when more data arrives.
    is_provisional: bool,
}

impl Expected {
    fn new(pattern: Pattern) -> Self {
        let parsed = ParserBuilder::new().utf8(false).build().parse(pattern.as_str());
        let looks = parsed.map(|parsed| parsed.properties().look_set());
        let is_provisional = looks.map_or(true, |looks| {
            let ends = [Look::End, Look::EndLF, Look::EndCRLF];
            looks.contains_word() || ends.into_iter().any(|end| looks.contains(end))
        });
        Self { pattern, is_provisional }
    }

    /// Reads a body until it matches. The inner error is None if the body just does not match.
    async fn find_in(
        &self,
        body: Incoming,
        heard: &Heard,
        is_bounded: bool,
    ) -> Result<(), Option<hyper::Error>> {
        let body = Body { body, heard };
        let read = search::read(&self.pattern, self.is_provisional, body).await;
        match read.broken.filter(|_| is_bounded) {
            Some(error) if self.is_provisional || !read.is_match => Err(Some(error)),
            _ if read.is_match => Ok(()),
            _ => Err(None),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}

/// Parses a list like `200-299,401`.
fn ranges(text: &str) -> Result<Vec<RangeInclusive<u16>>, Fault> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (100 <= first && first <= last && last <= 999).then_some(first..=last)
    };
    let parts = text.split(',').map(range).collect::<Option<Vec<_>>>();
    parts.ok_or_else(|| {
        Fault::new("status", &format!("{text} is not a list of status codes"))
            .fix("give codes and ranges, as in \"200-299,401\"")
    })
}

/// Formats ranges in the syntax of [`ranges`].
fn shown(ranges: &[RangeInclusive<u16>]) -> String {
    let shown = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{ranges, shown};

    #[test]
    fn codes_and_ranges_are_told_from_nonsense() {
        assert_eq!(ranges("200-299, 401"), Ok(vec![200..=299, 401..=401]));
        assert_eq!(ranges("200-299, 401").map(|ranges| shown(&ranges)), Ok("200-299,401".into()));
        for nonsense in ["", "200-", "299-200", "20", "2xx", "200;300", "-1"] {
            assert!(ranges(nonsense).is_err(), "{nonsense}");
        }
    }
}
