//! Patterns that an answer must match.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use lb_model::CheckRequest;
use regex::{
    Error,
    bytes::{Regex, RegexBuilder},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::fault::Fault;

/// Maximum length of an `expect` in bytes.
const LONGEST: usize = 4 << 10;

/// Maximum length of a `contains` in bytes: no more of an answer is read.
const LONGEST_TEXT: usize = 64 << 10;

/// Maximum size of a compiled regular expression in bytes. The search time grows with it: up to 0.4
/// s in 64 KiB of an answer.
const LARGEST: usize = 64 << 10;

/// Size of the state cache of a regular expression in bytes.
const LARGEST_CACHE: usize = 64 << 10;

/// Length of an answer in bytes that any regular expression can search within a millisecond or two.
const SHORT: usize = 256;

/// A search that takes longer marks a regular expression as slow.
const QUICK: Duration = Duration::from_millis(5);

/// Concurrent searches with regular expressions that are not known to be slow.
static QUICK_SEARCHES: Semaphore = Semaphore::const_new(2);

/// Concurrent searches with slow regular expressions, which only delay each other.
static SLOW_SEARCHES: Semaphore = Semaphore::const_new(1);

/// Compiled patterns by text, shared between checks.
static COMPILED: LazyLock<Mutex<HashMap<String, Weak<Compiled>>>> = LazyLock::new(Mutex::default);

/// A text or a regular expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    /// A plain text, fast to find in an answer of any length.
    is_text: bool,
    is_slow: AtomicBool,
}

