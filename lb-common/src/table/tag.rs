use bytemuck::{Pod, Zeroable};

use crate::flow::{Direction, State, marks};

/// The first word of a line: whose it is, what has been seen of its connection, and how often the
/// line was given away. Only ever changed by compare-and-swap, or by who has claimed it.
///
/// From the lowest bit on: 32 bits of fingerprint, 15 of marks, one that says of them that the
/// connection is half-open, 2 for the kind of key (0: TCP over IPv4), 3 of the line's state, 2 of the
/// bucket's, 9 of generation.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Tag(u64);

const FINGERPRINT: u64 = 0xffff_ffff;
const MARKS: u64 = 0x7fff << MARKS_SHIFT;
/// What the marks say, in one bit, as a new connection asks it of all lines of its bucket.
const HALF_OPEN: u64 = 1 << HALF_OPEN_SHIFT;
const KIND: u64 = 3 << 48;
/// A flow stands in the line.
const LIVE: u64 = 1 << 50;
/// Somebody writes the line: only its fingerprint may be read.
const CLAIMED: u64 = 1 << 51;
/// A flow stands in the line whose time is up. The next packet revives it.
const CONDEMNED: u64 = 1 << 52;
/// In a bucket's first line: flows that should be in the bucket are in their next choice, or were.
const OVERFLOWED: u64 = 1 << 53;
/// Beside it: none may be any more. Who lets another flow go on takes this mark away.
const FADING: u64 = 1 << 54;
const BUCKET: u64 = OVERFLOWED | FADING;
const STATE: u64 = LIVE | CLAIMED | CONDEMNED;
const GENERATION: u64 = !(FINGERPRINT | MARKS | HALF_OPEN | KIND | STATE | BUCKET);
const ONE_GENERATION: u64 = 1 << 55;

const MARKS_SHIFT: u32 = 32;
const HALF_OPEN_SHIFT: u32 = 47;

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
    pub const fn is_condemned(self) -> bool {
        self.0 & CONDEMNED != 0
    }

    /// Whether a flow stands in the line, condemned or not.
    #[must_use]
    #[inline(always)]
    pub const fn is_held(self) -> bool {
        self.0 & (LIVE | CLAIMED) == LIVE
    }

    /// Whether a flow of this fingerprint stands in the line, and is not condemned.
    #[must_use]
    #[inline(always)]
    pub const fn is_live(self, fingerprint: u32) -> bool {
        self.0 & (FINGERPRINT | KIND | STATE) == LIVE | fingerprint as u64
    }

    /// Whether the line is this fingerprint's: held, or claimed for it.
    #[must_use]
    #[inline(always)]
    pub const fn belongs_to(self, fingerprint: u32) -> bool {
        self.0 & (FINGERPRINT | KIND) == fingerprint as u64 && !self.is_free()
    }

    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub const fn fingerprint(self) -> u32 {
        self.0 as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn marks(self) -> u16 {
        ((self.0 & MARKS) >> MARKS_SHIFT) as u16
    }

    #[must_use]
    #[inline(always)]
    pub const fn direction(self) -> Direction {
        marks::direction(self.marks())
    }

    /// Whether this is the entry towards the backend of a connection that is not closed: what a
    /// backend's active connections are counted by.
    #[must_use]
    #[inline(always)]
    pub const fn is_active(self) -> bool {
        let counts = matches!(self.direction(), Direction::ToBackend);
        self.is_held() && counts && !matches!(self.state(), State::Closed)
    }

    /// How far the connection has come.
    #[must_use]
    #[inline(always)]
    pub const fn state(self) -> State {
        State::of(self.marks())
    }

    /// 1 if the line [is free](Self::is_free).
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bit is what is wanted")]
    pub(super) const fn free_bit(self) -> u32 {
        // Only a live line is condemned.
        let held = self.0 >> 50 | self.0 >> 51;
        !(held as u32) & 1
    }

    /// 1 if the line is not free and its connection is [half-open](State::HalfOpen), as it is in a
    /// line that was just claimed.
    #[must_use]
    #[inline(always)]
    pub(super) const fn half_open_bit(self) -> u32 {
        (self.0 >> HALF_OPEN_SHIFT & 1) as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn with_marks(self, marks: u16) -> Self {
        let half_open = matches!(State::of(marks), State::HalfOpen) as u64;
        let marks = (marks as u64) << MARKS_SHIFT | half_open << HALF_OPEN_SHIFT;
        Self(self.0 & !(MARKS | HALF_OPEN) | marks)
    }

    /// Whether the same flow has stood in the line at both moments, without a break.
    #[must_use]
    #[inline(always)]
    pub const fn is_same_flow(self, other: Self) -> bool {
        (self.0 ^ other.0) & (FINGERPRINT | GENERATION | KIND | LIVE | CLAIMED) == 0
    }

    /// The line in the hands of who writes a flow of this fingerprint into it.
    #[must_use]
    #[inline(always)]
    pub const fn claimed(self, fingerprint: u32) -> Self {
        Self(self.next_generation() | CLAIMED | HALF_OPEN | fingerprint as u64)
    }

    /// The line in the hands of who changes its flow.
    #[must_use]
    #[inline(always)]
    pub const fn claimed_to_change(self) -> Self {
        let kept = self.0 & (FINGERPRINT | MARKS | HALF_OPEN | KIND);
        Self(self.next_generation() | CLAIMED | kept)
    }

    /// The claimed line with a flow in it.
    #[must_use]
    #[inline(always)]
    pub const fn published(self, marks: u16) -> Self {
        Self(self.0 & !STATE | LIVE).with_marks(marks)
    }

    /// What the tag is if the line is free.
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
    pub const fn condemned(self) -> Self {
        Self(self.0 | CONDEMNED)
    }

    #[must_use]
    #[inline(always)]
    pub const fn revived(self) -> Self {
        Self(self.0 & !CONDEMNED)
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_overflowed(self) -> bool {
        self.0 & OVERFLOWED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_fading(self) -> bool {
        self.0 & FADING != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn overflowed(self) -> Self {
        Self(self.0 & !FADING | OVERFLOWED)
    }

    #[must_use]
    #[inline(always)]
    pub const fn fading(self) -> Self {
        Self(self.0 | FADING)
    }

    /// Of a bucket that no flow has had to leave.
    #[must_use]
    #[inline(always)]
    pub const fn recovered(self) -> Self {
        Self(self.0 & !BUCKET)
    }

    /// The tag with the bucket's marks that the other one, of the same line, has.
    #[must_use]
    #[inline(always)]
    pub(super) const fn in_bucket_of(self, other: Self) -> Self {
        Self(self.0 & !BUCKET | other.0 & BUCKET)
    }

    /// The next generation, and what outlives a generation.
    #[inline(always)]
    const fn next_generation(self) -> u64 {
        (self.0 & GENERATION).wrapping_add(ONE_GENERATION) | self.0 & BUCKET
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;
    use crate::flow::State;

    #[test]
    fn bits_say_what_the_words_say() {
        let claimed = Tag::default().claimed(1);
        assert_bits(claimed, true);
        for marks in 0..1 << 15 {
            let live = claimed.published(marks);
            let is_half_open = State::of(marks) == State::HalfOpen;
            assert_eq!(live.marks(), marks);
            for held in [live, live.condemned(), live.claimed_to_change()] {
                assert_bits(held, is_half_open);
            }
            for free in [Tag::default(), live.freed(), live.condemned().as_free()] {
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
