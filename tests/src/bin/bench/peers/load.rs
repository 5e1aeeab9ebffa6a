//! Loads on the candidates.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// One connection per request.
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

    /// Returns a rate of requests or bits per second that every candidate achieves, for comparing
    /// CPU.
    #[must_use]
    pub fn fixed_rate(self) -> u32 {
        match self {
            Self::NewConnections => 2_400,
            Self::KeepAlive => 10_000,
            Self::Bulk => 1_000_000_000,
        }
    }

    /// Returns the unit of rates.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::NewConnections | Self::KeepAlive => "requests",
            Self::Bulk => "bits",
        }
    }

    /// Returns the unit that CPU time is given per.
    #[must_use]
    pub fn piece(self) -> &'static str {
        match self {
            Self::NewConnections | Self::KeepAlive => "request",
            Self::Bulk => "megabyte",
        }
    }
}
