//! Digests of configuration files.

use sha2::{Digest as _, Sha256};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    text: String,
    services: String,
}

impl Digests {
    pub(super) fn of(text: &str) -> Self {
        Self { text: digest(text), services: services(text) }
    }

    /// Returns the digests to store for a file.
    #[must_use]
    pub fn kept(&self) -> &str {
        &self.services
    }

    /// Returns true if the file of these [stored](Self::kept) digests has the same services.
    /// Earlier builds stored the digest of the whole text.
    #[must_use]
    pub fn are_of(&self, kept: Option<&str>) -> bool {
        kept.is_some_and(|kept| kept == self.services || kept == self.text)
    }

    pub(super) fn are_of_text(&self, text: &str) -> bool {
        self.text == digest(text)
    }
}

/// Returns a digest that ignores the type of line ends.
fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.replace("\r\n", "\n")))
}

/// Returns a digest that ignores comments, the order of keys and settings of the daemon. It covers
/// keys as written: a new default in the program is not a change of the file.
fn services(text: &str) -> String {
    let mut file: toml::Table = toml::from_str(text).unwrap_or_default();
    file.retain(|key, _| key == "defaults" || key == "service");
    digest(&serde_json::to_string(&file).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Digests;

    #[test]
    fn only_services_count() {
        let text = "xdp_mode = \"auto\"\n[defaults]\nscheduler = \"maglev\"\n\
             [[service]]\nname = \"web\"\nvip = \"203.0.113.1:80\"\n";
        let digests = Digests::of(text);
        let same = [
            format!("# A comment\n{text}# Another\n"),
            text.replace('\n', "\r\n"),
            text.replace("auto", "native"),
            text.replace(
                "name = \"web\"\nvip = \"203.0.113.1:80\"",
                "vip='203.0.113.1:80'\nname='web'",
            ),
        ];
        for text in same {
            assert!(Digests::of(&text).are_of(Some(digests.kept())), "{text}");
        }
        for text in [text.replace("maglev", "random"), text.replace(":80", ":81")] {
            assert!(!Digests::of(&text).are_of(Some(digests.kept())), "{text}");
        }
        assert!(digests.are_of(Some(&super::digest(text))), "as earlier builds kept it");
        assert!(!digests.are_of(None));
    }
}
