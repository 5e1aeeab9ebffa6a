//! Small numbers, given out and taken back: the indices of the kernel's arrays.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

#[derive(Clone, Debug)]
pub struct Ids {
    what: &'static str,
    first: u32,
    end: u32,
    taken: BTreeSet<u32>,
}

impl Ids {
    /// Ids from `first` up to, and without, `end`.
    #[must_use]
    pub fn new(what: &'static str, first: u32, end: u32) -> Self {
        Self { what, first, end, taken: BTreeSet::new() }
    }

    pub fn claim(&mut self, id: u32) {
        self.taken.insert(id);
    }

    pub fn allocate(&mut self) -> Result<u32> {
        let Some(id) = (self.first..self.end).find(|id| !self.taken.contains(id)) else {
            bail!("no room for another {}: there may be {}", self.what, self.end - self.first);
        };
        self.taken.insert(id);
        Ok(id)
    }

    pub fn free(&mut self, id: u32) {
        self.taken.remove(&id);
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
        ids.free(2);
        assert_eq!(ids.allocate().unwrap(), 2);
    }
}
