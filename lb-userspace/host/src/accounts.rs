//! Users and groups of this host, read from passwd(5) and group(5), not through the C library: a
//! static binary cannot load its NSS modules.

use std::fs;

/// Returns a user's name.
#[must_use]
pub fn user(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    accounts(&text).find(|(_, id)| *id == uid).map(|(name, _)| name.to_owned())
}

/// Returns a group's id.
#[must_use]
pub fn group(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").ok()?;
    accounts(&text).find(|(known, _)| *known == name).map(|(_, id)| id)
}

/// The user and group that a program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Returns the account of a user, with its primary group.
#[must_use]
pub fn account(name: &str) -> Option<Account> {
    find_account(&fs::read_to_string("/etc/passwd").ok()?, name)
}

fn find_account(text: &str, name: &str) -> Option<Account> {
    text.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [known, _, uid, gid, ..] = fields.as_slice() else { return None };
        (*known == name).then_some(())?;
        Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

/// Parses names and ids: the first and third field of each line, in either file.
fn accounts(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, accounts, find_account};

    #[test]
    fn names_and_numbers_are_read_and_other_lines_skipped() {
        let text = "root:x:0:0:root:/root:/bin/bash\n\n+::::::\nxdplb:x:998:alice,bob\nhalf:x\n";
        assert!(accounts(text).eq([("root", 0), ("xdplb", 998)]));
    }

    #[test]
    fn an_account_has_the_users_primary_group() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbad:x:y:1::/:\ncheck:x:998:997::/:/bin/false\n";
        assert_eq!(find_account(text, "check"), Some(Account { uid: 998, gid: 997 }));
        assert_eq!(find_account(text, "bad"), None);
        assert_eq!(find_account(text, "nobody-here"), None);
    }
}
