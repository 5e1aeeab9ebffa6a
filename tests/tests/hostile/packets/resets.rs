//! Resets that we can be made to send.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::reason::Reason;
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, Object},
};

use super::testbed::{PORTS, VIP, configured};

fn stray([a, b, c, d]: [u8; 4]) -> Vec<u8> {
    let client = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 40_000);
    Segment::new(client, VIP, Flags::ACK).frame()
}

/// However its hosts take turns.
#[test]
#[ignore = "needs root"]
fn one_network_does_not_spend_the_others_resets() {
    const EACH: u32 = 1_600;
    let mut object = configured(Object::with_resets(1_000, EACH), PORTS);
    for round in 0..8_000_u32 {
        let host = u8::try_from(round % 256).expect("a byte");
        let _ = object.run_uncounted(&stray([198, 51, 100, host]));
        if round % 1_000 == 999 {
            let run = object.run(&stray([192, 0, u8::try_from(round / 1_000).expect("few"), 7]));
            assert_eq!(run.reason, Reason::ResetUnknownFlow);
        }
    }
    assert!(object.reasons()[Reason::ResetCapped.as_str()] > 0);
}

/// The host would reset frames that we do not forward, beyond the limit.
#[test]
#[ignore = "needs root"]
fn nothing_goes_round_the_cap_by_the_host() {
    let object = configured(Object::with_resets(1_000, 1), PORTS);
    for host in 0..200 {
        let mut fragment = stray([198, 51, 100, host]);
        fragment[14 + 6] = 0x20;
        assert_eq!(object.run_uncounted(&fragment).0, Action::Drop);
        let (action, _) = object.run_uncounted(&stray([198, 51, 100, host]));
        assert!(matches!(action, Action::Tx | Action::Drop), "{action:?}");
    }
}
