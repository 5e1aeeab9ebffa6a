//! A journal of any bytes: it is refused, or its content is kept.
//!
//! The first byte selects whether the lines are given valid checksums, without which hardly any
//! record would be read.

#![no_main]

use std::{fs, path::Path};

use lb_config::desired::{Author, Desired, Document};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::Builder;

/// Name of a record's field with the checksum of the line before.
const AFTER: &[u8] = br#""after":""#;

/// Directory in memory, as every version is synced.
const PLACE: &str = "/dev/shm";

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let bytes = if first % 2 == 0 { bytes.to_vec() } else { with_checksums(bytes) };
    let directory = TempDir::new_in(PLACE).expect("a directory");
    fs::write(directory.path().join("journal"), bytes).expect("written");
    let Ok(mut desired) = Desired::open(directory.path(), 0) else { return };
    let kept = desired.document().cloned();
    let number = desired.number();
    for version in desired.versions() {
        drop(desired.steps_of(version.number));
    }
    drop(desired);
    desired = open(directory.path());
    assert_eq!((desired.document(), desired.number()), (kept.as_ref(), number));

    // A damaged record keeps its number.
    let Some(next_number) = desired.last_number().checked_add(1) else { return };
    // Removes its first service, or changes nothing.
    let former = kept.is_some().then_some(number);
    let mut next = kept.unwrap_or_default();
    let first = next.services().next().map(|service| service.name.clone());
    if let Some(name) = first {
        next = next.without(&name);
    }
    record(&mut desired, &next);
    assert_eq!(desired.former().map(|version| version.number), former);
    drop(desired);
    let desired = open(directory.path());
    assert_eq!((desired.document(), desired.number()), (Some(&next), next_number));
});

fn open(directory: &Path) -> Desired {
    Desired::open(directory, 0).expect("it was read before")
}

fn record(desired: &mut Desired, document: &Document) {
    let author = Author { by: "fuzz".to_owned(), what: "next".to_owned(), file: None };
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(desired.record(document.clone(), author)).expect("recorded");
}

/// Gives each line the checksum of the text after its first blank, and makes each record refer to
/// the checksum of the line before.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let (mut journal, mut last) = (Vec::new(), None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let start = line.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
        let record = chained(&line[start..], last.as_deref());
        let json = record.strip_suffix(b"\n").unwrap_or(&record);
        let sum = format!("{:08x}", crc32fast::hash(json));
        journal.extend(sum.bytes());
        journal.push(b' ');
        journal.extend(&record);
        last = Some(sum);
    }
    journal
}

/// Replaces a record's first reference to a checksum.
fn chained(record: &[u8], sum: Option<&str>) -> Vec<u8> {
    let mut record = record.to_vec();
    let place = record.windows(AFTER.len()).position(|window| window == AFTER);
    if let (Some(place), Some(sum)) = (place, sum) {
        let start = place + AFTER.len();
        let name = record[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        record.splice(start..start + name, sum.bytes());
    }
    record
}
