//! Errors of values, with their places and fixes.

use super::*;

#[test]
fn an_invalid_file_is_shown_with_place_and_fix() {
    let cases = [
        ("interfaces = []", "1:14", "no interface is listed", "interfaces = [\"eth0\"]"),
        ("interfaces = [\"a\", \"a\"]", "1:20", "interface a is listed twice", "remove one"),
        ("interfaces = [\"\"]", "1:15", "not a valid interface name", "ip link"),
        ("interfaces = [\"eth 0\"]", "1:15", "not a valid interface name", "ip link"),
        ("interfaces = [\"sixteen-letters-\"]", "1:15", "not a valid interface name", ""),
        ("interfaces = [\"a\"]\nintervall = 1", "2:1", "unknown key `intervall`", "`xdp_mode`"),
        (
            "interfaces = [\"a\"]\nserivce = 1",
            "2:1",
            "unknown key `serivce`",
            "did you mean `service`?",
        ),
        (
            "interfaces = [\"a\"]\nxdp_mode = \"fast\"",
            "2:12",
            "unknown xdp_mode `fast`",
            "`native`",
        ),
        ("interfaces = [\"a\"]\nbpffs = \"\"", "2:9", "not an absolute path", "\"/sys/fs/bpf\""),
        ("interfaces = [\"a\"]\napi.socket = \"s\"", "2:14", "not an absolute path", "xdplb.sock"),
        ("interfaces = [\"a\"]\nservice = 3", "2:11", "type: integer", "write `[[service]]`, one"),
        (
            "interfaces = [\"a\"]\n[service]\nname = \"a\"",
            "2:1",
            "invalid type: table",
            "write `[[service]]`, one for each",
        ),
        ("\n{ \"interfaces\": [] }", "2:1", "this is JSON", "`xdplb export`"),
        ("interfaces = [\"a\"", "1:18", "unclosed array", "expected `]`"),
        ("xdp_mode = \"auto\"", "1:1", "`interfaces` is missing", "interfaces = [\"eth0\"]"),
        (
            "interfaces = [\"a\"]\nsnat_ports = \"9-1\"",
            "2:14",
            "not a range of ports",
            "\"1024-32767\"",
        ),
        (
            "interfaces = [\"a\"]\nsnat_addresses = [\"10.0.0.2\", \"10.0.0.2\"]",
            "2:31",
            "address 10.0.0.2 is given twice",
            "remove one",
        ),
        (
            "interfaces = [\"a\"]\nsnat_addresses = [\"127.0.0.1\"]",
            "2:19",
            "127.0.0.1 cannot be a host's address",
            "this host's addresses",
        ),
        (
            "interfaces = [\"a\"]\nlimits.flows = 16_000_001",
            "2:16",
            "16000001 is out of range",
            "1 to 16000000",
        ),
    ];
    for (text, place, message, fix) in cases {
        assert_shows(&read(text).expect_err(text), place, message, fix);
    }
}

#[test]
fn an_invalid_group_is_shown_with_place_and_fix() {
    let cases = [
        (
            "interfaces = [\"a\"]\npair.lease = \"10ms\"",
            "2:14",
            "this time is out of range",
            "300ms to 1m",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a\"\nvips = [\"203.0.113.9\"]",
            "2:1",
            "`snat_addresses` is missing",
            "snat_addresses = [\"10.0.0.5\"]",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a\"\nvips = []\nsnat_addresses = [\"10.0.0.5\"]",
            "4:8",
            "no address is listed",
            "[\"203.0.113.10\"]",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a b\"\nvips = [\"203.0.113.9\"]\n\
             snat_addresses = [\"10.0.0.5\"]",
            "3:8",
            "not a valid group name",
            "up to 63 letters",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a\"\nvips = [\"203.0.113.9:80\"]\n\
             snat_addresses = [\"10.0.0.5\"]",
            "4:9",
            "not an IPv4 address that a host can have",
            "without a port",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a\"\nvips = [\"203.0.113.9\"]\n\
             snat_addresses = [\"203.0.113.9\"]",
            "5:19",
            "203.0.113.9 is an address of group a already",
            "to one group, once",
        ),
        (
            "interfaces = [\"a\"]\nsnat_addresses = [\"10.0.0.2\"]\n[[group]]\nname = \"a\"\n\
             vips = [\"203.0.113.9\"]\nsnat_addresses = [\"10.0.0.5\"]",
            "2:19",
            "no service uses these source addresses",
            "each [[group]] has `snat_addresses` of its own",
        ),
        (
            "interfaces = [\"a\"]\n[[group]]\nname = \"a\"\nvips = [\"203.0.113.9\"]\n\
             snat_addresses = [\"10.0.0.5\"]\n[[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"",
            "8:7",
            "203.0.113.10 is in no group",
            "to the `vips` of a [[group]]",
        ),
    ];
    for (text, place, message, fix) in cases {
        assert_shows(&read(text).expect_err(text), place, message, fix);
    }
}

