//! Limits of connections. A client is disconnected if the server has waited for it too long, or
//! longest when another client needs its seat. Only root takes seats of other users.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// A connected client.
#[derive(Debug)]
pub(super) struct Guest {
    /// User of the client's process, if known.
    user: Option<u32>,
    /// Start of the server's wait for the client; None while the client waits.
    waiting_since: Mutex<Option<Instant>>,
    leave: Notify,
}

impl Guest {
    pub(super) fn new(user: Option<u32>) -> Arc<Self> {
        let waiting_since = Mutex::new(Some(Instant::now()));
        Arc::new(Self { user, waiting_since, leave: Notify::new() })
    }

    pub(super) fn is_root(&self) -> bool {
        self.user == Some(0)
    }

    /// Records that the client has sent or received something.
    pub(super) fn has_moved(&self) {
        let mut since = lock(&self.waiting_since);
        *since = since.map(|_| Instant::now());
    }

    /// Starts the client's wait for the server.
    pub(super) fn is_served(&self) {
        *lock(&self.waiting_since) = None;
    }

    /// Starts the server's wait for the client.
    pub(super) fn is_waited_for(&self) {
        *lock(&self.waiting_since) = Some(Instant::now());
    }

    /// Returns the time that the server has waited for the client, if it does.
    fn idle(&self) -> Option<Duration> {
        lock(&self.waiting_since).map(|since| since.elapsed())
    }

    /// Waits until the client has been idle for this long, or must make room for another.
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
    /// Minimum idle time of a client that must make room for another.
    grace: Duration,
    taken: Mutex<Vec<Arc<Guest>>>,
}

/// A seat, freed on drop.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    guest: Arc<Guest>,
}

impl Seats {
    pub(super) fn new(count: usize, grace: Duration) -> Arc<Self> {
        Arc::new(Self { count, grace, taken: Mutex::default() })
    }

    /// Returns a free seat, or that of the longest idle guest that may be disconnected for this
    /// one. None if all are in use.
    pub(super) fn take(self: &Arc<Self>, guest: &Arc<Guest>) -> Option<Seat> {
        let mut taken = lock(&self.taken);
        let is_own = |one: &Guest| one.user == guest.user;
        let is_others = |one: &Guest| !one.is_root();
        let count = |of: &dyn Fn(&Guest) -> bool| taken.iter().filter(|one| of(one)).count();
        let is_left = if guest.is_root() {
            taken.len() < self.count
                || self.free(&mut taken, is_others)
                || self.free(&mut taken, |_| true)
        } else if count(&is_own) >= self.share() {
            self.free(&mut taken, is_own)
        } else {
            count(&is_others) < self.count - self.count / 4 || self.free(&mut taken, is_others)
        };
        if !is_left {
            return None;
        }
        taken.push(Arc::clone(guest));
        Some(Seat { seats: Arc::clone(self), guest: Arc::clone(guest) })
    }

    /// Disconnects the longest idle guest. Returns false if there is none.
    pub(super) fn make_room(&self) -> bool {
        self.free(&mut lock(&self.taken), |_| true)
    }

    /// Returns the maximum number of seats of a user other than root.
    fn share(&self) -> usize {
        (self.count / 4).max(1)
    }

    fn free(&self, taken: &mut Vec<Arc<Guest>>, may_leave: impl Fn(&Guest) -> bool) -> bool {
        let guests = taken.iter().enumerate().filter(|(_, one)| may_leave(one));
        let idle = guests.filter_map(|(place, one)| Some((one.idle()?, place)));
        let Some((_, place)) = idle.max().filter(|(idle, _)| *idle >= self.grace) else {
            return false;
        };
        taken.swap_remove(place).leave.notify_one();
        true
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
    const ROOT: Option<u32> = Some(0);

    #[tokio::test(start_paused = true)]
    async fn nobody_but_root_takes_the_seats_of_others() {
        let seats = Seats::new(16, Duration::ZERO);
        let sit = |user| {
            let guest = Guest::new(user);
            seats.take(&guest).map(|seat| (guest, seat))
        };
        let sits =
            |guest: &Arc<Guest>| lock(&seats.taken).iter().any(|one| Arc::ptr_eq(one, guest));
        let root: Vec<_> = (0..2).map(|_| sit(ROOT).expect("free")).collect();
        let first = sit(Some(1)).expect("free");
        advance(SECOND).await;
        let many: Vec<_> = (0..40).map(|_| sit(Some(2)).expect("one of its own leaves")).collect();
        assert_eq!(many.iter().filter(|(guest, _)| sits(guest)).count(), 4);
        assert!(sits(&first.0) && root.iter().all(|(guest, _)| sits(guest)));
        let others: Vec<_> = (3..40).map(|user| sit(Some(user)).expect("another leaves")).collect();
        assert!(root.iter().all(|(guest, _)| sits(guest)), "root stays");
        let count = |all: &[(Arc<Guest>, Seat)]| all.iter().filter(|(one, _)| sits(one)).count();
        assert!(count(&others) <= 12, "some seats are kept for root");
        first.0.is_served();
        for (guest, _) in others.iter().chain(&many) {
            guest.is_served();
        }
        assert!(sit(Some(99)).is_none(), "all that others may have are in use");
        let late: Vec<_> = (0..2).map(|_| sit(ROOT).expect("kept for root")).collect();
        assert!(root.iter().chain(&late).all(|(guest, _)| sits(guest)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_served_client_does_not_make_room() {
        let seats = Seats::new(4, Duration::ZERO);
        let guest = Guest::new(ROOT);
        let _seat = seats.take(&guest).expect("free");
        guest.is_served();
        assert!(!seats.make_room());
        guest.is_waited_for();
        assert!(seats.make_room());
        timeout(SECOND, guest.must_leave(SECOND * 9)).await.expect("has to leave");
        assert!(!seats.make_room(), "there is nobody any more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_client_makes_room() {
        let seats = Seats::new(2, SECOND);
        let [busy, idle, late] = [ROOT; 3].map(Guest::new);
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
    async fn an_active_client_stays() {
        let guest = Guest::new(ROOT);
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
