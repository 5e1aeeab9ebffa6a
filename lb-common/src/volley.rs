//! Frames of the benchmark's packet generator.

use bytemuck::{Pod, Zeroable};

use crate::{
    checksum::Delta,
    template::{FRAME_LENGTH, Spread, Template},
    wire::Headers,
};

/// A frame, the clients that it comes from in turn, and the interface that it leaves by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Volley {
    template: Template,
    src: [u8; 4],
    src_port: [u8; 2],
    padding: [u8; 2],
    pub ifindex: u32,
    more_padding: [u8; 4],
}

impl Volley {
    /// Makes a volley of a frame with correct checksums, from 2^`doublings` clients, 2^32 at most.
    #[must_use]
    pub fn new(frame: [u8; FRAME_LENGTH], doublings: u32, ifindex: u32) -> Self {
        let headers: &Headers = bytemuck::from_bytes(&frame[..size_of::<Headers>()]);
        Self {
            template: Template::new(frame, Spread::CLIENTS, doublings, 0),
            src: headers.ip.src,
            src_port: headers.tcp.src_port,
            ifindex,
            ..Self::zeroed()
        }
    }

    /// Writes the frame of the next client, with correct checksums.
    #[inline]
    pub fn write_next(&mut self, frame: &mut [u64; FRAME_LENGTH / 8]) {
        self.template.write_next(frame);
        let bytes: &mut [u8; FRAME_LENGTH] = bytemuck::must_cast_mut(frame);
        let headers: &mut Headers = bytemuck::from_bytes_mut(&mut bytes[..size_of::<Headers>()]);
        let address = Delta::NONE.address(self.src, headers.ip.src);
        let port = Delta::NONE.port(self.src_port, headers.tcp.src_port);
        headers.ip.checksum = address.apply(headers.ip.checksum);
        headers.tcp.checksum = address.plus(port).apply(headers.tcp.checksum);
    }
}
