//! Lines of the log.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use jiff::{SignedDuration, Timestamp};
use lb_common::{
    ended::{Ended, How},
    flow::ticks,
    named,
    stats::Count,
};
use lb_host::printable;
use lb_notify::EVENT;
use log::{
    Level, Record,
    kv::{self, Key as LogKey, Source, VisitSource},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

named! {
    /// A key of a line.
    pub(super) enum Key {
        /// When it ended: the last packet of a connection that either side has closed, reset or refused; else when xdplb
        /// has removed it.
        Ended = "ended",
        /// Time of the first packet, or of the backend's SYN, which has answered it.
        Started = "started",
        /// Duration: `ended` less `started`.
        Seconds = "seconds",
        /// Time of the last packet of either side.
        LastPacket = "last_packet",
        /// Name of the service, or of the one that had its VIP last; absent if nobody knows it any more.
        Service = "service",
        /// Address and port of the client.
        Client = "client",
        /// Destination of the client's connection.
        Vip = "vip",
        /// Source address and port that the backend saw.
        Source = "source",
        /// Address and port of the backend.
        Backend = "backend",
        /// How it ended: a word of the table below.
        End = "end",
        /// IP packets from the client, only with `limits.accounting`, like the three keys below.
        PacketsIn = "packets_in",
        /// IP packets to the client.
        PacketsOut = "packets_out",
        /// Bytes of IP packets from the client.
        BytesIn = "bytes_in",
        /// Bytes of IP packets to the client.
        BytesOut = "bytes_out",
    }
}

/// Message of lines in the daemon's log, and their event.
pub(super) const MESSAGE: &str = "connection ended";
pub(super) const EVENT_WORD: &str = "connection-ended";

/// The present moment, by the wall clock and by the flow table's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Timestamp,
    pub(super) ticks: u32,
}

impl Now {
    pub(super) fn new() -> Self {
        Self { at: Timestamp::now(), ticks: lb_dataplane::now() }
    }

    /// Returns the time at a moment of the flow table's clock, to milliseconds.
    fn time_of(self, ticks: u32) -> String {
        let ago = i64::try_from(ticks::nanos_since(ticks, self.ticks)).unwrap_or(i64::MAX);
        let at = self.at.saturating_sub(SignedDuration::from_nanos(ago)).unwrap_or(self.at);
        format!("{at:.3}")
    }
}

/// Keys with their values, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line(Vec<(Key, Value)>);

impl Line {
    pub(super) fn new(ended: &Ended, service: Option<&str>, now: Now) -> Self {
        let how = ended.how();
        let is_by_packet = how.is_none_or(How::is_by_packet);
        let end = if is_by_packet { ended.last_seen } else { ended.removed };
        let millis = ticks::nanos_since(ended.began, end) / 1_000_000;
        let place = |address, port| Value::from(place(address, port).to_string());
        let mut keys = vec![
            (Key::Ended, now.time_of(end).into()),
            (Key::Started, now.time_of(ended.began).into()),
            (Key::Seconds, (to_f64(millis) / 1e3).into()),
            (Key::LastPacket, now.time_of(ended.last_seen).into()),
        ];
        keys.extend(service.map(|service| (Key::Service, service.into())));
        keys.extend([
            (Key::Client, place(ended.client, ended.client_port)),
            (Key::Vip, place(ended.vip, ended.vip_port)),
            (Key::Source, place(ended.source, ended.source_port)),
            (Key::Backend, place(ended.backend, ended.backend_port)),
        ]);
        keys.extend(how.map(|how| (Key::End, how.as_str().into())));
        // With accounting, there is the SYN at least.
        if ended.inbound != Count::default() {
            keys.extend([
                (Key::PacketsIn, ended.inbound.packets.into()),
                (Key::PacketsOut, ended.outbound.packets.into()),
                (Key::BytesIn, ended.inbound.bytes.into()),
                (Key::BytesOut, ended.outbound.bytes.into()),
            ]);
        }
        Self(keys)
    }

    /// Returns the keys as in `service=web`.
    pub(super) fn text(&self) -> String {
        let pair = |(key, value): &(Key, Value)| {
            printable::pair(
                key.as_str(),
                &value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            )
        };
        self.0.iter().map(pair).collect::<Vec<_>>().join(" ")
    }

