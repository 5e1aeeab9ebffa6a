//! Client of the daemon's API.

mod error;
mod exchange;
mod lines;
mod paths;

use std::{net::SocketAddr, ops::Not, path::PathBuf, time::Duration};

use anyhow::Context as _;
use hyper::Method;
use lb_model::{
    NewBackend, Proposal, RoleChange, RoleOrder, Settings, Target,
    connections::{Clients, Counts, Filter, Kill, SearchView},
    keys::{Keys, body_of},
    views::{
        FullVersion, GroupView, Plan, Readiness, ServiceView, Stats, Status, VersionView,
        explanation::{Explanation, PacketQuery},
        trace::TraceFilter,
    },
};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    error::{ClientError, STRANGE},
    lines::Lines,
};
use self::{
    exchange::{Socket, parsed, version, whole},
    paths::{backend_path, group_path, service_path, with_query},
};

/// Timeout for an answer to begin that the daemon has ready.
const SOON: Duration = Duration::from_secs(15);

/// Timeout for an answer to begin that takes the daemon some work.
const WORKED_OUT: Duration = Duration::from_mins(2);

/// The flow table may be large, and the daemon tells how far it has come.
const SEARCHED: Duration = Duration::MAX;

#[derive(Clone, Debug)]
pub struct Client {
    socket: Socket,
    manner: Manner,
}

/// Query parameters of changes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Manner {
    #[serde(skip_serializing_if = "Not::not")]
    force: bool,
    #[serde(skip_serializing_if = "Not::not")]
    dry_run: bool,
}

/// The service and the version of the document after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    pub version: u64,
    pub service: ServiceView,
}