#[test]
fn turns_of_a_scheduler_that_takes_none_are_shown_with_the_fix() {
    let shown = errors_in_service("scheduler = \"maglev\"\nturns = \"per-cpu\"");
    let fix = "remove `turns`, or give `scheduler = \"round-robin\"`";
    assert_shows(&shown, "6:9", "the scheduler maglev takes no turns", fix);
}

#[test]
fn an_invalid_service_is_shown_with_place_and_fix() {
    let cases = [
        ("mode = \"dsr\"", "5:8", "unknown mode `dsr`", "expected `nat`"),
        ("scheduler = \"fair\"", "5:13", "unknown scheduler `fair`", "`least-connections`"),
        ("turns = \"fair\"", "5:9", "unknown turns `fair`", "`per-cpu`"),
        (
            "health.path = \"/\"",
            "5:15",
            "a check of type tcp does not use `path`",
            "remove it, or give a `type` that uses it: http, https",
        ),
        (
            "health = { type = \"http\", expect = \"(\" }",
            "5:36",
            "`expect`: invalid regular expression: unclosed group",
            "a backslash",
        ),
        (
            "health.type = \"exec\"",
            "5:15",
            "`command`: required for a check of type exec",
            "command = [\"/usr/local/bin/check\"",
        ),
        (
            "health = { interval = \"1s\", timeout = \"2s\" }",
            "5:39",
            "may not take longer than its interval of 1s",
            "a longer `interval`",
        ),
        ("health.fast_interval = \"5s\"", "5:24", "slower than the interval of 2s", "less than 2s"),
        ("health.port = 0", "5:15", "port 0 is out of range", "1 to 65535"),
        (
            "health.address = \"0.0.0.0\"",
            "5:18",
            "0.0.0.0 cannot be a host's address",
            "in place of the backend's",
        ),
        ("health = { type = \"none\", port = 81 }", "5:34", "type none does not use `port`", "tcp"),
        (
            "health = { type = \"http\", status = \"2xx\" }",
            "5:36",
            "2xx is not a list",
            "codes and ranges",
        ),
        (
            "health = { type = \"http\", host = \"a:x\" }",
            "5:34",
            "a:x is not a host name",
            "db.example",
        ),
        (
            "health = { type = \"send-expect\", contains = \"1\", send = \"(hidden)\" }",
            "5:57",
            "(hidden) stands for a value that is not shown",
            "give the value itself",
        ),
        ("min_active = 0", "5:14", "no backup would ever be used", "at least 1"),
        ("health = \"tcp\"", "5:10", "invalid type: string", "expected a table of keys"),
        ("health.port = \"80\"", "5:15", "\"80\" is not a whole number", "`port` is 1 to 65535"),
        ("health.port = 70000", "5:15", "70000 is out of range", "`port` is 1 to 65535"),
        ("health.rise = -1", "5:15", "-1 is out of range", "`rise` is 1 to 4294967295"),
        ("health.fall = 4294967296", "5:15", "4294967296 is out of range", "1 to 4294967295"),
        ("min_active = -1", "5:14", "-1 is out of range", "`min_active` is 1 to 4294967295"),
        ("health.interval = 1", "5:19", "1 has no unit", "as in \"1s\" for seconds"),
        ("health.interval = \"5\"", "5:19", "5 has no unit", "as in \"5s\" for seconds"),
        ("health.interval = \"-1s\"", "5:19", "-1s is negative", "expected a duration"),
        ("slow_start = \"soon\"", "5:14", "`soon` is not a duration", "\"500ms\", \"2s\""),
        ("health.address = \"db\"", "5:18", "db is not an IP address", "names are not looked up"),
        ("health.ca = 1", "5:13", "invalid type: integer", "expected a string"),
        ("backend = 1", "5:11", "invalid type: integer", "write `[[service.backend]]`, one for"),
        (
            "backend = \"10.0.0.1:80\"",
            "5:11",
            "invalid type: string",
            "or backend = [{ address = \"10.0.0.1:80\" }]",
        ),
        (
            "backend = [\"10.0.0.1:80\"]",
            "5:12",
            "invalid type: string",
            "write { address = \"10.0.0.1:80\" }",
        ),
        (
            "[service.backend]\naddress = \"10.0.0.1:80\"",
            "5:1",
            "invalid type: table",
            "write `[[service.backend]]`, one for each",
        ),
        ("health.interval = 5s", "5:19", "this value is not in quotes", "interval = \"5s\""),
        ("scheduler = maglev # x", "5:13", "this value is not in quotes", "= \"maglev\""),
        ("health.rise = 0", "5:15", "0 is out of range", "a count of checks is 1 to"),
        ("health.interval = \"0s\"", "5:19", "this time is out of range", "\"500ms\""),
        ("health.timeout = \"2\"", "5:18", "2 has no unit", "as in \"2s\""),
        ("timeouts.established = \"26d\"", "5:24", "this time is out of range", "7d"),
    ];
    for (line, place, message, fix) in cases {
        assert_shows(&errors_in_service(line), place, message, fix);
    }
}

