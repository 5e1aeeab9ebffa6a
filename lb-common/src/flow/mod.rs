//! Flows: the balancer's record of a connection.
//!
//! A connection is a pair of entries, one for each direction. Both hold the same [`Pair`], from which,
//! with the [`Endpoints`] of its backend, the tuples on both sides of the balancer follow: that of the
//! packets that an entry matches, and the one that they get.

mod datagrams;
mod direction;
mod entry;
mod family;
pub mod flags_seen;
mod pair;
mod progress;
mod rewrite;
mod shape;
mod state;
pub mod ticks;
mod tuple;

pub use self::{
    datagrams::{after_datagram, after_datagram_one_way},
    direction::Direction,
    entry::Flow,
    family::{Family, V4, V6},
    pair::{Endpoints, Ends, Pair},
    progress::{Progress, WINDOW, is_beyond},
    rewrite::Rewrite,
    shape::Shape,
    state::State,
    tuple::{FACTORS, FlowKey, Protocol, Tuple},
};
