//! What no TCP stack sends.

use lb_tests::frame::Segment;

const TCP: usize = 14 + 20;

/// A segment's frame with these flags, PSH and URG among them.
pub fn with_flags(segment: &Segment, flags: u8) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[TCP + 13] = flags;
    frame
}

/// A segment's frame, which its receiver throws away.
pub fn with_wrong_checksum(segment: &Segment) -> Vec<u8> {
    let mut frame = segment.frame();
    frame[TCP + 16] ^= 0x55;
    frame
}
