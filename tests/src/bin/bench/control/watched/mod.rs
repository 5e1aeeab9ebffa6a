//! What it costs to look at a balancer: the status page, `explain` and the metrics.

mod explain;
mod page;
mod scrape;

use std::{
    io::{self, Write as _},
    net::TcpStream,
};

use anyhow::Result;
use lb_testbed::Testbed;

use super::{Extent, Row, crowd::Crowd};

/// The site of the page and of `explain`, in all runs, as their goals are for a thousand backends.
const SITE: Crowd = Crowd { services: 10, backends: 100 };

/// Where the balancer serves HTTP.
const HTTP: &str = "127.0.0.1:9370";

pub fn measure(extent: &Extent) -> Result<Vec<Row>> {
    let mut rows = vec![page::measure(extent)?];
    rows.extend(explain::measure(extent)?);
    rows.extend(scrape::measure(extent)?);
    Ok(rows)
}

/// Returns the settings of `api` that serve HTTP.
fn api() -> String {
    format!("http = \"{HTTP}\"\n")
}

/// Asks for a path, from the balancer's own host. Answers to HTTP/1.0 are not in chunks.
fn request(testbed: &Testbed, path: &str) -> Result<TcpStream> {
    let request = || -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(HTTP)?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: {HTTP}\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    };
    Ok(testbed.balancer().run(request)??)
}
