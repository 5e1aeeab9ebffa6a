//! Health checks.

use std::ops::Range;

use lb_health::{Fault, Prober};
use lb_model::{CheckRequest, HealthCheck, Probe, secrets::HIDDEN};

use super::periods::check_periods;
use crate::{
    diagnostics::{Diagnostic, Findings},
    located::Located,
    schema::{self, or},
    word,
};

/// Returns the check with the values of `base` where none are set. `owner` is the span of the
/// service's name; defaults have none, and need not be complete.
pub(super) fn health(
    health: &schema::Health,
    base: &HealthCheck,
    owner: Option<Range<usize>>,
    findings: &mut Findings,
) -> HealthCheck {
    for count in [&health.rise, &health.fall].into_iter().flatten() {
        if *count.get_ref() == 0 {
            findings.push(Diagnostic::error(
                count.span(),
                "0 is out of range",
                "a count of checks is 1 to 4294967295; 1 acts on the first check",
            ));
        }
    }
    let periods = [&health.interval, &health.fast_interval, &health.timeout];
    check_periods(periods.map(Option::as_ref), findings);
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
        request: request(health, former.unwrap_or(&CheckRequest::default())).normalized(),
    };
    check_order(health, &check, findings);
    if let Some(send) = health.send.as_ref().filter(|send| send.get_ref() == HIDDEN) {
        let message = format!("`send`: {HIDDEN} stands for a value that is not shown");
        findings.push(Diagnostic::error(send.span(), message, "give the value itself"));
    }
    for (key, probes, span) in useless(health, probe) {
        let message = format!("a check of type {} does not use `{key}`", word(&probe));
        let fix = format!("remove it, or give a `type` that uses it: {}", words(probes));
        findings.push(Diagnostic::error(span, message, fix));
    }
    if let Err(fault) = Prober::verify(&check) {
        blame(health, base, owner, &fault, findings);
    }
    check
}

/// Adds a finding once, at the key or where it is missing.
fn blame(
    health: &schema::Health,
    base: &HealthCheck,
    owner: Option<Range<usize>>,
    fault: &Fault,
    findings: &mut Findings,
) {
    let here = spans(health).into_iter().find(|(key, ..)| *key == fault.key);
    let is_default = owner.is_none();
    let is_said = Prober::verify(base).is_err_and(|of_base| of_base == *fault);
    let is_elsewhere = if fault.is_missing { is_default } else { is_said };
    // A key that could not be read is not missing, and has its own finding.
    let is_unread = fault.is_missing && findings.have_left_out_any(fault.key);
    if here.is_none() && (is_elsewhere || is_unread) {
        return;
    }
    let kind = health.r#type.as_ref().map(|one| one.span());
    let span = here.map(|(.., span)| span).or(kind).or(owner).unwrap_or_default();
    findings.push(Diagnostic::error(
        span,
        format!("`{}`: {}", fault.key, fault.message),
        fault.fix,
    ));
}

/// An explicit value overrides an inherited one.
fn check_order(health: &schema::Health, check: &HealthCheck, findings: &mut Findings) {
    let interval = check.interval;
    let shown = humantime::format_duration(interval);
    if let Some(timeout) = health.timeout.as_ref().filter(|one| **one.get_ref() > interval) {
        findings.push(Diagnostic::error(
            timeout.span(),
            format!("a check may not take longer than its interval of {shown}"),
            format!("give {shown} at most, or a longer `interval`"),
        ));
    }
    if let Some(fast) = health.fast_interval.as_ref().filter(|one| **one.get_ref() > interval) {
        findings.push(Diagnostic::error(
            fast.span(),
            format!("`fast_interval` is slower than the interval of {shown}"),
            format!("give less than {shown}, or omit it"),
        ));
    }
}

fn said<T: Clone>(value: Option<&Located<T>>) -> Option<T> {
    value.map(|value| value.get_ref().clone())
}