    /// Writes it to the daemon's log. Returns false if that has no lines of its level.
    pub(super) fn log(&self) -> bool {
        if Level::Info > log::max_level() {
            return false;
        }
        log::logger().log(
            &Record::builder()
                .level(Level::Info)
                .target(module_path!())
                .key_values(self)
                .args(format_args!("{MESSAGE}"))
                .build(),
        );
        true
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key.as_str(), value)))
    }
}

impl Source for Line {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        visitor.visit_pair(LogKey::from_str(EVENT), kv::Value::from(EVENT_WORD))?;
        self.0.iter().try_for_each(|(key, value)| {
            let value = match (value.as_str(), value.as_u64(), value.as_f64()) {
                (Some(text), ..) => kv::Value::from(text),
                (_, Some(number), _) => kv::Value::from(number),
                (_, _, Some(number)) => kv::Value::from(number),
                _ => kv::Value::from_display(value),
            };
            visitor.visit_pair(LogKey::from_str(key.as_str()), value)
        })
    }
}

fn place(address: [u8; 16], port: [u8; 2]) -> SocketAddr {
    let address = IpAddr::from(Ipv6Addr::from(address)).to_canonical();
    SocketAddr::new(address, u16::from_be_bytes(port))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
const fn to_f64(millis: u64) -> f64 {
    millis as f64
}

#[cfg(test)]
mod tests {
    use lb_common::{ended::Cause, flow::flags_seen, mapped};
    use serde_json::json;

    use super::*;

    const SECOND: u32 = ticks::from_nanos(1_000_000_000);

    fn ended() -> Ended {
        Ended {
            client: mapped([198, 51, 100, 7]),
            client_port: 40_000_u16.to_be_bytes(),
            vip: mapped([203, 0, 113, 10]),
            vip_port: 80_u16.to_be_bytes(),
            source: mapped([10, 0, 0, 1]),
            source_port: 1_025_u16.to_be_bytes(),
            backend: mapped([10, 0, 0, 11]),
            backend_port: 8_080_u16.to_be_bytes(),
            cause: Cause::Expired as u32,
            seen: (flags_seen::SHAKEN | flags_seen::FINS).into(),
            began: 10 * SECOND,
            last_seen: 12 * SECOND,
            ..Ended::default()
        }
    }

    fn now() -> Now {
        Now { at: "2026-01-02T03:04:05Z".parse().expect("a time"), ticks: 13 * SECOND }
    }

    #[test]
    fn text_and_json_say_the_same() {
        let line = Line::new(&ended(), Some("web"), now());
        let expected = "ended=2026-01-02T03:04:04.000Z started=2026-01-02T03:04:02.002Z \
             seconds=1.998 last_packet=2026-01-02T03:04:04.000Z service=web client=198.51.100.7:40000 vip=203.0.113.10:80 \
             source=10.0.0.1:1025 backend=10.0.0.11:8080 end=closed";
        assert_eq!(line.text(), expected);
        let expected = json!({
            "ended": "2026-01-02T03:04:04.000Z", "started": "2026-01-02T03:04:02.002Z",
            "seconds": 1.998, "last_packet": "2026-01-02T03:04:04.000Z", "service": "web", "client": "198.51.100.7:40000",
            "vip": "203.0.113.10:80", "source": "10.0.0.1:1025", "backend": "10.0.0.11:8080",
            "end": "closed",
        });
        assert_eq!(serde_json::to_value(&line).expect("JSON"), expected);
    }

    #[test]
    fn a_connection_that_was_removed_ended_then() {
        let seen = (flags_seen::SHAKEN | flags_seen::PROVEN).into();
        let killed = Ended { seen, cause: Cause::Killed as u32, removed: 13 * SECOND, ..ended() };
        let line = Line::new(&killed, None, now()).text();
        let expected = "ended=2026-01-02T03:04:05.000Z started=2026-01-02T03:04:02.002Z \
             seconds=2.997 last_packet=2026-01-02T03:04:04.000Z ";
        assert!(line.starts_with(expected) && line.ends_with(" end=killed"), "{line}");
    }

    #[test]
    fn traffic_is_told_where_it_is_known() {
        let inbound = Count { packets: 3, bytes: 180 };
        let known = Ended { inbound, ..ended() };
        let line = Line::new(&known, None, now()).text();
        assert!(line.ends_with(" packets_in=3 packets_out=0 bytes_in=180 bytes_out=0"), "{line}");
        assert!(!line.contains("service="), "{line}");
    }
}
