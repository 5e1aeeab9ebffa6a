//! A frame's path: parse, filter, look up, and forward on a known connection or a new one.

use lb_common::{flow::FlowKey, reason::Reason, tcp, trail::Met};

use crate::{
    again::{self, Asked},
    arrival, flow, group,
    history::History,
    known, new,
    outcome::{Outcome, Stop},
    parse,
    raw::Packet,
    reply, trail, unforwardable, vip_filter,
};

/// Decides on a frame, and rewrites it if it is sent.
#[inline(always)]
pub(crate) fn decide(packet: &mut Packet) -> Outcome {
    match run(packet) {
        Ok(outcome) => outcome,
        Err(Stop::Reset(reason)) => reply::reset(packet, reason),
        Err(Stop::Quietly(reason)) => Outcome::of_unsent(unforwarded(packet, reason)),
    }
}

/// Returns the final reason for a frame that is not sent.
#[inline(always)]
fn unforwarded(packet: &mut Packet, reason: Reason) -> Reason {
    let reason = match reason {
        Reason::IpOptions | Reason::Fragment => unforwardable::named(packet, reason),
        reason => reason,
    };
    match reason {
        Reason::NotIpv4
        | Reason::NotTcp
        | Reason::Vlan
        | Reason::IpOptions
        | Reason::Fragment
        | Reason::Truncated => group::unhandled(packet, reason),
        reason => reason,
    }
}

#[inline(always)]
fn run(packet: &mut Packet) -> Result<Outcome, Stop> {
    let (context, ingress) = (packet.context(), packet.ingress());
    let headers = parse::headers(packet)?;
    trail::packet(headers);
    if !vip_filter::may_be_ours(headers.ip.dst) {
        return Err(Reason::NotOurs.into());
    }
    let key = FlowKey::of(headers);
    let known = flow::lookup(&key)?;
    if let Some(known) = &known
        && let Err(standby) = group::serves(known.backend.group)
    {
        arrival::at_our_mac(headers)?;
        return Err(standby.into());
    }
    let asked = match known {
        Some(known) if tcp::opens(headers.tcp.flags) => {
            arrival::of_client(headers, ingress)?;
            parse::time_to_live(headers)?;
            trail::met(Met::Replaced);
            again::ask(known)?
        }
        Some(known) => Asked::Known(known),
        None => {
            trail::met(Met::Unknown);
            Asked::New(History::default())
        }
    };
    match asked {
        Asked::Known(known) => {
            trail::known(&known);
            Ok(known::forward(headers, &known, ingress)?)
        }
        Asked::New(history) => new::admit(&context, headers, &key, ingress, history),
    }
}
