//! Where packets of a trace are written.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use lb_host::printable;
use lb_model::views::trace::TracedPacket;

use super::{line, pcapng::Blocks};
use crate::cli::{args::Output, exit::UNWRITABLE};

pub(super) enum Sink {
    Lines(BufWriter<io::Stdout>),
    Json(BufWriter<io::Stdout>),
    Pcapng(Blocks, Target),
}

/// Where blocks are written.
pub(super) enum Target {
    StandardOutput,
    File {
        file: File,
        path: PathBuf,
        /// Bytes that were written.
        length: u64,
    },
}

/// Refuses what cannot be written, or would be of no use.
pub(super) fn check(file: Option<&Path>, output: Output) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    ensure!(!output.is_json(), "-w writes pcapng, and -o json prints JSON: leave one of them out");
    ensure!(
        path != Path::new("-") || !io::stdout().is_terminal(),
        "pcapng is not for a terminal: pipe it, as in `xdplb trace -w - | wireshark -k -i -`, or give -w a file"
    );
    Ok(())
}

impl Sink {
    pub(super) fn open(file: Option<&Path>, output: Output) -> Result<Self> {
        let Some(path) = file else {
            let out = BufWriter::new(io::stdout());
            return Ok(if output.is_json() { Self::Json(out) } else { Self::Lines(out) });
        };
        let blocks = Blocks::new()?;
        if path == Path::new("-") {
            return Ok(Self::Pcapng(blocks, Target::StandardOutput));
        }
        // It holds what clients send.
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path).with_context(|| cannot_write(path))?;
        Ok(Self::Pcapng(blocks, Target::File { file, path: path.to_owned(), length: 0 }))
    }

    pub(super) fn packet(&mut self, packet: &TracedPacket) -> Result<()> {
        match self {
            Self::Lines(out) => {
                writeln!(out, "{}", printable::line(&line::of(packet))).context(UNWRITABLE)
            }
            Self::Json(out) => {
                let text = serde_json::to_string(packet)?;
                writeln!(out, "{}", printable::json(&text)).context(UNWRITABLE)
            }
            Self::Pcapng(blocks, _) => blocks.packet(packet),
        }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Lines(out) | Self::Json(out) => out.flush().context(UNWRITABLE),
            Self::Pcapng(blocks, target) => target.write(&blocks.take()),
        }
    }
}

impl Target {
    fn write(&mut self, blocks: &[u8]) -> Result<()> {
        let Self::File { file, path, length } = self else {
            let mut out = io::stdout().lock();
            return out.write_all(blocks).and_then(|()| out.flush()).context(UNWRITABLE);
        };
        let written = file.write_all(blocks);
        if written.is_ok() {
            *length += blocks.len() as u64;
        } else {
            // A file that ends within a block cannot be read to its end. A pipe has no length.
            file.set_len(*length).ok();
        }
        written.with_context(|| cannot_write(path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
