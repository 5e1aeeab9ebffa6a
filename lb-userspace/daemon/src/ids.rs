//! Allocator of the indices of the kernel's arrays.

use anyhow::{Result, bail};
use imbl::OrdSet;

/// Clones share common parts.
#[derive(Clone, Debug)]
pub struct Ids {
    what: &'static str,
    first: u32,
    end: u32,
    /// Ids from here on were never allocated.
    next: u32,
    /// Free ids below `next`.
    free: OrdSet<u32>,
}

impl Ids {
    /// Creates an allocator of ids from `first` to `end`, exclusive.
    #[must_use]
    pub fn new(what: &'static str, first: u32, end: u32) -> Self {
        Self { what, first, end, next: first, free: OrdSet::new() }
    }

    pub fn claim(&mut self, id: u32) {
        self.free.extend(self.next..id);
        self.next = self.next.max(id + 1);
        self.free.remove(&id);
    }

    /// Allocates the smallest free id.
    pub fn allocate(&mut self) -> Result<u32> {
        if let Some(id) = self.free.get_min().copied() {
            self.free.remove(&id);
            return Ok(id);
        }
        if self.next >= self.end {
            let (what, most) = (self.what, self.end - self.first);
            bail!("no room for another {what}: there may be {most}; raise `limits.{what}s`");
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    #[must_use]
    pub fn is_free(&self, id: u32) -> bool {
        id >= self.next || self.free.contains(&id)
    }

    pub fn free(&mut self, id: u32) {
        self.free.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_smallest_free_id() {
        let mut ids = Ids::new("thing", 1, 4);
        ids.claim(2);
        assert_eq!(ids.allocate().unwrap(), 1);
        assert_eq!(ids.allocate().unwrap(), 3);
        assert!(ids.allocate().unwrap_err().to_string().contains("another thing"));
        assert!(!ids.is_free(2) && ids.is_free(9));
        ids.free(2);
        assert!(ids.is_free(2));
        assert_eq!(ids.allocate().unwrap(), 2);
    }
}
