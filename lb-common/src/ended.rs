//! Ends of connections, as the connection log tells them.

use bytemuck::{Pod, Zeroable};

use crate::{
    flow::{Direction, Family, Shape, State, flags_seen, ticks},
    halves::low16,
    named,
    stats::Count,
    table::{Entry as _, Found, Index, Storage},
};

/// Size of the ring buffer of ends, in bytes.
pub const RING_BYTES: u32 = 1 << 19;

/// What the program tells of the ends of connections.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Wanted {
    /// Maximum number from each CPU in each window of a
    /// [`RateLimiter`](crate::rate_limiter::RateLimiter), which bounds only its work. Nothing, if 0.
    pub each: u32,
    /// 1 if connections that [have never begun](has_begun) are wanted, too.
    pub unbegun: u32,
}

/// What has removed a connection from the flow table.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It has been idle for longer than the time-out of its state.
    Expired,
    /// Connections of its backend are ended: it was removed, is down, or has reached the deadline of its drain.
    Dismissed,
    /// An operator.
    Killed,
    /// A new connection that needed its room or its source port.
    Evicted,
    /// Its client's next connection from the same address and port.
    Replaced,
}

impl Cause {
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let all = [Self::Expired, Self::Dismissed, Self::Killed, Self::Evicted, Self::Replaced];
        all.into_iter().find(|cause| *cause as u32 == number)
    }
}

/// A connection that was removed from the flow table. Numbers are of the host's byte order, addresses and ports
/// as in packets, IPv4 as IPv4-mapped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ended {
    pub client: [u8; 16],
    pub vip: [u8; 16],
    /// Source address that the backend saw.
    pub source: [u8; 16],
    pub backend: [u8; 16],
    pub client_port: [u8; 2],
    pub vip_port: [u8; 2],
    pub source_port: [u8; 2],
    pub backend_port: [u8; 2],
    pub backend_id: u32,
    /// Number of a [`Cause`].
    pub cause: u32,
    /// [Flags seen](flags_seen).
    pub seen: u32,
    /// Times of its first and its last packet, and of its removal, in [`ticks`].
    pub began: u32,
    pub last_seen: u32,
    pub removed: u32,
    /// Packets from the client, and to it; zeros if nothing is accounted.
    pub inbound: Count,
    pub outbound: Count,
}

const _: () = assert!(size_of::<Ended>() == 128);

/// A connection that a CPU is about to remove.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ending {
    pub ended: Ended,
    /// 1 if its end is to be told.
    pub is_noted: u64,
}

/// Returns true if a connection with these flags seen has completed its handshake, or was refused: not if
/// it may be a SYN that nobody has answered.
#[must_use]
#[inline(always)]
pub const fn has_begun(seen: u16) -> bool {
    flags_seen::are_shaken(seen) || seen & (flags_seen::BACKEND_RST | flags_seen::REFUSED) != 0
}

impl Ended {
    /// Fills in all but cause and time of a connection that is about to be removed, from its entries. Returns
    /// false if its end was told before, or if that one is no whole connection's, as it is in quarantine or just
    /// being created. What is read is the connection's if its tag is swapped afterwards.
    #[inline(always)]
    pub fn fill<T: Storage>(
        &mut self,
        table: T,
        flow: Found<T>,
        partner: Option<Found<T>>,
        account: impl Fn(Index) -> Count,
    ) -> bool {
        let (seen, shape) = (flow.tag.flags_seen(), flow.tag.shape());
        if seen & flags_seen::QUARANTINED != 0 {
            return false;
        }
        let other = match (shape, partner) {
            (_, Some(partner)) => partner,
            (Shape::OneWay, None) => flow,
            (Shape::Paired, None) => return false,
        };
        let (to_backend, to_client) = match flow.direction() {
            Direction::ToBackend => (flow, other),
            Direction::ToClient => (other, flow),
        };
        if to_backend.tag.is_told() {
            return false;
        }
        let (there, back) = (to_backend.entry.last_seen(), to_client.entry.last_seen());
        self.last_seen = if ticks::between(there, back) > 0 { back } else { there };
        // The backend's SYN, its only packet then, has answered the first one.
        self.began = if flags_seen::is_dated(seen) { to_backend.entry.extra() } else { back };
        self.seen = u32::from(seen & !flags_seen::TO_CLIENT);
        self.inbound = account(to_backend.index);
        // Before the first answer, what is there may be an earlier connection's.
        let has_answers = shape == Shape::Paired && flags_seen::has_answer(seen);
        self.outbound = if has_answers { account(to_client.index) } else { Count::default() };
        self.name(table, to_backend);
        true
    }

    /// Fills in addresses and ports.
    #[inline(always)]
    fn name<T: Storage>(&mut self, table: T, flow: Found<T>) {
        let (pair, protocol) = (flow.entry.pair(), flow.tag.protocol());
        let ends = table.endpoints(pair.backend());
        let inside = pair.inside(protocol, &ends);
        self.backend_id = pair.backend();
        self.client = T::Family::mapped(inside.src());
        self.client_port = inside.src_port();
        self.vip = T::Family::mapped(ends.vip);
        self.vip_port = ends.vip_port;
        let outside = pair.outside(protocol, &ends);
        self.source = T::Family::mapped(outside.src());
        self.source_port = outside.src_port();
        self.backend = T::Family::mapped(ends.backend);
        self.backend_port = ends.backend_port;
    }

