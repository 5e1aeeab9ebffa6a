//! Who may read.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{HOST, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{AppendHeaders, IntoResponse as _, Response},
};
use headers::{
    Authorization, HeaderMapExt as _,
    authorization::{Basic, Bearer},
};
use subtle::ConstantTimeEq as _;

/// Ways to send the token.
const CHALLENGES: [&str; 2] =
    ["Bearer", "Basic realm=\"xdplb: any user, api.http_token as password\""];

/// What a request must have.
#[derive(Clone)]
pub(super) struct Access {
    token: Option<Box<str>>,
    /// True if the address is this host's alone.
    is_local: bool,
}

impl Access {
    pub(super) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        Self { token: token.map(Into::into), is_local: address.ip().is_loopback() }
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if let Some(token) = &self.token {
            return (!is_given(token, headers)).then(unauthorized);
        }
        // A page of another site may have a name that leads here, and read what a browser gets.
        let is_foreign = self.is_local && !is_local_name(headers);
        is_foreign.then(|| {
            let detail = "the Host header must be an IP address or localhost\n";
            (StatusCode::MISDIRECTED_REQUEST, detail).into_response()
        })
    }
}

pub(super) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.refusal(request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// Tells whether a client has the token. Browsers ask people for a name, which may be any, and a password.
fn is_given(token: &str, headers: &HeaderMap) -> bool {
    let bearer = headers.typed_get::<Authorization<Bearer>>();
    let basic = headers.typed_get::<Authorization<Basic>>();
    let given = bearer.as_ref().map(Authorization::<Bearer>::token);
    let given = given.or(basic.as_ref().map(Authorization::<Basic>::password));
    given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}

fn unauthorized() -> Response {
    let challenges = AppendHeaders(CHALLENGES.map(|challenge| (WWW_AUTHENTICATE, challenge)));
    let detail = "send the `api.http_token`, as `Authorization: Bearer TOKEN` or as the password of any user\n";
    (StatusCode::UNAUTHORIZED, challenges, detail).into_response()
}

fn is_local_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.parse::<SocketAddr>() {
        Ok(_) => return true,
        Err(_) => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;

    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    fn status(access: &Access, headers: &HeaderMap) -> Option<u16> {
        access.refusal(headers).map(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn a_loopback_address_is_for_this_hosts_own_names() {
        let access = Access::new(([127, 0, 0, 1], 9370).into(), None);
        for host in
            ["127.0.0.1", "127.0.0.1:9370", "[::1]:9370", "[::1]", "localhost:9370", "LOCALHOST"]
        {
            assert_eq!(status(&access, &headers(HOST, host)), None, "{host}");
        }
        for host in ["evil.example", "evil.example:9370", "localhost.evil.example", ""] {
            assert_eq!(status(&access, &headers(HOST, host)), Some(421), "{host}");
        }
        assert_eq!(status(&access, &HeaderMap::new()), None, "HTTP/1.0");
    }

    #[test]
    fn a_token_is_needed_if_there_is_one() {
        let access = Access::new(([192, 0, 2, 1], 9370).into(), Some("0123456789abcdef"));
        let of = |value: &str| status(&access, &headers(AUTHORIZATION, value));
        assert_eq!([of("Bearer 0123456789abcdef"), of("bearer 0123456789abcdef")], [None; 2]);
        let wrong = [
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "Bearer",
        ];
        for value in wrong {
            assert_eq!(of(value), Some(401), "{value}");
        }
        assert_eq!(status(&access, &headers(HOST, "lb.example")), Some(401));
    }
}
