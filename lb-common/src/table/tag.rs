use bytemuck::{Pod, Zeroable};

use super::Hash;
use crate::flow::{Direction, Family, Protocol, Shape, State, Tuple, flags_seen};

/// The first word of an entry: its owner, the flags seen of the connection, and how often the entry was
/// reused. Changed only by compare-and-swap, or by the CPU that has claimed the entry.
///
/// From the lowest bit on: 32 bits of fingerprint, 15 of [`flags_seen`], one that is set if these say
/// half-open, one for UDP, one for a flow of one direction only, 3 of the entry's state, 3 of reach and one that says that
/// the reach is under review, one that says that the flow's end was told, 6 of generation. The reach is of
/// the flows whose home the entry is, not of the flow in it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Tag(u64);

const FINGERPRINT: u64 = 0xffff_ffff;
const FLAGS_SEEN: u64 = 0x7fff << FLAGS_SEEN_SHIFT;
/// Derived from the flags seen, as a new connection needs it of all entries of a bucket.
const HALF_OPEN: u64 = 1 << HALF_OPEN_SHIFT;
const UDP: u64 = 1 << 48;
/// The flow has no entry towards the client, as its backend answers the client itself.
const ONE_WAY: u64 = 1 << 49;
const OWNER: u64 = FINGERPRINT | UDP;
/// A flow is in the entry.
const LIVE: u64 = 1 << 50;
/// The entry is being written: only its fingerprint may be read.
const CLAIMED: u64 = 1 << 51;
/// The flow in the entry has timed out. The next packet revives it.
const EXPIRING: u64 = 1 << 52;
const REACH: u64 = 7 << REACH_SHIFT;
/// The sweeper lowers the reach in its next sweep, unless a flow is placed elsewhere before.
const UNDER_REVIEW: u64 = 1 << 56;
/// Outlives the flow in the entry.
const OF_HOME: u64 = REACH | UNDER_REVIEW;
const STATE: u64 = LIVE | CLAIMED | EXPIRING;
/// The connection log has the end of the connection, whose entry towards the backend this is.
const TOLD: u64 = 1 << 57;
const GENERATION: u64 = !(OWNER | FLAGS_SEEN | HALF_OPEN | ONE_WAY | STATE | OF_HOME | TOLD);
const ONE_GENERATION: u64 = 1 << 58;

/// No bit has two meanings, and generations are counted in the uppermost ones.
const _: () = {
    let fields = [OWNER, FLAGS_SEEN, HALF_OPEN, ONE_WAY, STATE, OF_HOME, TOLD, GENERATION];
    let (mut bits, mut nth) = (0, 0);
    while nth < fields.len() {
        bits += fields[nth].count_ones();
        nth += 1;
    }
    assert!(bits == u64::BITS && GENERATION == !(ONE_GENERATION - 1));
};

const FLAGS_SEEN_SHIFT: u32 = 32;
const HALF_OPEN_SHIFT: u32 = 47;
const REACH_SHIFT: u32 = 53;

/// A tuple's fingerprint and protocol, as a tag holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// Returns the owner of the entry of a flow whose packets have this tuple, and this hash.
    #[must_use]
    #[inline(always)]
    pub fn of<F: Family>(hash: Hash, key: &Tuple<F>) -> Self {
        Self::new(hash.fingerprint(), key.protocol())
    }

    #[must_use]
    #[inline(always)]
    pub const fn new(fingerprint: u32, protocol: Protocol) -> Self {
        let udp = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => UDP,
        };
        Self(fingerprint as u64 | udp)
    }
}

