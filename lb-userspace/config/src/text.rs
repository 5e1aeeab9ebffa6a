//! Text of a file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use lb_host::ownership::is_only_roots;

use super::{
    Source,
    diagnostics::{Diagnostic, Diagnostics},
};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Maximum size of a configuration in bytes, from a file or by the API.
pub const LONGEST: usize = 128 << 20;

/// Reads a file. The error shows the byte that is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Diagnostics> {
    read_owned(path).map(|(text, _)| text)
}

/// Like [`read_text`], with true if only root can have written the file.
pub(super) fn read_owned(path: &Path) -> Result<(String, bool), Diagnostics> {
    let (bytes, is_roots) =
        read_bytes(path).map_err(|error| Diagnostics::unreadable(path, &error))?;
    Ok((unmarked(decode(path, bytes)?), is_roots))
}

/// Returns true if a path stands for standard input.
#[must_use]
pub fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns a path for messages.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    if is_standard_input(path) { "<stdin>".to_owned() } else { path.display().to_string() }
}

fn read_bytes(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let (input, is_roots): (Box<dyn io::Read>, bool) = if is_standard_input(path) {
        (Box::new(io::stdin().lock()), false)
    } else {
        let file = File::open(path)?;
        let is_roots = is_only_roots(&file.metadata()?);
        (Box::new(file), is_roots)
    };
    let mut bytes = Vec::new();
    input.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        let megabytes = LONGEST >> 20;
        return Err(io::Error::other(format!("it is longer than {megabytes} MiB")));
    }
    Ok((bytes, is_roots))
}

/// Removes the byte order mark that some editors write.
pub(super) fn unmarked(text: String) -> String {
    text.strip_prefix(BYTE_ORDER_MARK).map(ToOwned::to_owned).unwrap_or(text)
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, Diagnostics> {
    let is_utf_16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let at = error.utf8_error().valid_up_to();
    let byte = error.as_bytes()[at];
    let message = if is_utf_16 {
        "this file is in UTF-16".to_owned()
    } else {
        format!("the byte 0x{byte:02x} is not UTF-8")
    };
    // Replacement characters are only at or behind the invalid byte.
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let source = Source { path: shown_path(path), text }.shown();
    let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
    Err(Diagnostics::new(
        &source,
        &[Diagnostic::error(span, message, "save the file as UTF-8")],
        false,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        decode(Path::new("lb.toml"), bytes.to_vec()).expect_err("no UTF-8").to_string()
    }

    #[test]
    fn an_invalid_byte_is_shown_with_its_place() {
        let cases: [(&[u8], &str, &str); 5] = [
            (b"\xff", "lb.toml:1:1\n", "0xff is not UTF-8"),
            (b"a = 1\n# \xe4rger\nb = 2\n", "lb.toml:2:3\n", "0xe4 is not UTF-8"),
            (b"a = 1\r\n# \xc3\xa4\xe4\r\n", "lb.toml:2:4\n", "0xe4 is not UTF-8"),
            (b"a = \"\xc3", "lb.toml:1:6\n", "0xc3 is not UTF-8"),
            (b"\xff\xfei\0n\0", "lb.toml:1:1\n", "in UTF-16"),
        ];
        for (bytes, place, message) in cases {
            let said = said(bytes);
            for part in [place, message, "save the file as UTF-8"] {
                assert!(said.contains(part), "{part} is not in {said}");
            }
        }
    }
}
