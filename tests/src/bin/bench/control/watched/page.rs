//! Cost of a viewer of the status page.

use std::{
    io::{BufRead as _, BufReader},
    net::{Shutdown, TcpStream},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, ensure};
use lb_testbed::Testbed;

use super::{
    super::{Extent, ROUND, Row, share_of_a_core, testbed},
    SITE, api, request,
};
use crate::plan::Plan;

/// Measures the share of a core that the daemon takes with a viewer, less what it takes without one: checks
/// go on meanwhile, and each of them changes a row of the page.
pub(super) fn measure(extent: &Extent) -> Result<Row> {
    let testbed = testbed()?;
    let balancer = SITE.start(&testbed, &api())?;
    let mut shares = Vec::new();
    for _ in 0..extent.rounds.div_ceil(10).max(3) {
        Plan::check()?;
        let alone = share_of_a_core(balancer.pid());
        let viewer = Viewer::open(&testbed)?;
        shares.push(share_of_a_core(balancer.pid()) - alone);
        let changes = viewer.close()?;
        ensure!(changes as u64 + 2 > ROUND.as_secs(), "a viewer got {changes} changes only");
    }
    let what = "page: a viewer of 1,000 backends, more than without one";
    Ok(Row::new(what, "% of a core", shares).with_goal(2.0))
}

/// Reads the events of the page, and counts the changes.
struct Viewer {
    stream: TcpStream,
    reader: JoinHandle<usize>,
}

impl Viewer {
    /// Returns once the whole page is there.
    fn open(testbed: &Testbed) -> Result<Self> {
        let stream = request(testbed, "/events")?;
        let mut lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("data: ")).context("the page has no events")?;
        let reader = thread::spawn(move || lines.filter(|line| line == "event: change").count());
        Ok(Self { stream, reader })
    }

    fn close(self) -> Result<usize> {
        self.stream.shutdown(Shutdown::Both)?;
        Ok(self.reader.join().expect("it does not panic"))
    }
}