#[test]
fn an_unreadable_key_is_not_reported_missing() {
    let shown = errors_in_service("health = { type = \"exec\", command = \"/bin/true\" }");
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    assert_shows(&shown, "5:37", "invalid type: string", "expected a list, as in");
}

#[test]
fn an_unquoted_address_is_to_be_quoted() {
    let text = "interfaces = [\"a\"]\n[[service]]\nname = \"a\"\nvip = 203.0.113.10:80\n";
    let shown = read(text).expect_err("invalid");
    assert!(shown.contains("not in quotes"), "{shown}");
    assert!(shown.contains("quote it: vip = \"203.0.113.10:80\""), "{shown}");
}

#[test]
fn an_error_is_shown_once() {
    for text in ["[[api]]\nsocket = \"/x\"".to_owned(), format!("{SERVICE}[[service.health]]\n")] {
        let shown = read(&format!("interfaces = [\"a\"]\n{text}")).expect_err("invalid");
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    }
    let shown = read(&"[".repeat(2_000)).expect_err("invalid");
    assert!(shown.matches("error:").count() < 5, "{shown}");
}

#[test]
fn errors_of_words_list_the_valid_ones() {
    for (line, words) in [
        ("on_refused = true", "expected \"retry\" or \"pass\""),
        ("failback = 1", "expected \"auto\" or \"manual\""),
        ("health.close = 1", "expected \"reset\" or \"fin\""),
        ("health.type = []", "expected \"tcp\" or \"tls\" or"),
        ("scheduler = 1", "expected \"round-robin\" or"),
    ] {
        let shown = errors_in_service(line);
        assert!(
            shown.contains("this is not a string in quotes") && shown.contains(words),
            "{shown}"
        );
    }
}

#[test]
fn users_of_checks_have_names_that_users_can_have() {
    for name in ["", "a b", "a:b", "../x", "-x", "a\\nb"] {
        let text = format!("interfaces = [\"a\"]\nchecks.user = \"{name}\"\n");
        assert_shows(&read(&text).expect_err(name), "2:15", "not a valid user name", "nobody");
    }
}

#[test]
fn programs_never_run_as_root() {
    let shown = read("interfaces = [\"eth0\"]\nchecks.user = \"root\"\n").expect_err("refused");
    assert_shows(&shown, "2:15", "programs of checks do not run as root", "nobody");
}

#[test]
fn faults_of_inherited_checks_are_reported_once() {
    let in_defaults = |keys: &str| {
        let services =
            SERVICE.to_owned() + &SERVICE.replace("web", "api").replace("10:80", "11:80");
        format!("interfaces = [\"eth0\"]\n[defaults.health]\n{keys}\n{services}")
    };
    let shown = read(&in_defaults("type = \"http\"\nexpect = \"(\"")).expect_err("invalid");
    assert_shows(&shown, "4:10", "unclosed group", "");
    assert_eq!(shown.matches("error:").count(), 1, "{shown}");
    let shown = read(&in_defaults("type = \"exec\"")).expect_err("invalid");
    assert_shows(&shown, "5:8", "`command`: required for a check of type exec", "");
    assert_shows(&shown, "8:8", "`command`: required for a check of type exec", "");
    assert_eq!(shown.matches("error:").count(), 2, "{shown}");
}

