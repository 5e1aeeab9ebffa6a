//! Counters of the program, read by any thread.

use std::{collections::BTreeMap, ops::AddAssign, sync::Arc};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use lb_common::{
    reason::Reason,
    stats::{Count, Incident, TcpStats, Traffic},
};

use super::{INCIDENTS_SEEN, PAST_INCIDENTS, PAST_VERDICTS, TRAFFIC, VERDICTS};
use crate::{
    active::Active,
    generation::Generation,
    mapped::{Past, PastTraffic, TcpCounters},
    per_cpu::PerCpu,
    traffic,
};

/// Frames by reason.
pub type Verdicts = Vec<(Reason, Count)>;

/// Number of incidents by type.
pub type Incidents = Vec<(Incident, u64)>;

/// A reader of the counters, which needs nothing of the thread that writes the maps.
#[derive(Debug)]
pub struct CounterReader {
    traffic: PerCpu<Traffic>,
    past_traffic: PastTraffic,
    kept_traffic: PastTraffic,
    tcp: TcpCounters,
    verdicts: Total<Count>,
    incidents: Total<u64>,
    active: Active,
    generation: Arc<Generation>,
}

/// Counters, and what earlier programs have counted in other maps.
#[derive(Debug)]
struct Total<V> {
    counted: PerCpu<V>,
    past: Past<V>,
}

impl<V: bytemuck::Pod + Default + AddAssign> Total<V> {
    fn open(ebpf: &Ebpf, counted: &str, past: &str) -> Result<Self> {
        Ok(Self { counted: PerCpu::open(ebpf, counted)?, past: Past::open(ebpf, past)? })
    }

    fn read(&self) -> Result<Vec<V>> {
        let mut counts = self.counted.of(0..self.past.size())?;
        for (count, place) in counts.iter_mut().zip(0..) {
            *count += self.past.of(place);
        }
        Ok(counts)
    }
}

impl CounterReader {
    pub(crate) fn open(ebpf: &Ebpf) -> Result<Self> {
        Ok(Self {
            traffic: PerCpu::open(ebpf, TRAFFIC)?,
            past_traffic: PastTraffic::of_backends(ebpf)?,
            kept_traffic: PastTraffic::of_services(ebpf)?,
            tcp: TcpCounters::open(ebpf)?,
            verdicts: Total::open(ebpf, VERDICTS, PAST_VERDICTS)?,
            incidents: Total::open(ebpf, INCIDENTS_SEEN, PAST_INCIDENTS)?,
            active: Active::open(ebpf)?,
            generation: Arc::default(),
        })
    }

    pub(crate) fn shared_generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation)
    }

    /// Returns the generation of the maps: while it stays the same, counters stay where they are. Odd
    /// while the maps are being changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.number()
    }

    /// Returns the current number of a backend's connections that are not closed.
    #[must_use]
    pub fn active(&self, backend: u32) -> u64 {
        self.active.of(backend)
    }

    /// Returns the traffic of these backends, with that of released ids that they had before.
    pub fn traffic(&self, ids: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, Traffic>> {
        traffic::read(|ids| self.traffic.of(ids), |id| Ok(self.past_traffic.of(id)), ids)
    }

    /// Returns the traffic of a service's removed backends whose ids are released.
    #[must_use]
    pub fn kept_traffic(&self, service: u32) -> Traffic {
        self.kept_traffic.of(service)
    }

    /// Returns how well connections to a backend go.
    #[must_use]
    pub fn tcp(&self, backend: u32) -> TcpStats {
        self.tcp.of(backend)
    }

    pub fn verdicts(&self) -> Result<Verdicts> {
        let counts = self.verdicts.read().context("cannot read the verdicts")?;
        Ok(Reason::ALL.iter().copied().zip(counts).collect())
    }

    pub fn incidents(&self) -> Result<Incidents> {
        let counts = self.incidents.read().context("cannot read the incidents")?;
        Ok(Incident::ALL.iter().copied().zip(counts).collect())
    }
}
