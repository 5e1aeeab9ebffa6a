//! Backends of the tests' connections, as they are in memory.

use lb_common::{
    backend::Backend,
    flow::{Endpoints, V4, V6},
    mapped,
    table::SharedBackend,
};

use super::support::TestFamily;

/// A family whose addresses a backend can hold.
pub trait Stored: TestFamily {
    fn stored(address: Self::Address) -> [u8; 16];
}

impl Stored for V4 {
    fn stored(address: [u8; 4]) -> [u8; 16] {
        mapped(address)
    }
}

impl Stored for V6 {
    fn stored(address: [u8; 16]) -> [u8; 16] {
        address
    }
}

/// Returns a few backends of these endpoints.
pub fn of<F: Stored>(endpoints: &Endpoints<F>) -> Vec<SharedBackend> {
    let backend = Backend {
        address: F::stored(endpoints.backend),
        port: endpoints.backend_port,
        vip: F::stored(endpoints.vip),
        vip_port: endpoints.vip_port,
        ..Backend::default()
    };
    (0..4).map(|_| SharedBackend::new(&backend)).collect()
}
