use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    control::{Change, Keys, Refusal, Settings},
    model::{Admin, Policy},
};

fn keys(value: serde_json::Value) -> Keys {
    let serde_json::Value::Object(keys) = value else { panic!("no object") };
    keys
}

fn add_service(name: &str, vip: &str) -> Change {
    Change::AddService { name: name.to_owned(), keys: keys(json!({ "vip": vip })) }
}

fn add_backend(service: &str, address: &str) -> Change {
    let backend = crate::model::Backend {
        address: address.parse().expect("an address"),
        weight: 1,
        backup: false,
        admin: Admin::Enabled,
        drain_until: None,
    };
    Change::AddBackend { service: service.to_owned(), backend }
}

fn set_backend(service: &str, address: &str, settings: Settings) -> Change {
    let address = address.parse().expect("an address");
    Change::SetBackend { service: service.to_owned(), address, settings }
}

fn after(changes: &[Change]) -> Document {
    changes.iter().fold(Document::default(), |document, change| {
        edited(&document, change, &Policy::default()).expect("valid")
    })
}

fn web() -> Document {
    after(&[
        add_service("web", "203.0.113.10:80"),
        add_backend("web", "10.0.0.11:80"),
        add_backend("web", "10.0.0.12:80"),
    ])
}

fn told(from: &Document, to: &Document) -> Vec<String> {
    steps(from, to).iter().map(ToString::to_string).collect()
}

fn author(what: &str) -> Author {
    Author { by: "test".to_owned(), what: what.to_owned(), file: None }
}

fn record(desired: &mut Desired, document: Document, author: Author) -> anyhow::Result<()> {
    runtime().block_on(desired.record(document, author))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn a_plan_says_what_comes_changes_and_goes() {
    let document = web();
    assert_eq!(
        told(&Document::default(), &document),
        [
            "+ web: 203.0.113.10:80",
            "+ web: 10.0.0.11:80: weight 1, backup false, admin enabled",
            "+ web: 10.0.0.12:80: weight 1, backup false, admin enabled",
        ]
    );
    let five = Settings { weight: Some(5), ..Settings::default() };
    let changes = [
        set_backend("web", "10.0.0.11:80", five),
        Change::RemoveBackend {
            service: "web".to_owned(),
            address: "10.0.0.12:80".parse().expect("an address"),
        },
        Change::SetService {
            name: "web".to_owned(),
            keys: keys(json!({ "vip": "203.0.113.12:80", "health": { "interval": "500ms" } })),
        },
        add_service("db", "203.0.113.11:5432"),
    ];
    let after = changes.iter().fold(document.clone(), |document, change| {
        edited(&document, change, &Policy::default()).expect("valid")
    });
    assert_eq!(
        told(&document, &after),
        [
            "+ db: 203.0.113.11:5432",
            "~ web: vip: 203.0.113.10:80 -> 203.0.113.12:80",
            "~ web: health.interval: 2s -> 500ms",
            "- web: 10.0.0.12:80",
            "~ web: 10.0.0.11:80: weight: 1 -> 5",
        ]
    );
    assert_eq!(told(&after, &after), [""; 0]);
    assert_eq!(told(&document, &Document::default()), ["- web: 203.0.113.10:80"]);
}

#[test]
fn orders_outlive_the_reading_of_a_file() {
    let drained = Settings { admin: Some(Admin::Draining), ..Settings::default() };
    let change = set_backend("web", "10.0.0.11:80", drained);
    let ordered = edited(&web(), &change, &Policy::default()).expect("valid");
    assert_eq!(web().with_orders_of(&ordered), ordered);
}

#[test]
fn what_a_document_may_not_say_is_refused() {
    let cases = [
        (add_service("web", "203.0.113.11:80"), "there is a service web already"),
        (add_service("other", "203.0.113.10:80"), "is that of service web already"),
        (add_service("loop", "10.0.0.11:80"), "is a backend of service web"),
        (add_service("a b", "203.0.113.12:80"), "not a valid service name"),
        (add_service("v6", "[2001:db8::1]:80"), "IPv6 is not supported yet"),
        (add_backend("web", "10.0.0.11:80"), "has the backend 10.0.0.11:80 already"),
        (add_backend("web", "203.0.113.10:80"), "is the VIP of service web"),
        (add_backend("web", "127.0.0.1:80"), "no address of a server"),
        (add_backend("nope", "10.0.0.13:80"), "there is no service nope"),
        (
            set_backend("web", "10.0.0.99:80", Settings::default()),
            "web has no backend 10.0.0.99:80",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "backend": [] })) },
            "backends are changed one by one",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "name": "other" })) },
            "a service cannot be renamed",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "vip": null })) },
            "`vip` has no default",
        ),
        (
            set_backend(
                "web",
                "10.0.0.11:80",
                Settings { until: Some(jiff::Timestamp::MAX), ..Settings::default() },
            ),
            "`until` is for draining",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "shceduler": "x" })) },
            "shceduler",
        ),
        (
            Change::SetService {
                name: "web".into(),
                keys: keys(json!({ "health": { "rise": 0 } })),
            },
            "a count of checks is 1 to",
        ),
    ];
    for (change, word) in cases {
        let refusal = edited(&web(), &change, &Policy::default()).expect_err(word);
        assert!(refusal.detail().contains(word), "{refusal:?}");
        assert!(!matches!(refusal, Refusal::Failed(_)), "{refusal:?}");
    }
}

