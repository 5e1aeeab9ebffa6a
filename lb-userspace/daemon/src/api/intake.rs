//! Limits of request bodies: size of each and of all together, and time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Failed, document, peer::Peer};
use crate::control::Room;

/// Maximum size of a configuration file in bytes: enough for a million backends.
const LARGEST_FILE: usize = lb_config::LONGEST_FILE;

/// Maximum size of any other body in bytes.
const LARGEST: usize = 1 << 20;

/// Bytes of each body that need no reservation, so that uploads never block small changes.
const SMALL: usize = 64 << 10;

/// Bytes of concurrent bodies, for root and for all other users each.
const ROOM: usize = 128 << 20;

/// Unit of reservations in bytes.
const PART: usize = 1 << 10;

/// Timeout between two pieces of a body.
const PIECE: Duration = Duration::from_secs(10);

/// Timeout of a whole body.
const LONGEST: Duration = Duration::from_mins(1);

/// Reads request bodies within the limits.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    for_root: Arc<Semaphore>,
    for_others: Arc<Semaphore>,
    uploads: Arc<Mutex<HashSet<Option<u32>>>>,
}

/// The one body of a user other than root that has a reservation.
#[derive(Debug)]
struct Upload {
    uploads: Arc<Mutex<HashSet<Option<u32>>>>,
    user: Option<u32>,
}

/// A body and its reservation.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    pub(super) room: Room,
}

/// Reservation of a body.
#[derive(Debug)]
struct Share {
    of: Arc<Semaphore>,
    taken: Vec<OwnedSemaphorePermit>,
    upload: Option<Upload>,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Intake {
    /// Creates an intake with this many bytes for root, and for other users.
    pub(crate) fn new(room: usize) -> Self {
        let room = || Arc::new(Semaphore::new(room / PART));
        Self { for_root: room(), for_others: room(), uploads: Arc::default() }
    }

    /// Reads the body of a request.
    pub(super) async fn read(
        &self,
        mut body: Incoming,
        path: &str,
        peer: &Peer,
    ) -> Result<Taken, Failed> {
        let most = if document::takes_file(path) { LARGEST_FILE } else { LARGEST };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large(most));
        }
        let (mut bytes, mut share) = (Vec::new(), self.share(peer));
        let end = Instant::now() + LONGEST;
        while let Some(piece) = piece(&mut body, end).await? {
            if bytes.len() + piece.len() > most {
                return Err(too_large(most));
            }
            if bytes.len() + piece.len() > SMALL {
                self.admit(&mut share, peer)?;
                share.take(parts(bytes.len() + piece.len()) - parts(bytes.len()))?;
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Taken { bytes: bytes.into(), room: Room::of(share) })
    }

    fn share(&self, peer: &Peer) -> Share {
        let of = if peer.is_root() { &self.for_root } else { &self.for_others };
        Share { of: Arc::clone(of), taken: Vec::new(), upload: None }
    }

    /// Allows a body to reserve memory if it is root's, or the only one of its user.
    fn admit(&self, share: &mut Share, peer: &Peer) -> Result<(), Failed> {
        if peer.is_root() || share.upload.is_some() {
            return Ok(());
        }
        let (uploads, user) = (Arc::clone(&self.uploads), peer.uid());
        if !lock(&uploads).insert(user) {
            return Err(busy(
                "another large request of this user is in progress: wait until it ends",
            ));
        }
        share.upload = Some(Upload { uploads, user });
        Ok(())
    }
}

impl Share {
    fn take(&mut self, parts: usize) -> Result<(), Failed> {
        let parts = u32::try_from(parts).unwrap_or(u32::MAX);
        let taken = Arc::clone(&self.of).try_acquire_many_owned(parts);
        self.taken.push(
            taken.map_err(|_| busy("the daemon is busy with other large requests: try again"))?,
        );
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        lock(&self.uploads).remove(&self.user);
    }
}

/// Returns the number of units for this many bytes.
fn parts(bytes: usize) -> usize {
    bytes.saturating_sub(SMALL).div_ceil(PART)
}

fn busy(detail: &str) -> Failed {
    Failed::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the next piece of a body, or None at its end.
async fn piece(body: &mut Incoming, end: Instant) -> Result<Option<Bytes>, Failed> {
    loop {
        let limit = end.min(Instant::now() + PIECE);
        let frame = timeout_at(limit, body.frame()).await.map_err(|_| {
            Failed::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long")
        })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| {
            log::debug!("the body of a request cannot be read: {error}");
            let detail = "the body of the request cannot be read: send it again";
            Failed::new(StatusCode::BAD_REQUEST, detail)
        })?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

fn too_large(most: usize) -> Failed {
    let detail = format!("the body of the request is larger than {} MiB", most >> 20);
    Failed::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: usize = ROOM / PART;

    fn admitted(intake: &Intake, peer: &Peer, parts: usize) -> Result<Share, Failed> {
        let mut share = intake.share(peer);
        intake.admit(&mut share, peer)?;
        share.take(parts)?;
        Ok(share)
    }

    #[test]
    fn uploads_of_others_leave_room_for_root() {
        let intake = Intake::default();
        let withheld = admitted(&intake, &Peer::UNKNOWN, WHOLE).expect("free");
        let refused = admitted(&intake, &Peer::UNKNOWN, 1).map(drop).expect_err("the second one");
        assert_eq!(refused.0.status, 503);
        assert!(
            refused.0.detail.contains("another large request of this user"),
            "{}",
            refused.0.detail
        );
        let other = Peer::of_uid(1_000);
        let refused = admitted(&intake, &other, 1).map(drop).expect_err("no room");
        assert!(
            refused.0.detail.contains("busy with other large requests"),
            "{}",
            refused.0.detail
        );
        let root = Peer::of_uid(0);
        let both = [admitted(&intake, &root, WHOLE / 2), admitted(&intake, &root, WHOLE / 2)];
        assert!(both.iter().all(Result::is_ok), "root has room of its own, for several");
        drop(withheld);
        drop(admitted(&intake, &other, WHOLE).expect("free again"));
        drop(admitted(&intake, &Peer::UNKNOWN, 1).expect("free again"));
    }

    #[test]
    fn small_bodies_need_no_room() {
        assert_eq!((parts(0), parts(SMALL), parts(SMALL + 1)), (0, 0, 1));
        assert_eq!(parts(LARGEST_FILE), (LARGEST_FILE - SMALL) / PART);
    }
}
