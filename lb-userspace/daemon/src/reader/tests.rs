use lb_model::Proposal;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::control::Room;

/// Number of orders given at once.
const MANY: usize = 30;

fn submission(text: &str, is_root: bool) -> Submission {
    let proposal = Proposal { path: "sent.toml".to_owned(), text: text.to_owned() };
    Submission { proposal, by: caller(is_root), room: Room::default() }
}

fn caller(is_root: bool) -> Caller {
    Caller {
        name: "somebody".to_owned(),
        is_root,
        forces: false,
        expected: Expected::Any,
        is_dry_run: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_disconnected_clients_neither_pile_up_nor_block_root() {
    let directory = TempDir::new().expect("a directory");
    let (told, mut read) = Reader::channel();
    let mut reader = Reader::start(&directory.path().join("own.toml"), &told).expect("starts");
    let mut answers = Vec::new();
    for _ in 0..MANY {
        let (reply, answer) = oneshot::channel();
        reader.give(Order::Plan(submission("nonsense", false), reply));
        answers.push(answer);
    }
    let is_refused =
        |answer: &mut oneshot::Receiver<_>| matches!(answer.try_recv(), Ok(Err(Refusal::Busy(_))));
    let refused = answers.iter_mut().filter_map(|answer| is_refused(answer).then_some(())).count();
    // One in progress, one read.
    assert!(MANY - refused <= MOST_FILES + BACKLOG + 1, "only {refused} of {MANY} refused");
    drop(answers);
    let (reply, answer) = oneshot::channel();
    reader.give(Order::Plan(submission("nonsense", true), reply));
    reader.reload();
    let (mut others, mut roots, mut own) = (0, 0, 0);
    while roots == 0 || own == 0 {
        match read.recv().await.expect("the reader lives") {
            Read::Reload(_) => own += 1,
            Read::Plan(_, sender, _) if sender.by.is_root => roots += 1,
            _ => others += 1,
        }
    }
    assert!(others <= BACKLOG + 1, "{others} orders of nobody were carried out");
    drop(answer);
}

#[test]
fn files_of_checks_are_read_outside_the_loop_for_root_only() {
    let text = "interfaces = [\"eth0\"]\n[[service]]\nname = \"web\"\nvip = \"203.0.113.1:80\"\n\
                health.type = \"tls\"\nhealth.ca = \"/nowhere/ca.pem\"\n\
                [[service.backend]]\naddress = \"10.0.0.11:80\"\n";
    for is_root in [true, false] {
        let (reply, _answer) = oneshot::channel();
        let order = Order::Apply(submission(text, is_root), reply);
        let Read::Apply(file, ..) = order.carry_out(Path::new("/nowhere/own.toml")) else {
            panic!("another order")
        };
        let fault = file.err().map(|error| error.to_string());
        assert_eq!(fault.is_some_and(|fault| fault.contains("/nowhere/ca.pem")), is_root);
    }
}

/// Reads what a caller's addition of a service needs.
fn added(keys: lb_model::Keys, is_root: bool) -> (Box<Edit>, Result<Document, Refusal>) {
    let (reply, _answer) = oneshot::channel();
    let order = Order::Edit(Box::new(Edit {
        change: Change::AddService { name: "web".to_owned(), keys },
        by: caller(is_root),
        reply,
        document: Document::default(),
        version: 1,
        defaults: Policy::default(),
        attempts: 1,
        listeners: Listeners::default(),
        warning: None,
    }));
    let Read::Edit(edit, edited) = order.carry_out(Path::new("/nowhere/own.toml")) else {
        panic!("another order")
    };
    (edit, edited)
}

#[test]
fn files_of_a_changed_check_are_read_outside_the_loop_for_root_only() {
    let keys = serde_json::json!({
        "vip": "203.0.113.1:80", "health": { "type": "tls", "ca": "/nowhere/ca.pem" },
    });
    let serde_json::Value::Object(keys) = keys else { panic!("no object") };
    for is_root in [true, false] {
        let (_, edited) = added(keys.clone(), is_root);
        let refused = edited.err().map(|refusal| refusal.detail().into_owned());
        assert_eq!(refused.is_some_and(|detail| detail.contains("`health.ca`")), is_root);
    }
}

#[test]
fn a_program_that_this_host_cannot_run_is_a_warning_of_the_change() {
    for (program, is_missing) in [("/nowhere/check", true), ("/bin/true", false)] {
        let keys = serde_json::json!({
            "vip": "203.0.113.1:80", "health": { "type": "exec", "command": [program] },
        });
        let (edit, _) = added(keys.as_object().expect("keys").clone(), true);
        let warning = edit.warning.unwrap_or_default();
        assert_eq!(warning.contains("`health.command`: /nowhere/check cannot be run"), is_missing);
    }
}

#[test]
fn listeners_on_vips_are_read_outside_the_loop() {
    let server = std::net::TcpListener::bind("0.0.0.0:0").expect("binds");
    let port = server.local_addr().expect("bound").port();
    let vip = std::net::SocketAddr::from(([203, 0, 113, 10], port));
    let mut keys = lb_model::Keys::new();
    keys.insert("vip".to_owned(), vip.to_string().into());
    let service = lb_config::service("web", &keys, &Policy::default()).expect("valid");
    let carried_out = |order: Order| order.carry_out(Path::new("/nowhere/own.toml"));
    let (edit, _) = added(keys, false);
    let (reply, _answer) = oneshot::channel();
    let rollback =
        Rollback { number: 1, document: Document::of([service]), by: caller(false), reply };
    let Read::Rollback(_, of_rollback) = carried_out(Order::Rollback(rollback)) else {
        panic!("another order")
    };
    let text = format!(
        "interfaces = [\"eth0\"]\n[[service]]\nname = \"web\"\nvip = \"{vip}\"\n\
         [[service.backend]]\naddress = \"10.0.0.11:80\"\n"
    );
    let (reply, _answer) = oneshot::channel();
    let Read::Apply(file, ..) = carried_out(Order::Apply(submission(&text, false), reply)) else {
        panic!("another order")
    };
    let of_file = file.expect("valid").listeners;
    for (what, listeners) in
        [("edit", edit.listeners), ("rollback", of_rollback), ("file", of_file)]
    {
        assert!(listeners.find(vip).is_some(), "{what}");
    }
}