#[test]
fn versions_outlive_the_daemon() {
    let directory = TempDir::new().expect("a directory");
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    assert_eq!(desired.document(), None);
    record(&mut desired, web(), author("first")).expect("recorded");
    let second = web().without("web");
    record(&mut desired, second.clone(), author("second")).expect("recorded");
    let held = Desired::open(directory.path(), 0).expect_err("held").to_string();
    assert!(held.contains("another daemon keeps its state"), "{held}");
    drop(desired);

    let desired = Desired::open(directory.path(), 0).expect("opens again");
    assert_eq!((desired.number(), desired.document()), (2, Some(&second)));
    assert_eq!(desired.former().map(|version| &version.document), Some(&web()));
    assert_eq!(desired.version(1).map(|version| version.author.clone()), Some(author("first")));
}

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
        assert_eq!(desired.warnings(), [""; 0], "{length}");
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
        assert_eq!((desired.number(), desired.warnings().len()), (1, 0), "{written}");
    }
}

#[test]
fn what_was_cut_off_of_a_version_that_was_in_force_is_told_and_kept() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let journal = directory.path().join("journal");
    let whole = fs::read(&journal).expect("written");
    let first = whole.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for (name, torn) in [("2.1", &whole[first..whole.len() - 9]), ("1.1", &whole[..first / 2])] {
        let kept_before = if name == "2.1" { &whole[..first] } else { &[][..] };
        fs::write(&journal, [kept_before, torn].concat()).expect("written");
        let desired = Desired::open(directory.path(), 2).expect("survives");
        let kept = directory.path().join(format!("journal.damaged.{name}"));
        assert_eq!(fs::read(kept).expect("kept"), torn, "{name}");
        let warnings = desired.warnings().concat();
        assert!(warnings.contains("version 2 was in force"), "{warnings}");
        assert!(warnings.contains(&format!("damaged.{name}")), "{warnings}");
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
        assert_eq!((desired.number(), desired.warnings().len()), (2, 0));
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
    let lost = |in_force: u64| {
        let desired = Desired::open(directory.path(), in_force).expect("opens");
        assert_eq!((desired.number(), desired.document()), (0, None));
        desired.warnings().concat()
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
    assert_eq!((desired.number(), desired.warnings().len()), (8, 0));
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
        assert_eq!(desired.warnings().len(), nth + 1, "{at}");
        let kept = directory.path().join(format!("journal.damaged.2.{}", nth + 1));
        let mode = fs::metadata(&kept).expect("kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what checks send may be in it");
        assert_eq!(fs::read(kept).expect("kept"), damaged[first..], "{at}");
        assert_eq!(fs::read(&journal).expect("there"), whole[..first], "{at}");
    }
}

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
fn last_records_that_are_missing_are_told() {
    let directory = TempDir::new().expect("a directory");
    record_two(directory.path());
    let desired = Desired::open(directory.path(), 2).expect("opens");
    assert_eq!(desired.warnings(), [""; 0]);
    drop(desired);
    let desired = Desired::open(directory.path(), 4).expect("opens");
    let [warning] = &desired.warnings()[..] else { panic!("one") };
    assert!(warning.contains("version 4 was in force"), "{warning}");
    assert!(warning.contains("ends with version 2"), "{warning}");
}

