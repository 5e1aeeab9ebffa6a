//! Samples of one metric.

use std::fmt;

use prometheus_client::{
    encoding::{
        EncodeCounterValue, EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, MetricEncoder,
    },
    metrics::exemplar::Exemplar,
};

/// Where the samples of a metric are written.
pub(super) struct Samples<'a>(pub(super) MetricEncoder<'a>);

/// Keys and values.
pub(super) type Label<'a> = (&'static str, &'a str);

struct Labels<'a>(&'a [Label<'a>]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|label| label.encode(encoder.encode_label()))
    }
}

/// Counters have no exemplars.
const NONE: Option<&Exemplar<Labels<'static>, f64>> = None;

impl Samples<'_> {
    pub(super) fn counter(
        &mut self,
        labels: &[Label<'_>],
        value: impl EncodeCounterValue + Copy,
    ) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_counter(&value, NONE);
        }
        self.0.encode_family(&Labels(labels))?.encode_counter(&value, NONE)
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 is enough")]
    pub(super) fn count(&mut self, labels: &[Label<'_>], value: u64) -> fmt::Result {
        self.gauge(labels, value as f64)
    }

    pub(super) fn flag(&mut self, labels: &[Label<'_>], value: bool) -> fmt::Result {
        self.gauge(labels, f64::from(u8::from(value)))
    }

    pub(super) fn gauge(&mut self, labels: &[Label<'_>], value: f64) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_gauge(&value);
        }
        self.0.encode_family(&Labels(labels))?.encode_gauge(&value)
    }

    pub(super) fn info(&mut self, labels: &[Label<'_>]) -> fmt::Result {
        self.0.encode_info(&Labels(labels))
    }

    /// `buckets` are upper bounds with counts, not cumulated.
    pub(super) fn histogram(
        &mut self,
        labels: &[Label<'_>],
        sum: f64,
        buckets: &[(f64, u64)],
    ) -> fmt::Result {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let labels = Labels(labels);
        let mut family = self.0.encode_family(&labels)?;
        family.encode_histogram::<Labels<'_>>(sum, count, buckets, None)
    }
}
