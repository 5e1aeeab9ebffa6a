//! Keeps the kernel's maps in sync with the daemon's state, whichever write fails.

use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    adoption::Adopted,
    arena::Arena,
    config::Limits,
    dataplane::MapWriter,
    plan::{Goal, Image, plan, plan_what_fits},
};

/// Content of the kernel's maps, and if it is up to date.
pub(super) struct MapSync {
    limits: Limits,
    arena: Arena,
    /// None after a failed write: the maps are then read back first.
    image: Option<Image>,
    behind: Option<Behind>,
}

/// That the maps are not what they should be.
#[derive(Clone, Debug)]
struct Behind {
    since: Timestamp,
    reason: String,
}

/// What the kernel's maps hold, to try changes on.
pub(super) struct Trial {
    arena: Arena,
    /// Nothing if that is not known.
    image: Option<Image>,
}

impl Trial {
    /// Of empty maps with an arena of so many slots.
    #[cfg(test)]
    pub(super) fn with_room(slots: u32) -> Self {
        Self { arena: Arena::new(slots), image: Some(Image::default()) }
    }

    /// Refuses what [`MapSync::commit`] would have no room for.
    pub(super) fn check(mut self, goal: &Goal) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        plan(image, goal, &mut self.arena, Instant::now()).map(drop)
    }
}

impl MapSync {
    pub(super) fn new(adopted: &Adopted, limits: Limits) -> Self {
        let (arena, image) = (adopted.image.arena(), Some(adopted.image.clone()));
        Self { limits, arena, image, behind: None }
    }

    /// Returns a copy for planning changes that are not made.
    pub(super) fn trial(&self) -> Trial {
        Trial { arena: self.arena.clone(), image: self.image.clone() }
    }

    /// Returns true if the maps are out of date: the next upkeep tries again.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Since when and why the maps are not what they should be.
    pub(super) fn warning(&self) -> Option<String> {
        self.behind.as_ref().map(|Behind { since, reason }| {
            format!(
                "the kernel has been behind the configuration since {since:.0}, which is retried every \
                 second: {reason}"
            )
        })
    }

    /// Logs a reason only if it is another one than before.
    fn note_behind(&mut self, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        if self.behind.as_ref().is_none_or(|behind| behind.reason != reason) {
            log::error!("the kernel is behind the configuration, which is retried: {reason}");
        }
        let since = self.behind.as_ref().map_or_else(Timestamp::now, |behind| behind.since);
        self.behind = Some(Behind { since, reason });
    }

    /// Marks the content of the maps as unknown.
    pub(super) fn distrust(&mut self) {
        self.image = None;
        self.note_behind(&anyhow::anyhow!("a map may hold something else than was written"));
    }

    /// Updates the maps to `next`. After an error they match `present`, or are out of date.
    pub(super) fn commit(
        &mut self,
        maps: &mut MapWriter,
        present: &Goal,
        next: &Goal,
    ) -> Result<()> {
        let written = self.write(maps, next, Fit::All);
        if written.is_ok() {
            self.behind = None;
        } else {
            self.restore(maps, present);
        }
        written
    }

    /// As [`Self::commit`], for what is so even if the kernel cannot follow yet: it is behind then. A
    /// service that there is no room for holds up no other.
    pub(super) fn follow(&mut self, maps: &mut MapWriter, present: &Goal, next: &Goal) {
        match self.write(maps, next, Fit::Some) {
            Ok(()) => {}
            Err(error) => {
                let behind = self.behind.clone();
                self.restore(maps, present);
                self.behind = behind.or_else(|| self.behind.take());
                self.note_behind(&error);
            }
        }
    }

    fn restore(&mut self, maps: &mut MapWriter, present: &Goal) {
        if let Err(error) = self.write(maps, present, Fit::Some) {
            self.note_behind(&error);
        }
    }

    fn write(&mut self, maps: &mut MapWriter, goal: &Goal, fit: Fit) -> Result<()> {
        let image = match self.image.take() {
            Some(image) => image,
            None => self.read_back(maps)?,
        };
        let now = Instant::now();
        let (ops, next, missing) = match fit {
            Fit::Some => plan_what_fits(&image, goal, &mut self.arena, now),
            Fit::All => match plan(&image, goal, &mut self.arena, now) {
                Ok((ops, next)) => (ops, next, None),
                Err(error) => {
                    // Nothing was written.
                    self.image = Some(image);
                    return Err(error);
                }
            },
        };
        maps.apply(&ops)?;
        self.image = Some(next);
        match missing {
            Some(error) => self.note_behind(&error),
            None => self.behind = None,
        }
        Ok(())
    }

    fn read_back(&mut self, maps: &mut MapWriter) -> Result<Image> {
        let image = maps.adopt(&self.limits)?.image;
        self.arena.follow(image.rings(), Instant::now());
        Ok(image)
    }
}

/// What a plan may leave out.
#[derive(Clone, Copy)]
enum Fit {
    All,
    /// Services that there is no room for.
    Some,
}
