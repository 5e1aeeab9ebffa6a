use lb_common::{
    halves::low,
    ring::Ring,
    service_table::{Hash, buckets, named, records},
};

use super::*;

/// A table in memory. Keeps a copy of itself after each write.
#[derive(Clone, Default)]
struct Plain {
    index: Vec<u64>,
    records: Vec<Record>,
    writes: Vec<(Vec<u64>, Vec<Record>)>,
}

impl Plain {
    fn with_room(services: u32) -> Self {
        let nothing = <Record as bytemuck::Zeroable>::zeroed();
        Self {
            index: vec![0; (buckets(services) * WAYS) as usize],
            records: vec![nothing; records(services) as usize],
            writes: Vec::new(),
        }
    }

    fn wrote(&mut self) {
        self.writes.push((self.index.clone(), self.records.clone()));
    }

    /// Returns the record that a packet reads.
    fn named(&self, key: &ServiceKey) -> Option<u32> {
        let hash = Hash::of(key);
        hash.choices(self.buckets()).into_iter().find_map(|bucket| {
            let word = |way| self.word(bucket * WAYS + way);
            let number = named(hash, word(hash.home()), word);
            (self.records[number as usize].key == *key).then_some(number)
        })
    }

    /// Returns the states that a daemon that was killed may have left.
    fn left(&self) -> impl Iterator<Item = Self> {
        let states = self.writes.iter().cloned();
        states.map(|(index, records)| Self { index, records, writes: Vec::new() })
    }
}

impl Store for Plain {
    fn buckets(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap() / WAYS
    }

    fn word(&self, place: u32) -> u64 {
        self.index[place as usize]
    }

    fn set_word(&mut self, place: u32, word: u64) {
        self.index[place as usize] = word;
        self.wrote();
    }

    fn record(&self, number: u32) -> Option<Record> {
        self.records.get(number as usize).copied()
    }
}

impl Memory for Plain {
    fn records(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap()
    }

    fn set_record(&mut self, number: u32, record: &Record) {
        assert!(self.index.iter().all(|word| low(*word) != number), "packets read {number}");
        // Half of it, then all of it.
        self.records[number as usize].key = record.key;
        self.wrote();
        self.records[number as usize] = *record;
        self.wrote();
    }
}

fn key(number: u8) -> ServiceKey {
    ServiceKey::tcp(lb_common::mapped([192, 0, 2, number]), [0, 80])
}

fn service(id: u32) -> Service {
    let ring = Ring { offset: id, length: 1 };
    Service { ring, id, scheduler: 0, members: 1, retries: 0, group: 0 }
}

fn table(services: u32) -> ServiceTable<Plain> {
    ServiceTable::new(Plain::with_room(services))
}

fn contents<S: Memory + Send>(table: &ServiceTable<S>) -> Vec<(ServiceKey, Service)> {
    table.entries().expect("read")
}

/// Returns the number of records for services.
fn usable(services: u32) -> usize {
    (records(services) - FIRST_RECORD) as usize
}

#[test]
fn a_changed_service_is_whole_for_packets_that_read_the_former_record() {
    let (mut table, start) = (table(1), Instant::now());
    table.insert_at(&key(1), &service(1), start).expect("room");
    for id in 2..10 {
        let now = start + GRACE * id;
        let reading = table.store.named(&key(1)).expect("a service");
        let before = table.store.records[reading as usize];
        table.insert_at(&key(1), &service(id), now).expect("room");
        // As many changes as there are records, before the packet goes on.
        let soon = now + GRACE.mul_f32(0.9);
        for other in 100..100 + records(1) {
            let _ = table.insert_at(&key(1), &service(id * 100 + other), soon);
        }
        assert_eq!(table.store.records[reading as usize], before);
    }
}

#[test]
fn records_are_used_again_once_they_have_rested() {
    let (mut table, start) = (table(1), Instant::now());
    let last = records(1) - FIRST_RECORD - 1;
    for id in 0..=last {
        table.insert_at(&key(1), &service(id), start).expect("room");
    }
    let full = table.insert_at(&key(1), &service(999), start).expect_err("all rest");
    assert!(full.to_string().contains("try again"), "{full}");
    assert_eq!(contents(&table), [(key(1), service(last))]);
    table.insert_at(&key(1), &service(last), start).expect("nothing changes");
    table.remove_at(&key(1), start);
    table.insert_at(&key(2), &service(9), start + GRACE).expect("room again");
    assert_eq!(contents(&table), [(key(2), service(9))]);
}

#[test]
fn a_daemon_that_was_killed_at_any_write_leaves_the_old_or_the_new() {
    let now = Instant::now();
    let mut table = table(4);
    (1..=4).for_each(|id| table.insert_at(&key(id), &service(id.into()), now).expect("room"));
    let steps: [fn(&mut ServiceTable<Plain>, Instant); 3] = [
        |table, now| table.insert_at(&key(2), &service(9), now).expect("room"),
        |table, now| table.insert_at(&key(5), &service(5), now).expect("room"),
        |table, now| table.remove_at(&key(1), now),
    ];
    for step in steps {
        let before = contents(&table);
        table.store.writes.clear();
        step(&mut table, now);
        let after = contents(&table);
        assert_ne!(before, after);
        for left in table.store.left() {
            let mut next = ServiceTable::new(left);
            assert_eq!(next.repair(), 0, "nothing moves in a table with so much room");
            let found = contents(&next);
            assert!(found == before || found == after, "{found:?}");
            assert_eq!(next.free.len() + found.len(), usable(4), "no record is lost");
            for (key, _) in &found {
                next.insert_at(key, &service(77), now).expect("room");
            }
            assert!(contents(&next).iter().all(|(_, one)| *one == service(77)));
        }
    }
}

#[test]
fn damage_is_removed_and_the_rest_stays() {
    let mut table = table(4);
    (1..=4).for_each(|id| table.insert_at(&key(id), &service(id.into()), Instant::now()).unwrap());
    let reading = |table: &ServiceTable<Plain>, id| table.store.named(&key(id)).unwrap() as usize;
    let (first, second) = (reading(&table, 1), reading(&table, 2));
    // Its word does not match any more.
    table.store.records[first].key.port = [0, 99];
    // A second word for a record, and one for none.
    let word = *table.store.index.iter().find(|word| low(**word) as usize == second).unwrap();
    let free = table.store.index.iter().position(|word| *word == 0).unwrap();
    table.store.index[free] = word;
    let free = table.store.index.iter().position(|word| *word == 0).unwrap();
    table.store.index[free] = u64::MAX;
    assert_eq!(table.repair(), 3);
    assert_eq!(contents(&table), [2, 3, 4].map(|id| (key(id), service(id.into()))));
    assert_eq!(table.free.len(), usable(4) - 3);
}

#[test]
fn a_table_without_room_says_so_and_stays_as_it_is() {
    let mut table = table(1);
    let all = || 0..=255;
    // More than the limit allows.
    table.store.records.resize(300, table.store.records[0]);
    table.find_free();
    let full = all().find_map(|id| {
        table
            .insert_at(&key(id), &service(id.into()), Instant::now())
            .err()
            .map(|error| (id, error))
    });
    let (id, error) = full.expect("an index of eight words");
    assert_eq!(id, 8);
    assert!(error.to_string().contains("limits.services"), "{error}");
    assert_eq!(contents(&table).len(), 8);
    assert_eq!(table.free.len(), 299 - 8);
}
