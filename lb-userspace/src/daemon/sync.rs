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

impl MapSync {
    pub(super) fn new(adopted: &Adopted, limits: Limits) -> Self {
        let (arena, image) = (adopted.image.arena(), Some(adopted.image.clone()));
        Self { limits, arena, image, is_behind: false }
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
