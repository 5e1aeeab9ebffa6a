//! The table of services compared with a trivially correct map, at every write of its index.

use std::collections::BTreeMap;

use lb_common::{
    ring::Ring,
    service::{Service, ServiceKey},
    service_table::{
        FIRST_RECORD, Full, Hash, Record, Store, WAYS, entries, find, forget, name, named, repair,
    },
};
use proptest::prelude::*;

/// An index and its records, with every state that the index has had since the last call of `begin`.
#[derive(Clone, Default)]
struct Table {
    index: Vec<u64>,
    records: Vec<Option<Record>>,
    states: Vec<Vec<u64>>,
}

impl Store for Table {
    fn buckets(&self) -> u32 {
        u32::try_from(self.index.len()).unwrap() / WAYS
    }

    fn word(&self, place: u32) -> u64 {
        self.index[place as usize]
    }

    fn set_word(&mut self, place: u32, word: u64) {
        self.index[place as usize] = word;
        self.states.push(self.index.clone());
    }

    fn record(&self, number: u32) -> Option<Record> {
        *self.records.get(number as usize)?
    }
}

impl Table {
    fn new(buckets: u32) -> Self {
        let index = vec![0; (buckets * WAYS) as usize];
        Self { index, records: vec![None; FIRST_RECORD as usize], states: Vec::new() }
    }

    fn begin(&mut self) {
        self.states = vec![self.index.clone()];
    }

    /// Writes a record that was never used before, and names it.
    fn insert(&mut self, key: ServiceKey, service: Service) -> Result<(), Full> {
        self.records.push(Some(Record::new(key, service)));
        let number = u32::try_from(self.records.len() - 1).unwrap();
        name(self, &key, number).map(drop)
    }

    /// Returns what a packet finds that reads the first bucket in one state of the index, and the second
    /// bucket in another.
    fn looked_up(&self, key: &ServiceKey, states: [&Vec<u64>; 2]) -> Option<Service> {
        let hash = Hash::of(key);
        let choices = hash.choices(self.buckets());
        choices.into_iter().zip(states).find_map(|(bucket, state)| {
            let word = |way| state[(bucket * WAYS + way) as usize];
            let number = named(hash, word(hash.home()), word);
            let record = self.record(number)?;
            (record.key == *key).then_some(record.service)
        })
    }

    /// Returns everything that packets may have found during the last operation.
    fn seen(&self, key: &ServiceKey) -> Vec<Option<Service>> {
        let mut seen = Vec::new();
        for (at, earlier) in self.states.iter().enumerate() {
            let later = self.states[at..].iter();
            seen.extend(later.map(|later| self.looked_up(key, [earlier, later])));
        }
        seen
    }
}

fn key(number: u16) -> ServiceKey {
    let [high, low] = number.to_be_bytes();
    ServiceKey::tcp(lb_common::mapped([10, 0, 0, high]), [0, low])
}

fn service(id: u32) -> Service {
    let ring = Ring { offset: id, length: 1 };
    Service { ring, id, scheduler: id, members: id, retries: 0, group: 0 }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(u16, u32),
    Remove(u16),
}

fn changes(keys: u16) -> impl Strategy<Value = Vec<Change>> {
    let insert = (0..keys, any::<u32>()).prop_map(|(key, id)| Change::Insert(key, id));
    let remove = (0..keys).prop_map(Change::Remove);
    prop::collection::vec(prop_oneof![3 => insert, 1 => remove], 1..200)
}

/// Applies a change to table and model. Returns the changed key, or `None` if there was no room.
fn apply(
    table: &mut Table,
    model: &mut BTreeMap<ServiceKey, Service>,
    change: &Change,
) -> Option<ServiceKey> {
    table.begin();
    match *change {
        Change::Insert(number, id) => {
            table.insert(key(number), service(id)).ok()?;
            model.insert(key(number), service(id));
            Some(key(number))
        }
        Change::Remove(number) => {
            let known = forget(table, &key(number)).is_some();
            assert_eq!(model.remove(&key(number)).is_some(), known);
            Some(key(number))
        }
    }
}

