//! `explain`: what would happen to a packet, and why.

use std::process::ExitCode;

use clap::ValueEnum as _;
use lb_client::Client;
use lb_model::{
    connections::Connection,
    views::explanation::{
        Candidate, Certainty, Explanation, FlowMet, PacketQuery, PacketView, Selection, SentView,
    },
};

use super::{
    args::Output,
    conns::span,
    exit::Failure,
    output::{print_json, print_line, print_table, table},
};

pub(super) async fn explain(
    client: &Client,
    query: &PacketQuery,
    output: Output,
) -> Result<ExitCode, Failure> {
    let explanation = client.explain(query).await?;
    if output.is_json() {
        print_json(&explanation)?;
    } else {
        print(&explanation)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(told: &Explanation) -> Result<(), Failure> {
    for (heading, text) in lines_of(told) {
        print_line(&format!("{heading:<11} {text}"))?;
    }
    for warning in &told.warnings {
        print_line(&format!("{:<11} {warning}", "warning"))?;
    }
    let Some(Selection { candidates, .. }) = &told.selection else { return Ok(()) };
    print_line("")?;
    let mut backends = table(&["BACKEND", "SELECTED"]);
    for Candidate { address, why_not } in candidates {
        let selected = why_not.as_ref().map_or_else(|| "yes".into(), |why| format!("no: {why}"));
        backends.add_row([address.to_string(), selected]);
    }
    Ok(print_table(&backends)?)
}

fn lines_of(told: &Explanation) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("packet", packet(&told.packet)),
        ("verdict", format!("{}: {}", told.verdict, told.reason)),
        ("meaning", told.meaning.clone()),
    ];
    lines.extend(told.service.clone().map(|service| ("service", service)));
    lines.extend(flow(told.flow).map(|text| ("flow", text.to_owned())));
    lines.extend(told.connection.as_ref().map(|one| ("connection", connection(one))));
    lines.extend(told.selection.as_ref().map(|one| ("selection", selection(one))));
    if let Some(sent) = &told.sent {
        lines.push(("sent as", format!("{} > {} {}", sent.from, sent.to, sent.flags)));
        lines.push(("next hop", next_hop(sent)));
    }
    lines
}

fn packet(PacketView { from, to, flags, interface }: &PacketView) -> String {
    format!("{from} > {to} {flags}, in by {interface}")
}

fn flow(met: FlowMet) -> Option<&'static str> {
    match met {
        FlowMet::NotAsked => None,
        FlowMet::Known => Some("of a known connection"),
        FlowMet::Unknown => Some("of no known connection"),
        FlowMet::Replaced => {
            Some("a new connection in place of one that is over, refused or abandoned")
        }
    }
}

fn connection(one: &Connection) -> String {
    let Connection { client, source, backend, state, age_seconds, idle_seconds, .. } = one;
    let (age, idle) = (span(*age_seconds), span(*idle_seconds));
    let state = state.to_possible_value();
    let state = state.as_ref().map_or("", |state| state.get_name());
    format!("{client}, as {source} > {backend}: {state}, {age} old, idle for {idle}")
}

fn selection(Selection { scheduler, certainty, slot, slots, backend, .. }: &Selection) -> String {
    let Some((slot, backend)) = slot.zip(*backend) else {
        return format!("{scheduler}: no backend takes connections");
    };
    let certainty = match certainty {
        Certainty::Always => "always for this client, as long as the backends stay the same",
        Certainty::Next => "if this is the next connection",
        Certainty::NextOnOneCpu => "if this is the next connection on the same CPU",
        Certainty::Drawn => "drawn at random: another connection may get another one",
    };
    format!("{scheduler}, slot {slot} of {slots}: {backend} ({certainty})")
}

fn next_hop(SentView { interface, from_mac, to_mac, .. }: &SentView) -> String {
    let to = to_mac.as_deref().unwrap_or("back to the sender");
    format!("{to}, from {from_mac}, out by {interface}")
}
