//! Keeps the kernel's maps in sync with the daemon's state, whichever write fails.

use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;
use lb_dataplane::{
    MapWriter,
    adoption::Adopted,
    arena::{self, Arena},
    plan::{Goal, Image, Plan, plan},
};
use lb_model::{Event, EventKey, Limits};
use lb_notify::Transition;

/// Content of the kernel's maps, and if it is up to date.
pub(super) struct MapSync {
    limits: Limits,
    arena: Arena,
    /// None after a failed write: the maps are then read back first.
    image: Option<Image>,
    behind: Option<Behind>,
    /// Reason that was told last.
    told: Option<String>,
    news: Vec<Transition>,
    /// Time since which the maps are up to date, if they are.
    current_since: Instant,
}

/// State of maps that differ from the desired content.
#[derive(Clone, Debug)]
struct Behind {
    since: Timestamp,
    reason: String,
}

/// Copy of the kernel's maps, to try changes on.
pub(super) struct Trial {
    limits: Limits,
    arena: Arena,
    /// None if it is unknown.
    image: Option<Image>,
}

impl Trial {
    /// Creates a copy of empty maps with an arena of so many slots.
    #[cfg(test)]
    pub(super) fn with_room(slots: u32) -> Self {
        let limits = Limits::default();
        Self { limits, arena: Arena::new(slots), image: Some(Image::default()) }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns an error if [`MapSync::commit`] would have no room.
    pub(super) fn check(mut self, present: &Goal, next: &Goal) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        plan(image, next, present, &mut self.arena, Instant::now()).map(drop)
    }
}

impl MapSync {
    pub(super) fn new(adopted: &Adopted, limits: Limits) -> Self {
        let (arena, image) = (adopted.image.arena(), Some(adopted.image.clone()));
        let (behind, told, news) = Default::default();
        Self { limits, arena, image, behind, told, news, current_since: Instant::now() }
    }

    /// Returns a copy for planning changes that are not made.
    pub(super) fn trial(&self) -> Trial {
        Trial { limits: self.limits, arena: self.arena.clone(), image: self.image.clone() }
    }

    /// Returns true if the maps are out of date: the next upkeep tries again.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Returns true if the maps have been up to date for so long before this time that no packet uses what
    /// they named before.
    pub(super) fn was_current_long_before(&self, time: Instant) -> bool {
        self.behind.is_none()
            && time.saturating_duration_since(self.current_since) > 2 * arena::GRACE
    }

    /// Returns since when and why the maps differ from the desired content.
    pub(super) fn warning(&self) -> Option<String> {
        self.behind.as_ref().map(|Behind { since, reason }| {
            format!(
                "the kernel has been behind the configuration since {since:.0}, which is retried every \
                 second: {reason}"
            )
        })
    }

