//! Metrics for Prometheus.

mod host;
mod page;
mod samples;
mod services;
mod traffic;

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, prometheus_text, text},
    metrics::MetricType,
    registry::Registry,
};

pub use self::page::page;
use self::samples::Samples;
use super::overview::Overview;

const PREFIX: &str = "xdplb";

/// A metric: its name without prefix and, for counters, without `_total`.
pub(super) struct Metric {
    name: &'static str,
    kind: Kind,
    /// One sentence.
    help: &'static str,
    /// Label keys, for the documentation.
    labels: &'static [&'static str],
    write: fn(&Overview, &mut Samples<'_>) -> fmt::Result,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge,
            Kind::Histogram => Self::Histogram,
            Kind::Info => Self::Info,
        }
    }
}

fn all() -> impl Iterator<Item = &'static Metric> {
    [host::METRICS, traffic::METRICS, services::METRICS].into_iter().flatten()
}

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Text,
}

impl Format {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Returns all metrics as text.
pub(super) fn encode(overview: Overview, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(All(Arc::new(overview))));
    let mut text = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut text, &registry)?,
        Format::Text => prometheus_text::encode(&mut text, &registry)?,
    }
    Ok(text)
}

#[derive(Debug)]
struct All(Arc<Overview>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in all() {
            let Metric { name, kind, help, .. } = metric;
            let metric_encoder = encoder.encode_descriptor(name, help, None, (*kind).into())?;
            (metric.write)(&self.0, &mut Samples(metric_encoder))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
