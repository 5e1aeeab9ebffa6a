//! Harnesses that run on a few CPUs at the same time.

use std::{
    hint,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Result, anyhow};
use lb_common::template::Template;

use super::{
    harness::{Harness, Run},
    pin,
};

/// Share of the longest run in which all must run.
const OVERLAP: f64 = 0.9;

/// Runs each harness on a CPU of its own, all from the same moment on.
pub(super) fn run(
    harnesses: &mut [Harness],
    cpus: &[usize],
    templates: &[Template],
    frames: u32,
) -> Result<Vec<Run>> {
    let gate = Gate::of(harnesses.len());
    thread::scope(|scope| {
        let threads =
            harnesses.iter_mut().zip(cpus).zip(templates).map(|((harness, cpu), frame)| {
                let gate = &gate;
                scope.spawn(move || {
                    let ready = pin(*cpu).and_then(|()| harness.load(frame));
                    gate.pass();
                    ready?;
                    harness.fire(frames)
                })
            });
        // All must be there before the first one is waited for.
        let threads: Vec<_> = threads.collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Run>>| {
            thread.join().map_err(|_| anyhow!("a harness panicked"))?
        };
        threads.into_iter().map(join).collect()
    })
}

/// Returns true if something else kept the CPUs from running at the same time.
pub(super) fn is_disturbed(runs: &[Run]) -> bool {
    let longest = runs.iter().map(|run| run.end - run.begin).max();
    let begin = runs.iter().map(|run| run.begin).max();
    let end = runs.iter().map(|run| run.end).min();
    let (Some(longest), Some(begin), Some(end)) = (longest, begin, end) else { return false };
    let least = longest.mul_f64(OVERLAP);
    end.saturating_duration_since(begin) < least || runs.iter().any(|run| run.spent < least)
}

/// Opens once all have arrived. They wait awake, to start at the same moment.
struct Gate {
    missing: AtomicUsize,
}

impl Gate {
    const fn of(all: usize) -> Self {
        Self { missing: AtomicUsize::new(all) }
    }

    fn pass(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn run(begin: Instant, from: u64, to: u64, spent: u64) -> Run {
        let after = |millis| begin + Duration::from_millis(millis);
        Run::new(Duration::from_millis(spent), after(from), after(to))
    }

    #[test]
    fn runs_that_hardly_overlap_or_were_interrupted_are_disturbed() {
        let now = Instant::now();
        let is_disturbed = |runs: &[(u64, u64, u64)]| {
            let runs: Vec<_> = runs.iter().map(|(a, b, spent)| run(now, *a, *b, *spent)).collect();
            is_disturbed(&runs)
        };
        assert!(!is_disturbed(&[(0, 100, 100)]));
        assert!(!is_disturbed(&[(0, 100, 100), (1, 99, 98)]));
        assert!(is_disturbed(&[(0, 100, 50)]), "interrupted");
        assert!(is_disturbed(&[(0, 100, 100), (50, 150, 100)]), "half at once");
        assert!(is_disturbed(&[(0, 100, 100), (100, 200, 100)]), "one after the other");
    }
}
