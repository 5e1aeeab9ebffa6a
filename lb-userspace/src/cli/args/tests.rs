use clap::CommandFactory as _;

use super::*;

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn weights_out_of_range_are_refused() {
    for weight in ["65536", "70000", "-1", "x"] {
        let arguments = ["xdplb", "backend", "add", "web", "10.0.0.1:80", "--weight", weight];
        assert!(Cli::try_parse_from(arguments).is_err(), "{weight}");
    }
}

#[test]
fn errors_of_values_give_the_range_or_the_fix() {
    let of = |arguments: &[&str]| {
        let all = ["xdplb", "backend"].into_iter().chain(arguments.iter().copied());
        Cli::try_parse_from(all).expect_err("a wrong value").to_string()
    };
    for (arguments, word) in [
        (&["add", "web", "db.example:80"][..], "names are not looked up"),
        (&["add", "web", "10.0.0.1"], "the port is missing"),
        (&["add", "web", "10.0.0.1:99999"], "a port is 1 to 65535"),
        (&["add", "web", "10.0.0.1:80", "--weight", "-1"], "-1 is not in 0..=65535"),
        (&["set", "web", "10.0.0.1:80", "--weight", "70000"], "70000 is not in 0..=65535"),
        (&["drain", "web", "10.0.0.1:80", "--deadline", "5"], "5 has no unit"),
        (&["drain", "web", "10.0.0.1:80", "--deadline", "-5s"], "-5s is negative"),
        (&["drain", "web", "10.0.0.1:80", "--deadline", "99999years"], "is too long"),
    ] {
        let said = of(arguments);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

#[test]
fn at_least_one_setting_is_required() {
    let set = ["xdplb", "backend", "set", "web", "10.0.0.1:80"];
    let missing = Cli::try_parse_from(set).expect_err("nothing to set").to_string();
    assert!(missing.contains("--weight") && missing.contains("--backup"), "{missing}");
    for setting in ["--weight=5", "--weight=0", "--backup=false", "--backup"] {
        assert!(Cli::try_parse_from(set.into_iter().chain([setting])).is_ok(), "{setting}");
    }
}

#[test]
fn keys_have_types() {
    let arguments =
        ["xdplb", "service", "set", "web", "--health", "rise=3", "--health", "path=/a=b"];
    let cli = Cli::try_parse_from(arguments).expect("valid");
    let Verb::Service { verb: ServiceVerb::Set { keys, .. } } = cli.verb else { panic!() };
    let expected = serde_json::json!({ "health": { "rise": 3, "path": "/a=b" } });
    assert_eq!(serde_json::Value::Object(keys.into_keys().expect("once each")), expected);
}
