//! Addresses and ports of the tests' connections.

use lb_common::flow::Endpoints;

pub const VIP: [u8; 4] = [203, 0, 113, 10];
pub const BACKEND: [u8; 4] = [10, 0, 0, 11];
pub const PORT: [u8; 2] = [0, 80];

/// Those of every backend.
pub const ENDPOINTS: Endpoints =
    Endpoints { vip: VIP, vip_port: PORT, backend: BACKEND, backend_port: PORT };
