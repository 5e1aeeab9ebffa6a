//! Journals whose end is lost.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn a_record_that_was_cut_off_is_dropped_and_a_damaged_one_is_not() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for length in first..whole.len() - 1 {
        fs::write(&journal, &whole[..length]).expect("written");
        let desired = Desired::open(directory.path(), 1).expect("survives");
        assert_eq!((desired.number(), desired.document()), (1, Some(&web())), "{length}");
        assert_eq!(fs::read(&journal).expect("there"), whole[..first], "{length}");
        assert_eq!(desired.losses().warnings(), [""; 0], "{length}");
    }
    let mut damaged = whole.clone();
    damaged[first / 2] ^= 1;
    fs::write(&journal, &damaged).expect("written");
    let error = Desired::open(directory.path(), 0).expect_err("damaged").to_string();
    assert!(error.contains("journal:1: this record is damaged"), "{error}");
    assert_eq!(fs::read(&journal).expect("there"), damaged, "nothing is lost");
}

#[test]
fn a_last_record_in_blocks_that_were_never_written_is_dropped() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for written in [0, 5, 9, 30] {
        let zeros = vec![0; 100];
        fs::write(&journal, [&whole[..first + written], &zeros].concat()).expect("written");
        let desired = Desired::open(directory.path(), 0).expect("survives");
        assert_eq!((desired.number(), desired.losses().warnings().len()), (1, 0), "{written}");
    }
}

#[test]
fn what_was_cut_off_of_a_version_that_was_in_force_is_told_and_kept() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for (name, in_force, torn) in
        [("2.1", 2, &whole[first..whole.len() - 9]), ("1.1", 1, &whole[..first / 2])]
    {
        let kept_before = if name == "2.1" { &whole[..first] } else { &[][..] };
        fs::write(&journal, [kept_before, torn].concat()).expect("written");
        let desired = Desired::open(directory.path(), in_force).expect("survives");
        let kept = directory.path().join(format!("journal.damaged.{name}"));
        assert_eq!(fs::read(kept).expect("kept"), torn, "{name}");
        let warnings = desired.losses().warnings();
        assert!(warnings.concat().contains(&format!("damaged.{name}")), "{warnings:?}");
        assert_eq!(warnings.len(), 1, "one event, one warning");
        fs::remove_file(directory.path().join(format!("journal.damaged.{name}"))).expect("there");
    }
}

#[test]
fn a_last_record_without_its_end_counts_and_blank_lines_behind_it_do_not() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let unended = whole[..whole.len() - 1].to_vec();
    for bytes in [unended, [&whole[..], b"\n"].concat(), [&whole[..], b" \r\n"].concat()] {
        fs::write(&journal, &bytes).expect("written");
        let mut desired = Desired::open(directory.path(), 2).expect("survives");
        assert_eq!((desired.number(), desired.losses().warnings().len()), (2, 0));
        assert_eq!(fs::read(&journal).expect("there"), whole);
        record(&mut desired, web(), author("third")).expect("recorded");
        drop(desired);
        assert_eq!(Desired::open(directory.path(), 3).expect("opens").number(), 3);
    }
}

