//! Recipients of notifications.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Serialize;

use super::event::Event;

/// A recipient of changes of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notify {
    #[serde(flatten)]
    pub recipient: Recipient,
    /// All, if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Names of services; with any, other changes are left out. All, if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Time limit of an attempt.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Number of attempts after the first one.
    pub retries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipient {
    Program(PathBuf),
    /// May contain a secret.
    Url(String),
}

impl Notify {
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    pub const RETRIES: u32 = 3;

    /// Returns true if a change of this service, or of none, is for this recipient.
    #[must_use]
    pub fn wants(&self, event: Event, service: Option<&str>) -> bool {
        let is_wanted = |name| self.services.iter().any(|one| one == name);
        (self.events.is_empty() || self.events.contains(&event))
            && (self.services.is_empty() || service.is_some_and(is_wanted))
    }
}

/// Formats the program, or the URL without what may be secret: path and query.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(program) => program.display().fmt(f),
            Self::Url(url) => {
                let end = url.find("://").map_or(0, |at| at + 3);
                let end = url[end..].find(['/', '?']).map_or(url.len(), |at| end + at);
                f.write_str(&url[..end])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_not_shown() {
        for (url, shown) in [
            ("https://hooks.example/services/T0/secret", "https://hooks.example"),
            ("http://10.0.0.1:8080?token=secret", "http://10.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]:80"),
        ] {
            assert_eq!(Recipient::Url(url.to_owned()).to_string(), shown);
        }
    }

    #[test]
    fn recipients_select_events_and_services() {
        let notify = |events: &[Event], services: &[&str]| Notify {
            recipient: Recipient::Program("/bin/page".into()),
            events: events.to_vec(),
            services: services.iter().map(ToString::to_string).collect(),
            timeout: Notify::TIMEOUT,
            retries: 0,
        };
        let down = Event::BackendDown;
        for (notify, event, service, expected) in [
            (notify(&[], &[]), Event::Reloaded, None, true),
            (notify(&[down], &[]), down, Some("web"), true),
            (notify(&[down], &[]), Event::BackendUp, Some("web"), false),
            (notify(&[], &["web"]), down, Some("web"), true),
            (notify(&[], &["web"]), down, Some("db"), false),
            (notify(&[], &["web"]), Event::Reloaded, None, false),
        ] {
            assert_eq!(notify.wants(event, service), expected, "{notify:?} {event:?} {service:?}");
        }
    }
}
