use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Not,
    str::FromStr,
    time::Duration,
};

use clap::ValueEnum;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionState, Order};
use crate::patterns;

/// Selects the connections that match all of these criteria.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[schemars(regex(pattern = patterns::ADDRESS))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// An address, an address and its port, or a network.
    #[schemars(with = "Option<String>", regex(pattern = patterns::CLIENT))]
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientFilter>,
    /// Any of these, comma-separated; all states if empty.
    #[schemars(with = "Option<String>", regex(pattern = patterns::STATES))]
    #[serde(with = "words", skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<ConnectionState>,
    /// Idle for longer than this.
    #[schemars(with = "Option<String>", regex(pattern = patterns::PERIOD_OR_NONE))]
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub idle_over: Option<Duration>,
    /// Order of a list, which then has 1,000 connections unless `limit` says otherwise, and 10,000 at
    /// most.
    #[schemars(with = "Option<String>", regex(pattern = patterns::ORDER))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<Order>,
    /// Turn the order round.
    #[serde(skip_serializing_if = "Not::not")]
    pub reverse: bool,
    /// Maximum number of connections, or of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// An address, a network, or an address and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFilter {
    network: IpNet,
    port: Option<u16>,
}

impl Filter {
    /// Returns true if it selects all connections.
    #[must_use]
    pub fn admits_all(&self) -> bool {
        let Self { service, backend, client, state, idle_over, .. } = self;
        let has_none = service.is_none() && backend.is_none() && client.is_none();
        has_none && state.is_empty() && idle_over.is_none()
    }

    /// Returns true if connections of this service and backend can match.
    #[must_use]
    pub fn admits_owner(&self, service: Option<&str>, backend: SocketAddr) -> bool {
        let service = service.map(|name| name.strip_suffix(super::REMOVED).unwrap_or(name));
        self.service.as_deref().is_none_or(|wanted| Some(wanted) == service)
            && self.backend.is_none_or(|wanted| wanted == backend)
    }

    #[must_use]
    pub fn admits_client(&self, client: SocketAddr) -> bool {
        self.client.is_none_or(|wanted| wanted.admits(client))
    }

    #[must_use]
    pub fn admits_state(&self, state: ConnectionState) -> bool {
        self.state.is_empty() || self.state.contains(&state)
    }

    #[must_use]
    pub fn admits_idle(&self, idle: Duration) -> bool {
        self.idle_over.is_none_or(|limit| idle > limit)
    }
}

/// Formats as in `service web, state closing`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, backend, client, state, idle_over, limit, .. } = self;
        let states = state.iter().filter_map(ValueEnum::to_possible_value);
        let states: Vec<_> = states.map(|state| state.get_name().to_owned()).collect();
        let criteria = [
            service.as_ref().map(|service| format!("service {service}")),
            backend.map(|backend| format!("backend {backend}")),
            client.map(|client| format!("client {client}")),
            (!states.is_empty()).then(|| format!("state {}", states.join(" or "))),
            idle_over.map(|idle| format!("idle for over {idle:?}")),
            limit.map(|limit| format!("{limit} at most")),
        ];
        let criteria: Vec<_> = criteria.into_iter().flatten().collect();
        f.write_str(&criteria.join(", "))
    }
}

impl ClientFilter {
    #[must_use]
    pub fn network(self) -> IpNet {
        self.network
    }

    /// Returns the only port, if it is one client's.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        self.port
    }

    fn admits(self, client: SocketAddr) -> bool {
        self.network.contains(&client.ip()) && self.port.is_none_or(|port| port == client.port())
    }
}

impl FromStr for ClientFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(end) = text.parse::<SocketAddr>() {
            return Ok(Self { network: end.ip().into(), port: Some(end.port()) });
        }
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        let network = network.map_err(|_| {
            format!("`{text}` is not a client: give ADDRESS, ADDRESS:PORT or NETWORK/LENGTH")
        })?;
        Ok(Self { network: network.trunc(), port: None })
    }
}

impl fmt::Display for ClientFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.network.addr(), port).fmt(f),
            None => self.network.fmt(f),
        }
    }
}

/// Serialization as one string.
pub(crate) mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::ClientFilter;

    #[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
    pub(crate) fn serialize<S: Serializer>(
        client: &Option<ClientFilter>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match client {
            Some(client) => serializer.collect_str(client),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ClientFilter>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(D::Error::custom)
    }
}

/// Serialization as a comma-separated list.
mod words {
    use clap::ValueEnum;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::ConnectionState;

    pub(super) fn serialize<S: Serializer>(
        states: &[ConnectionState],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let words = states.iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
        serializer.serialize_str(&words.join(","))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<ConnectionState>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let state = |word: &str| {
            ConnectionState::from_str(word, false).map_err(|_| {
                let all = all().join(", ");
                D::Error::custom(format!(
                    "`{word}` is not a state: give one or more of {all}, separated by commas"
                ))
            })
        };
        text.split(',').map(state).collect()
    }

    /// Returns the names of all states.
    fn all() -> Vec<String> {
        let states = ConnectionState::value_variants().iter();
        let names = states.filter_map(ValueEnum::to_possible_value);
        names.map(|name| name.get_name().to_owned()).collect()
    }
}
