//! Edits of the document, and its differences.

use super::*;
use lb_model::Refusal;

fn told(from: &Document, to: &Document) -> Vec<String> {
    steps(from, to).iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_says_what_comes_changes_and_goes() {
    let document = web();
    assert_eq!(
        told(&Document::default(), &document),
        [
            "+ web: 203.0.113.10:80",
            "+ web: 10.0.0.11:80: weight 1, backup false, admin enabled",
            "+ web: 10.0.0.12:80: weight 1, backup false, admin enabled",
        ]
    );
    let five = Settings { weight: Some(5), ..Settings::default() };
    let changes = [
        set_backend("web", "10.0.0.11:80", five),
        Change::RemoveBackend {
            service: "web".to_owned(),
            address: "10.0.0.12:80".parse().expect("an address"),
        },
        Change::SetService {
            name: "web".to_owned(),
            keys: keys(json!({ "vip": "203.0.113.12:80", "health": { "interval": "500ms" } })),
        },
        add_service("db", "203.0.113.11:5432"),
    ];
    let after = changes.iter().fold(document.clone(), |document, change| {
        edited(&document, change, &Policy::default()).expect("valid")
    });
    assert_eq!(
        told(&document, &after),
        [
            "+ db: 203.0.113.11:5432",
            "~ web: vip: 203.0.113.10:80 -> 203.0.113.12:80",
            "~ web: health.interval: 2s -> 500ms",
            "- web: 10.0.0.12:80",
            "~ web: 10.0.0.11:80: weight: 1 -> 5",
        ]
    );
    assert_eq!(told(&after, &after), [""; 0]);
    assert_eq!(told(&document, &Document::default()), ["- web: 203.0.113.10:80"]);
}

#[test]
fn orders_outlive_the_reading_of_a_file() {
    let drained = Settings { admin: Some(Admin::Draining), ..Settings::default() };
    let change = set_backend("web", "10.0.0.11:80", drained);
    let ordered = edited(&web(), &change, &Policy::default()).expect("valid");
    assert_eq!(web().with_orders_of(&ordered), ordered);
}

#[test]
fn what_a_document_may_not_say_is_refused() {
    let cases = [
        (add_service("web", "203.0.113.11:80"), "there is a service web already"),
        (add_service("other", "203.0.113.10:80"), "is taken by service web"),
        (add_service("loop", "10.0.0.11:80"), "is a backend of service web"),
        (add_service("a b", "203.0.113.12:80"), "not a valid service name"),
        (add_service("v6", "[2001:db8::1]:80"), "IPv6 is not supported yet"),
        (add_backend("web", "10.0.0.11:80"), "has the backend 10.0.0.11:80 already"),
        (add_backend("web", "203.0.113.10:80"), "is the VIP of service web"),
        (add_backend("web", "127.0.0.1:80"), "cannot be a server's address"),
        (add_backend("nope", "10.0.0.13:80"), "there is no service nope"),
        (
            set_backend("web", "10.0.0.99:80", Settings::default()),
            "web has no backend 10.0.0.99:80",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "backend": [] })) },
            "backends are changed one by one",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "name": "other" })) },
            "a service cannot be renamed",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "vip": null })) },
            "`vip` has no default",
        ),
        (
            set_backend(
                "web",
                "10.0.0.11:80",
                Settings { until: Some(jiff::Timestamp::MAX), ..Settings::default() },
            ),
            "`until` is for draining",
        ),
        (
            Change::SetService { name: "web".into(), keys: keys(json!({ "shceduler": "x" })) },
            "shceduler",
        ),
        (
            Change::SetService {
                name: "web".into(),
                keys: keys(json!({ "health": { "rise": 0 } })),
            },
            "a count of checks is 1 to",
        ),
    ];
    for (change, word) in cases {
        let refusal = edited(&web(), &change, &Policy::default()).expect_err(word);
        assert!(refusal.detail().contains(word), "{refusal:?}");
        assert!(!matches!(refusal, Refusal::Failed(_)), "{refusal:?}");
    }
}

