//! What many measurements of one thing say.

/// Measurements in order of size; at least one.
#[derive(Clone, Debug)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// # Panics
    ///
    /// If nothing was measured.
    #[must_use]
    pub fn new(mut measured: Vec<f64>) -> Self {
        assert!(!measured.is_empty(), "there is at least one round");
        measured.sort_by(f64::total_cmp);
        Self { sorted: measured }
    }

    #[must_use]
    pub fn rounds(&self) -> usize {
        self.sorted.len()
    }

    #[must_use]
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    #[must_use]
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// The middle one, or the upper of two.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    /// The smallest that this share of all does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no sample has 2^52 measurements")]
        let rank = (share * self.sorted.len() as f64).ceil();
        #[expect(clippy::cast_possible_truncation, reason = "at most the length")]
        #[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
        let rank = rank as usize;
        self.sorted[rank.clamp(1, self.sorted.len()) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn a_sample_is_ordered() {
        let sample = Sample::new(vec![3.0, -1.0, 2.0]);
        let found = [sample.min(), sample.median(), sample.max()];
        assert!(found.iter().zip([-1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }
}
