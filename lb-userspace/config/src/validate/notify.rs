//! Recipients of notifications.

use std::{collections::HashSet, ops::Range, time::Duration};

use lb_model::{Notify, Recipient, secrets::HIDDEN};

use super::names_of_services;
use crate::{
    diagnostics::{Diagnostic, Findings, LeftOut},
    located::Located,
    schema::{self, or},
};

const MOST: usize = 16;

pub(crate) const MOST_RETRIES: u32 = 10;

const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);

const EXAMPLE: &str = "give a program, as in program = \"/usr/local/sbin/page\", or a url, as in url = \"https://hooks.example/page\"";

pub(crate) fn notify(
    tables: &[Located<schema::Notify>],
    services: &[Located<schema::Service>],
    findings: &mut Findings,
) -> Vec<Notify> {
    let mut seen = HashSet::new();
    for (nth, table) in tables.iter().enumerate() {
        let said = table.get_ref();
        let recipient = (
            said.program.as_ref().map(|one| one.get_ref()),
            said.url.as_ref().map(|one| one.get_ref()),
        );
        let events: Vec<_> = said.events.iter().flat_map(|events| events.get_ref()).collect();
        let services: Vec<_> = names_of(said).map(|name| name.get_ref()).collect();
        if nth == MOST {
            let message = format!("more than {MOST} recipients are given");
            findings.push(Diagnostic::error(table.span(), message, format!("give {MOST} at most")));
        }
        let is_hidden = said.url.as_ref().is_some_and(|url| url.get_ref() == HIDDEN);
        if recipient != (None, None) && !is_hidden && !seen.insert((recipient, events, services)) {
            let message = "this recipient is given twice";
            findings.push(Diagnostic::error(
                table.span(),
                message,
                "remove one, or select other events or services",
            ));
        }
    }
    tables.iter().filter_map(|table| one(table, services, findings)).collect()
}

fn names_of(said: &schema::Notify) -> impl Iterator<Item = &Located<String>> {
    said.services.iter().flat_map(|services| services.get_ref())
}

/// Warns of events that no service has.
fn warn_of_unmatched(said: &schema::Notify, findings: &mut Findings) {
    let Some(events) = said.events.as_ref().filter(|_| said.services.is_some()) else { return };
    for event in events.get_ref().iter().filter(|event| !event.has_service()) {
        let message = format!("`{}` is never told beside `services`", event.as_str());
        let fix = "it is about no service: give it a [[notify]] table without `services`";
        findings.push(Diagnostic::warning(events.span(), message, fix));
    }
}

fn one(
    table: &Located<schema::Notify>,
    services: &[Located<schema::Service>],
    findings: &mut Findings,
) -> Option<Notify> {
    let said = table.get_ref();
    let services = names_of_services(said.services.as_ref(), services, findings);
    warn_of_unmatched(said, findings);
    let recipient = recipient(table, findings);
    let empty = said.events.as_ref().filter(|events| events.get_ref().is_empty());
    // Words that are no events are left out, and errors already.
    let is_read =
        |list: Range<usize>| !findings.have_left_out(&LeftOut { owner: list, key: String::new() });
    if let Some(empty) = empty.filter(|list| is_read(list.span())) {
        let fix = "list some, or remove the key for all events";
        findings.push(Diagnostic::error(empty.span(), "no event is listed", fix));
    }
    let timeout = or(said.timeout.as_ref(), Notify::TIMEOUT);
    if let Some(period) = said.timeout.as_ref()
        && (timeout.is_zero() || timeout > LONGEST_TIMEOUT)
    {
        let fix = "give 1ms to 1m, as in timeout = \"10s\"";
        findings.push(Diagnostic::error(period.span(), "this time is out of range", fix));
    }
    let retries = said.retries.as_ref().map_or(Notify::RETRIES, |retries| *retries.get_ref());
    if let Some(given) = said.retries.as_ref().filter(|_| retries > MOST_RETRIES) {
        let message = format!("{retries} is out of range");
        let fix = format!("`retries` is 0 to {MOST_RETRIES}");
        findings.push(Diagnostic::error(given.span(), message, fix));
    }
    Some(Notify {
        recipient: recipient?,
        events: said.events.iter().flat_map(|events| events.get_ref()).copied().collect(),
        services,
        timeout,
        retries,
    })
}

fn recipient(table: &Located<schema::Notify>, findings: &mut Findings) -> Option<Recipient> {
    let said = table.get_ref();
    match (&said.program, &said.url) {
        (Some(program), None) => {
            let path = program.get_ref();
            if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
                let fix = "give one, as in program = \"/usr/local/sbin/page\"";
                findings.push(Diagnostic::error(
                    program.span(),
                    "this is not an absolute path",
                    fix,
                ));
            }
            Some(Recipient::Program(path.clone()))
        }
        (None, Some(url)) => {
            if let Some((message, fix)) = url_fault(url.get_ref()) {
                findings.push(Diagnostic::error(url.span(), message, fix));
            }
            Some(Recipient::Url(url.get_ref().clone()))
        }
        (Some(_), Some(url)) => {
            let fix = "give each a [[notify]] table of its own";
            findings.push(Diagnostic::error(url.span(), "there is a `program` already", fix));
            None
        }
        (None, None) => {
            let is_left_out = findings.have_left_out_of(&table.span());
            if !is_left_out && !findings.have_garbled(table.span().start) {
                let message = "there is neither a `program` nor a `url`";
                findings.push(Diagnostic::error(table.span(), message, EXAMPLE));
            }
            None
        }
    }
}

/// Returns the fault of a URL with its fix. The URL is not repeated, as it may contain a secret.
fn url_fault(url: &str) -> Option<(&'static str, &'static str)> {
    if url == HIDDEN {
        return None;
    }
    let fault = lb_notify::verify_url(url).err()?;
    Some((fault, "give one, as in url = \"https://hooks.example/page\""))
}
