//! Who is connected, and who has to leave: whoever keeps the server waiting for too long, or for
//! longest when others want its seat.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// A client, by its connection.
#[derive(Debug)]
pub(super) struct Guest {
    /// Since when the server has waited for the client; nothing while the client waits.
    waiting_since: Mutex<Option<Instant>>,
    leave: Notify,
}

impl Guest {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { waiting_since: Mutex::new(Some(Instant::now())), leave: Notify::new() })
    }

    /// Notes that the client has sent or taken something.
    pub(super) fn has_moved(&self) {
        let mut since = lock(&self.waiting_since);
        *since = since.map(|_| Instant::now());
    }

    /// From now on the client waits for the server.
    pub(super) fn is_served(&self) {
        *lock(&self.waiting_since) = None;
    }

    /// From now on the server waits for the client.
    pub(super) fn is_waited_for(&self) {
        *lock(&self.waiting_since) = Some(Instant::now());
    }

    /// How long the server has waited for the client, if it does.
    fn idle(&self) -> Option<Duration> {
        lock(&self.waiting_since).map(|since| since.elapsed())
    }

    /// Until the client has been idle for so long, or has to leave for another.
    pub(super) async fn must_leave(&self, limit: Duration) {
        let overstays = async {
            while let Some(left) = limit.checked_sub(self.idle().unwrap_or_default()) {
                sleep(left.max(Duration::from_millis(1))).await;
            }
        };
        tokio::select! {
            () = overstays => {}
            () = self.leave.notified() => {}
        }
    }
}

/// A limited number of seats.
#[derive(Debug)]
pub(super) struct Seats {
    count: usize,
    /// For how long whoever has to leave for another has been idle, at least.
    grace: Duration,
    taken: Mutex<Vec<Arc<Guest>>>,
}

/// A seat, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    guest: Arc<Guest>,
}

impl Seats {
    pub(super) fn new(count: usize, grace: Duration) -> Arc<Self> {
        Arc::new(Self { count, grace, taken: Mutex::default() })
    }

    /// A free seat, or that of the guest that has been idle for longest. None if all are in use.
    pub(super) fn take(self: &Arc<Self>, guest: &Arc<Guest>) -> Option<Seat> {
        let mut taken = lock(&self.taken);
        if taken.len() >= self.count {
            let idle =
                taken.iter().enumerate().filter_map(|(place, one)| Some((one.idle()?, place)));
            let (_, place) = idle.max().filter(|(idle, _)| *idle >= self.grace)?;
            taken.swap_remove(place).leave.notify_one();
        }
        taken.push(Arc::clone(guest));
        Some(Seat { seats: Arc::clone(self), guest: Arc::clone(guest) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.seats.taken).retain(|one| !Arc::ptr_eq(one, &self.guest));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn whoever_has_been_idle_for_longest_makes_room() {
        let seats = Seats::new(2, SECOND);
        let (busy, idle, late) = (Guest::new(), Guest::new(), Guest::new());
        busy.is_served();
        let _seats = [seats.take(&busy).expect("free"), seats.take(&idle).expect("free")];
        assert!(seats.take(&late).is_none(), "nobody has been idle for long");
        advance(SECOND).await;
        let seat = seats.take(&late).expect("made free");
        timeout(SECOND, idle.must_leave(SECOND * 9)).await.expect("has to leave");
        timeout(SECOND, busy.must_leave(SECOND * 9)).await.expect_err("stays");
        late.is_served();
        assert!(seats.take(&idle).is_none(), "all are in use");
        drop(seat);
        assert!(seats.take(&idle).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_moves_stays() {
        let guest = Guest::new();
        for _ in 0..5 {
            timeout(SECOND * 2, guest.must_leave(SECOND * 3)).await.expect_err("has moved");
            guest.has_moved();
        }
        guest.is_served();
        timeout(SECOND * 9, guest.must_leave(SECOND * 3)).await.expect_err("is served");
        guest.is_waited_for();
        timeout(SECOND * 4, guest.must_leave(SECOND * 3)).await.expect("has been idle");
    }
}
