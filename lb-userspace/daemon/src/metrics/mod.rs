//! Metrics for Prometheus.

mod host;
mod page;
mod samples;
mod services;
mod traffic;

use std::{
    collections::BTreeMap,
    fmt, iter,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

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
#[derive(Debug)]
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

impl Metric {
    /// Returns its name with the prefix. Metrics of the process have the names that all exporters give them.
    fn full_name(&self) -> String {
        if self.is_of_process() {
            return self.name.to_owned();
        }
        format!("{PREFIX}_{}", self.name)
    }

    fn is_of_process(&self) -> bool {
        self.name.starts_with("process_")
    }
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

/// Returns all metrics as text, in parts.
pub(super) fn encode(overview: Overview, format: Format) -> Result<Vec<String>, fmt::Error> {
    let waiting = Mutex::new(all().enumerate().collect());
    let work = Work { overview: Arc::new(overview), format, waiting };
    let mut texts = thread::scope(|scope| -> Result<Texts, fmt::Error> {
        let second = thread::Builder::new().name("metrics".to_owned());
        // Without it, this thread writes all.
        let second = second.spawn_scoped(scope, || work.write()).ok();
        let mut texts = work.write()?;
        if let Some(second) = second {
            texts.append(&mut second.join().map_err(|_| fmt::Error)??);
        }
        Ok(texts)
    })?;
    if format == Format::OpenMetrics {
        text::encode_eof(texts.entry(usize::MAX).or_default())?;
    }
    Ok(texts.into_values().collect())
}

/// Texts of metrics, by place.
type Texts = BTreeMap<usize, String>;

/// What threads share that write metrics.
struct Work {
    overview: Arc<Overview>,
    format: Format,
    /// Metrics and their places.
    waiting: Mutex<Vec<(usize, &'static Metric)>>,
}

impl Work {
    /// Writes metrics until none is left.
    fn write(&self) -> Result<Texts, fmt::Error> {
        let texts = iter::from_fn(|| self.next()).map(|(place, metric)| {
            let one = One { metric, overview: Arc::clone(&self.overview) };
            Ok((place, one.text(self.format)?))
        });
        texts.collect()
    }

    /// Takes the last metric, as the longest ones are at the end: so the threads are done at about the same
    /// time.
    fn next(&self) -> Option<(usize, &'static Metric)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// One metric, with all its samples.
#[derive(Debug)]
struct One {
    metric: &'static Metric,
    overview: Arc<Overview>,
}

impl One {
    fn text(self, format: Format) -> Result<String, fmt::Error> {
        let is_of_process = self.metric.is_of_process();
        let mut registry =
            if is_of_process { Registry::default() } else { Registry::with_prefix(PREFIX) };
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        match format {
            Format::OpenMetrics => text::encode_registry(&mut text, &registry)?,
            Format::Text => prometheus_text::encode(&mut text, &registry)?,
        }
        Ok(text)
    }
}

impl Collector for One {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Metric { name, kind, help, write, .. } = self.metric;
        let metric_encoder = encoder.encode_descriptor(name, help, None, (*kind).into())?;
        write(&self.overview, &mut Samples(metric_encoder))
    }
}

#[cfg(test)]
mod tests;
