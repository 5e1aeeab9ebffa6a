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

use std::{fs::File, io::ErrorKind, path::Path};

use anyhow::Result;
use lb_client::Client;
use lb_config::{Config, Diagnostics};

use self::bounded::bounded;
pub(crate) use self::{
    addresses::OwnAddress,
    daemon::{Daemon, Process, Running},
    ethtool::{Channels, Rings},
    links::{Attached, Link},
    machine::Machine,
    network::{MOST_ASKED, Network},
    peers::Peer,
    site::Site,
    spread::Spread,
    storage::{StateDirectory, Storage},
};

/// Something that may not be visible, with the reason.
pub(crate) type Seen<T> = Result<T, String>;

/// Configuration that the package brings.
pub(crate) const USUAL_FILE: &str = "/etc/xdplb/xdplb.toml";

/// What keeps that file from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsualFile {
    /// Nothing, or it is not needed.
    Fine,
    /// It may not be read: the reason.
    Hidden(String),
    /// Its first fault.
    Invalid(String),
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) machine: Machine,
    /// None without a configuration.
    pub(crate) site: Option<Site>,
    pub(crate) usual_file: UsualFile,
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
        let mut usual_file = UsualFile::Fine;
        let config = match given.or(exported) {
            Some(config) => Some(config),
            None if daemon.running().is_none() => usual().await.unwrap_or_else(|fault| {
                usual_file = fault;
                None
            }),
            None => None,
        };
        let site = match config {
            Some(config) => Some(Site::gather(config).await),
            None => None,
        };
        let daemon = daemon.among(site.as_ref().map_or(&[], |site| &site.links));
        Ok(Self { machine, site, usual_file, daemon })
    }
}

async fn read(file: &Path) -> Result<Config> {
    let path = file.to_owned();
    let loaded = bounded(move || lb_config::load(&path)).await;
    let loaded =
        loaded.map_err(|reason| anyhow::anyhow!("cannot read {}: {reason}", file.display()));
    Ok(loaded??.config)
}

/// Reads the usual file, if there is one.
async fn usual() -> Result<Option<Config>, UsualFile> {
    let opened = bounded(|| File::open(USUAL_FILE).map_err(|error| error.kind())).await;
    match opened.map_err(UsualFile::Hidden)? {
        Err(ErrorKind::NotFound) => Ok(None),
        Err(kind) => Err(UsualFile::Hidden(kind.to_string())),
        Ok(_) => read(Path::new(USUAL_FILE)).await.map(Some).map_err(|error| {
            let found = error.downcast_ref::<Diagnostics>().map(Diagnostics::sentence);
            UsualFile::Invalid(found.unwrap_or_else(|| format!("{error:#}")))
        }),
    }
}