impl Tag {
    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.0 & STATE == 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_claimed(self) -> bool {
        self.0 & CLAIMED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_expiring(self) -> bool {
        self.0 & EXPIRING != 0
    }

    /// Returns true if a flow is in the entry, expiring or not.
    #[must_use]
    #[inline(always)]
    pub const fn is_held(self) -> bool {
        self.0 & (LIVE | CLAIMED) == LIVE
    }

    /// Returns true if a flow of this owner is in the entry, and not expiring.
    #[must_use]
    #[inline(always)]
    pub const fn is_live(self, owner: Owner) -> bool {
        self.0 & (OWNER | STATE) == LIVE | owner.0
    }

    /// Returns true if the entry is held by this owner, or claimed for it.
    #[must_use]
    #[inline(always)]
    pub const fn belongs_to(self, owner: Owner) -> bool {
        self.0 & OWNER == owner.0 && !self.is_free()
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(self) -> Protocol {
        if self.0 & UDP == 0 { Protocol::Tcp } else { Protocol::Udp }
    }

    #[must_use]
    #[inline(always)]
    pub const fn shape(self) -> Shape {
        if self.0 & ONE_WAY == 0 { Shape::Paired } else { Shape::OneWay }
    }

    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub const fn fingerprint(self) -> u32 {
        self.0 as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn flags_seen(self) -> u16 {
        ((self.0 & FLAGS_SEEN) >> FLAGS_SEEN_SHIFT) as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn direction(self) -> Direction {
        flags_seen::direction(self.flags_seen())
    }

    /// Returns true if this is the entry towards the backend of a connection that is not closed: a
    /// backend's active connections are counted by these.
    #[must_use]
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        let counts = matches!(self.direction(), Direction::ToBackend);
        self.is_held() && counts && !matches!(self.state(), State::Closed)
    }

    /// Returns the state of the connection.
    #[must_use]
    #[inline(always)]
    pub const fn state(self) -> State {
        State::of(self.flags_seen())
    }

    /// Returns 1 if the entry [is free](Self::is_free), else 0.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bit is what is wanted")]
    pub(super) const fn free_bit(self) -> u32 {
        // Only a live entry is expiring.
        let held = self.0 >> LIVE.trailing_zeros() | self.0 >> CLAIMED.trailing_zeros();
        !(held as u32) & 1
    }

    /// Returns 1 if the entry is not free and its connection is [half-open](State::HalfOpen), as it is
    /// in an entry that was just claimed; else 0.
    #[must_use]
    #[inline(always)]
    pub(super) const fn half_open_bit(self) -> u32 {
        (self.0 >> HALF_OPEN_SHIFT & 1) as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn with_flags_seen(self, seen: u16) -> Self {
        let half_open = matches!(State::of(seen), State::HalfOpen) as u64;
        let seen = (seen as u64) << FLAGS_SEEN_SHIFT | half_open << HALF_OPEN_SHIFT;
        Self(self.0 & !(FLAGS_SEEN | HALF_OPEN) | seen)
    }

    /// Returns true if the same flow was in the entry at both moments, and no other in between.
    #[must_use]
    #[inline(always)]
    pub const fn is_same_flow(self, other: Self) -> bool {
        (self.0 ^ other.0) & (OWNER | GENERATION | LIVE | CLAIMED) == 0
    }

    /// The tag of the entry while a flow of this owner is being written into it.
    #[must_use]
    #[inline(always)]
    pub const fn claimed(self, owner: Owner) -> Self {
        Self(self.next_generation() | CLAIMED | HALF_OPEN | owner.0)
    }

    /// The tag of the entry while its flow is being changed.
    #[must_use]
    #[inline(always)]
    pub const fn claimed_to_change(self) -> Self {
        let kept = self.0 & (OWNER | FLAGS_SEEN | HALF_OPEN | ONE_WAY | TOLD);
        Self(self.next_generation() | CLAIMED | kept)
    }

    /// The tag of the claimed entry once a flow is in it.
    #[must_use]
    #[inline(always)]
    pub const fn published(self, seen: u16) -> Self {
        Self(self.0 & !STATE | LIVE).with_flags_seen(seen)
    }

    /// The tag of a flow that has no entry towards the client.
    #[must_use]
    #[inline(always)]
    pub(super) const fn one_way(self) -> Self {
        Self(self.0 | ONE_WAY)
    }

    /// The tag if the entry is free.
    #[must_use]
    #[inline(always)]
    pub(super) const fn as_free(self) -> Self {
        Self(self.0 & !STATE)
    }

    #[must_use]
    #[inline(always)]
    pub const fn freed(self) -> Self {
        Self(self.next_generation())
    }

    #[must_use]
    #[inline(always)]
    pub const fn expiring(self) -> Self {
        Self(self.0 | EXPIRING)
    }

    #[must_use]
    #[inline(always)]
    pub const fn revived(self) -> Self {
        Self(self.0 & !EXPIRING)
    }

    /// Returns true if the connection log has the end of the connection, whose entry towards the backend
    /// this is.
    #[must_use]
    #[inline(always)]
    pub const fn is_told(self) -> bool {
        self.0 & TOLD != 0
    }

    #[must_use]
    #[inline(always)]
    pub(super) const fn telling(self, is_told: bool) -> Self {
        Self(if is_told { self.0 | TOLD } else { self.0 & !TOLD })
    }

    /// Returns how far flows may be from this home, see [`reach_of`](super::reach_of).
    #[must_use]
    #[inline(always)]
    pub const fn reach(self) -> u32 {
        ((self.0 & REACH) >> REACH_SHIFT) as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_under_review(self) -> bool {
        self.0 & UNDER_REVIEW != 0
    }

    /// Returns true if a flow of this home may be placed as far as this without changing the tag.
    #[must_use]
    #[inline(always)]
    pub const fn reaches(self, reach: u32) -> bool {
        self.reach() >= reach && !self.is_under_review()
    }

    /// The tag when a flow of this home is about to be placed as far as this.
    #[must_use]
    #[inline(always)]
    pub const fn extended(self, reach: u32) -> Self {
        let reach = if reach > self.reach() { reach } else { self.reach() };
        self.with_reach(reach)
    }

    /// The tag with this reach, not under review.
    #[must_use]
    #[inline(always)]
    pub const fn with_reach(self, reach: u32) -> Self {
        Self(self.0 & !OF_HOME | (reach as u64) << REACH_SHIFT)
    }

    #[must_use]
    #[inline(always)]
    pub const fn under_review(self) -> Self {
        Self(self.0 | UNDER_REVIEW)
    }

    /// The tag with the reach that the other one, of the same entry, has.
    #[must_use]
    #[inline(always)]
    pub(super) const fn with_reach_of(self, other: Self) -> Self {
        Self(self.0 & !OF_HOME | other.0 & OF_HOME)
    }

    /// The word of the tag with a reach of 0.
    #[inline(always)]
    pub(super) const fn without_reach(self) -> u64 {
        self.0 & !OF_HOME
    }

    /// Returns true if nothing but the reach may have changed.
    #[must_use]
    #[inline(always)]
    pub const fn is_unchanged(self, other: Self) -> bool {
        self.without_reach() == other.without_reach()
    }

    /// Returns true if the entry is free and none of its home's flows is elsewhere: whoever swaps this
    /// tag for a claim is the only owner of the key.
    #[must_use]
    #[inline(always)]
    pub(super) const fn is_unused(self) -> bool {
        self.0 & (STATE | OF_HOME) == 0
    }

    /// The next generation, with what outlives a generation.
    #[inline(always)]
    const fn next_generation(self) -> u64 {
        (self.0 & GENERATION).wrapping_add(ONE_GENERATION) | self.0 & OF_HOME
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Tag};
    use crate::flow::{Protocol, State};

    #[test]
    fn bits_say_what_the_words_say() {
        let claimed = Tag::default().claimed(Owner::new(1, Protocol::Udp));
        assert_bits(claimed, true);
        for seen in 0..1 << 15 {
            let live = claimed.published(seen);
            let is_half_open = State::of(seen) == State::HalfOpen;
            assert_eq!(live.flags_seen(), seen);
            let told = live.telling(true);
            assert!(told.is_told() && told.is_same_flow(live) && told.flags_seen() == seen);
            assert!(told.claimed_to_change().is_told() && !told.freed().is_told());
            assert_eq!(told.telling(false), live);
            for held in [live, live.expiring(), live.claimed_to_change()] {
                assert_bits(held, is_half_open);
            }
            for free in [Tag::default(), live.freed(), live.expiring().as_free()] {
                assert_eq!(free.free_bit(), 1, "{free:?}");
            }
            assert_bits(live.freed(), false);
        }
    }

    fn assert_bits(tag: Tag, is_half_open: bool) {
        assert_eq!(tag.free_bit() == 1, tag.is_free(), "{tag:?}");
        assert_eq!(tag.half_open_bit() == 1, is_half_open, "{tag:?}");
    }
}
