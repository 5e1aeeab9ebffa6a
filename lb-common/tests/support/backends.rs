//! Backends of the tests' connections, as they are in memory.

use std::sync::LazyLock;

use lb_common::{backend::Backend, mapped, table::SharedBackend};

use super::support::ENDPOINTS;

/// A few of the same endpoints.
pub static BACKENDS: LazyLock<Vec<SharedBackend>> = LazyLock::new(|| at(ENDPOINTS.backend));

/// Returns a few backends at an address.
pub fn at(address: [u8; 4]) -> Vec<SharedBackend> {
    let backend = Backend {
        address: mapped(address),
        port: ENDPOINTS.backend_port,
        vip: mapped(ENDPOINTS.vip),
        vip_port: ENDPOINTS.vip_port,
        ..Backend::default()
    };
    (0..4).map(|_| SharedBackend::new(&backend)).collect()
}
