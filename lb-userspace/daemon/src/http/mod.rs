//! What is served over HTTP, read-only: the status page, metrics, and whether the daemon is alive and ready.

mod access;
mod live;
mod page;
mod places;
mod routes;

use std::{future::pending, net::SocketAddr, time::Duration};

use lb_config::Api;
use tokio::{net::TcpListener, sync::watch, time::sleep};

use self::{
    access::Access,
    live::Live,
    routes::{Served, router},
};
use super::{
    api::{Intake, server},
    control::Handle,
    snapshot::Snapshots,
};

/// Time between attempts to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves where the configuration says, if anywhere, until the other end of `stopped` is dropped.
pub(super) async fn serve(
    api: &Api,
    handle: Handle,
    snapshots: Snapshots,
    mut stopped: watch::Receiver<()>,
) {
    let serving = async {
        let Some(address) = api.http else { return pending().await };
        let socket = listen(address).await;
        let access = Access::new(address, api.http_token.as_deref());
        let live = Live::new();
        let router = router(Served::new(handle.clone(), snapshots, live.clone()), access);
        tokio::select! {
            // No request has a body.
            never = server::serve(&socket, router, Intake::new(0)) => match never {},
            never = live.run(&handle) => match never {},
        }
    };
    tokio::select! {
        () = serving => {}
        _ = stopped.changed() => {}
    }
}

/// Listens as soon as that is possible: forwarding must not wait for it.
async fn listen(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(socket) => {
                log::info!("status page at http://{address}/, metrics at http://{address}/metrics");
                return socket;
            }
            Err(error) if !is_told => {
                is_told = true;
                log::error!(
                    "`api.http`: cannot listen on {address}, trying again every second: {error}"
                );
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