/// An older version recorded the default path, too.
#[test]
fn values_that_an_older_version_kept_and_that_hold_anyway_are_no_difference() {
    let directory = TempDir::new().expect("a directory");
    let check = json!({ "vip": "203.0.113.10:80", "health": { "type": "http" } });
    let document = after(&[Change::AddService { name: "web".to_owned(), keys: keys(check) }]);
    let mut older = crate::model::Service::clone(document.service("web").expect("there"));
    older.policy.health.request.path = Some("/".to_owned());
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    record(&mut desired, Document::of([older]), author("older")).expect("recorded");
    drop(desired);
    let desired = Desired::open(directory.path(), 1).expect("opens");
    assert_eq!(desired.document(), Some(&document));
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

/// A later build may have written it before a downgrade.
#[test]
fn no_version_is_named_while_a_recording_is_open() {
    let directory = TempDir::new().expect("a directory");
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    record(&mut desired, web(), author("web")).expect("recorded");
    assert_eq!(desired.settled_number(), Some(1));
    let mut recording = desired.begin(Document::default(), author("empty")).expect("begun");
    assert_eq!(desired.settled_number(), None);
    let kept = runtime().block_on(recording.kept()).expect("kept");
    assert_eq!(desired.settled_number(), None);
    desired.finish(recording, kept);
    assert_eq!(desired.settled_number(), Some(2));
    drop(desired.begin(web(), author("undone")).expect("begun"));
    assert_eq!(desired.settled_number(), Some(2));
}

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

fn record_two(directory: &Path) {
    let mut desired = Desired::open(directory, 0).expect("opens");
    record(&mut desired, web(), author("first")).expect("recorded");
    record(&mut desired, web().without("web"), author("second")).expect("recorded");
}

#[test]
fn only_the_last_versions_are_kept_and_which_file_was_read() {
    let directory = TempDir::new().expect("a directory");
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    let read = Author { file: Some("digest".to_owned()), ..author("read") };
    record(&mut desired, web(), read).expect("recorded");
    for _ in 0..150 {
        record(&mut desired, web(), author("there")).expect("recorded");
        record(&mut desired, Document::default(), author("not there")).expect("recorded");
    }
    assert!(desired.version(101).is_none());
    assert!(desired.version(102).is_some());
    assert_eq!(desired.steps_of(102), None, "nobody knows what was before it");
    assert_eq!(desired.steps_of(103).expect("known").len(), 1);
    drop(desired);
    let desired = Desired::open(directory.path(), 0).expect("opens");
    assert_eq!((desired.number(), desired.versions().count()), (301, 200));
    assert_eq!(desired.file(), Some("digest"));
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

#[test]
fn what_checks_send_is_in_no_step_and_no_history() {
    let check = |send: &str| json!({ "type": "send-expect", "contains": "OK", "send": send });
    let set = |send: &str| Change::SetService {
        name: "web".to_owned(),
        keys: keys(json!({ "health": check(send) })),
    };
    let edit = |document: &Document, change: &Change| {
        edited(document, change, &Policy::default()).expect("valid")
    };
    let first = edit(&web(), &set("AUTH secret1"));
    let second = edit(&first, &set("AUTH secret2"));
    let told = [told(&web(), &first), told(&first, &second), vec![set("AUTH secret").to_string()]];
    let told = told.concat().join("\n");
    assert!(!told.contains("secret"), "{told}");
    assert!(told.contains("~ web: health.send: (hidden) -> (hidden)"), "{told}");
}
