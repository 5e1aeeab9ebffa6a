//! Attacks and mishaps that xdplb withstands, each with a test, on the real daemon in network
//! namespaces, or on the shipped packet path.

mod api;
mod broadcast;
mod clients;
mod downloads;
mod guard;
mod health;
mod packets;
mod panics;
mod refusals;
mod state;
