//! Several CPUs at once.

use std::{collections::HashSet, thread};

use lb_tests::{frame::Segment, object::Action};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::bed::{backend, balancer_with, syn};

const EACH: u16 = 3_000;

#[test]
#[ignore = "needs root"]
fn round_robin_is_exact_across_cpus() {
    let object = balancer_with(40_000, 30_000);
    let cpus = thread::available_parallelism().expect("known").get().min(4);
    let open = |cpu: usize| {
        let mut affinity = CpuSet::new();
        affinity.set(cpu).expect("a CPU");
        sched_setaffinity(Pid::from_raw(0), &affinity).expect("allowed");
        let first = 10_000 + u16::try_from(cpu).expect("few") * EACH;
        let ports = first..first + EACH;
        ports
            .map(|port| {
                let (action, frame) = object.run_uncounted(&syn(port).frame());
                assert_eq!(action, Action::Tx);
                let sent = Segment::read(&frame);
                (sent.src, sent.dst)
            })
            .collect::<Vec<_>>()
    };
    let opened: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus).map(|cpu| scope.spawn(move || open(cpu))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    for id in 1..=3 {
        let share = opened.iter().filter(|(_, dst)| *dst == backend(id)).count();
        assert_eq!(share, opened.len() / 3);
    }
    let tuples: HashSet<_> = opened.iter().collect();
    assert_eq!(tuples.len(), opened.len(), "no two connections share a source port");
}
