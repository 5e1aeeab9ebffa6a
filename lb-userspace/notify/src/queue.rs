//! What waits for a recipient.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{tally::Counted, told::Told};

/// Maximum number of notifications that wait for a recipient.
pub(super) const MOST_QUEUED: usize = 100;

/// A notification that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) told: Arc<Told>,
    /// Number of changes right before this one that found no room in the queue.
    pub(super) left_out: u64,
    pub(super) counted: Counted,
}

/// A queue that makes room for what is newest.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    notifications: VecDeque<Queued>,
    is_closed: bool,
}

impl Queue {
    /// Adds a notification. Returns false if another one was left out for it.
    pub(super) fn push(&self, told: Arc<Told>, counted: Counted) -> bool {
        let mut waiting = self.waiting();
        let is_full = waiting.notifications.len() >= MOST_QUEUED;
        let removed = is_full.then(|| waiting.make_room(&told));
        waiting.notifications.push_back(Queued { told, left_out: 0, counted });
        if let Some((place, left_out)) = removed
            && let Some(next) = waiting.notifications.get_mut(place)
        {
            next.left_out += left_out;
        }
        self.news.notify_one();
        !is_full
    }

    /// Waits for the next notification. Returns none when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<Queued> {
        loop {
            {
                let mut waiting = self.waiting();
                let next = waiting.notifications.pop_front();
                if next.is_some() || waiting.is_closed {
                    return next;
                }
            }
            self.news.notified().await;
        }
    }

    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.news.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().notifications.len()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Removes a notification of an outdated state of the same subject, or else the oldest one of the lowest
    /// level. Returns its place, and how many are left out there.
    fn make_room(&mut self, newest: &Told) -> (usize, u64) {
        let subject = newest.transition.subject();
        let all = &self.notifications;
        let outdated = all.iter().position(|one| one.told.transition.subject() == subject);
        // The least severe level is the greatest one, and `rev` makes the oldest of them the last one.
        let least = || (0..all.len()).rev().max_by_key(|nth| all[*nth].told.transition.level);
        let place = outdated.or_else(least).unwrap_or_default();
        let removed = self.notifications.remove(place);
        (place, removed.map_or(0, |removed| removed.left_out + 1))
    }
}

#[cfg(test)]
mod tests {
    use lb_model::{Event, EventKey};

    use super::{
        super::{tally::Counts, transition::Transition},
        *,
    };

    fn of(transition: Transition, backend: usize) -> Transition {
        transition.with(EventKey::Service, "web").with(EventKey::Backend, backend.to_string())
    }

    /// Returns what waits, as event, backend and number of changes left out before.
    async fn after(transitions: impl IntoIterator<Item = Transition>) -> Vec<(Event, String, u64)> {
        let (queue, counts) = (Queue::default(), Arc::<Counts>::default());
        for transition in transitions {
            queue.push(Arc::new(Told::now(&transition)), Counted::queued(&counts));
        }
        queue.close();
        let mut all = Vec::new();
        while let Some(Queued { told, left_out, .. }) = queue.next().await {
            let keys: std::collections::HashMap<_, _> = told.transition.keys().collect();
            let backend = keys.get("backend").and_then(|value| value.as_str());
            all.push((told.transition.event, backend.unwrap_or("none").to_owned(), left_out));
        }
        all
    }

    #[tokio::test]
    async fn the_newest_state_of_a_subject_replaces_an_outdated_one() {
        let downs = (0..MOST_QUEUED).map(|nth| of(Transition::new(Event::BackendDown), nth));
        let up = of(Transition::new(Event::BackendUp), 7);
        let told = after(downs.chain([up])).await;
        assert_eq!(told.len(), MOST_QUEUED);
        assert_eq!(told[7], (Event::BackendDown, "8".to_owned(), 1), "7 was left out before it");
        assert_eq!(told.last(), Some(&(Event::BackendUp, "7".to_owned(), 0)));
    }

    #[tokio::test]
    async fn the_least_severe_ones_are_left_out_first() {
        let downs = (0..250).map(|nth| of(Transition::new(Event::BackendDown), nth));
        let out = Transition::new(Event::ServiceDown).with(EventKey::Service, "web");
        let drain = of(Transition::new(Event::DrainStarted), 1);
        let told = after([drain, out].into_iter().chain(downs)).await;
        assert_eq!(told[0], (Event::ServiceDown, "none".to_owned(), 1), "the drain is left out");
        assert_eq!(told[1], (Event::BackendDown, "151".to_owned(), 151));
        assert_eq!(told.last(), Some(&(Event::BackendDown, "249".to_owned(), 0)));
    }
}