#[test]
fn an_invalid_backend_is_shown_with_place_and_fix() {
    let cases = [
        ("address = \"10.0.0.1:80\", weight = 70000", "5:48", "weight 70000", "0 to 65535"),
        ("address = \"10.0.0.1:80\", weight = -1", "5:48", "weight -1", "0 to 65535"),
        ("address = \"10.0.0.1:80\", backup = 1", "5:48", "invalid type", "expected a boolean"),
        ("address = \"10.0.0.1:99999\"", "5:24", "port 99999 is out of range", "1 to 65535"),
        ("address = \"10.0.0.1:+80\"", "5:24", "port +80 is out of range", "1 to 65535"),
        ("weight = 1", "5:12", "`address` is missing", "10.0.0.11:80"),
        ("address = \"10.0.0.1:0\"", "5:24", "port 0 is out of range", "1 to 65535"),
        ("address = \"10.0.0.1\"", "5:24", "the port is missing", "10.0.0.1:80"),
        ("address = \"db1:5432\"", "5:24", "db1 is not an IPv4 address", "not looked up"),
        ("address = \"10.0.0.1:\"", "5:24", "the port is missing", "10.0.0.1:80"),
        (
            "address = \"0.0.0.0:80\"",
            "5:24",
            "0.0.0.0 cannot be a host's address",
            "the one address",
        ),
        (
            "address = \"127.0.0.1:80\"",
            "5:24",
            "127.0.0.1 cannot be a host's address",
            "the one address",
        ),
        ("address = \"fd00::1:80\"", "5:24", "IPv6 is not supported yet", "IPv4"),
        ("address = \"[fd00::1]:80\"", "5:24", "IPv6 is not supported yet", "IPv4"),
        (
            "address = \"203.0.113.10:80\"",
            "5:24",
            "is the VIP of service web",
            "address of a server",
        ),
        (
            "address = \"203.0.113.10:080\"",
            "5:24",
            "is the VIP of service web",
            "address of a server",
        ),
        (
            "address = \"10.0.0.1:80\" }, { address = \"10.0.0.1:80\"",
            "5:53",
            "backend 10.0.0.1:80 is given twice",
            "larger weight",
        ),
    ];
    for (backend, place, message, fix) in cases {
        let shown = errors_in_service(&format!("backend = [{{ {backend} }}]"));
        assert_shows(&shown, place, message, fix);
    }
}

#[test]
fn a_list_is_no_table() {
    let lists = [
        ("health = [\"tcp\"]", "5:10"),
        ("timeouts = [\"1s\", \"1s\", \"1s\", \"1s\"]", "5:12"),
        ("backend = [[\"10.0.0.1:80\", 3, true]]", "5:12"),
    ];
    for (line, place) in lists {
        assert_shows(&errors_in_service(line), place, "type: list", "expected a table of keys");
    }
    for (line, place) in [
        ("limits = [5, 5, 5, 5]", "2:10"),
        ("api = [\"/s\", \"\"]", "2:7"),
        ("checks = [\"daemon\", []]", "2:10"),
    ] {
        let shown = read(&format!("interfaces = [\"a\"]\n{line}")).expect_err(line);
        assert_shows(&shown, place, "type: list", "expected a table of keys");
    }
}

#[test]
fn services_must_differ_and_be_ipv4_tcp() {
    let cases = [
        ("web", "203.0.113.11:80", "6:8", "two services are named web", "rename one"),
        ("b", "203.0.113.10:80/tcp", "7:7", "is taken by service web", "own address"),
        ("b", "203.0.113.11:53/udp", "7:7", "protocol udp is not supported yet", "TCP"),
        ("b", "224.0.0.1:80", "7:7", "224.0.0.1 cannot be a host's address", "the one address"),
        (
            "b",
            "255.255.255.255:80",
            "7:7",
            "255.255.255.255 cannot be a host's address",
            "the one address",
        ),
        ("b", "[2001:db8::1]:80", "7:7", "IPv6 is not supported yet", "IPv4"),
        ("b c", "203.0.113.11:80", "6:8", "not a valid service name", "letters, digits"),
    ];
    for (name, vip, place, message, fix) in cases {
        let second = format!("[[service]]\nname = \"{name}\"\nvip = \"{vip}\"");
        assert_shows(&errors_in_service(&second), place, message, fix);
    }
}
