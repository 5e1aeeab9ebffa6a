//! Questions by ARP: who has an address.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use etherparse::SlicedPacket;
use lb_host::arp::{Arp, request};
use nix::{
    errno::Errno,
    sys::{
        socket::{setsockopt, sockopt::ReceiveTimeout},
        time::{TimeVal, TimeValLike as _},
    },
};

use super::Seen;

pub(super) type Mac = [u8; 6];

/// MAC addresses that claim an address.
pub(super) type Answers = BTreeMap<Ipv4Addr, BTreeSet<Mac>>;

/// Time for answers.
const LISTEN: Duration = Duration::from_millis(900);

/// Interval of requests: one may be lost.
const AGAIN: Duration = Duration::from_millis(300);

/// MAC addresses that are kept for an address: more than this host has interfaces, as each of them
/// may answer, and enough to name some of a flood.
const MOST_CLAIMS: usize = 1_024;

/// Length of the longest frame that matters.
const FRAME: usize = 128;

/// Questions on one interface.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    pub(super) ifindex: u32,
    pub(super) mac: Mac,
    /// Senders' addresses, by the address asked for. A probe (RFC 5227) has the unspecified one: it
    /// changes no neighbour's table.
    pub(super) targets: BTreeMap<Ipv4Addr, Ipv4Addr>,
}

impl Questions {
    /// Asks, and returns all answers of others.
    pub(super) fn ask(&self) -> Seen<Answers> {
        self.exchange().map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM) => "to ask by ARP needs root (CAP_NET_RAW)".to_owned(),
            _ => format!("cannot ask by ARP: {error}"),
        })
    }

    fn exchange(&self) -> io::Result<Answers> {
        let arp = Arp::open(self.ifindex)?;
        let end = Instant::now() + LISTEN;
        let mut answers = Answers::new();
        let mut next = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= next {
                self.send(&arp)?;
                next += AGAIN;
            }
            setsockopt(&arp, ReceiveTimeout, &time_until(next.min(end)))?;
            self.receive(&arp, &mut answers)?;
        }
        Ok(answers)
    }

    fn send(&self, arp: &Arp) -> io::Result<()> {
        let mut targets = self.targets.iter();
        targets.try_for_each(|(target, sender)| arp.send(&request(self.mac, *sender, *target)))
    }

    fn receive(&self, arp: &Arp, answers: &mut Answers) -> io::Result<()> {
        let mut frame = [0; FRAME];
        if let Some(length) = arp.receive(&mut frame)? {
            self.note(&frame[..length], answers);
        }
        Ok(())
    }

    /// Keeps what a frame claims of an address that was asked for.
    fn note(&self, frame: &[u8], answers: &mut Answers) {
        if let Some((address, mac)) = claim(frame)
            && mac != self.mac
            && self.targets.contains_key(&address)
        {
            let claims = answers.entry(address).or_default();
            if claims.len() < MOST_CLAIMS {
                claims.insert(mac);
            }
        }
    }
}

/// Returns the address that a frame's sender claims, and its MAC address.
fn claim(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let etherparse::NetSlice::Arp(packet) = packet.net? else { return None };
    let packet = packet.to_packet().try_eth_ipv4().ok()?;
    Some((packet.sender_ipv4_addr(), packet.sender_mac))
}

/// A timeout of zero would be none.
fn time_until(moment: Instant) -> TimeVal {
    let left = moment.saturating_duration_since(Instant::now()).as_millis().max(1);
    TimeVal::milliseconds(i64::try_from(left).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_claims_nothing_but_its_senders_address() {
        let target = Ipv4Addr::new(203, 0, 113, 10);
        let mac = [2, 0, 0, 0, 0, 1];
        let probe = request(mac, Ipv4Addr::UNSPECIFIED, target);
        assert_eq!(probe.len(), 42);
        assert_eq!(claim(&probe), Some((Ipv4Addr::UNSPECIFIED, mac)));
        assert_eq!(claim(&probe[..41]), None);
    }

    #[test]
    fn a_flood_of_claims_takes_no_more_memory() {
        let target = Ipv4Addr::new(203, 0, 113, 10);
        let asked = Questions {
            ifindex: 1,
            mac: [2, 0, 0, 0, 0, 1],
            targets: [(target, Ipv4Addr::UNSPECIFIED)].into(),
        };
        let mut answers = Answers::new();
        for [high, low] in (0..=u16::MAX).map(u16::to_be_bytes) {
            let claim = request([6, 0, 0, 0, high, low], target, Ipv4Addr::UNSPECIFIED);
            asked.note(&claim, &mut answers);
        }
        assert_eq!(answers[&target].len(), MOST_CLAIMS);
    }
}
