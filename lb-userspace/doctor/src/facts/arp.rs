//! Questions by ARP: who has an address.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use etherparse::{ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header, SlicedPacket};
use lb_host::sys::packet;
use nix::{
    errno::Errno,
    sys::{
        socket::{MsgFlags, recv, send, setsockopt, sockopt::ReceiveTimeout},
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
        let socket = packet::open_arp(self.ifindex)?;
        let end = Instant::now() + LISTEN;
        let mut answers = Answers::new();
        let mut next = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= next {
                self.send(&socket)?;
                next += AGAIN;
            }
            setsockopt(&socket, ReceiveTimeout, &time_until(next.min(end)))?;
            self.receive(&socket, &mut answers)?;
        }
        Ok(answers)
    }

    fn send(&self, socket: &OwnedFd) -> io::Result<()> {
        for (target, sender) in &self.targets {
            match send(socket.as_raw_fd(), &self.request(*target, *sender), MsgFlags::empty()) {
                // The interface is down: nobody answers.
                Ok(_) | Err(Errno::ENETDOWN | Errno::ENOBUFS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn request(&self, target: Ipv4Addr, sender: Ipv4Addr) -> Vec<u8> {
        let header = Ethernet2Header {
            source: self.mac,
            destination: [0xff; 6],
            ether_type: EtherType::ARP,
        };
        let request = ArpEthIpv4Packet {
            operation: ArpOperation::REQUEST,
            sender_mac: self.mac,
            sender_ipv4: sender.octets(),
            target_mac: [0; 6],
            target_ipv4: target.octets(),
        };
        [&header.to_bytes()[..], &request.to_bytes()].concat()
    }

    fn receive(&self, socket: &OwnedFd, answers: &mut Answers) -> io::Result<()> {
        let mut frame = [0; FRAME];
        let length = match recv(socket.as_fd().as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.note(&frame[..length], answers);
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
        let questions = Questions { ifindex: 1, mac, targets: BTreeMap::new() };
        let probe = questions.request(target, Ipv4Addr::UNSPECIFIED);
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
            let other = Questions { mac: [6, 0, 0, 0, high, low], ..asked.clone() };
            asked.note(&other.request(Ipv4Addr::UNSPECIFIED, target), &mut answers);
        }
        assert_eq!(answers[&target].len(), MOST_CLAIMS);
    }
}
