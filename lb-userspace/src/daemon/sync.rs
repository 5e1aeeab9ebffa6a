//! Keeps the kernel's maps in sync with the daemon's state, whichever write fails.

use std::time::Instant;

use anyhow::Result;

use crate::{
    adoption::Adopted,
    arena::Arena,
    config::Limits,
    dataplane::MapWriter,
    plan::{Goal, Image, plan},
};

/// Content of the kernel's maps, and if it is up to date.
pub(super) struct MapSync {
    limits: Limits,
    arena: Arena,
    /// None after a failed write: the maps are then read back first.
    image: Option<Image>,
    is_behind: bool,
}

impl MapSync {
    pub(super) fn new(adopted: &Adopted, limits: Limits) -> Self {
        let (arena, image) = (adopted.image.arena(), Some(adopted.image.clone()));
        Self { limits, arena, image, is_behind: false }
    }

    /// Returns true if the maps are out of date: the next upkeep tries again.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Marks the content of the maps as unknown.
    pub(super) fn distrust(&mut self) {
        self.image = None;
        self.is_behind = true;
    }

    /// Updates the maps to `next`. After an error they match `present`, or are out of date.
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

    /// Like [`Self::commit`], for changes that hold even if the kernel cannot follow yet: the maps
    /// are then out of date.
    pub(super) fn follow(&mut self, maps: &mut MapWriter, present: &Goal, next: &Goal) {
        if let Err(error) = self.commit(maps, present, next) {
            log::error!("cannot update the kernel's maps, trying again: {error:#}");
            self.is_behind = true;
        }
    }

    fn restore(&mut self, maps: &mut MapWriter, present: &Goal) -> bool {
        let restored = self.write(maps, present);
        if let Err(error) = &restored {
            log::error!("cannot restore the kernel's maps, trying again: {error:#}");
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
