//! Users and groups of this host, as passwd(5) and group(5) have them. Not asked of the C library:
//! a static binary cannot load its name services.

use std::fs;

/// A user's name.
pub(super) fn user(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    accounts(&text).find(|(_, id)| *id == uid).map(|(name, _)| name.to_owned())
}

/// A group's number.
pub(super) fn group(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").ok()?;
    accounts(&text).find(|(known, _)| *known == name).map(|(_, id)| id)
}

/// Names and numbers: first and third of the fields of a line, in either file.
fn accounts(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::accounts;

    #[test]
    fn names_and_numbers_are_read_and_what_is_neither_is_passed_over() {
        let text = "root:x:0:0:root:/root:/bin/bash\n\n+::::::\nxdplb:x:998:alice,bob\nhalf:x\n";
        assert!(accounts(text).eq([("root", 0), ("xdplb", 998)]));
    }
}
