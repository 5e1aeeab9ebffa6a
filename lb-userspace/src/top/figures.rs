//! Numbers in few characters.

use std::time::Duration;

/// Formats in three digits at most, as in `0.5`, `12`, `3.4k` or `120M`.
pub(super) fn short(number: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut rest = number;
    let mut unit = 0;
    // What would be rounded to a thousand belongs to the next unit.
    while rest >= 999.5 && unit + 1 < UNITS.len() {
        rest /= 1_000.0;
        unit += 1;
    }
    let has_fraction = rest < 9.95 && (unit > 0 || rest.fract() > 0.0);
    if has_fraction {
        format!("{rest:.1}{}", UNITS[unit])
    } else {
        format!("{rest:.0}{}", UNITS[unit])
    }
}

/// Formats a time in three digits at most, as in `340us`, `1.2ms` or `12s`.
pub(super) fn latency(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        ..999.5e-6 => (seconds * 1e6, "us"),
        ..0.9995 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let decimals = usize::from(unit != "us" && value < 9.95);
    format!("{value:.decimals$}{unit}")
}

/// Formats a share in percent.
#[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_at_most() {
        let numbers = [0.0, 0.46, 7.0, 12.4, 999.4, 999.6, 3_440.0, 99_950.0, 12e6, 7.26e9, 3e18];
        let shown = numbers.map(short);
        let expected =
            ["0", "0.5", "7", "12", "999", "1.0k", "3.4k", "100k", "12M", "7.3G", "3000P"];
        assert_eq!(shown, expected);
        let micros = [0, 340, 999, 1_240, 12_000, 999_600, 30_000_000];
        let shown = micros.map(|micros| latency(Duration::from_micros(micros)));
        assert_eq!(shown, ["0us", "340us", "999us", "1.2ms", "12ms", "1.0s", "30s"]);
        assert_eq!([percent(0, 0), percent(1, 8)], ["0.0 %", "12.5 %"]);
    }
}
