//! Addresses and ports of hosts, in the file, commands and requests.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr as _,
};

use serde::{Deserialize, Deserializer, de::Error as _};

/// A fault of an address, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub fix: &'static str,
}

/// Parses a port and an IPv4 address that a host on the network can have.
pub fn parse(text: &str) -> Result<SocketAddr, Mistake> {
    let refuse = |message: String, fix| Err(Mistake { message, fix });
    // Without brackets, the port would be the last group of an IPv6 address.
    if text.starts_with('[') || Ipv6Addr::from_str(text).is_ok() {
        return refuse("IPv6 is not supported yet".to_owned(), "give an IPv4 address and port");
    }
    let Some((address, port)) = text.rsplit_once(':').filter(|(_, port)| !port.is_empty()) else {
        return refuse(
            "the port is missing".to_owned(),
            "give address and port, as in 10.0.0.1:80",
        );
    };
    let Ok(address) = Ipv4Addr::from_str(address) else {
        return refuse(format!("{address} is not an IPv4 address"), "names are not looked up");
    };
    if !is_of_a_host(address.into()) {
        return refuse(
            format!("{address} cannot be a host's address"),
            "give the one address that packets are sent to",
        );
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match u16::from_str(port) {
        Ok(port) if port > 0 && is_number => Ok((address, port).into()),
        _ => refuse(format!("port {port} is out of range"), "a port is 1 to 65535"),
    }
}

/// Parses an address and port of a command or a request, with the errors of a file.
pub fn read(text: &str) -> Result<SocketAddr, String> {
    // The document checks if the address can be a server's.
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    parse(text).map_err(|Mistake { message, fix }| format!("{message}: {fix}"))
}

/// Deserializes an address of a request.
pub fn deserialize<'de, D: Deserializer<'de>>(value: D) -> Result<SocketAddr, D::Error> {
    let text = Cow::<str>::deserialize(value)?;
    read(&text).map_err(D::Error::custom)
}

/// Returns true if a host on a network can have this address.
#[must_use]
pub fn is_of_a_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}
