use std::collections::BTreeSet;

use super::*;
use crate::overview::example::overview;

#[test]
fn both_formats_have_the_same_samples() {
    let [open, plain] = [Format::OpenMetrics, Format::Text].map(|format| {
        let text = encode(overview(), format).expect("encoded").concat();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        // What the process uses changes between the two.
        let steady = samples.filter(|line| !line.starts_with("process_"));
        steady.map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    });
    // They write bounds of buckets differently.
    let others = |samples: &BTreeSet<String>| {
        samples.iter().filter(|line| !line.contains("le=")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&open), others(&plain));
    assert_eq!(open.len(), plain.len());
    for sample in [
        r#"xdplb_build_info{version="1.2.3"} 1"#,
        r#"xdplb_packets_total{verdict="tx",reason="forwarded"} 5"#,
        "xdplb_journal_records 7.0",
        "xdplb_program_runs_total 1000",
        "xdplb_program_run_seconds_total 0.25",
        r#"xdplb_service_connections_total{service="web\"\n"} 112"#,
        r#"xdplb_backend_connections_total{service="web\"\n",backend="10.0.0.11:80"} 2"#,
        r#"xdplb_backend_bytes_total{service="web\"\n",backend="10.0.0.11:80",direction="out"} 5"#,
        r#"xdplb_health_check_duration_seconds_bucket{le="5.0",service="web\"\n"} 3"#,
        r#"xdplb_health_check_duration_seconds_bucket{le="+Inf",service="web\"\n"} 4"#,
        r#"xdplb_health_check_duration_seconds_sum{service="web\"\n"} 6.5"#,
    ] {
        assert!(open.contains(sample), "{sample}: {open:#?}");
    }
}

#[test]
fn metrics_are_in_order_whichever_thread_wrote_them() {
    for (format, end) in [(Format::OpenMetrics, "# EOF\n"), (Format::Text, "\n")] {
        let text = encode(overview(), format).expect("encoded").concat();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let expected = all().map(Metric::full_name);
        assert!(
            types.zip(expected).all(|(found, expected)| found.starts_with(&expected)),
            "{text}"
        );
        assert_eq!(text.matches("# TYPE ").count(), all().count());
        assert_eq!(text.matches("# EOF").count(), usize::from(format == Format::OpenMetrics));
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn every_metric_is_documented_with_a_sentence() {
    let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all().count(), "a name is there twice");
    let page = page();
    for metric in all() {
        let line = format!("| `{}", metric.full_name());
        assert!(page.contains(&line) && metric.help.ends_with('.'), "{line}");
    }
}
