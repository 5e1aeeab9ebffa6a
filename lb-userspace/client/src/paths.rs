//! Paths of requests.

use std::net::SocketAddr;

use anyhow::Context as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::error::ClientError;

pub(crate) fn service_path(name: &str) -> String {
    format!("/v1/services/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

pub(crate) fn group_path(name: &str) -> String {
    format!("/v1/groups/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

pub(crate) fn backend_path(service: &str, address: SocketAddr) -> String {
    let address = address.to_string();
    let address = utf8_percent_encode(&address, NON_ALPHANUMERIC);
    format!("{}/backends/{address}", service_path(service))
}

pub(crate) fn with_query(path: &str, filter: &impl Serialize) -> Result<String, ClientError> {
    let query = serde_urlencoded::to_string(filter);
    let query = query.context("the filter cannot be sent")?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}
