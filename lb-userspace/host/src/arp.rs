//! ARP on an interface (RFC 826).

use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

use etherparse::{ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, send},
};

use crate::sys::packet;

/// A socket for the ARP frames of one interface.
#[derive(Debug)]
pub struct Arp(OwnedFd);

impl Arp {
    /// Opens it on an interface of the calling thread's network namespace. Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        packet::open_arp(ifindex).map(Self)
    }

    /// Sends a frame, which nobody gets while the interface is down.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(_) | Err(Errno::ENETDOWN | Errno::ENOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives the beginning of a frame, and returns its length; `None` if there is none within the socket's
    /// time limit.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error.
    pub fn receive(&self, frame: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Arp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns the frame of a broadcast request for the MAC address of `target`. If that is the sender itself, the
/// others learn its MAC address (RFC 5227, section 3).
#[must_use]
pub fn request(mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let header =
        Ethernet2Header { source: mac, destination: [0xff; 6], ether_type: EtherType::ARP };
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac,
        sender_ipv4: sender.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    [&header.to_bytes()[..], &request.to_bytes()].concat()
}
