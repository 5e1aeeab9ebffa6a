//! The flow table, seen from userspace: counted, and cleared of what has ended.

use std::{collections::HashMap, io::ErrorKind, os::fd::AsFd as _};

use anyhow::{Context as _, Result, bail};
use aya::maps::{self, Map, MapData, MapError};
use lb_common::flow::{Direction, Flow, FlowKey, State, ticks};
use nix::time::{ClockId, clock_gettime};

use super::{Dataplane, FLOWS};
use crate::{
    model::Timeouts,
    sys::bpf::{Batch, Cursor, lookup_batch},
};

type Table<'a> = maps::HashMap<&'a mut MapData, FlowKey, Flow>;

/// Entries read by one system call.
const BATCH: u32 = 8_192;

/// Connections by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    pub half_open: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
}

/// What a walk through the table has found.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Entries of the table, two a connection.
    pub entries: u64,
    pub states: States,
    /// Connections that are not closed, by backend id.
    pub active: HashMap<u32, u64>,
    /// Connections in any state, by backend id.
    pub known: HashMap<u32, u64>,
    /// Connections whose time was up, removed by this walk.
    pub expired: u64,
}

/// How long the connections of each backend, by id, may be idle; those of others are removed.
pub type Expiry = HashMap<u32, Timeouts>;

impl States {
    fn count(&mut self, state: State) {
        match state {
            State::HalfOpen => self.half_open += 1,
            State::Established => self.established += 1,
            State::Closing => self.closing += 1,
            State::Closed => self.closed += 1,
        }
    }
}

impl Dataplane {
    /// Walks through the whole table once.
    pub fn sweep(&mut self, expiry: &Expiry) -> Result<Census> {
        let mut census = Census::default();
        let mut overdue = Vec::new();
        let mut cursor = None;
        let now = now()?;
        loop {
            let Batch { entries, next } = self.read_batch(cursor)?;
            for (key, flow) in entries {
                census.entries += 1;
                if is_overdue(&flow, now, expiry) {
                    overdue.push((key, flow));
                } else {
                    census.count(&flow);
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let mut table: Table<'_> = self.map_mut(FLOWS)?.try_into()?;
        for (key, flow) in &overdue {
            remove_pair(&mut table, key, flow.born, expiry, &mut census)?;
        }
        Ok(census)
    }

    fn read_batch(&self, cursor: Option<Cursor>) -> Result<Batch<FlowKey, Flow>> {
        let Map::HashMap(table) = self.map(FLOWS)? else { bail!("{FLOWS} is not a hash map") };
        lookup_batch(table.fd().as_fd(), cursor, BATCH).context("cannot read the flow table")
    }
}

/// Removes an entry whose time is up together with its partner, unless a packet has gone by in
/// either direction meanwhile.
fn remove_pair(
    table: &mut Table<'_>,
    key: &FlowKey,
    born: u32,
    expiry: &Expiry,
    census: &mut Census,
) -> Result<()> {
    let Some(flow) = get(table, key)?.filter(|flow| flow.born == born) else {
        return Ok(());
    };
    let partner_key = flow.partner();
    let partner = get(table, &partner_key)?.filter(|other| other.partner() == *key);
    let now = now()?;
    let alive = |flow: &Flow| !is_overdue(flow, now, expiry);
    if alive(&flow) || partner.as_ref().is_some_and(alive) {
        census.count(&flow);
        return Ok(());
    }
    remove(table, key)?;
    if partner.is_some() {
        remove(table, &partner_key)?;
    }
    census.expired += 1;
    Ok(())
}

fn get(table: &Table<'_>, key: &FlowKey) -> Result<Option<Flow>> {
    match table.get(key, 0) {
        Ok(flow) => Ok(Some(flow)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error).context("cannot read the flow table"),
    }
}

/// An entry that the program has removed already is no error.
fn remove(table: &mut Table<'_>, key: &FlowKey) -> Result<()> {
    match table.remove(key) {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
            Ok(())
        }
        result => result.context("cannot remove from the flow table"),
    }
}

impl Census {
    /// Each connection once, by its entry towards the backend.
    fn count(&mut self, flow: &Flow) {
        if flow.direction() == Direction::ToClient {
            return;
        }
        let state = State::of(flow.marks);
        self.states.count(state);
        *self.known.entry(flow.backend).or_default() += 1;
        if state != State::Closed {
            *self.active.entry(flow.backend).or_default() += 1;
        }
    }
}

fn is_overdue(flow: &Flow, now: u32, expiry: &Expiry) -> bool {
    let Some(timeouts) = expiry.get(&flow.backend) else {
        return true;
    };
    let limit = match State::of(flow.marks) {
        State::HalfOpen => timeouts.half_open,
        State::Established => timeouts.established,
        State::Closing => timeouts.closing,
        State::Closed => timeouts.closed,
    };
    u128::from(ticks::nanos_between(flow.seen, now)) > limit.as_nanos()
}

/// The clock that the program reads.
fn now() -> Result<u32> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)?;
    let nanos = u64::try_from(time.tv_sec())? * 1_000_000_000 + u64::try_from(time.tv_nsec())?;
    Ok(ticks::from_nanos(nanos))
}
