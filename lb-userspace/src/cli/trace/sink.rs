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

use super::{line, pcapng::Writer};
use crate::cli::args::Output;

pub(super) enum Sink {
    Lines(BufWriter<io::Stdout>),
    Json(BufWriter<io::Stdout>),
    Pcapng(Writer<Box<dyn Write>>, PathBuf),
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
        let to: Box<dyn Write> = if path == Path::new("-") {
            Box::new(BufWriter::new(io::stdout()))
        } else {
            // It holds what clients send.
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            let file = options.open(path).with_context(|| cannot_write(path))?;
            Box::new(BufWriter::new(file))
        };
        Ok(Self::Pcapng(Writer::new(to)?, path.to_owned()))
    }

    pub(super) fn packet(&mut self, packet: &TracedPacket) -> Result<()> {
        match self {
            Self::Lines(out) => writeln!(out, "{}", printable::line(&line::of(packet)))?,
            Self::Json(out) => {
                let text = serde_json::to_string(packet)?;
                writeln!(out, "{}", printable::json(&text))?;
            }
            Self::Pcapng(writer, path) => {
                writer.packet(packet).with_context(|| cannot_write(path))?;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match self {
            Self::Lines(out) | Self::Json(out) => Ok(out.flush()?),
            Self::Pcapng(writer, path) => writer.flush().with_context(|| cannot_write(path)),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
