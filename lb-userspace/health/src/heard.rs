//! First bytes from a server, kept to report what came instead of the expected answer.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Number of bytes that are kept.
const KEPT: usize = 48;

/// First bytes received.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

/// A stream whose first received bytes are recorded.
#[derive(Debug)]
pub(super) struct Listened<S> {
    stream: S,
    heard: Heard,
}

impl Heard {
    pub(super) fn listen_to<S>(&self, stream: S) -> Listened<S> {
        Listened { stream, heard: self.clone() }
    }

    /// Returns true if the bytes differ from this beginning, as far as they go.
    pub(super) fn is_other_than(&self, beginning: &[u8]) -> bool {
        let bytes = self.bytes();
        let common = beginning.len().min(bytes.len());
        bytes[..common] != beginning[..common]
    }

    pub(super) fn begins_with(&self, beginning: &[u8]) -> bool {
        self.bytes().starts_with(beginning)
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.bytes().is_empty()
    }

    pub(super) fn note(&self, bytes: &[u8]) {
        let mut kept = self.bytes();
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats the bytes in quotes, with escapes for everything except printable ASCII.
impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let dots = if bytes.len() == KEPT { "…" } else { "" };
        write!(f, "\"{}{dots}\"", bytes.escape_ascii())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard.note(&buffer.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
