//! Segments that no TCP stack sends.

use lb_tests::frame::Segment;

const TCP: usize = 14 + 20;

/// Returns a segment's frame with these flags, including PSH and URG.
pub fn with_flags(segment: &Segment, flags: u8) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[TCP + 13] = flags;
    frame
}

/// Returns a segment's frame with a wrong checksum, which its receiver discards.
pub fn with_wrong_checksum(segment: &Segment) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[TCP + 16] ^= 0x55;
    frame
}
