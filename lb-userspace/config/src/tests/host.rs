//! Faults that depend on the host.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn a_clash_of_ports_is_shown_at_the_key_or_for_the_default() {
    let said = |ports: &str| {
        let loaded = read(&format!("interfaces = [\"eth0\"]\n{ports}{SERVICE}")).expect("valid");
        let fault = loaded.snat_ports_fault("`snat_ports` shares ports", "move them");
        loaded.refuse(vec![fault]).expect_err("a fault").to_string()
    };
    let placed = said("snat_ports = \"5000-6000\"\n");
    assert_shows(&placed, "2:14", "error: `snat_ports` shares ports", "move them");
    let default = said("");
    assert!(
        default.contains("the default does not fit this host: `snat_ports` shares"),
        "{default}"
    );
    assert!(default.contains("lb.toml") && !default.contains("interfaces"), "{default}");
}

#[test]
fn files_that_cannot_be_used_are_shown_by_check_only() {
    let service = format!("{SERVICE}health = {{ type = \"tls\", ca = \"/nowhere\" }}\n");
    let loaded = read(&format!("interfaces = [\"eth0\"]\n{service}")).expect("valid");
    let shown = loaded.check_files().expect_err("there is none").to_string();
    assert_shows(&shown, "5:31", "`ca`: cannot read /nowhere", "");
}

#[test]
fn faults_of_this_host_are_warnings_of_check() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let open = directory.path().join("open");
    std::fs::create_dir(&open).expect("made");
    std::fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("set");
    let text = format!(
        "interfaces = [\"lo\", \"nowhere0\"]\nchecks.user = \"nobody-at-all\"\n\
         checks.tls_directories = [\"/etc\", {open:?}]\n\
         snat_addresses = [\"192.0.2.77\"]\n{SERVICE}\
         health = {{ type = \"tls\", ca = \"/run/credentials/xdplb.service/none.pem\" }}\n"
    );
    let warnings = read(&text).expect("valid").check_host().expect("only warnings");
    let shown: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let [credential, interface, loopback, source, user, directory] = &shown[..] else {
        panic!("six: {shown:?}")
    };
    assert_shows(loopback, "1:15", "lo is a loopback interface", "towards clients and backends");
    assert_shows(source, "4:19", "no interface of this host has 192.0.2.77", "ip address add");
    assert_shows(interface, "1:21", "this host has no interface nowhere0", "`ip link`");
    assert_shows(credential, "8:31", "`ca`: cannot read /run/credentials/", "`LoadCredential=`");
    assert_shows(user, "2:15", "there is no user nobody-at-all", "/etc/passwd");
    assert_shows(directory, "3:35", "users other than root can write to", "chmod go-w");
    assert!(shown.iter().all(|one| one.starts_with("warning:")), "{shown:?}");
    let other = text.replace("/run/credentials", "/nowhere");
    read(&other).expect("valid").check_host().expect_err("a file that is not there");
}

#[test]
fn the_owner_of_a_file_is_read_with_its_text() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    std::fs::write(&file, format!("\u{feff}{VALID}")).expect("written");
    for (mode, is_roots) in [(0o644, true), (0o664, false), (0o646, false)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("set");
        assert_eq!(crate::load(&file).expect("valid").is_roots, is_roots, "{mode:o}");
    }
}

#[test]
fn errors_of_the_host_have_places() {
    let text = format!(
        "interfaces = [\"a\", \"b\"]\n{SERVICE}backend = [{{ address = \"10.0.0.1:80\" }}]\n"
    );
    let loaded = read(&text).expect("valid");
    loaded.refuse(Vec::new()).expect("nothing is wrong");
    let faults = vec![
        loaded.interface_fault(1, "there is none", "make it"),
        loaded.backend_fault(0, 0, "this is here", "go there"),
    ];
    let shown = loaded.refuse(faults).expect_err("faults").to_string();
    assert_eq!(places(&shown), ["1:20", "5:24"], "{shown}");
    assert_shows(&shown, "1:20", "there is none", "make it");
    assert_shows(&shown, "5:24", "this is here", "go there");
}
