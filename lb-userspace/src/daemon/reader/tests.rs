use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::control::{Proposal, Room};

/// Orders that are given at once.
const MANY: usize = 30;

fn submission(path: &str, is_root: bool) -> Submission {
    let proposal = Proposal { path: path.to_owned(), text: "nonsense".to_owned() };
    Submission { proposal, by: Caller { name: path.to_owned(), is_root }, room: Room::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_clients_that_hang_up_neither_pile_up_nor_hold_up_root() {
    let directory = TempDir::new().expect("a directory");
    let (told, mut read) = Reader::channel();
    let mut reader = Reader::start(&directory.path().join("own.toml"), &told).expect("starts");
    let mut answers = Vec::new();
    for _ in 0..MANY {
        let (reply, answer) = oneshot::channel();
        reader.give(Order::Plan(submission("other", false), reply));
        answers.push(answer);
    }
    let is_refused =
        |answer: &mut oneshot::Receiver<_>| matches!(answer.try_recv(), Ok(Err(Refusal::Busy(_))));
    let refused = answers.iter_mut().filter_map(|answer| is_refused(answer).then_some(())).count();
    // One in hand, one read.
    assert!(MANY - refused <= MOST_FILES + BACKLOG + 1, "only {refused} of {MANY} refused");
    drop(answers);
    let (reply, answer) = oneshot::channel();
    reader.give(Order::Plan(submission("root", true), reply));
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
