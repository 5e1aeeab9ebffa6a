//! Bodies of requests: how large they may be, one by one and all together, and how long they may
//! take.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Problem, document};
use crate::control::Room;

/// Bytes of a configuration file: more than one of a million backends has.
const LARGEST_FILE: usize = crate::config::LONGEST_FILE;

/// Bytes of any other body.
const LARGEST: usize = 1 << 20;

/// Bytes of all bodies at once, of root's and of all others'.
const ROOM: usize = 256 << 20;

/// Room is given in parts of so many bytes.
const PART: usize = 1 << 10;

/// How long a client may take from one piece of a body to the next.
const PIECE: Duration = Duration::from_secs(10);

/// How long a body may take.
const LONGEST: Duration = Duration::from_mins(1);

/// Takes bodies in.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    /// Others leave root its own.
    of_root: Arc<Semaphore>,
    of_others: Arc<Semaphore>,
}

/// A body, and the room that it takes up.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    pub(super) room: Room,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Intake {
    /// With so many bytes of room for root, and for others.
    pub(super) fn new(room: usize) -> Self {
        let room = || Arc::new(Semaphore::new(room / PART));
        Self { of_root: room(), of_others: room() }
    }

    /// Reads the body of a request for a path.
    pub(super) async fn read(
        &self,
        mut body: Incoming,
        path: &str,
        is_root: bool,
    ) -> Result<Taken, Problem> {
        let most = if document::takes_file(path) { LARGEST_FILE } else { LARGEST };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large(most));
        }
        let (mut bytes, mut room) = (Vec::new(), Vec::new());
        let end = Instant::now() + LONGEST;
        while let Some(piece) = piece(&mut body, end).await? {
            if bytes.len() + piece.len() > most {
                return Err(too_large(most));
            }
            let parts = (bytes.len() + piece.len()).div_ceil(PART) - bytes.len().div_ceil(PART);
            if parts > 0 {
                room.push(self.room(parts, is_root)?);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Taken { bytes: bytes.into(), room: Room::of(room) })
    }

    fn room(&self, parts: usize, is_root: bool) -> Result<OwnedSemaphorePermit, Problem> {
        let parts = u32::try_from(parts).unwrap_or(u32::MAX);
        let room = if is_root { &self.of_root } else { &self.of_others };
        Arc::clone(room).try_acquire_many_owned(parts).map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the daemon is reading other large requests: try again",
            )
        })
    }
}

/// Some more of a body; nothing at its end.
async fn piece(body: &mut Incoming, end: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        let limit = end.min(Instant::now() + PIECE);
        let frame = timeout_at(limit, body.frame()).await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long")
        })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| {
            let detail = format!("the body of the request cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

fn too_large(most: usize) -> Problem {
    let detail = format!("the body of the request is larger than {} MiB", most >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
