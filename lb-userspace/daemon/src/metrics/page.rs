//! Documentation of the metrics.

use super::{Kind, all};

const HEAD: &str = "# Metrics\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    `http://127.0.0.1:9370/metrics` (`api.http`) has these metrics, for Prometheus and whatever reads\n\
    its text format or OpenMetrics. Removed services and backends vanish; no label is a client's\n\
    address.\n\n\
    | metric | type | labels | meaning |\n|---|---|---|---|\n";

/// Returns the reference page of all metrics, in Markdown.
#[must_use]
pub fn page() -> String {
    let lines = all().map(|metric| {
        let (kind, suffix) = match metric.kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
            Kind::Info => ("gauge", "_info"),
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, labels, help) = (metric.full_name(), labels.join(", "), metric.help);
        format!("| `{name}{suffix}` | {kind} | {labels} | {help} |\n")
    });
    HEAD.to_owned() + &lines.collect::<String>()
}
