//! Places for clients of answers that take a while to send.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// So many clients at once. If all places are taken, the one that has had its place longest leaves for a new one.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Room>);

#[derive(Debug)]
struct Room {
    count: usize,
    /// Time for which a client keeps its place.
    kept: Duration,
    /// The oldest first.
    taken: Mutex<Vec<(Instant, Lost)>>,
}

/// True once a client has lost its place.
type Lost = Arc<AtomicBool>;

/// A client's place, freed on drop.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    lost: Lost,
}

impl Places {
    pub(super) fn new(count: usize, kept: Duration) -> Self {
        Self(Arc::new(Room { count, kept, taken: Mutex::default() }))
    }

    /// Returns None if all are taken, by clients that may keep them.
    pub(super) fn take(&self) -> Option<Place> {
        let mut taken = self.0.taken();
        if taken.len() >= self.0.count {
            let (_, oldest) = taken.first().filter(|(since, _)| since.elapsed() >= self.0.kept)?;
            oldest.store(true, Relaxed);
            taken.remove(0);
        }
        let lost = Lost::default();
        taken.push((Instant::now(), Arc::clone(&lost)));
        Some(Place { room: Arc::clone(&self.0), lost })
    }
}

impl Room {
    fn taken(&self) -> MutexGuard<'_, Vec<(Instant, Lost)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken().retain(|(_, lost)| !Arc::ptr_eq(lost, &self.lost));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const KEPT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_oldest_leaves_for_a_new_one_after_a_while() {
        let places = Places::new(2, KEPT);
        let first = places.take().expect("free");
        advance(KEPT / 2).await;
        let second = places.take().expect("free");
        assert!(places.take().is_none(), "both may stay");
        advance(KEPT / 2).await;
        let third = places.take().expect("the first one's");
        assert_eq!([&first, &second, &third].map(Place::is_lost), [true, false, false]);
        assert!(places.take().is_none(), "both may stay");
        drop(first);
        assert!(places.take().is_none(), "it has left before");
        drop(second);
        assert!(places.take().is_some());
    }
}
