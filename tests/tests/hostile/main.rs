//! What xdplb withstands: each test is an attack on the real daemon, in network namespaces.

#[path = "../end_to_end/bed.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod bed;
mod health;