impl Pattern {
    /// Returns the pattern that an answer must match, if any.
    pub(super) fn of(request: &CheckRequest) -> Result<Option<Self>, Fault> {
        match (&request.expect, &request.contains) {
            (Some(_), Some(_)) => {
                Err(Fault::new("contains", &"cannot be combined with `expect`")
                    .fix("give one of them"))
            }
            (Some(expect), None) => Self::expression(expect).map(Some),
            (None, Some(text)) => Self::text(text).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn expression(expect: &str) -> Result<Self, Fault> {
        if expect.len() > LONGEST {
            return Err(too_long("expect", LONGEST));
        }
        Self::shared(expect, false).map_err(|error| match error {
            Error::CompiledTooBig(_) => {
                let size = LARGEST >> 10;
                let message =
                    format!("this regular expression takes more than {size} KiB when compiled");
                Fault::new("expect", &message).fix(
                    "repeat less, or write classes such as [0-9A-Za-z_] instead of \\w, which has \
                     all letters of Unicode",
                )
            }
            error => {
                let error = error.to_string();
                // The lines before show the position, which the configuration's own error does.
                let reason = error.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                Fault::new("expect", &format!("invalid regular expression: {reason}"))
                    .fix("put a backslash before a special character to match it literally")
            }
        })
    }

    fn text(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST_TEXT {
            return Err(too_long("contains", LONGEST_TEXT));
        }
        Self::shared(&regex::escape(text), true).map_err(|error| Fault::new("contains", &error))
    }

    fn shared(text: &str, is_text: bool) -> Result<Self, Error> {
        let known = compiled().get(text).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_text == is_text) {
            return Ok(Self(known));
        }
        let regex = RegexBuilder::new(text)
            .size_limit(if is_text { usize::MAX } else { LARGEST })
            .dfa_size_limit(LARGEST_CACHE)
            .build()?;
        let made = Arc::new(Compiled { regex, is_text, is_slow: AtomicBool::new(false) });
        compiled().insert(text.to_owned(), Arc::downgrade(&made));
        Ok(Self(made))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.regex.as_str()
    }

    /// Returns whether an answer matches. Searches that may take long run on a blocking thread.
    pub(super) async fn matches(&self, answer: &mut Vec<u8>) -> bool {
        let compiled = &self.0;
        if compiled.is_text || answer.len() <= SHORT {
            return compiled.regex.is_match(answer);
        }
        let is_slow = compiled.is_slow.load(Ordering::Relaxed);
        let turns = if is_slow { &SLOW_SEARCHES } else { &QUICK_SEARCHES };
        let Ok(turn) = turns.acquire().await else { return false };
        let (compiled, bytes) = (Arc::clone(compiled), mem::take(answer));
        let searching = spawn_blocking(move || {
            // The search goes on after the check's timeout.
            let _turn = turn;
            (compiled.search(&bytes), bytes)
        });
        // It fails only by a panic, which ends the process.
        let Ok((is_match, bytes)) = searching.await else { return false };
        *answer = bytes;
        is_match
    }
}

impl Compiled {
    fn search(&self, answer: &[u8]) -> bool {
        let begun = Instant::now();
        let is_match = self.regex.is_match(answer);
        if begun.elapsed() > QUICK {
            self.is_slow.store(true, Ordering::Relaxed);
        }
        is_match
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        let mut all = compiled();
        if all.get(self.regex.as_str()).is_some_and(|one| one.strong_count() == 0) {
            all.remove(self.regex.as_str());
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.regex.fmt(f)
    }
}

fn compiled() -> MutexGuard<'static, HashMap<String, Weak<Compiled>>> {
    COMPILED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_long(key: &'static str, most: usize) -> Fault {
    Fault::new(key, &format!("this is longer than {most} bytes")).fix("give a shorter one")
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    fn expecting(expect: &str) -> Result<Pattern, Fault> {
        let request = CheckRequest { expect: Some(expect.to_owned()), ..CheckRequest::default() };
        Pattern::of(&request).map(|pattern| pattern.expect("a pattern"))
    }

    const LENGTH: usize = 8 << 10;

    /// Returns an expression that takes tens of milliseconds in such an answer.
    fn slow() -> (Pattern, Vec<u8>) {
        let answer = (0..LENGTH).map(|_| if fastrand::bool() { b'a' } else { b'b' });
        (expecting("[ab]c?a[ab]{800}[^ab]").expect("small enough"), answer.collect())
    }

    #[test]
    fn expressions_that_cost_much_are_refused() {
        for (expect, word) in [
            ("[ab]c?a[ab]{40000}[^ab]{1}".to_owned(), "more than 64 KiB when compiled"),
            ("\\w{100}".to_owned(), "more than 64 KiB when compiled"),
            ("((a{50}){50}){50}b?".to_owned(), "more than 64 KiB when compiled"),
            ("x".repeat(LONGEST + 1), "longer than 4096 bytes"),
            ("(".to_owned(), "invalid regular expression: unclosed group"),
        ] {
            let fault = expecting(&expect).expect_err(word);
            assert!(fault.key == "expect" && fault.message.contains(word), "{fault:?}");
            assert!(!fault.fix.is_empty());
        }
        for expect in ["^OK\\b", "\\w+", "(?i)healthy|degraded", "\"status\":\\s*\"(ok|up)\""] {
            expecting(expect).unwrap_or_else(|fault| panic!("{expect}: {fault:?}"));
        }
        let text = |length| CheckRequest {
            contains: Some("é".repeat(length)),
            ..CheckRequest::default()
        };
        Pattern::of(&text(LONGEST_TEXT / 2)).expect("as long as an answer");
        let fault = Pattern::of(&text(LONGEST_TEXT / 2 + 1)).expect_err("longer than any answer");
        assert!(fault.key == "contains" && fault.message.contains("65536 bytes"), "{fault:?}");
    }

    #[test]
    fn checks_that_expect_the_same_share_it_until_nobody_does() {
        let (first, second) = (expecting("sha+red").unwrap(), expecting("sha+red").unwrap());
        assert!(Arc::ptr_eq(&first.0, &second.0));
        drop(first);
        assert!(compiled().contains_key("sha+red"));
        drop(second);
        assert!(!compiled().contains_key("sha+red"));
    }

    /// Runs on a single-threaded runtime, which a search would block.
    #[tokio::test]
    async fn searches_hold_up_neither_the_daemon_nor_other_checks() {
        const STEP: Duration = Duration::from_millis(1);
        let (slow, mut answer) = slow();
        // The first search marks it as slow.
        assert!(!slow.matches(&mut answer).await);
        assert_eq!(answer.len(), LENGTH, "the answer is there again");
        let searches: Vec<_> = (0..3)
            .map(|_| {
                let (slow, mut answer) = (slow.clone(), answer.clone());
                tokio::spawn(async move { slow.matches(&mut answer).await })
            })
            .collect();
        sleep(STEP).await;
        assert!(!searches[0].is_finished(), "the runtime waits for the search");
        let mut page = vec![b'x'; 4 << 10];
        page.extend(b"all is well");
        let quick = expecting("all\\s+is\\s+well").expect("valid");
        assert!(timeout(Duration::from_secs(30), quick.matches(&mut page)).await.expect("quick"));
        assert!(!searches[2].is_finished(), "slow searches go first");
        for search in searches {
            assert!(!search.await.expect("no panic"));
        }
    }
}
