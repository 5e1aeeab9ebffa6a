//! Health checks.

use std::ops::Range;

use serde_spanned::Spanned;

use super::{Findings, service::check_periods};
use crate::{
    config::{
        diagnostics::Diagnostic,
        schema::{self, or},
    },
    health::{Fault, Prober},
    model::{CheckRequest, HealthCheck, Probe},
};

/// What this says of checks, and `base` where it says nothing.
pub(super) fn health(
    health: &schema::Health,
    base: &HealthCheck,
    findings: &mut Findings,
) -> HealthCheck {
    for count in [&health.rise, &health.fall].into_iter().flatten() {
        if *count.get_ref() == 0 {
            let message = "a count of checks is at least 1";
            findings.push(Diagnostic::error(count.span(), message, "1 acts on the first check"));
        }
    }
    check_periods([&health.interval, &health.fast_interval, &health.timeout], findings);
    let probe = health.r#type.as_ref().map_or(base.probe, |probe| *probe.get_ref());
    let former = (probe == base.probe).then_some(&base.request);
    let check = HealthCheck {
        probe,
        interval: or(health.interval.as_ref(), base.interval),
        fast_interval: health
            .fast_interval
            .as_ref()
            .map(|one| **one.get_ref())
            .or(base.fast_interval),
        timeout: or(health.timeout.as_ref(), base.timeout),
        rise: said(health.rise.as_ref()).unwrap_or(base.rise),
        fall: said(health.fall.as_ref()).unwrap_or(base.fall),
        request: request(health, former.unwrap_or(&CheckRequest::default())),
    };
    for (key, _, span) in useless(health, probe) {
        let kind = crate::config::word(&probe);
        let message = format!("a check of type {kind} has no use for `{key}`");
        findings.push(Diagnostic::error(span, message, "remove it, or change `type`"));
    }
    if let Err(Fault { key, message }) = Prober::new(&check) {
        let span = spans(health).into_iter().find(|(its, ..)| *its == key).map(|(.., span)| span);
        let kind = health.r#type.as_ref().map(Spanned::span);
        let span = span.or(kind).unwrap_or_default();
        findings.push(Diagnostic::error(span, format!("`{key}`: {message}"), ""));
    }
    check
}

fn said<T: Clone>(value: Option<&Spanned<T>>) -> Option<T> {
    value.map(|value| value.get_ref().clone())
}

fn request(health: &schema::Health, base: &CheckRequest) -> CheckRequest {
    fn of<T: Clone>(value: Option<&Spanned<T>>, base: Option<&T>) -> Option<T> {
        said(value).or_else(|| base.cloned())
    }
    CheckRequest {
        address: of(health.address.as_ref(), base.address.as_ref()),
        port: of(health.port.as_ref(), base.port.as_ref()),
        method: of(health.method.as_ref(), base.method.as_ref()),
        path: of(health.path.as_ref(), base.path.as_ref()),
        host: of(health.host.as_ref(), base.host.as_ref()),
        status: of(health.status.as_ref(), base.status.as_ref()),
        expect: of(health.expect.as_ref(), base.expect.as_ref()),
        send: of(health.send.as_ref(), base.send.as_ref()),
        verify: of(health.verify.as_ref(), base.verify.as_ref()),
        sni: of(health.sni.as_ref(), base.sni.as_ref()),
        ca: of(health.ca.as_ref(), base.ca.as_ref()),
        certificate: of(health.certificate.as_ref(), base.certificate.as_ref()),
        key: of(health.key.as_ref(), base.key.as_ref()),
        command: of(health.command.as_ref(), base.command.as_ref()),
    }
}

const HTTP: &[Probe] = &[Probe::Http, Probe::Https];
const TLS: &[Probe] = &[Probe::Tls, Probe::Https];
const EXPECTING: &[Probe] = &[Probe::Http, Probe::Https, Probe::SendExpect];

type Key = (&'static str, &'static [Probe], Range<usize>);

/// The keys that are given, whose probes have a use for them, and where.
fn spans(health: &schema::Health) -> Vec<Key> {
    fn of<T>(
        key: &'static str,
        probes: &'static [Probe],
        value: Option<&Spanned<T>>,
    ) -> Option<Key> {
        value.map(|value| (key, probes, value.span()))
    }
    let keys = [
        of("method", HTTP, health.method.as_ref()),
        of("path", HTTP, health.path.as_ref()),
        of("host", HTTP, health.host.as_ref()),
        of("status", HTTP, health.status.as_ref()),
        of("expect", EXPECTING, health.expect.as_ref()),
        of("send", &[Probe::SendExpect], health.send.as_ref()),
        of("verify", TLS, health.verify.as_ref()),
        of("sni", TLS, health.sni.as_ref()),
        of("ca", TLS, health.ca.as_ref()),
        of("certificate", TLS, health.certificate.as_ref()),
        of("key", TLS, health.key.as_ref()),
        of("command", &[Probe::Exec], health.command.as_ref()),
    ];
    keys.into_iter().flatten().collect()
}

fn useless(health: &schema::Health, probe: Probe) -> impl Iterator<Item = Key> {
    spans(health).into_iter().filter(move |(_, probes, _)| !probes.contains(&probe))
}
