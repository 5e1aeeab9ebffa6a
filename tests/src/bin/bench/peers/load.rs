//! What is asked of the candidates.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// One for each request.
    NewConnections,
    KeepAlive,
    /// Bytes, by iperf3.
    Bulk,
}

impl Load {
    pub const ALL: [Self; 3] = [Self::NewConnections, Self::KeepAlive, Self::Bulk];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewConnections => "new_connections",
            Self::KeepAlive => "keep_alive",
            Self::Bulk => "bulk",
        }
    }

    /// Requests, or bits, a second that every candidate can do, at which CPU is compared.
    #[must_use]
    pub fn fixed_rate(self) -> u32 {
        match self {
            Self::NewConnections => 2_400,
            Self::KeepAlive => 10_000,
            Self::Bulk => 1_000_000_000,
        }
    }

    /// What a second has a fixed number of.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::NewConnections | Self::KeepAlive => "requests",
            Self::Bulk => "bits",
        }
    }

    /// What CPU is told for.
    #[must_use]
    pub fn piece(self) -> &'static str {
        match self {
            Self::NewConnections | Self::KeepAlive => "request",
            Self::Bulk => "megabyte",
        }
    }
}
