//! The probe of type `send-expect`: bytes there, bytes back.

use regex::bytes::Regex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::probe::{Failure, Fault};
use crate::model::CheckRequest;

/// Of an answer, in bytes: what is expected must be in it.
const LONGEST: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Exchange {
    send: Vec<u8>,
    expect: Regex,
}

impl Exchange {
    pub(super) fn new(request: &CheckRequest) -> Result<Self, Fault> {
        let expect = super::pattern(request)?.ok_or_else(|| {
            Fault::missing("expect", &"a check of type send-expect needs it, or `contains`")
        })?;
        Ok(Self { send: unescaped(request.send.as_deref().unwrap_or_default())?, expect })
    }

    pub(super) async fn ask(&self, mut stream: TcpStream) -> Result<String, Failure> {
        let broken = |error: std::io::Error| Failure::new("L7RSP", &error);
        stream.write_all(&self.send).await.map_err(broken)?;
        let mut answer = Vec::new();
        while !self.expect.is_match(&answer) {
            let more = stream.read_buf(&mut answer).await.map_err(broken)?;
            if more == 0 || answer.len() > LONGEST {
                let expect = &self.expect;
                return Err(Failure::new("L7RSP", &format!("the answer does not match {expect}")));
            }
        }
        Ok("L7OK answered".to_owned())
    }
}

/// With `\\r`, `\\n`, `\\t`, `\\\\` and `\\x1f` as the bytes that they stand for.
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
    Fault::new("send", &"there is no such escape")
        .mend("escapes are \\r, \\n, \\t, \\\\ and \\x with two hexadecimal digits")
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
