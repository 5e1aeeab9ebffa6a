//! Parses headers for the fast path, and names a reason for every other frame.

use lb_common::{
    reason::Reason,
    wire::{
        ETHERTYPE_IPV4, ETHERTYPE_QINQ, ETHERTYPE_VLAN, Ethernet, Headers, IPV4_LENGTH,
        IPV4_WITHOUT_OPTIONS, Ipv4, PROTO_TCP, TCP_LENGTH,
    },
};

use crate::raw::Packet;

/// Fails if the time to live ends here.
#[inline(always)]
pub(crate) fn time_to_live(headers: &Headers) -> Result<(), Reason> {
    if headers.ip.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    Ok(())
}

/// Returns the headers of an IPv4 TCP frame without VLAN tag, options or fragmentation.
#[inline(always)]
pub(crate) fn headers(packet: &mut Packet) -> Result<&mut Headers, Reason> {
    if packet.length() < size_of::<Headers>() {
        return Err(short(packet));
    }
    let claimed = claimed_length(packet.at(0).ok_or(Reason::Truncated)?)?;
    if !packet.holds(claimed) {
        return Err(Reason::Truncated);
    }
    packet.at(0).ok_or(Reason::Truncated)
}

/// Returns the frame's length in bytes by its own headers.
#[inline(always)]
fn claimed_length(headers: &Headers) -> Result<usize, Reason> {
    ethernet(&headers.ethernet)?;
    ipv4(&headers.ip)?;
    let ip_length = u16::from_be_bytes(headers.ip.total_length);
    let tcp_header = headers.tcp.header_length();
    if tcp_header < TCP_LENGTH || ip_length < IPV4_LENGTH + tcp_header {
        return Err(Reason::Truncated);
    }
    Ok(size_of::<Ethernet>() + usize::from(ip_length))
}

/// Returns the reason for which a frame too short for all headers is not for the fast path.
#[inline(always)]
fn short(packet: &mut Packet) -> Reason {
    let Some(header) = packet.at(0) else {
        return Reason::Truncated;
    };
    if let Err(reason) = ethernet(header) {
        return reason;
    }
    let Some(header) = packet.at(size_of::<Ethernet>()) else {
        return Reason::Truncated;
    };
    match ipv4(header) {
        Err(reason) => reason,
        Ok(()) => Reason::Truncated,
    }
}

#[inline(always)]
fn ethernet(header: &Ethernet) -> Result<(), Reason> {
    // Compared as a whole: array patterns are compared byte by byte.
    if header.ethertype == ETHERTYPE_IPV4 {
        return Ok(());
    }
    if header.ethertype == ETHERTYPE_VLAN || header.ethertype == ETHERTYPE_QINQ {
        return Err(Reason::Vlan);
    }
    Err(Reason::NotIpv4)
}

#[inline(always)]
fn ipv4(header: &Ipv4) -> Result<(), Reason> {
    if header.protocol != PROTO_TCP {
        return Err(Reason::NotTcp);
    }
    if header.version_ihl != IPV4_WITHOUT_OPTIONS {
        return Err(Reason::IpOptions);
    }
    if header.is_fragment() {
        return Err(Reason::Fragment);
    }
    Ok(())
}