#[test]
fn a_journal_that_was_emptied_or_taken_away_is_told_and_versions_count_on() {
    let directory = TempDir::new().expect("a directory");
    let journal = directory.path().join("journal");
    let marker = |in_force: u64| directory.path().join(format!("journal.lost.{in_force}"));
    let lost = |in_force: u64| {
        let desired = Desired::open(directory.path(), in_force).expect("opens");
        assert_eq!((desired.number(), desired.document()), (0, None));
        let warnings = desired.losses().warnings().concat();
        if fs::remove_file(marker(in_force)).is_ok() {
            assert!(warnings.ends_with(marker(in_force).to_str().expect("text")), "{warnings}");
            assert_eq!(desired.losses().warnings(), [""; 0], "the file is removed");
        }
        warnings
    };
    assert_eq!(lost(0), "");
    assert_eq!(lost(0), "", "a daemon that changed nothing leaves no empty journal");
    assert!(lost(7).contains("version 7 was in force, and the journal in"), "{}", lost(7));
    assert!(lost(7).contains("is missing: "), "{}", lost(7));
    for blank in ["", "\n"] {
        fs::write(&journal, blank).expect("written");
        assert!(lost(7).contains("is empty: "), "{}", lost(7));
        assert!(lost(0).starts_with("the journal in"), "{}", lost(0));
    }
    let mut desired = Desired::open(directory.path(), 7).expect("opens");
    record(&mut desired, web(), author("again")).expect("recorded");
    assert_eq!(desired.number(), 8);
    drop(desired);
    let desired = Desired::open(directory.path(), 8).expect("opens");
    assert_eq!(
        (desired.number(), desired.losses().warnings().len()),
        (8, 1),
        "a restart ends no warning"
    );
    fs::remove_file(marker(7)).expect("there");
    assert_eq!(desired.losses().warnings(), [""; 0]);
}

/// Flips a byte of the last acknowledged record, at any position.
#[test]
fn a_last_record_that_is_damaged_is_told_and_kept() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for (nth, at) in (first..whole.len()).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&journal, &damaged).expect("written");
        let desired = Desired::open(directory.path(), 0).expect("survives");
        assert_eq!((desired.number(), desired.document()), (1, Some(&web())), "{at}");
        assert_eq!(desired.losses().warnings().len(), nth + 1, "{at}");
        let kept = directory.path().join(format!("journal.damaged.2.{}", nth + 1));
        let mode = fs::metadata(&kept).expect("kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what checks send may be in it");
        assert_eq!(fs::read(kept).expect("kept"), damaged[first..], "{at}");
        assert_eq!(fs::read(&journal).expect("there"), whole[..first], "{at}");
    }
}

#[test]
fn last_records_that_are_missing_are_told() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let desired = Desired::open(directory.path(), 2).expect("opens");
    assert_eq!(desired.losses().warnings(), [""; 0]);
    drop(desired);
    let desired = Desired::open(directory.path(), 4).expect("opens");
    let [warning] = &desired.losses().warnings()[..] else { panic!("one") };
    assert!(warning.contains("version 4 was in force"), "{warning}");
    assert!(warning.contains("ends with version 2"), "{warning}");
}

#[test]
fn after_a_record_was_cut_off_others_follow() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    fs::write(&journal, &whole[..whole.len() - 2]).expect("written");
    let mut desired = Desired::open(directory.path(), 0).expect("survives");
    record(&mut desired, Document::default(), author("third")).expect("recorded");
    drop(desired);
    let desired = Desired::open(directory.path(), 0).expect("opens");
    assert_eq!((desired.number(), desired.document()), (2, Some(&Document::default())));
}

#[test]
fn the_numbers_of_lost_versions_are_not_given_again() {
    let directory = TempDir::new().expect("a directory");
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    for nth in 1..=4 {
        record(&mut desired, web(), author(&format!("record {nth}"))).expect("recorded");
    }
    drop(desired);
    let journal = directory.path().join("journal");
    let whole = fs::read_to_string(&journal).expect("written");
    let two: String = whole.split_inclusive('\n').take(2).collect();
    fs::write(&journal, two).expect("written");
    let mut desired = Desired::open(directory.path(), 4).expect("opens");
    assert_eq!((desired.number(), desired.last_number()), (2, 4), "the daemon stores 4 again");
    record(&mut desired, Document::default(), author("after the loss")).expect("recorded");
    assert_eq!((desired.number(), desired.last_number()), (5, 5));
    assert_eq!(desired.steps_of(5).expect("its former version is kept").len(), 1);
    record(&mut desired, web(), author("another")).expect("recorded");
    drop(desired);
    fs::remove_file(directory.path().join("journal.lost.4")).expect("there");
    let desired = Desired::open(directory.path(), 6).expect("the gap is known");
    assert_eq!(desired.losses().warnings(), [""; 0]);
    let numbers: Vec<_> = desired.versions().map(|version| version.number).collect();
    assert_eq!(numbers, [1, 2, 5, 6]);
}

