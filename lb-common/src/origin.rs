//! Valid origins of packets.

/// Returns true if no host on any network can have this source address: RFC 1122, section 3.2.1.3,
/// and RFC 1112, section 4.
#[must_use]
#[inline(always)]
pub const fn is_nobodys([first, ..]: [u8; 4]) -> bool {
    // This network, loopback; multicast, reserved and limited broadcast.
    first == 0 || first == 127 || first >= 224
}

/// Value in the map of addresses that are not clients': packets from it are valid on no interface.
pub const NOWHERE: u32 = 0;

#[cfg(test)]
mod tests {
    use super::is_nobodys;

    #[test]
    fn hosts_are_somebody() {
        for address in [[1, 0, 0, 1], [126, 255, 255, 254], [128, 0, 0, 1], [223, 255, 255, 254]] {
            assert!(!is_nobodys(address), "{address:?}");
        }
        for address in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 18], [240, 0, 0, 1], [255; 4]] {
            assert!(is_nobodys(address), "{address:?}");
        }
    }
}
