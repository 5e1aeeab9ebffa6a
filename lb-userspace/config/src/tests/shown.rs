//! Errors as they are shown, whatever the text.

use proptest::prelude::*;

use super::*;

#[test]
fn an_endless_file_is_not_read_to_the_end() {
    let error = crate::load("/dev/zero".as_ref()).expect_err("endless").to_string();
    assert!(error.contains("cannot read /dev/zero: it is longer than 128 MiB"), "{error}");
}

#[test]
fn standard_input_that_cannot_be_read_is_named() {
    let error = std::io::Error::other("it is longer than 128 MiB");
    let shown = Diagnostics::unreadable("-".as_ref(), &error).to_string();
    assert_eq!(shown, "error: cannot read <stdin>: it is longer than 128 MiB");
}

#[test]
fn secrets_are_in_no_error() {
    for wrong in ["\\\\q", "\\q"] {
        let line = format!(
            "health = {{ type = \"send-expect\", send = \"hunter2 {wrong}\", expect = \"1\" }}"
        );
        let shown = errors_in_service(&line);
        assert!(shown.contains("5:") && !shown.contains("hunter2"), "{shown}");
    }
    let shown = errors_in_service("health.send = hunter2");
    assert!(shown.contains("5:") && !shown.contains("hunter2"), "{shown}");
    let shown = errors_in_service("health = { type = \"http\", send = \"hunter2\" }");
    assert!(shown.contains("does not use `send`") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_hundred_errors_are_shown_and_the_others_counted() {
    let many = |line: &dyn Fn(usize) -> String| {
        let lines: Vec<_> = (0..20_000).map(line).collect();
        errors_in_service(&lines.join("\n"))
    };
    let shown = many(&|_| "[[service.backend]]\naddress = \"x:80\"".to_owned());
    assert_eq!(places(&shown).len(), 100, "{shown}");
    assert!(shown.ends_with("\n\nand 19900 more errors: fix these first"), "{shown}");
    let shown = many(&|_| "[[service.backend]]\nweight = 1".to_owned());
    assert!(shown.ends_with("and 19900 more errors: fix these first"), "{shown}");
    let shown = many(&|_| "[[service.backend]]\naddress = \"203.0.113.10:80\"".to_owned());
    assert!(shown.contains("is the VIP of service web"), "{shown}");
    let shown = many(&|nth| format!("key{nth} = 1"));
    assert_eq!(places(&shown).len(), 100, "{shown}");
    assert!(shown.contains("and at least 1 more error: fix these first"), "{shown}");
    let shown = many(&|_| "] = ".to_owned());
    assert_eq!(places(&shown).len(), 100, "{shown}");
    let shown = errors_in_service(&format!("backend = [ = {}]", "1, ".repeat(20_000)));
    assert!(places(&shown).len() <= 100, "{shown}");
}

#[test]
fn a_line_that_is_too_long_is_not_shown() {
    let shown = errors_in_service(&format!("scheduler = \"{}\"", "ä".repeat(5_000)));
    assert_shows(&shown, "5:13", "unknown scheduler", "expected");
    assert!(!shown.contains("scheduler = "), "{shown}");
}

#[test]
fn control_characters_of_a_file_are_escaped() {
    let text = "interfaces = [\"a\"]\n\"b\\u001b[2J\\nerror: c\" = 1\nxdp_mode = \"\u{9b}31m\"\n";
    let source = Source { path: "\x1b]0;x\x07\n.toml".to_owned(), text: text.to_owned() };
    let shown = parse::parse(source).expect_err("invalid").to_string();
    assert!(shown.contains("\\u{1b}]0;x\\u{7}\\n.toml:2:1\n"), "{shown}");
    assert!(shown.contains("unknown key `b\\u{1b}[2J\\nerror: c`"), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn all_errors_are_shown_at_once_in_the_files_order() {
    let shown = errors_in_service(
        "mode = \"gue\"\nscheduler = \"best\"\nbackend = [{ address = \"x\", weight = -1 }]",
    );
    assert_eq!(places(&shown), ["5:8", "6:13", "7:24", "7:38"], "{shown}");
}

#[test]
fn errors_of_syntax_structure_and_meaning_are_shown_together() {
    let text = "interfaces = 7\n\
        xdp_mode = \n\
        bpffs = \"\"\n\
        bpffs = \"/bpf\"\n\
        [api]\nsockt = \"/run/s\"\n\
        [[service]]\nvip = \"203.0.113.10\"\nhealth = { type = \"tpc\", rise = \"2\" }\n\
        [[service.backend]]\nweight = -1\nbakup = true\n\
        [[service]]\nname = 5\nvip = \"203.0.113.11:80\"\nfail_open = \"200%\"\n";
    let shown = read(text).expect_err("invalid");
    let expected = [
        ("1:14", "invalid type: integer `7`"),
        ("2:12", "string values must be quoted"),
        ("3:9", "not an absolute path"),
        ("4:1", "duplicate key"),
        ("6:1", "unknown key `sockt`"),
        ("7:1", "`name` is missing"),
        ("8:7", "the port is missing"),
        ("9:19", "unknown type `tpc`"),
        ("9:33", "\"2\" is not a whole number"),
        ("10:1", "`address` is missing"),
        ("11:10", "weight -1 is out of range"),
        ("12:1", "did you mean `backup`?"),
        ("14:8", "invalid type: integer `5`"),
        ("16:13", "is not a share"),
    ];
    assert_eq!(places(&shown), expected.map(|(place, _)| place), "{shown}");
    for (place, message) in expected {
        assert_shows(&shown, place, message, "");
    }
}

#[test]
fn secrets_are_not_shown_beside_an_invalid_byte() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("lb.toml");
    std::fs::write(&file, b"send = \"hunter2 \xff\"\n").expect("written");
    let shown = crate::load(&file).expect_err("no UTF-8").to_string();
    assert!(shown.contains("0xff is not UTF-8") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_invalid() {
    let error = crate::load("/nowhere/xdplb.toml".as_ref()).expect_err("there is none");
    assert!(error.is::<Diagnostics>(), "{error:?}");
    assert!(error.to_string().contains("cannot read /nowhere/xdplb.toml: No such file"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        if let Err(shown) = read(&text) {
            prop_assert!(shown.contains("lb.toml:"), "{}", shown);
        }
    }

    #[test]
    fn no_change_of_a_valid_text_panics(
        at in 0..VALID.len(),
        cut in 0_usize..20,
        insert in "[\\PC\n]{0,8}",
    ) {
        let end = (at + cut).min(VALID.len());
        let text = format!("{}{insert}{}", &VALID[..at], &VALID[end..]);
        if let Err(shown) = read(&text) {
            prop_assert!(shown.contains("lb.toml:"), "{}", shown);
        }
    }
}

#[test]
fn a_summary_has_place_and_reason_but_no_secret() {
    let summary = |text: &str| {
        let source = Source { path: "lb.toml".to_owned(), text: text.to_owned() };
        let error = parse::parse(source).expect_err("invalid");
        error.downcast_ref::<Diagnostics>().expect("diagnostics").summary().to_owned()
    };
    let plain = summary("interfaces = [\"eth0\"]\nwieght = 2\nintervall = 3\n");
    assert!(plain.contains(":2: unknown key `wieght` (1 more error)"), "{plain}");
    let secret = summary(
        "interfaces = [\"eth0\"]\n[[service]]\nname = \"a\"\nvip = \"203.0.113.1:80\"\n\
         [service.health]\ntype = \"send-expect\"\nexpect = \"x\"\nsend = 424242\n\
         [[service.backend]]\naddress = \"10.0.0.11:80\"\n",
    );
    assert!(
        secret.contains(":8: the line with a secret is invalid") && !secret.contains("424242"),
        "{secret}"
    );
}

#[test]
fn a_key_that_a_syntax_error_may_hide_is_not_missing() {
    for text in [
        "<!DOCTYPE html>\n<html></html>\n",
        "{ \"interfaces\": [\"eth0\"] }\n",
        "interfaces:\n  - eth0\n",
        "frontend web\n    bind 203.0.113.10:80\n",
        "\u{1}\u{2}\u{3}",
    ] {
        let shown = read(text).expect_err("not TOML");
        assert!(shown.starts_with("error: "), "{shown}");
        assert!(!shown.contains("is missing"), "{shown}");
    }
    let service = "[[service]]\nname \"web\"\nvip = \"203.0.113.10:80\"\n";
    let shown = read(&format!("interfaces = [\"a\"]\n{service}")).expect_err("invalid");
    assert_eq!(places(&shown), ["3:6"], "{shown}");
}
