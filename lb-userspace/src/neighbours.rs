use anyhow::Result;
use std::collections::HashSet;
use std::net::IpAddr;
#[derive(Clone, Debug)]
pub struct Link {
    pub name: String,
    pub ifindex: u32,
    pub xdp: Option<Attached>,
}
#[derive(Clone, Copy, Debug)]
pub struct Attached {
    pub program_id: u32,
    pub native: bool,
}
#[derive(Clone, Debug)]
pub struct NextHop {
    pub ifindex: u32,
    pub interface: String,
    pub src_mac: [u8; 6],
    pub dst_mac: [u8; 6],
    pub source: IpAddr,
}
#[derive(Clone, Debug)]
pub enum Resolution {
    Resolved(NextHop),
    Unresolved(String),
}
pub enum NetworkEvent {
    NextHop { address: IpAddr, resolution: Resolution },
    Link(String),
}
pub struct Neighbours;
impl Neighbours {
    pub async fn start(_: tokio::sync::mpsc::Sender<NetworkEvent>) -> Result<Self> {
        Ok(Self)
    }
    pub fn watch(&self, _: HashSet<IpAddr>) {}
}
pub async fn links() -> Result<Vec<Link>> {
    Ok(vec![])
}
pub async fn addresses() -> Result<Vec<(u32, IpAddr)>> {
    Ok(vec![])
}
