//! What would happen to a packet, and why: by a dry run of the loaded program with the live maps.

mod arrival;
mod selection;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use lb_common::{
    flow::FlowKey,
    trail::{Met, Trail},
    unmapped,
};
use lb_dataplane::{Rehearsal, Rehearsed, Variants};
use lb_model::{
    Refusal,
    connections::Connection,
    views::explanation::{Explanation, FlowMet, PacketQuery, SentView},
};
use tokio::sync::OnceCell;

pub(super) use self::arrival::Links;
use self::{arrival::Arriving, selection::selection};
use super::{
    counters, frame::Headers, interfaces::Interface, refusals::failed, variants, views::Views,
};

/// The variant of the program that explains packets: it uses the live maps, so it is loaded only once.
#[derive(Clone, Debug)]
pub struct Explainer {
    variants: Variants,
    loaded: Arc<OnceCell<Loaded>>,
}

/// The variant, once it is loaded.
#[derive(Clone, Debug)]
pub struct Loaded(Arc<Mutex<Rehearsal>>);

impl Explainer {
    pub(super) fn new(variants: Variants) -> Self {
        Self { variants, loaded: Arc::default() }
    }

    /// Returns the variant, and loads it first if that has not been done or has failed.
    pub(super) async fn loaded(&self) -> Result<Loaded, Refusal> {
        let variants = self.variants.clone();
        let load = async || {
            let rehearsal = variants::load(move || Rehearsal::load(&variants)).await?;
            Ok(Loaded(Arc::new(Mutex::new(rehearsal))))
        };
        self.loaded.get_or_try_init(load).await.cloned()
    }

    /// Loads the variant for the first that asks.
    pub(super) async fn prepare(self) {
        if let Err(refusal) = self.loaded().await {
            log::warn!("packets cannot be explained yet: {}", refusal.detail());
        }
    }
}

impl Loaded {
    fn run(&self, frame: &[u8], ifindex: u32) -> Result<Rehearsed, Refusal> {
        let mut rehearsal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rehearsal.run(frame, ifindex).map_err(failed)
    }

    /// Explains a packet, by the state that the views are of.
    pub(super) fn explain(
        &self,
        views: &Views<'_>,
        query: &PacketQuery,
        links: &Links,
    ) -> Result<Explanation, Refusal> {
        let arriving = Arriving::of(views.snapshot, query, links)?;
        let frame = arriving.frame().map_err(failed)?;
        let told = self.run(&frame, arriving.ifindex)?;
        let trail = told.trail;
        let reason = counters::reason_of(&trail);
        let is_sent = trail.egress != 0;
        let sent = is_sent.then(|| Headers::of(&told.frame)).flatten();
        let sent = sent.map(|headers| {
            let is_unknown = arriving.is_sender_unknown(&headers);
            let view = headers.sent(views.snapshot.interface_name(trail.egress));
            SentView { to_mac: view.to_mac.filter(|_| !is_unknown), ..view }
        });
        let connection = connection(views, &trail);
        let interfaces = views.snapshot.interfaces.iter();
        let used = interfaces.filter(|one| [arriving.ifindex, trail.egress].contains(&one.ifindex));
        let warnings = used.filter_map(Interface::outage).collect();
        Ok(Explanation {
            verdict: reason.verdict().as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            meaning: counters::of_reason(reason).to_owned(),
            flow: met(&trail),
            service: service(views, &trail, connection.as_ref()),
            connection,
            selection: selection(views, &trail)?,
            sent,
            warnings,
            packet: arriving.into(),
        })
    }
}

fn met(trail: &Trail) -> FlowMet {
    match Met::from_number(trail.met) {
        Some(Met::Known) => FlowMet::Known,
        Some(Met::Replaced) => FlowMet::Replaced,
        Some(Met::Unknown) => FlowMet::Unknown,
        Some(Met::Nothing) | None => FlowMet::NotAsked,
    }
}

fn connection(views: &Views<'_>, trail: &Trail) -> Option<Connection> {
    let is_met = matches!(met(trail), FlowMet::Known | FlowMet::Replaced);
    let (client, vip) = (unmapped(trail.client), unmapped(trail.vip));
    let key = FlowKey::tcp(client, trail.client_port, vip, trail.vip_port);
    is_met.then(|| views.listing().connection(&key)).flatten()
}

/// Returns the name of the packet's service: of a known connection, its own. A packet of an unknown one that is
/// no SYN is to a service as well, if it is to its VIP.
fn service(views: &Views<'_>, trail: &Trail, connection: Option<&Connection>) -> Option<String> {
    let vip = SocketAddr::from((unmapped(trail.vip), u16::from_be_bytes(trail.vip_port)));
    let mut services = views.snapshot.state.services();
    let found = match (trail.service, connection) {
        (0, Some(connection)) => return connection.service.clone(),
        (0, None) => services.find(|service| service.spec.vip.address == vip),
        (selected, _) => services.find(|service| service.id + 1 == selected),
    };
    found.map(|service| service.spec.name.clone())
}
