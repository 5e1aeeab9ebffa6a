//! Packets in the pcapng format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>.

use std::{borrow::Cow, collections::HashMap, mem, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use lb_common::capture::SNAP;
use lb_model::views::trace::TracedPacket;
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

/// Timestamps are in nanoseconds: ten to the power of minus this.
const RESOLUTION: u8 = 9;

/// Blocks of a file of packets.
pub(super) struct Blocks {
    made: PcapNgWriter<Vec<u8>>,
    /// Numbers of interfaces by their names.
    interfaces: HashMap<String, u32>,
}

impl Blocks {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { made: PcapNgWriter::new(Vec::new())?, interfaces: HashMap::new() })
    }

    /// Adds a packet as it came in and, if it was sent, as it left.
    pub(super) fn packet(&mut self, packet: &TracedPacket) -> Result<()> {
        let came = format!("came in; {}", comment(packet));
        self.frame(packet, &packet.interface, (&packet.frame, packet.length), &came)?;
        let Some(sent) = &packet.sent else { return Ok(()) };
        let left = format!("left; {}", comment(packet));
        self.frame(packet, &sent.interface, (&packet.frame_after, packet.length_after), &left)
    }

    /// Takes the blocks that were added since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        mem::take(self.made.get_mut())
    }

    fn frame(
        &mut self,
        packet: &TracedPacket,
        interface: &str,
        (frame, length): (&str, u32),
        comment: &str,
    ) -> Result<()> {
        let data = BASE64_STANDARD.decode(frame).context("the daemon sent a damaged frame")?;
        let timestamp = Duration::from_nanos(u64::try_from(packet.at.as_nanosecond()).unwrap_or(0));
        let block = EnhancedPacketBlock {
            interface_id: self.interface(interface)?,
            timestamp,
            original_len: length,
            data: Cow::Owned(data),
            options: vec![EnhancedPacketOption::Comment(Cow::Borrowed(comment))],
        };
        self.made.write_pcapng_block(block)?;
        Ok(())
    }

    /// Returns the number of an interface, which is described before its first packet.
    fn interface(&mut self, name: &str) -> Result<u32> {
        if let Some(number) = self.interfaces.get(name) {
            return Ok(*number);
        }
        let number = u32::try_from(self.interfaces.len())?;
        let described = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: u32::try_from(SNAP)?,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                InterfaceDescriptionOption::IfTsResol(RESOLUTION),
            ],
        };
        self.made.write_pcapng_block(described)?;
        self.interfaces.insert(name.to_owned(), number);
        Ok(number)
    }
}

/// Returns what became of a packet, for people who look at its frames.
fn comment(packet: &TracedPacket) -> String {
    let TracedPacket { verdict, reason, service, backend, .. } = packet;
    let service = service.as_ref().map(|service| format!(", service {service}"));
    let backend = backend.map(|backend| format!(", backend {backend}"));
    format!("{verdict} {reason}{}{}", service.unwrap_or_default(), backend.unwrap_or_default())
}
