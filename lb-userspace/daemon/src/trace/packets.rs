//! Records as packets with the names of services and interfaces.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use lb_common::{
    capture::{Record, SNAP},
    trail::Trail,
    unmapped,
};
use lb_model::views::trace::TracedPacket;
use nix::time::{ClockId, clock_gettime};

use crate::{
    counters::reason_of,
    frame::{self, Headers},
    snapshot::Snapshot,
};

/// Names of what records refer to by numbers, of one snapshot.
pub(crate) struct Packets {
    snapshot: Arc<Snapshot>,
    services: HashMap<SocketAddr, String>,
    backends: HashMap<u32, SocketAddr>,
    /// Time of the wall clock when the monotonic clock began.
    began: SystemTime,
}

impl Packets {
    pub(crate) fn of(snapshot: Arc<Snapshot>) -> Self {
        let services = snapshot.state.services();
        let services = services.map(|one| (one.spec.vip.address, one.spec.name.clone())).collect();
        let backends = snapshot.state.kernel.entries().iter();
        let backends =
            backends.map(|(id, entry)| (*id, endpoint(entry.address, entry.port))).collect();
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let began = SystemTime::now() - monotonic.unwrap_or_default();
        Self { snapshot, services, backends, began }
    }

    /// Returns true if they are the names of this snapshot.
    pub(crate) fn are_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot)
    }

    pub(crate) fn packet(&self, record: &Record) -> TracedPacket {
        let Record { trail, time, frames } = record;
        let [before, after] = [0, 1].map(|nth| {
            let length = trail.length[nth] as usize;
            &frames[nth][..length.min(SNAP)]
        });
        let reason = reason_of(trail);
        let headers = Headers::of(before);
        let sent = (trail.egress != 0).then(|| Headers::of(after)).flatten();
        TracedPacket {
            at: self.at(*time),
            interface: self.snapshot.interface_name(trail.ingress),
            verdict: reason.verdict().as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            hosts: frame::hosts(before),
            from: headers.as_ref().map(|headers| headers.from.into()),
            to: headers.as_ref().map(|headers| headers.to.into()),
            flags: headers.as_ref().map(|headers| headers.flags),
            service: self.service(trail),
            backend: self.backends.get(&trail.backend).copied(),
            sent: sent.map(|headers| headers.sent(self.snapshot.interface_name(trail.egress))),
            length: trail.length[0],
            frame: BASE64_STANDARD.encode(before),
            length_after: trail.length[1],
            frame_after: BASE64_STANDARD.encode(after),
        }
    }

    fn service(&self, trail: &Trail) -> Option<String> {
        self.services.get(&endpoint(trail.vip, trail.vip_port)).cloned()
    }

    fn at(&self, monotonic: u64) -> Timestamp {
        let at = self.began + Duration::from_nanos(monotonic);
        Timestamp::try_from(at).unwrap_or_else(|_| Timestamp::now())
    }
}

fn endpoint(address: [u8; 16], port: [u8; 2]) -> SocketAddr {
    (unmapped(address), u16::from_be_bytes(port)).into()
}
