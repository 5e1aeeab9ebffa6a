//! Patterns of strings in the JSON schema of the file and in the `OpenAPI` document: ECMA 262
//! regular expressions. Tests compare each with the code that parses the string.

/// Name of a service.
pub const NAME: &str = "^[A-Za-z0-9._-]{1,63}$";

/// 0% to 100%.
pub const PERCENT: &str = "^0*(100|[0-9]{1,2})\\s*%$";

macro_rules! address {
    ($end:literal) => {
        concat!(
            "^(?!127\\.|2(2[4-9]|3[0-9])\\.|0\\.0\\.0\\.0:|255\\.255\\.255\\.255:)",
            "((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}",
            "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]):0*",
            "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})",
            $end
        )
    };
}

/// An IPv4 address that a host on a network can have, and a port.
pub const ADDRESS: &str = address!("$");

/// Like [`ADDRESS`], with an optional `/tcp`.
pub const VIP: &str = address!("(/tcp)?$");

macro_rules! period {
    ($least:literal) => {
        concat!(
            "^(",
            $least,
            "(?=.*[1-9])(([0-6]) *(d|days?) *)?(([01]?[0-9]|2[0-3]) *(h|hrs?|hours?) *)?",
            "([0-5]?[0-9] *(m|mins?|minutes?) *)?([0-5]?[0-9] *(s|secs?|seconds?) *)?",
            "([0-9]{1,3} *(ms|msec|millis))?",
            "|7 *(d|days?)|1 *(w|weeks?)|([1-9][0-9]|1[0-5][0-9]) *(h|hrs?|hours?)",
            "|[1-9][0-9]{0,3} *(m|mins?|minutes?)|[1-9][0-9]{0,4} *(s|secs?|seconds?)",
            "|[1-9][0-9]{0,7} *(ms|msec|millis))$"
        )
    };
}

/// A duration from 1 ms to 7 days: units in descending order, each less than one of the next larger
/// unit, or a single unit. The parser accepts other forms as well.
pub const PERIOD: &str = period!("");

/// Like [`PERIOD`], or zero.
pub const PERIOD_OR_NONE: &str = period!("0|0 *(s|secs?|seconds?|ms)|");

/// HTTP method.
pub const METHOD: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// Path and query of a request.
pub const REQUEST_PATH: &str = "^/[!$-;=?-_a-z|~]*$";

/// Status codes and ranges of status codes.
pub const STATUS: &str =
    "^ *[1-9][0-9]{2} *(- *[1-9][0-9]{2} *)?(, *[1-9][0-9]{2} *(- *[1-9][0-9]{2} *)?)*$";

/// Target of the connection log: an absolute path, or `log`.
pub const LOG_TARGET: &str = "^(/|log$)";

/// Absolute path.
pub const ABSOLUTE: &str = "^/";

/// URL of an HTTP server.
pub const URL: &str = "^[hH][tT][tT][pP][sS]?://[^/?#@\\s]+([/?][^#\\s]*)?$";

/// Data to send, with escapes.
pub const ESCAPED: &str = "^([^\\\\]|\\\\([rnt\\\\]|x[0-9A-Fa-f]{2}))*$";

/// TCP flags, separated by commas.
pub const TCP_FLAGS: &str = "^(none|([sS][yY][nN]|[aA][cC][kK]|[fF][iI][nN]|[rR][sS][tT])\
    (,([sS][yY][nN]|[aA][cC][kK]|[fF][iI][nN]|[rR][sS][tT]))*)$";

/// Any IPv4 address and port.
pub const ENDPOINT: &str = "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}\
    (25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]):0*\
    (6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})$";

/// States of connections, separated by commas.
pub const STATES: &str = "^(half-open|refused|answered|established|closing|closed)\
    (,(half-open|refused|answered|established|closing|closed))*$";

/// Order of a list of connections.
pub const ORDER: &str = "^(age|idle)$";

/// An address, an address and a port, or a network.
pub const CLIENT: &str = "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}\
    (25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\
    (/([12]?[0-9]|3[0-2])|:0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4}))?$";