fn request(health: &schema::Health, base: &CheckRequest) -> CheckRequest {
    fn of<T: Clone>(value: Option<&Located<T>>, base: Option<&T>) -> Option<T> {
        said(value).or_else(|| base.cloned())
    }
    // An inherited key gives way to the other one of the pair.
    let expect = base.expect.as_ref().filter(|_| health.contains.is_none());
    let contains = base.contains.as_ref().filter(|_| health.expect.is_none());
    CheckRequest {
        address: health.address.as_ref().map(|address| **address.get_ref()).or(base.address),
        port: of(health.port.as_ref(), base.port.as_ref()),
        close: of(health.close.as_ref(), base.close.as_ref()),
        method: of(health.method.as_ref(), base.method.as_ref()),
        path: of(health.path.as_ref(), base.path.as_ref()),
        host: of(health.host.as_ref(), base.host.as_ref()),
        status: of(health.status.as_ref(), base.status.as_ref()),
        expect: of(health.expect.as_ref(), expect),
        contains: of(health.contains.as_ref(), contains),
        send: of(health.send.as_ref(), base.send.as_ref()),
        verify: of(health.verify.as_ref(), base.verify.as_ref()),
        sni: of(health.sni.as_ref(), base.sni.as_ref()),
        ca: of(health.ca.as_ref(), base.ca.as_ref()),
        certificate: of(health.certificate.as_ref(), base.certificate.as_ref()),
        key: of(health.key.as_ref(), base.key.as_ref()),
        command: of(health.command.as_ref(), base.command.as_ref()),
    }
}

const PLACED: &[Probe] =
    &[Probe::Tcp, Probe::Tls, Probe::Http, Probe::Https, Probe::SendExpect, Probe::Exec];
const CONNECTED: &[Probe] = &[Probe::Tcp, Probe::Tls, Probe::Http, Probe::Https, Probe::SendExpect];
const HTTP: &[Probe] = &[Probe::Http, Probe::Https];
const TLS: &[Probe] = &[Probe::Tls, Probe::Https];
const EXPECTING: &[Probe] = &[Probe::Http, Probe::Https, Probe::SendExpect];

/// Returns true if a check of this type uses a key of its request.
pub(crate) fn uses(probe: Probe, key: &str) -> bool {
    probes_of(key).contains(&probe)
}

fn probes_of(key: &str) -> &'static [Probe] {
    match key {
        "address" | "port" => PLACED,
        "close" => CONNECTED,
        "method" | "path" | "host" | "status" => HTTP,
        "expect" | "contains" => EXPECTING,
        "send" => &[Probe::SendExpect],
        "verify" | "sni" | "ca" | "certificate" | "key" => TLS,
        "command" => &[Probe::Exec],
        _ => &[],
    }
}

type Key = (&'static str, &'static [Probe], Range<usize>);

/// Returns the keys that are set, the probes that use them, and their spans.
fn spans(health: &schema::Health) -> Vec<Key> {
    fn of<T>(key: &'static str, value: Option<&Located<T>>) -> Option<Key> {
        value.map(|value| (key, probes_of(key), value.span()))
    }
    let keys = [
        of("address", health.address.as_ref()),
        of("port", health.port.as_ref()),
        of("close", health.close.as_ref()),
        of("method", health.method.as_ref()),
        of("path", health.path.as_ref()),
        of("host", health.host.as_ref()),
        of("status", health.status.as_ref()),
        of("expect", health.expect.as_ref()),
        of("contains", health.contains.as_ref()),
        of("send", health.send.as_ref()),
        of("verify", health.verify.as_ref()),
        of("sni", health.sni.as_ref()),
        of("ca", health.ca.as_ref()),
        of("certificate", health.certificate.as_ref()),
        of("key", health.key.as_ref()),
        of("command", health.command.as_ref()),
    ];
    keys.into_iter().flatten().collect()
}

/// Returns the spans of the keys that are set.
pub(crate) fn keys_of(health: &schema::Health) -> Vec<(&'static str, Range<usize>)> {
    spans(health).into_iter().map(|(key, _, span)| (key, span)).collect()
}

fn useless(health: &schema::Health, probe: Probe) -> impl Iterator<Item = Key> {
    spans(health).into_iter().filter(move |(_, probes, _)| !probes.contains(&probe))
}

fn words(probes: &[Probe]) -> String {
    probes.iter().map(word).collect::<Vec<_>>().join(", ")
}
