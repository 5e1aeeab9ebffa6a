//! Counters keep their places from version to version, as an upgrade carries them over by index.

use lb_common::{reason::Reason, stats::Incident};

const REASONS: &str = "forwarded replied reset_no_backend reset_unknown_flow not_ours not_ipv4 not_tcp vlan \
    ip_options fragment truncated other_mac table_full ports_exhausted client_hops_full unreachable \
    stray_reset quarantined contended reset_failed no_egress reset_capped migrating ttl_expired \
    ip_options_to_service fragment_to_service bad_flags group_mac martian_source wrong_interface refused \
    guarded";

const INCIDENTS: &str = "port_clashes early_port_reuses evicted_closed evicted_closing evicted_half_open \
    evicted_answered evicted_established refused_by_backend rescheduled client_path_changes";

#[test]
fn new_counters_are_the_last() {
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    for (known, now) in REASONS.split_whitespace().zip(reasons) {
        assert_eq!(known, now);
    }
    let incidents = Incident::ALL.iter().map(|incident| incident.as_str());
    for (known, now) in INCIDENTS.split_whitespace().zip(incidents) {
        assert_eq!(known, now);
    }
}
