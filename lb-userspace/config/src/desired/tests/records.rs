//! Records that do not follow each other, or are damaged.

use std::fs;

use proptest::prelude::*;

use super::*;

#[test]
fn records_that_are_swapped_missing_or_repeated_are_refused_and_named() {
    let directory = TempDir::new().expect("a directory");
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    for nth in 0..4 {
        record(&mut desired, web(), author(&format!("record {nth}"))).expect("recorded");
    }
    drop(desired);
    let journal = directory.path().join("journal");
    let text = fs::read_to_string(&journal).expect("written");
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let other = TempDir::new().expect("a directory");
    record_two(other.path());
    let foreign = fs::read_to_string(other.path().join("journal")).expect("written");
    let foreign = foreign.split_inclusive('\n').nth(1).expect("two");
    let cases: [(&[&str], &str); 6] = [
        (&[lines[0], lines[2], lines[1], lines[3]], "journal:2: this record is of version 3, and"),
        (&[lines[0], lines[2], lines[3]], "that of version 2 is missing"),
        (&[lines[1], lines[2]], "journal:1: this record is of version 2, and those before it"),
        (
            &[lines[0], lines[1], lines[1], lines[2]],
            "journal:3: this record is of version 2, which",
        ),
        (&[lines[0], lines[0]], "journal:2: this record is of version 1, which was there before"),
        (
            &[lines[0], foreign, lines[2]],
            "journal:2: this record of version 2 was not written after",
        ),
    ];
    for (lines, word) in cases {
        fs::write(&journal, lines.concat()).expect("written");
        let error = Desired::open(directory.path(), 0).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
        assert!(error.contains("move the journal away"), "{error}");
        assert_eq!(fs::read_to_string(&journal).expect("there"), lines.concat());
    }
}

#[test]
fn a_journal_of_an_older_version_is_read_and_goes_on() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let old = |line: &str| {
        let (_, json) = line.split_once(' ').expect("a checksum");
        let mut value: serde_json::Value = serde_json::from_str(json).expect("an entry");
        value.as_object_mut().expect("an object").remove("after");
        let json = value.to_string();
        format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
    };
    let text = fs::read_to_string(&journal).expect("written");
    assert!(text.contains("\"after\""), "{text}");
    let lines: Vec<_> = text.lines().map(old).collect();
    fs::write(&journal, lines.concat()).expect("written");
    let mut desired = Desired::open(directory.path(), 0).expect("is read");
    record(&mut desired, web(), author("third")).expect("recorded");
    drop(desired);
    assert_eq!(Desired::open(directory.path(), 0).expect("is read").number(), 3);
    let text = fs::read_to_string(&journal).expect("written");
    let last = text.lines().last().expect("a line");
    assert!(last.contains(&format!("\"after\":\"{}\"", &lines[1][..8])), "{last}");
    fs::write(&journal, [lines[0].as_str(), last, "\n"].concat()).expect("written");
    let error = Desired::open(directory.path(), 0).expect_err("one is missing").to_string();
    assert!(error.contains("that of version 2 is missing"), "{error}");
}

/// Stands for one that a later version has written before a downgrade.
#[test]
fn a_record_of_another_version_is_refused_and_kept() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let written = fs::read_to_string(&journal).expect("written");
    let (first, last) = written.trim_end().split_once('\n').expect("two lines");
    let json = last.split_once(' ').expect("a checksum").1.replace("\"set\":[]", "\"set\":[{}]");
    let foreign = format!("{first}\n{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    assert_ne!(foreign, written);
    fs::write(&journal, &foreign).expect("written");
    let error = Desired::open(directory.path(), 0).expect_err("of another version");
    let error = format!("{error:#}");
    assert!(error.contains("journal:2: this record is of another version of xdplb"), "{error}");
    assert_eq!(fs::read_to_string(&journal).expect("there"), foreign, "nothing is lost");
}

proptest! {
    #[test]
    fn no_journal_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let directory = TempDir::new().expect("a directory");
        let journal = directory.path().join("journal");
        fs::write(&journal, &bytes).expect("written");
        if Desired::open(directory.path(), 0).is_err() {
            prop_assert_eq!(fs::read(&journal).expect("there"), bytes);
        }
    }

    #[test]
    fn a_damaged_journal_is_refused_or_read_up_to_the_damage(
        at in any::<prop::sample::Index>(),
        by in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let directory = TempDir::new().expect("a directory");
        record_two(directory.path());
        let journal = directory.path().join("journal");
        let mut bytes = fs::read(&journal).expect("written");
        let at = at.index(bytes.len());
        bytes.splice(at..bytes.len().min(at + 3), by);
        fs::write(&journal, &bytes).expect("written");
        let Ok(desired) = Desired::open(directory.path(), 0) else {
            prop_assert_eq!(fs::read(&journal).expect("there"), bytes);
            return Ok(());
        };
        let read: Vec<_> = desired.versions().map(|one| one.document.clone()).collect();
        prop_assert!([web(), web().without("web")].starts_with(&read), "{read:?}");
    }
}