    /// Returns how it ended; None if the cause is unknown.
    #[must_use]
    pub fn how(&self) -> Option<How> {
        let cause = Cause::from_number(self.cause)?;
        Some(How::of(low16(self.seen), cause))
    }
}

named! {
    /// How a connection ended.
    pub enum How {
        /// Both sides have sent a FIN.
        Closed = "closed",
        /// The client has reset it.
        ClientReset = "client-reset",
        /// The backend has reset it.
        BackendReset = "backend-reset",
        /// The backend has refused it: it has reset it before the handshake was complete.
        Refused = "refused",
        /// The backend has refused it, of which the client was not told: its next SYN is given another backend
        /// (`on_refused = "retry"`).
        Retried = "retried",
        /// It was idle for longer than `timeouts.established` or `timeouts.closing`.
        IdleTimeout = "idle-timeout",
        /// The backend has not answered the SYN (only with `unfinished = true`).
        NoAnswer = "no-answer",
        /// The client has not acknowledged the backend's SYN-ACK (only with `unfinished = true`).
        NoAck = "no-ack",
        /// The balancer has ended it: its backend went down with `on_down = "reset"`, or has reached the deadline of
        /// its drain.
        BackendGone = "backend-gone",
        /// The client has opened a new one from the same address and port, as its backend was down or gone.
        Replaced = "replaced",
        /// An operator has ended it, by `xdplb conns --kill`.
        Killed = "killed",
        /// A new connection needed its room in the flow table, or its source port.
        Evicted = "evicted",
    }
}

impl How {
    /// Returns true if a packet has ended it: otherwise its removal has.
    #[must_use]
    pub const fn is_by_packet(self) -> bool {
        matches!(
            self,
            Self::Closed | Self::ClientReset | Self::BackendReset | Self::Refused | Self::Retried
        )
    }

    /// Returns how a connection with these flags seen ended: as its own segments say, else by the cause of
    /// its removal.
    #[must_use]
    pub fn of(seen: u16, cause: Cause) -> Self {
        let is = |flags: u16| seen & flags != 0;
        match State::of(seen) {
            State::Closed if seen & flags_seen::FINS == flags_seen::FINS => Self::Closed,
            State::Closed if is(flags_seen::CLIENT_RST) => Self::ClientReset,
            State::Closed => Self::BackendReset,
            State::HalfOpen if is(flags_seen::REFUSED) => Self::Retried,
            State::HalfOpen if is(flags_seen::BACKEND_RST) => Self::Refused,
            state => match cause {
                Cause::Dismissed => Self::BackendGone,
                Cause::Killed => Self::Killed,
                Cause::Evicted => Self::Evicted,
                Cause::Replaced => Self::Replaced,
                Cause::Expired if state != State::HalfOpen => Self::IdleTimeout,
                Cause::Expired if is(flags_seen::BACKEND_SYN) => Self::NoAck,
                Cause::Expired => Self::NoAnswer,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;

    #[test]
    fn segments_say_how_a_connection_ended_before_its_removal_does() {
        for cause in [Cause::Expired, Cause::Evicted, Cause::Replaced, Cause::Dismissed] {
            for (seen, how) in [
                (OPEN | flags_seen::FINS, How::Closed),
                (OPEN | flags_seen::FINS | flags_seen::CLIENT_RST, How::Closed),
                (OPEN | flags_seen::CLIENT_FIN | flags_seen::CLIENT_RST, How::ClientReset),
                (OPEN | flags_seen::BACKEND_RST, How::BackendReset),
                (flags_seen::BACKEND_RST, How::Refused),
                (flags_seen::REFUSED, How::Retried),
            ] {
                assert_eq!(How::of(seen, cause), how, "{seen:#x} {cause:?}");
            }
        }
    }

    #[test]
    fn what_has_removed_an_open_connection_has_ended_it() {
        for (seen, cause, how) in [
            (OPEN, Cause::Expired, How::IdleTimeout),
            (OPEN | flags_seen::CLIENT_FIN, Cause::Expired, How::IdleTimeout),
            (flags_seen::BACKEND_SYN, Cause::Expired, How::NoAck),
            (0, Cause::Expired, How::NoAnswer),
            (0, Cause::Evicted, How::Evicted),
            (OPEN, Cause::Evicted, How::Evicted),
            (OPEN, Cause::Killed, How::Killed),
            (OPEN, Cause::Dismissed, How::BackendGone),
            (OPEN, Cause::Replaced, How::Replaced),
        ] {
            assert_eq!(How::of(seen, cause), how, "{seen:#x} {cause:?}");
        }
    }

    #[test]
    fn a_syn_alone_has_not_begun() {
        for (seen, has) in [
            (0, false),
            (flags_seen::BACKEND_SYN, false),
            (flags_seen::SHAKEN, true),
            (flags_seen::REFUSED, true),
            (flags_seen::BACKEND_RST, true),
        ] {
            assert_eq!(has_begun(seen), has, "{seen:#x}");
        }
    }
}
