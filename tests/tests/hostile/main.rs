//! What the balancer withstands: the list of attacks and mishaps, each with a test.

mod bed;
mod guard;
