//! Keeps the kernel's maps in step with what the daemon wants of them, whatever write fails.

use std::time::Instant;

use anyhow::Result;

use crate::{
    adoption::Adopted,
    arena::Arena,
    config::Limits,
    dataplane::MapWriter,
    plan::{Goal, Image, plan},
};

/// What the kernel's maps hold, and whether that is what they should hold.
pub(super) struct MapSync {
    limits: Limits,
    arena: Arena,
    /// Nothing after a write has failed: then the maps are read back first.
    image: Option<Image>,
    is_behind: bool,
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
        Self { limits, arena, image, is_behind: false }
    }

    /// A copy to plan changes with that are not made.
    pub(super) fn trial(&self) -> Trial {
        Trial { arena: self.arena.clone(), image: self.image.clone() }
    }

    /// Whether the maps are not what they should be, which the next upkeep tries again.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Notes that the maps may hold something else than was written.
    pub(super) fn distrust(&mut self) {
        self.image = None;
        self.is_behind = true;
    }

    /// Makes the maps what `next` wants. After an error they are what `present` wants, or behind it.
    pub(super) fn commit(
        &mut self,
        maps: &mut MapWriter,
        present: &Goal,
        next: &Goal,
    ) -> Result<()> {
        let written = self.write(maps, next);
        self.is_behind = written.is_err() && !self.restore(maps, present);
        written
    }

    /// As [`Self::commit`], for what is so even if the kernel cannot follow yet: it is behind then.
    pub(super) fn follow(&mut self, maps: &mut MapWriter, present: &Goal, next: &Goal) {
        if let Err(error) = self.commit(maps, present, next) {
            log::error!(
                "the kernel could not be brought up to date, which is tried again: {error:#}"
            );
            self.is_behind = true;
        }
    }

    fn restore(&mut self, maps: &mut MapWriter, present: &Goal) -> bool {
        let restored = self.write(maps, present);
        if let Err(error) = &restored {
            log::error!(
                "the kernel could not be made what it was, which is tried again: {error:#}"
            );
        }
        restored.is_ok()
    }

    fn write(&mut self, maps: &mut MapWriter, goal: &Goal) -> Result<()> {
        let image = match self.image.take() {
            Some(image) => image,
            None => self.read_back(maps)?,
        };
        let (ops, next) = match plan(&image, goal, &mut self.arena, Instant::now()) {
            Ok(planned) => planned,
            Err(error) => {
                // Nothing was written.
                self.image = Some(image);
                return Err(error);
            }
        };
        maps.apply(&ops)?;
        self.image = Some(next);
        Ok(())
    }

    fn read_back(&mut self, maps: &mut MapWriter) -> Result<Image> {
        let image = maps.adopt(&self.limits)?.image;
        self.arena.follow(image.rings(), Instant::now());
        Ok(image)
    }
}
