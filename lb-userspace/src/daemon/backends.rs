//! Backends as the kernel knows them: by ids that live as long as connections name them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use anyhow::Result;
use lb_common::{
    backend::{Backend, Hop},
    limits, mapped,
    snat::Source,
};

use super::{ids::Ids, sources::Sources};
use crate::{
    arena,
    dataplane::{Adopted, Expiry},
    model::Timeouts,
};

#[derive(Clone, Debug)]
pub struct Backends {
    ids: Ids,
    sources: Sources,
    /// What the map should hold, by id.
    entries: BTreeMap<u32, Backend>,
    /// Those that no service has any more but connections may still name.
    departed: BTreeMap<u32, Departed>,
}

#[derive(Clone, Debug)]
struct Departed {
    timeouts: Timeouts,
    since: Instant,
}

impl Backends {
    /// Takes over what a former daemon has left; all of it counts as departed until a service
    /// takes it back.
    #[must_use]
    pub fn adopt(adopted: &Adopted) -> Self {
        let mut ids = Ids::new("backend", 1, limits::BACKENDS);
        let mut sources = Sources::default();
        let mut departed = BTreeMap::new();
        for (id, backend) in &adopted.backends {
            ids.claim(*id);
            sources.adopt((backend.sources, backend.source_count), &adopted.sources);
            let left = Departed { timeouts: Timeouts::default(), since: Instant::now() };
            departed.insert(*id, left);
        }
        Self { ids, sources, entries: adopted.backends.clone(), departed }
    }

    /// The id for a backend of a service, and its way if it is known from before: one that is
    /// about to depart comes back under its old id.
    pub fn take_id(&mut self, service: u32, address: SocketAddr) -> Result<(u32, Option<Hop>)> {
        let new = Backend {
            address: wire_address(address.ip()),
            port: address.port().to_be_bytes(),
            service,
            ..Backend::default()
        };
        let is_same = |known: &Backend| {
            (known.service, known.address, known.port) == (new.service, new.address, new.port)
        };
        let back =
            self.departed.keys().copied().find(|id| self.entries.get(id).is_some_and(is_same));
        if let Some(id) = back {
            self.departed.remove(&id);
            let hop = self.entries.get(&id).map(|known| known.hop);
            return Ok((id, hop.filter(|hop| hop.ifindex() != 0)));
        }
        let id = self.ids.allocate()?;
        self.entries.insert(id, new);
        Ok((id, None))
    }

    /// Notes that no service has this backend any more.
    pub fn depart(&mut self, id: u32, timeouts: Timeouts, now: Instant) {
        self.departed.insert(id, Departed { timeouts, since: now });
    }

    /// Gives a backend its way and the sources that its connections draw from.
    pub fn route(&mut self, id: u32, hop: Hop, list: &[Source]) -> Result<()> {
        let (sources, source_count) = self.sources.region(list)?;
        if let Some(backend) = self.entries.get_mut(&id) {
            *backend = Backend { hop, sources, source_count, ..*backend };
        }
        Ok(())
    }

    /// Lets those go that no connection names, given how many connections name each by a walk
    /// through the flow table that began at `begun`, long after their departure.
    pub fn release(&mut self, known: &HashMap<u32, u64>, begun: Instant) -> bool {
        let gone: Vec<u32> = self
            .departed
            .iter()
            .filter(|(id, left)| {
                begun.saturating_duration_since(left.since) > 2 * arena::GRACE
                    && !known.contains_key(id)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in &gone {
            self.departed.remove(id);
            self.entries.remove(id);
            self.ids.free(*id);
        }
        !gone.is_empty()
    }

    /// How long connections of those that have departed may be idle.
    pub fn departed_expiry(&self) -> Expiry {
        self.departed.iter().map(|(id, left)| (*id, left.timeouts)).collect()
    }

    #[must_use]
    pub fn entries(&self) -> &BTreeMap<u32, Backend> {
        &self.entries
    }

    #[must_use]
    pub fn places(&self) -> BTreeMap<u32, Source> {
        self.sources.places()
    }
}

/// An address as maps hold it.
#[must_use]
pub fn wire_address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}