    /// Returns what has changed since the last call: another reason than before, or that the maps are current
    /// again.
    pub(super) fn news(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.news)
    }

    fn note_news(&mut self) {
        let reason = self.behind.as_ref().map(|behind| behind.reason.clone());
        if reason == self.told {
            return;
        }
        self.told.clone_from(&reason);
        self.news.push(match reason {
            Some(reason) => Transition::new(Event::KernelBehind).with(EventKey::Reason, reason),
            None => Transition::new(Event::KernelCurrent),
        });
    }

    fn note_behind(&mut self, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        let since = self.behind.as_ref().map_or_else(Timestamp::now, |behind| behind.since);
        self.behind = Some(Behind { since, reason });
    }

    /// Marks the content of the maps as unknown.
    pub(super) fn distrust(&mut self) {
        self.image = None;
        self.note_behind(&anyhow::anyhow!("a map may hold something else than was written"));
        self.note_news();
    }

    /// Updates the maps to `next`. After an error they match `present`, or are out of date. A service that
    /// is behind already, and does not change, is no error.
    pub(super) fn commit(
        &mut self,
        maps: &mut MapWriter,
        present: &Goal,
        next: &Goal,
    ) -> Result<()> {
        let written = self.write(maps, next, present);
        if written.is_err() {
            self.restore(maps, present);
        }
        self.note_news();
        written
    }

    /// Updates the maps like [`Self::commit`], for changes that are facts: if the kernel cannot follow yet,
    /// it is behind. A service without room delays no other.
    pub(super) fn follow(&mut self, maps: &mut MapWriter, present: &Goal, next: &Goal) {
        if let Err(error) = self.write(maps, next, next) {
            let behind = self.behind.clone();
            self.restore(maps, present);
            self.behind = behind.or_else(|| self.behind.take());
            self.note_behind(&error);
        }
        self.note_news();
    }

    fn restore(&mut self, maps: &mut MapWriter, present: &Goal) {
        if let Err(error) = self.write(maps, present, present) {
            self.note_behind(&error);
        }
    }

    /// Updates the maps. Services that are the same in `former` need no room.
    fn write(&mut self, maps: &mut MapWriter, goal: &Goal, former: &Goal) -> Result<()> {
        let image = match self.image.take() {
            Some(image) => image,
            None => self.read_back(maps)?,
        };
        let planned = plan(&image, goal, former, &mut self.arena, Instant::now());
        let Plan { ops, image: next, missing } = match planned {
            Ok(planned) => planned,
            Err(error) => {
                // Nothing was written.
                self.image = Some(image);
                return Err(error);
            }
        };
        maps.apply(&ops)?;
        self.image = Some(next);
        match missing {
            Some(error) => self.note_behind(&error),
            None if self.behind.is_some() => {
                (self.behind, self.current_since) = (None, Instant::now());
            }
            None => {}
        }
        Ok(())
    }

    fn read_back(&mut self, maps: &mut MapWriter) -> Result<Image> {
        let image = maps.adopt(&self.limits)?.image;
        self.arena.follow(image.rings(), Instant::now());
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{schedule::Scheduler, service::ServiceKey};
    use lb_dataplane::{maps::memory::Memory, plan::Wanted};

    use super::*;

    /// Returns a goal of services with rings of these lengths.
    fn goal(lengths: &[u32]) -> Goal {
        let service = |(id, length): (u32, &u32)| {
            let wanted = Wanted {
                id,
                scheduler: Scheduler::Maglev,
                members: 1,
                retries: false,
                group: 0,
                slots: (1..=*length).collect(),
                room: 0,
            };
            (ServiceKey::tcp([0; 16], [0, id.to_le_bytes()[0]]), wanted)
        };
        Goal { services: (0..).zip(lengths).map(service).collect(), ..Goal::default() }
    }

    #[test]
    fn a_service_that_is_behind_refuses_no_change_of_others() {
        let (memory, limits) = (Memory::default(), Limits::default());
        let mut maps = MapWriter::new(memory.maps(4));
        let (arena, image) = (Arena::new(4), Some(Image::default()));
        let current_since = Instant::now();
        let (behind, told, news) = Default::default();
        let mut sync = MapSync { limits, arena, image, behind, told, news, current_since };
        let present = goal(&[3, 2]);
        sync.follow(&mut maps, &Goal::default(), &present);
        assert!(sync.is_behind(), "there is room for the first one only");
        let next = goal(&[3, 2, 1]);
        sync.trial().check(&present, &next).expect("there is room for the third");
        sync.commit(&mut maps, &present, &next).expect("there is room for the third");
        assert!(sync.is_behind() && memory.stored().services.len() == 2);
        let changed = goal(&[3, 3, 1]);
        sync.trial().check(&next, &changed).expect_err("the second is changed");
        sync.commit(&mut maps, &next, &changed).expect_err("the second is changed");
        assert!(sync.is_behind(), "as before");
        let later = Instant::now() + 3 * arena::GRACE;
        assert!(!sync.was_current_long_before(later), "rings may name any backend that has left");
        sync.follow(&mut maps, &next, &goal(&[3]));
        assert!(sync.was_current_long_before(later));
        assert!(!sync.was_current_long_before(Instant::now()), "packets may be on their way");
        let told: Vec<_> = sync.news().iter().map(|one| one.event).collect();
        assert_eq!(
            (told.first(), told.last()),
            (Some(&Event::KernelBehind), Some(&Event::KernelCurrent))
        );
        assert_eq!(sync.news(), []);
    }
}
