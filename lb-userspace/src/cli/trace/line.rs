//! A packet in one line.

use lb_model::views::{explanation::SentView, trace::TracedPacket};

/// Returns a packet in one line: time, verdict, reason, service, the packet as it came in, and as it left.
pub(super) fn of(packet: &TracedPacket) -> String {
    let TracedPacket { at, interface, verdict, reason, service, length, .. } = packet;
    let at = at.strftime("%H:%M:%S%.6f");
    let service = service.as_deref().unwrap_or("-");
    let came = match (packet.from, packet.to, packet.flags, packet.hosts) {
        (Some(from), Some(to), Some(flags), _) => format!("{from} > {to} {flags}"),
        (.., Some([from, to])) => format!("{from} > {to}"),
        _ => "not IP".to_owned(),
    };
    let left = packet
        .sent
        .as_ref()
        .map(|SentView { from, to, interface, .. }| format!(" => {from} > {to} by {interface}"));
    let left = left.unwrap_or_default();
    format!("{at} {verdict} {reason} {service} {interface} {came} {length} B{left}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_what_became_of_a_packet() {
        let mut packet = json!({
            "at": "2026-01-02T03:04:05.000006Z", "interface": "eth0", "verdict": "tx",
            "reason": "forwarded", "from": "198.51.100.7:40000", "to": "203.0.113.10:80",
            "flags": "syn", "service": "web", "length": 74, "frame": "", "length_after": 74,
            "frame_after": "",
            "sent": {
                "from": "10.0.0.1:1024", "to": "10.0.0.11:80", "flags": "syn", "interface": "eth1",
                "from_mac": "02:00:00:00:00:01", "to_mac": "02:00:00:00:00:02",
            },
        });
        let line = |packet: &serde_json::Value| {
            of(&serde_json::from_value(packet.clone()).expect("the shape"))
        };
        let expected = "03:04:05.000006 tx forwarded web eth0 198.51.100.7:40000 > 203.0.113.10:80 syn 74 B \
             => 10.0.0.1:1024 > 10.0.0.11:80 by eth1";
        assert_eq!(line(&packet), expected);
        for key in ["from", "to", "flags", "service", "sent"] {
            packet.as_object_mut().expect("an object").remove(key);
        }
        assert_eq!(line(&packet), "03:04:05.000006 tx forwarded - eth0 not IP 74 B");
        packet["hosts"] = json!(["198.51.100.7", "203.0.113.10"]);
        let expected = "03:04:05.000006 tx forwarded - eth0 198.51.100.7 > 203.0.113.10 74 B";
        assert_eq!(line(&packet), expected);
    }
}
