//! What is known of host, configuration and daemon.

mod addresses;
mod arp;
mod bounded;
mod daemon;
mod ethtool;
mod links;
mod machine;
mod netdev;
mod network;
mod peers;
mod site;
mod spread;
mod storage;
mod sysctl;

use std::path::Path;

use anyhow::Result;
use lb_client::Client;
use lb_config::Config;

use self::bounded::bounded;
pub(crate) use self::{
    addresses::OwnAddress,
    daemon::{Daemon, Process, Running},
    ethtool::{Channels, Rings},
    links::{Attached, Link},
    machine::Machine,
    network::Network,
    peers::Peer,
    site::Site,
    spread::Spread,
    storage::{StateDirectory, Storage},
};

/// Something that may not be visible, with the reason.
pub(crate) type Seen<T> = Result<T, String>;

/// Configuration that the package brings.
const USUAL_FILE: &str = "/etc/xdplb/xdplb.toml";

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) machine: Machine,
    /// None without a configuration.
    pub(crate) site: Option<Site>,
    pub(crate) daemon: Daemon,
}

impl Facts {
    pub(crate) async fn gather(client: &Client, file: Option<&Path>) -> Result<Self> {
        let given = match file {
            Some(file) => Some(read(file).await?),
            None => None,
        };
        let daemon = Daemon::ask(client);
        let (machine, (daemon, exported)) = tokio::join!(Machine::gather(), daemon);
        let config = match given.or(exported) {
            Some(config) => Some(config),
            None if daemon.running().is_none() && Path::new(USUAL_FILE).exists() => {
                Some(read(Path::new(USUAL_FILE)).await?)
            }
            None => None,
        };
        let site = match config {
            Some(config) => Some(Site::gather(config).await),
            None => None,
        };
        Ok(Self { machine, site, daemon })
    }
}

async fn read(file: &Path) -> Result<Config> {
    let path = file.to_owned();
    let loaded = bounded(move || lb_config::load(&path)).await;
    let loaded =
        loaded.map_err(|reason| anyhow::anyhow!("cannot read {}: {reason}", file.display()));
    Ok(loaded??.config)
}
