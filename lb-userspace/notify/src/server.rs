//! Servers that get notifications as HTTP requests.

use std::{io, net::ToSocketAddrs as _};

use http_body_util::Full;
use hyper::{
    Request, Uri,
    body::Bytes,
    client::conn::http1::handshake,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join, split},
    net::TcpStream,
};

use super::blocking::Blocking;

/// Maximum number of bytes that are read of an answer, with interim ones.
const LONGEST_ANSWER: u64 = 64 << 10;

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    is_secured: bool,
    /// Name or address, without brackets.
    host: String,
    port: u16,
    /// Value of the header `Host`.
    authority: String,
    path: String,
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let uri: Uri = url.parse().map_err(|_| "this is not a URL")?;
        let is_secured = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("this is not a URL of http or https"),
        };
        let authority = uri.authority().ok_or("this URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("a user in a URL is not supported");
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let has_port = authority.as_str().len() > authority.host().len();
        let port = authority.port_u16().filter(|port| *port > 0);
        if host.is_empty() || has_port && port.is_none() {
            return Err("this URL has no valid host and port");
        }
        Ok(Self {
            is_secured,
            host,
            port: port.unwrap_or(if is_secured { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// Posts a JSON text. A redirect is an error.
    pub(super) async fn post(&self, json: String, blocking: &Blocking) -> Result<(), String> {
        let cannot_connect = |error: io::Error| format!("cannot connect: {error}");
        let place = (self.host.clone(), self.port);
        let resolved = blocking.run(move || place.to_socket_addrs()).await?;
        let addresses: Vec<_> = resolved.map_err(cannot_connect)?.collect();
        let stream = TcpStream::connect(&addresses[..]).await.map_err(cannot_connect)?;
        if self.is_secured {
            let stream = lb_health::secured(stream, &self.host).await?;
            return self.exchange(stream, json).await;
        }
        self.exchange(stream, json).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        json: String,
    ) -> Result<(), String> {
        let broken = |error: hyper::Error| format!("the request failed: {error}");
        let request = Request::post(self.path.as_str())
            .header(HOST, self.authority.as_str())
            .header(USER_AGENT, concat!("xdplb/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .body(Full::new(Bytes::from(json)))
            .map_err(|error| format!("the request cannot be made: {error}"))?;
        let (reader, writer) = split(stream);
        // Interim answers may never end.
        let stream = join(reader.take(LONGEST_ANSWER), writer);
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection has ended: use the answer received before.
            _ = connection => answer.await,
        };
        let status = answer.map_err(broken)?.status();
        if status.is_success() {
            return Ok(());
        }
        let note = if status.is_redirection() { ": redirects are not followed" } else { "" };
        Err(format!("the server answered {}{note}", status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_nonsense() {
        for (url, host, port, path) in [
            ("http://10.0.0.1/hook?a=b", "10.0.0.1", 80, "/hook?a=b"),
            ("https://hooks.example", "hooks.example", 443, "/"),
            ("https://[2001:db8::1]:8443/x", "2001:db8::1", 8_443, "/x"),
        ] {
            let server = Server::parse(url).expect(url);
            assert_eq!((&*server.host, server.port, &*server.path), (host, port, path), "{url}");
        }
        for nonsense in [
            "",
            "hooks.example",
            "/hook",
            "ftp://a/b",
            "http://",
            "http://a:0/",
            "http://a:x/",
            "http://u:p@a/",
            "http://a b/",
        ] {
            assert!(Server::parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
