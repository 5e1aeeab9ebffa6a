//! Contents of the figures.

use super::{
    Content, Figure,
    bars::{Bar, Panel},
    lines::{Line, Point},
};
use crate::{
    flood,
    peers::{Load, Row},
    report::Report,
};

pub(super) fn all(report: &Report) -> [Figure; 6] {
    [flows(report), paths(report), scaling(report), live(report), peers(report), flood(report)]
}

fn flows(report: &Report) -> Figure {
    let open = "open connections";
    Figure {
        file: "flows.svg",
        title: "What a packet costs, by open connections",
        subtitle: "CPU time of a packet of a random connection, net of a program that only sends it \
                   back; dots: median, strokes: down to the minimum;\ngrey: floors. Programs that \
                   only read lines of as much memory, and a NAT by the kernel's hash map",
        content: vec![
            vec![lines(report, "flows", open, |path| !is_of_new(path))],
            vec![lines(report, "flows", open, is_of_new)],
        ],
    }
}

/// Returns true for new connections, and their floor.
fn is_of_new(path: &str) -> bool {
    matches!(path, "new" | "two_lines")
}

fn scaling(report: &Report) -> Figure {
    let services = lines(report, "services", "services", |_| true);
    let backends = lines(report, "backends", "backends of a service", |_| true);
    Figure {
        file: "scaling.svg",
        title: "What a packet costs, by services and backends",
        subtitle: "CPU time of a packet with 16,384 open connections, net of a program that only \
                   sends it back;\ndots: median, strokes: down to the minimum",
        content: vec![[services, backends].into_iter().filter(|one| !one.is_empty()).collect()],
    }
}

fn lines(report: &Report, what: &str, x: &'static str, shows: impl Fn(&str) -> bool) -> Content {
    let mut lines: Vec<Line> = Vec::new();
    for row in report.scaling.iter().filter(|row| row.what == what && shows(row.path)) {
        #[expect(clippy::cast_precision_loss, reason = "no size is 2^52")]
        let point = Point { size: row.size as f64, median: row.net_median, min: row.net_min };
        match lines.iter_mut().find(|line| line.name == row.path) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: row.path.to_owned(), points: vec![point] }),
        }
    }
    Content::Lines { axes: [x, "ns of CPU a packet"], lines }
}

fn paths(report: &Report) -> Figure {
    let least = report.ns_per_packet.iter().map(|row| row.flows).min();
    let rows = report.ns_per_packet.iter().filter(|row| Some(row.flows) == least);
    let bars = rows.map(|row| Bar { name: row.path, value: row.net_median, range: None, note: "" });
    Figure {
        file: "paths.svg",
        title: "What a packet costs, by its path through the program",
        subtitle: "Median CPU time with all data in the caches, net of a program that only sends \
                   the packet back",
        content: vec![vec![panel("ns of CPU a packet", bars)]],
    }
}

fn live(report: &Report) -> Figure {
    let bars = report.live_frames.iter().map(|row| Bar {
        name: row.program.name(),
        value: row.pps_median,
        range: Some([row.pps_min, row.pps_max]),
        note: "",
    });
    Figure {
        file: "live.svg",
        title: "Packets through a virtual cable",
        subtitle: "What one CPU generates, takes from a veth, handles and sends back; strokes: \
                   least and most of all rounds",
        content: vec![vec![panel("packets a second", bars)]],
    }
}

fn peers(report: &Report) -> Figure {
    let content = Load::ALL.into_iter().map(|load| {
        let rows = || report.end_to_end.iter().filter(move |row| row.load == load);
        let throughput = rows().filter_map(throughput);
        let cpu = rows().filter_map(marginal);
        let (unit, piece) = (load.unit(), load.piece());
        vec![
            panel(&format!("{}: {unit} a second", load.name()), throughput),
            panel(&format!("{}: CPU, µs a {piece}", load.name()), cpu),
        ]
    });
    Figure {
        file: "peers.svg",
        title: "Beside its peers",
        subtitle: "Left: at full tilt. Right: CPU of the whole machine at one fixed rate, less plain \
                   routing's. Strokes: least and most,\nor where the median lies by 95 %. disturbed: \
                   something else kept the machine busy in every round",
        content: content.collect(),
    }
}

fn throughput(row: &Row) -> Option<Bar> {
    let value = row.requests_per_s.or(row.bits_per_s)?;
    let range = row.requests_per_s_range.or(row.bits_per_s_range);
    Some(Bar { name: row.candidate.name(), value, range, note: "" })
}

fn marginal(row: &Row) -> Option<Bar> {
    let value = row.marginal_cpu_us_per_request.or(row.marginal_cpu_us_per_megabyte)?;
    let range =
        row.marginal_cpu_us_per_request_interval.or(row.marginal_cpu_us_per_megabyte_interval);
    let all_disturbed = row.disturbed_rounds >= row.cpu_rounds;
    let note = if all_disturbed { ", disturbed" } else { "" };
    Some(Bar { name: row.candidate.name(), value, range, note })
}

fn flood(report: &Report) -> Figure {
    let mut paces: Vec<_> = report.flood.iter().map(|row| row.asked_syn_per_s).collect();
    paces.dedup();
    let content = paces.into_iter().map(|pace| {
        let pace_name = match pace {
            Some(rate) => format!("{rate} SYNs/s"),
            None => "as many SYNs as go".to_owned(),
        };
        let rows = || report.flood.iter().filter(move |row| row.asked_syn_per_s == pace);
        vec![
            percentages(&format!("{pace_name}: new connections, % lost"), rows().map(canary)),
            percentages(&format!("{pace_name}: old connections, % lost"), rows().map(established)),
        ]
    });
    Figure {
        file: "flood.svg",
        title: "Under a SYN flood to the served port",
        subtitle: "Requests lost of a client that opens a connection for each, and of those whose \
                   connections were open before",
        content: content.collect(),
    }
}

fn canary(row: &flood::Row) -> Bar {
    share(row.candidate.name(), row.canary_lost, row.canary_requests)
}

fn established(row: &flood::Row) -> Bar {
    share(row.candidate.name(), row.established_lost, row.established_requests)
}

#[expect(clippy::cast_precision_loss, reason = "nobody asks 2^52 times")]
fn share(name: &'static str, lost: usize, of: usize) -> Bar {
    Bar { name, value: 100.0 * lost as f64 / of.max(1) as f64, range: None, note: "" }
}

fn panel(title: &str, bars: impl Iterator<Item = Bar>) -> Content {
    Content::Bars(Panel { title: title.to_owned(), bars: bars.collect(), whole: 0.0 })
}

fn percentages(title: &str, bars: impl Iterator<Item = Bar>) -> Content {
    Content::Bars(Panel { title: title.to_owned(), bars: bars.collect(), whole: 100.0 })
}