impl Client {
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket: Socket::new(socket), manner: Manner::default() }
    }

    /// Returns a client that takes VIPs that servers on the daemon's host listen on; needs root.
    #[must_use]
    pub fn forcing(self, force: bool) -> Self {
        Self { manner: Manner { force, ..self.manner }, ..self }
    }

    /// Returns a client whose changes are checked, but not applied.
    #[must_use]
    pub fn trying(self, dry_run: bool) -> Self {
        Self { manner: Manner { dry_run, ..self.manner }, ..self }
    }

    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.manner.dry_run
    }

    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get("/v1/stats").await
    }

    /// Returns the groups of a pair's addresses, with the node's roles.
    pub async fn groups(&self) -> Result<Vec<GroupView>, ClientError> {
        self.get("/v1/groups").await
    }

    /// Tells whether the node can be active for groups, if this many services must be able to serve.
    pub async fn readiness(&self, services: usize) -> Result<Readiness, ClientError> {
        self.get(&format!("/v1/ready?services={services}")).await
    }

    /// Makes the node active or standby for a group.
    pub async fn change_role(
        &self,
        group: &str,
        role: RoleOrder,
    ) -> Result<GroupView, ClientError> {
        self.send(Method::PATCH, &group_path(group), &RoleChange { role }).await
    }

    /// Tells what would happen to a packet, and why.
    pub async fn explain(&self, query: &PacketQuery) -> Result<Explanation, ClientError> {
        self.get(&with_query("/v1/explain", query)?).await
    }

    /// Records packets: one [`TraceLine`](lb_model::views::trace::TraceLine) per line.
    pub async fn trace(&self, filter: &TraceFilter) -> Result<Lines, ClientError> {
        self.lines(&with_query("/v1/trace", filter)?).await
    }

    /// Lists connections, one per line.
    pub async fn connections(&self, filter: &Filter) -> Result<Lines, ClientError> {
        self.lines(&with_query("/v1/connections", filter)?).await
    }

    async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let answer = self.socket.ask(Method::GET, path, &(), WORKED_OUT).await?;
        Ok(Lines::new(answer.into_body()))
    }

    pub async fn count_connections(&self, filter: &Filter) -> Result<Counts, ClientError> {
        self.search(Method::GET, &with_query("/v1/connections/count", filter)?).await
    }

    /// Returns how far the running searches of connections have come.
    pub async fn searches(&self) -> Result<Vec<SearchView>, ClientError> {
        self.get("/v1/connections/searches").await
    }

    /// Returns the clients with the most connections.
    pub async fn busiest_clients(&self, filter: &Filter) -> Result<Clients, ClientError> {
        self.search(Method::GET, &with_query("/v1/connections/clients", filter)?).await
    }

    /// Kills connections, at least one criterion of which must be given, until it is done or cancelled.
    pub async fn kill_connections(&self, filter: &Filter) -> Result<Kill, ClientError> {
        self.search(Method::DELETE, &with_query("/v1/connections", filter)?).await
    }

    pub async fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get("/v1/services").await
    }

    pub async fn service(&self, name: &str) -> Result<ServiceView, ClientError> {
        self.get(&service_path(name)).await
    }

    /// Adds a service with the keys of a table `[[service]]` of the file.
    pub async fn add_service(&self, keys: &Keys) -> Result<Changed, ClientError> {
        let body = body_of(keys.clone());
        self.change(Method::POST, &self.of_manner("/v1/services")?, &body).await
    }

    pub async fn set_service(&self, name: &str, keys: &Keys) -> Result<Changed, ClientError> {
        self.change(Method::PATCH, &self.of_manner(&service_path(name))?, keys).await
    }

    /// Returns the new version of the document and, in a dry run, the service.
    pub async fn remove_service(
        &self,
        name: &str,
    ) -> Result<(u64, Option<ServiceView>), ClientError> {
        let path = self.of_trial(&service_path(name))?;
        let (service, version) = self.send_versioned(Method::DELETE, &path, &()).await?;
        Ok((known(version)?, service))
    }

    /// Returns the changes that a configuration file would make.
    pub async fn plan(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/plan")?, proposal).await
    }

    /// Applies a configuration file, or, in a dry run, returns what it would change.
    pub async fn apply(&self, proposal: &Proposal) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/apply")?, proposal).await
    }

    /// Returns all versions, newest first.
    pub async fn history(&self) -> Result<Vec<VersionView>, ClientError> {
        self.get("/v1/history").await
    }

    pub async fn version(&self, number: u64) -> Result<FullVersion, ClientError> {
        self.get(&format!("/v1/history/{number}")).await
    }

    /// Returns the running configuration as a configuration file.
    pub async fn export(&self) -> Result<String, ClientError> {
        let answer = self.socket.ask(Method::GET, "/v1/export", &(), SOON).await?;
        let text = String::from_utf8(whole(answer).await?.into());
        Ok(text.context("the daemon's answer is not text")?)
    }

    pub async fn rollback(&self, target: Target) -> Result<Plan, ClientError> {
        self.send(Method::POST, &self.of_manner("/v1/rollback")?, &target).await
    }

    pub async fn add(&self, service: &str, backend: &NewBackend) -> Result<Changed, ClientError> {
        let path = self.of_trial(&format!("{}/backends", service_path(service)))?;
        self.change(Method::POST, &path, backend).await
    }

    pub async fn set(
        &self,
        service: &str,
        address: SocketAddr,
        settings: &Settings,
    ) -> Result<Changed, ClientError> {
        let path = self.of_trial(&backend_path(service, address))?;
        self.change(Method::PATCH, &path, settings).await
    }

    pub async fn remove(&self, service: &str, address: SocketAddr) -> Result<Changed, ClientError> {
        let path = self.of_trial(&backend_path(service, address))?;
        self.change(Method::DELETE, &path, &()).await
    }

    /// Returns the path of a change that may be forced.
    fn of_manner(&self, path: &str) -> Result<String, ClientError> {
        with_query(path, &self.manner)
    }

    /// Returns the path of a change that sets no VIP.
    fn of_trial(&self, path: &str) -> Result<String, ClientError> {
        with_query(path, &Manner { force: false, ..self.manner })
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Changed, ClientError> {
        let (service, version) = self.send_versioned(method, path, body).await?;
        Ok(Changed { version: known(version)?, service })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.socket.ask(Method::GET, path, &(), SOON).await?;
        parsed(&whole(answer).await?)
    }

    async fn search<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        let answer = self.socket.ask(method, path, &(), SEARCHED).await?;
        parsed(&whole(answer).await?)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let (answer, _) = self.send_versioned(method, path, body).await?;
        Ok(answer)
    }

    /// Returns the answer with the version of its document, if it has one.
    async fn send_versioned<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(T, Option<u64>), ClientError> {
        let answer = self.socket.ask(method, path, body, WORKED_OUT).await?;
        let version = version(&answer);
        Ok((parsed(&whole(answer).await?)?, version))
    }
}

fn known(version: Option<u64>) -> Result<u64, ClientError> {
    Ok(version.context(STRANGE)?)
}
