//! The probe of type `send-expect`: sends bytes and matches the answer.

use std::io;

use hyper::body::Bytes;
use lb_model::CheckRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    fault::Fault,
    heard::Heard,
    outcome::Failure,
    pattern::Pattern,
    search::{self, Pieces},
};

/// Size of a read in bytes.
const PIECE: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Exchange {
    send: Vec<u8>,
    expect: Pattern,
}

impl Exchange {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let expect = Pattern::of(request)?.ok_or_else(|| {
            Fault::missing(
                "expect",
                &"required for a check of type send-expect, unless `contains` is set",
            )
        })?;
        Ok(Self { send: unescaped(request.send.as_deref().unwrap_or_default())?, expect })
    }

    pub(super) async fn ask(
        &self,
        mut stream: TcpStream,
        heard: &Heard,
    ) -> Result<String, Failure> {
        let broken = |error: io::Error| Failure::new("L7RSP", &error);
        stream.write_all(&self.send).await.map_err(broken)?;
        let read = search::read(&self.expect, false, Answer { stream, heard }).await;
        match read.broken {
            _ if read.is_match => Ok("L7OK answered".to_owned()),
            Some(error) => Err(broken(error)),
            None => {
                let expect = &self.expect;
                let detail = if heard.is_nothing() {
                    format!("the server closed the connection without an answer, want {expect}")
                } else {
                    format!("the answer does not match {expect}: got {heard}")
                };
                Err(Failure::new("L7RSP", &detail))
            }
        }
    }
}

struct Answer<'a> {
    stream: TcpStream,
    heard: &'a Heard,
}

impl Pieces for Answer<'_> {
    type Error = io::Error;

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = Vec::with_capacity(PIECE);
        let more = self.stream.read_buf(&mut piece).await?;
        self.heard.note(&piece);
        Ok((more > 0).then(|| piece.into()))
    }
}

/// Decodes the escapes `\\r`, `\\n`, `\\t`, `\\\\` and `\\x1f`.
fn unescaped(text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (length, byte) = match rest {
            [b'r', ..] => (1, b'\r'),
            [b'n', ..] => (1, b'\n'),
            [b't', ..] => (1, b'\t'),
            [b'\\', ..] => (1, b'\\'),
            [b'x', high, low, ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok();
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (3, value.ok_or_else(unknown_escape)?)
            }
            _ => return Err(unknown_escape()),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Ok(bytes)
}

fn unknown_escape() -> Fault {
    Fault::new("send", &"unknown escape sequence")
        .fix("escapes are \\r, \\n, \\t, \\\\ and \\x with two hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escapes_stand_for_bytes() {
        assert_eq!(unescaped("PING\\r\\n\\x00\\\\").expect("valid"), b"PING\r\n\0\\");
        for nonsense in ["\\", "\\q", "\\x1", "\\xzz"] {
            assert!(unescaped(nonsense).is_err(), "{nonsense}");
        }
    }
}
