//! A host in HTTP syntax, with or without a port: `db`, `db:8443`, `[2001:db8::1]:8443`.

use std::net::Ipv6Addr;

use hyper::http::uri::Authority;

use super::fault::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Value of the header `Host`.
    pub(super) header: String,
    /// Name without brackets and port.
    pub(super) name: String,
}

impl Host {
    pub(super) fn new(text: &str) -> Result<Self, Fault> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self { header: format!("[{address}]"), name: address.to_string() });
        }
        let nonsense = || {
            Fault::new("host", &format!("{text} is not a host name")).fix(
                "give a name or an address, as in db.example, 10.0.0.1:8443 or [2001:db8::1]:8443",
            )
        };
        let authority: Authority = text.parse().map_err(|_| nonsense())?;
        let host = authority.host();
        let port = authority.port_u16().filter(|port| *port > 0);
        let is_whole = match port {
            None => text == host,
            Some(_) => text.strip_prefix(host).is_some_and(|rest| rest.starts_with(':')),
        };
        let name = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_err() => return Err(nonsense()),
            inner => inner.unwrap_or(host),
        };
        if !is_whole || name.is_empty() {
            return Err(nonsense());
        }
        Ok(Self { header: text.to_owned(), name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn hosts_may_have_a_port_and_ipv6_addresses_brackets() {
        for (text, header, name) in [
            ("db", "db", "db"),
            ("db:443", "db:443", "db"),
            ("my_db.example", "my_db.example", "my_db.example"),
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1"),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443", "2001:db8::1"),
            ("[2001:db8::1]", "[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "[2001:db8::1]", "2001:db8::1"),
        ] {
            let expected = Host { header: header.to_owned(), name: name.to_owned() };
            assert_eq!(Host::new(text), Ok(expected), "{text}");
        }
        for nonsense in [
            "", "db:x", "db:", "db:0", "db:99999", "a b", "u@db", "[db]:1", "[::1", "db/x", "a:b:1",
        ] {
            assert!(Host::new(nonsense).is_err(), "{nonsense}");
        }
    }
}