fn contents(table: &Table) -> BTreeMap<ServiceKey, Service> {
    entries(table).map(|(_, record)| (record.key, record.service)).collect()
}

proptest! {
    #[test]
    fn packets_find_the_old_or_the_new_and_miss_nothing_that_stays(
        buckets in 1_u32..6,
        changes in changes(60),
    ) {
        let (mut table, mut model) = (Table::new(buckets), BTreeMap::new());
        for change in &changes {
            let before = model.clone();
            let changed = apply(&mut table, &mut model, change);
            for number in 0..60 {
                let key = key(number);
                let allowed = [before.get(&key).copied(), model.get(&key).copied()];
                prop_assert!(table.seen(&key).iter().all(|seen| allowed.contains(seen)));
            }
            if changed.is_none() {
                prop_assert_eq!(table.states.len(), 1, "no room, and nothing is written");
            }
            prop_assert_eq!(contents(&table), model.clone());
        }
    }

    #[test]
    fn a_writer_that_is_killed_between_two_writes_leaves_what_can_be_repaired(
        buckets in 1_u32..6,
        changes in changes(60),
    ) {
        let (mut table, mut model) = (Table::new(buckets), BTreeMap::new());
        for change in &changes {
            let before = model.clone();
            apply(&mut table, &mut model, change);
            for state in &table.states {
                let mut left = Table { index: state.clone(), ..table.clone() };
                let found = contents(&left);
                repair(&mut left);
                prop_assert_eq!(contents(&left), found.clone());
                prop_assert!(found == before || found == model);
                prop_assert_eq!(left.index.iter().filter(|word| **word != 0).count(), found.len());
                prop_assert_eq!(repair(&mut left), 0);
            }
        }
    }

    #[test]
    fn no_damage_outlives_a_repair(
        damage in prop::collection::vec((0_u32..4 * WAYS, any::<u64>()), 0..20),
        copies in prop::collection::vec((0_u32..4 * WAYS, 0_u32..4 * WAYS), 0..20),
    ) {
        let mut table = Table::new(4);
        for number in 0..16 {
            table.insert(key(number), service(number.into())).expect("room");
        }
        for (place, word) in damage {
            table.set_word(place, word);
        }
        for (from, to) in copies {
            let word = table.word(from);
            table.set_word(to, word);
        }
        repair(&mut table);
        table.begin();
        let left = contents(&table);
        prop_assert_eq!(table.index.iter().filter(|word| **word != 0).count(), left.len());
        for number in 0..16 {
            let key = key(number);
            prop_assert_eq!(table.seen(&key), vec![left.get(&key).copied()]);
        }
    }
}

#[test]
fn twice_the_services_of_a_limit_fit() {
    for services in [1_u16, 2, 3, 5, 8, 13, 100, 4_096] {
        let mut table = Table::new(services.into());
        for number in 0..2 * services {
            table.insert(key(number), service(number.into())).expect("room");
            table.states.clear();
        }
        assert!((0..2 * services).all(|number| find(&table, &key(number)).is_some()));
    }
}

#[test]
fn nearly_full_tables_have_room_by_moving_services() {
    const BUCKETS: u16 = 64;
    let (mut table, mut moved, mut placed) = (Table::new(BUCKETS.into()), 0, 0);
    for number in 0..BUCKETS * 8 {
        table.begin();
        if table.insert(key(number), service(number.into())).is_err() {
            break;
        }
        placed += 1;
        moved += usize::from(table.states.len() > 2);
    }
    assert!(moved > 10, "{moved} moved");
    assert!(placed > BUCKETS * 7, "{placed} placed");
    assert!((0..placed).all(|number| find(&table, &key(number)).is_some()));
}

#[test]
fn addresses_and_ports_in_a_row_fall_into_all_buckets() {
    let mut counts = [[0_u32; 64]; 2];
    for number in 0..64 * 100 {
        let choices = Hash::of(&key(number)).choices(64);
        choices
            .into_iter()
            .zip(&mut counts)
            .for_each(|(bucket, counts)| counts[bucket as usize] += 1);
    }
    assert!(counts.as_flattened().iter().all(|count| (50..150).contains(count)), "{counts:?}");
}
