//! The command line with a planted bug: at SIGUSR1 it panics at the place in the variable PLACE.

use std::{env, future::pending, process::ExitCode, thread};

use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    spawn,
    task::spawn_blocking,
};

fn main() -> ExitCode {
    let runtime = Runtime::new().expect("a runtime");
    let entered = runtime.enter();
    let mut told = signal(SignalKind::user_defined1()).expect("a signal");
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(async {
            told.recv().await;
            plant(&env::var("PLACE").expect("a place"));
            pending::<()>().await;
        });
    });
    lb_userspace::cli::main()
}

fn plant(place: &str) {
    let bug = format!("planted in a {place}\x1b[2J");
    match place {
        "blocking task" => drop(spawn_blocking(move || panic!("{bug}"))),
        "thread" => drop(thread::spawn(move || panic!("{bug}"))),
        _ => drop(spawn(async move { panic!("{bug}") })),
    }
}
