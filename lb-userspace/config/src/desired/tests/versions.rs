//! Versions and their journal.

use super::*;

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

/// An older version recorded the default path, too.
#[test]
fn values_that_an_older_version_kept_and_that_hold_anyway_are_no_difference() {
    let directory = TempDir::new().expect("a directory");
    let check = json!({ "vip": "203.0.113.10:80", "health": { "type": "http" } });
    let document = after(&[Change::AddService { name: "web".to_owned(), keys: keys(check) }]);
    let mut older = lb_model::Service::clone(document.service("web").expect("there"));
    older.policy.health.request.path = Some("/".to_owned());
    let mut desired = Desired::open(directory.path(), 0).expect("opens");
    record(&mut desired, Document::of([older]), author("older")).expect("recorded");
    drop(desired);
    let desired = Desired::open(directory.path(), 1).expect("opens");
    assert_eq!(desired.document(), Some(&document));
}

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
