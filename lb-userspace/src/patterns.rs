//! The form of texts in the JSON schema of the file and in the description of the API: regular
//! expressions of ECMA 262. A test holds each against the code that reads the text.

/// A service's name.
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

/// The same, or that and `/tcp`.
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

/// A time from 1 ms to 7 days: units from the largest on, and no more of each than the next larger one
/// has, or one unit alone. Other ways to write these times are understood as well.
pub const PERIOD: &str = period!("");

/// The same, or none.
pub const PERIOD_OR_NONE: &str = period!("0|0 *(s|secs?|seconds?|ms)|");

/// A method of HTTP.
pub const METHOD: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// The path of a request, with its query.
pub const REQUEST_PATH: &str = "^/[!$-;=?-_a-z|~]*$";

/// Status codes and ranges of them.
pub const STATUS: &str =
    "^ *[1-9][0-9]{2} *(- *[1-9][0-9]{2} *)?(, *[1-9][0-9]{2} *(- *[1-9][0-9]{2} *)?)*$";

/// A path from the root on.
pub const ABSOLUTE: &str = "^/";

/// What to send, with its escapes.
pub const ESCAPED: &str = "^([^\\\\]|\\\\([rnt\\\\]|x[0-9A-Fa-f]{2}))*$";

/// States of connections, with commas between.
pub const STATES: &str = "^(half-open|refused|answered|established|closing|closed)\
    (,(half-open|refused|answered|established|closing|closed))*$";

/// An address, an address and a port, or a network.
pub const CLIENT: &str = "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}\
    (25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\
    (/([12]?[0-9]|3[0-2])|:0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4}))?$";