#[test]
fn what_checks_send_is_in_no_step_and_no_history() {
    let check = |send: &str| json!({ "type": "send-expect", "contains": "OK", "send": send });
    let set = |send: &str| Change::SetService {
        name: "web".to_owned(),
        keys: keys(json!({ "health": check(send) })),
    };
    let edit = |document: &Document, change: &Change| {
        edited(document, change, &Policy::default()).expect("valid")
    };
    let first = edit(&web(), &set("AUTH secret1"));
    let second = edit(&first, &set("AUTH secret2"));
    let told = [told(&web(), &first), told(&first, &second), vec![set("AUTH secret").to_string()]];
    let told = told.concat().join("\n");
    assert!(!told.contains("secret"), "{told}");
    assert!(told.contains("~ web: health.send: (hidden) -> (hidden)"), "{told}");
}

#[test]
fn what_is_taken_is_a_conflict_and_a_wrong_value_is_invalid() {
    let document = after(&[
        add_service("web", "203.0.113.10:80"),
        add_service("db", "203.0.113.11:80"),
        add_backend("web", "10.0.0.1:80"),
    ]);
    let vip =
        |vip: &str| Change::SetService { name: "db".to_owned(), keys: keys(json!({ "vip": vip })) };
    for (change, is_conflict) in [
        (add_service("web", "203.0.113.12:80"), true),
        (add_service("other", "203.0.113.10:80"), true),
        (vip("203.0.113.10:80"), true),
        (vip("10.0.0.1:80"), true),
        (add_backend("web", "10.0.0.1:80"), true),
        (add_backend("web", "203.0.113.11:80"), true),
        (add_backend("web", "203.0.113.10:80"), false),
        (add_backend("web", "127.0.0.1:80"), false),
        (vip("nonsense"), false),
    ] {
        let refusal = edited(&document, &change, &Policy::default()).expect_err("refused");
        assert_eq!(matches!(refusal, Refusal::Conflict(_)), is_conflict, "{change}: {refusal:?}");
    }
}

#[test]
fn wrong_keys_of_a_service_are_named_in_one_sentence() {
    let document = after(&[add_service("web", "203.0.113.10:80")]);
    let change = |value| Change::SetService { name: "web".to_owned(), keys: keys(value) };
    for (value, detail, pointers) in [
        (json!({ "nope": 1 }), "unknown key `nope`", &["#/nope"][..]),
        (json!({ "backnd": [] }), "expected one of `vip`", &["#/backnd"]),
        (json!({ "nope": null }), "unknown key `nope`: remove it", &["#/nope"]),
        (json!({ "vip": null }), "`vip` has no default: give it a value", &["#/vip"]),
        (json!({ "min_active": "x" }), "`min_active` is 1 to", &["#/min_active"]),
        (json!({ "min_active": u64::MAX }), "is too large: give a smaller", &["#/min_active"]),
        (
            json!({ "health": { "rise": [null] } }),
            "`health.rise.0`: it cannot",
            &["#/health/rise/0"],
        ),
        (json!({ "name": "other" }), "`name`: a service cannot be renamed: ", &["#/name"]),
        (
            json!({ "slow_start": 5, "fail_open": 5 }),
            " (1 more error)",
            &["#/fail_open", "#/slow_start"],
        ),
    ] {
        let refusal = edited(&document, &change(value), &Policy::default()).expect_err(detail);
        let said = refusal.detail();
        assert!(said.contains(detail) && !said.contains('\n'), "{said}");
        assert!(!said.contains("`backend`"), "{said}");
        let Refusal::InvalidKeys(faults) = &refusal else { panic!("{refusal:?}") };
        let mut found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, pointers, "{said}");
    }
}

#[test]
fn every_change_is_found_in_documents_of_hundreds_of_services() {
    let add =
        |nth: u32| add_service(&format!("s{nth:03}"), &format!("203.0.113.10:{}", 1_000 + nth));
    let all: Vec<_> = (0..200).map(add).collect();
    let before = after(&all);
    for service in before.services() {
        let without = before.without(&service.name);
        let removal = without.since(&before);
        assert_eq!(removal.removed, std::slice::from_ref(&service.name));
        assert!(removal.set.is_empty(), "{}", service.name);
        let back = before.since(&without);
        assert!(back.set == [Arc::clone(service)] && back.removed.is_empty(), "{}", service.name);
        assert_eq!(without.after(&back), before);
    }
}