#[test]
fn the_number_of_a_damaged_record_is_not_given_again() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let mut damaged = fs::read(&journal).expect("written");
    let at = damaged.len() - 5;
    damaged[at] ^= 0x10;
    fs::write(&journal, &damaged).expect("written");
    // A daemon that is killed at once has not stored that version 2 was in force.
    let mut desired = Desired::open(directory.path(), 1).expect("survives");
    record(&mut desired, Document::default(), author("after the damage")).expect("recorded");
    assert_eq!(desired.number(), 3);
    drop(desired);
    assert_eq!(Desired::open(directory.path(), 3).expect("opens").number(), 3);
}

/// Writes versions 1, 2, 5 and 6, and damages the last one at this distance from its start.
fn damaged_after_a_gap(directory: &Path, at: usize) {
    record_two(directory);
    let mut desired = Desired::open(directory, 4).expect("opens");
    record(&mut desired, web(), author("fifth")).expect("recorded");
    record(&mut desired, Document::default(), author("sixth")).expect("recorded");
    drop(desired);
    fs::remove_file(directory.join("journal.lost.4")).expect("there");
    let journal = directory.join("journal");
    let mut damaged = fs::read(&journal).expect("written");
    let lines: Vec<_> = damaged.split_inclusive(|byte| *byte == b'\n').collect();
    let last = damaged.len() - lines[3].len();
    damaged[last + at] ^= 0x10;
    fs::write(&journal, &damaged).expect("written");
}

#[test]
fn a_damaged_record_after_a_gap_has_its_own_number_or_a_new_one() {
    const READABLE: usize = 40;
    const UNREADABLE: usize = 12;
    for (at, in_force, number) in [
        (READABLE, 5, 6),
        (READABLE, 6, 6),
        (UNREADABLE, 5, 6),
        (UNREADABLE, 6, 7),
        (UNREADABLE, 9, 10),
    ] {
        let directory = TempDir::new().expect("a directory");
        damaged_after_a_gap(directory.path(), at);
        let desired = Desired::open(directory.path(), in_force).expect("opens");
        assert_eq!((desired.number(), desired.last_number()), (5, number.max(in_force)));
        let [warning] = &desired.losses().warnings()[..] else {
            panic!("{:?}", desired.losses().warnings())
        };
        assert!(warning.contains(&format!("journal.damaged.{number}.1")), "{warning}");
    }
}

#[test]
fn a_cut_record_after_a_gap_that_was_never_in_force_is_dropped() {
    let directory = TempDir::new().expect("a directory");
    damaged_after_a_gap(directory.path(), 40);
    let journal = directory.path().join("journal");
    let mut whole = fs::read(&journal).expect("written");
    let last = whole.len() - 9;
    let start = whole[..last].iter().rposition(|byte| *byte == b'\n').expect("a line") + 1;
    whole[start + 40] ^= 0x10;
    fs::write(&journal, &whole[..last]).expect("written");
    let desired = Desired::open(directory.path(), 5).expect("opens");
    assert_eq!((desired.number(), desired.losses().warnings().len()), (5, 0));
}

#[test]
fn a_name_with_an_unlikely_number_stops_no_change() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    for number in ["18446744073709551615", "99999999999"] {
        fs::write(directory.path().join(format!("journal.damaged.{number}.1")), "")
            .expect("written");
    }
    let mut desired = Desired::open(directory.path(), 2).expect("opens");
    record(&mut desired, web(), author("third")).expect("recorded");
    assert_eq!(desired.number(), 3);
}
