//! What the page shows, and that it follows.

use std::fs;

use lb_tests::{
    browser::{Scheme, browse},
    requests,
    site::{Site, backend, vip},
};
use serde_json::json;

use super::{open, wait_for_backends, wait_for_row, wait_for_text};
use crate::watched::site;

/// Checks accessibility; installed by `cargo xtask setup see`.
const AXE: &str = concat!(env!("OUT_DIR"), "/../../../../see/node_modules/axe-core/axe.min.js");

#[test]
#[ignore = "needs root"]
fn it_follows_services_without_a_reload() {
    let Site { balancer, mut servers, testbed } = site("");
    let [first, last] = [0, 2].map(|nth| backend(&testbed, nth).to_string());
    browse(&testbed, async |page| {
        open(page, "").await;
        page.value("window.isSame = true").await;
        wait_for_row(page, &["web", &vip(&testbed).to_string(), "3/3 up", "3 in use"]).await;
        wait_for_row(page, &[&first, "up", "L4OK"]).await;
        wait_for_text(page, ".facts", "native").await;
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
        assert!(!answers.contains_key(""), "{answers:?}");
        wait_for_text(page, "tr.service .total", "30").await;
        page.wait("/peak [1-9]/.test(document.querySelector('.tile small').textContent)").await;
        drop(servers.pop());
        wait_for_row(page, &[&last, "down", "L4CON"]).await;
        wait_for_row(page, &["web", "2/3 up"]).await;
        page.wait("document.title.startsWith('1 problem')").await;
        wait_for_text(page, "#said", &format!("web {last} down")).await;
        balancer.done(&["backend", "drain", "web", &first, "--deadline", "5m"]);
        wait_for_row(page, &[&first, "draining", "0 connections left, ends in 4m"]).await;
        balancer.done(&["backend", "remove", "web", &last]);
        wait_for_text(page, ".happenings", &format!("web {last} removed")).await;
        let left = page.value("document.querySelector('table.backends').textContent").await;
        assert!(!left.to_string().contains(&last), "{left}");
        assert_eq!(page.value("window.isSame").await, true, "without a reload");
    });
}

#[test]
#[ignore = "needs root"]
fn a_service_that_is_drained_is_a_problem() {
    let Site { balancer, mut servers, testbed } = site("");
    let backends = [0, 1, 2].map(|nth| backend(&testbed, nth).to_string());
    for backend in &backends {
        balancer.done(&["backend", "drain", "web", backend]);
    }
    browse(&testbed, async |page| {
        open(page, "").await;
        page.wait("document.title.startsWith('1 problem')").await;
        page.press("p").await;
        wait_for_backends(page, 3).await;
        wait_for_row(page, &["web", "0 in use"]).await;
        drop(servers.pop());
        wait_for_row(page, &[&backends[2], "draining, down"]).await;
        balancer.done(&["backend", "enable", "web", &backends[0]]);
        wait_for_backends(page, 0).await;
        page.press("p").await;
        wait_for_backends(page, 3).await;
    });
}

#[test]
#[ignore = "needs root"]
fn services_and_backends_have_pages_of_their_own() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let first = backend(&testbed, 0).to_string();
    browse(&testbed, async |page| {
        open(page, &format!("#/web/{first}")).await;
        wait_for_text(page, "h1", &first).await;
        wait_for_text(page, ".lists", "L4OK").await;
        wait_for_text(page, ".chart .peak", "peak 0").await;
        page.value("document.querySelector('#trail li:nth-child(2) a').click()").await;
        wait_for_row(page, &[&first, "up"]).await;
        wait_for_text(page, ".list", "health.interval").await;
        page.value("document.querySelector('tr.backend a').click()").await;
        wait_for_text(page, "h1", &first).await;
        balancer.done(&["service", "remove", "web"]);
        page.wait(&format!(
            "document.querySelector('main').innerText === 'There is no backend {first} of web.'"
        ))
        .await;
    });
}

/// Cells of the table that are not in their row, or not under the heading of their column.
const ASTRAY: &str = "[...document.querySelectorAll('table.backends tbody tr')].flatMap((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    const heads = document.querySelectorAll('table.backends thead th');
    return [...row.children].filter((cell, nth) => {
        const [its, head] = [cell, heads[nth]].map((one) => one.getBoundingClientRect());
        const isInRow = its.top >= top && its.bottom <= bottom;
        return its.width > 0 && !(isInRow && Math.abs(its.left - head.left) < 1);
    }).map((cell) => cell.className);
})";

#[test]
#[ignore = "needs root"]
fn cells_lie_in_their_row_under_their_heading() {
    let Site { testbed, .. } = &site("");
    let first = backend(testbed, 0).to_string();
    browse(testbed, async |page| {
        for width in [1400, 1300, 1120, 1000, 900] {
            page.appear(width, 800, Scheme::Light).await;
            open(page, "").await;
            wait_for_row(page, &[&first, "up"]).await;
            assert_eq!(page.value(ASTRAY).await, json!([]), "{width} pixels wide");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn everybody_can_read_it() {
    let Site { balancer, mut servers, testbed } = site("");
    let [first, last] = [0, 2].map(|nth| backend(&testbed, nth).to_string());
    balancer.done(&["backend", "drain", "web", &first]);
    drop(servers.pop());
    let axe = fs::read_to_string(AXE).expect("axe-core");
    let (wide, middle, narrow) = (1400, 900, 360);
    browse(&testbed, async |page| {
        for (width, scheme) in [wide, middle, narrow]
            .into_iter()
            .flat_map(|width| [(width, Scheme::Light), (width, Scheme::Dark)])
        {
            page.appear(width, 800, scheme).await;
            for path in ["", "#/web", &format!("#/web/{last}")] {
                let what = format!("{path:?} in {scheme:?}, {width} pixels wide");
                open(page, path).await;
                wait_for_text(page, "main b.down", "down").await;
                page.value(&format!("(() => {{ {axe} }})()")).await;
                let found = page.value("axe.run().then(({ violations }) => violations)").await;
                assert!(found == json!([]), "{what}: {found:#}");
                let overflow = "document.documentElement.scrollWidth - innerWidth";
                assert_eq!(page.value(overflow).await, 0, "{what} must not scroll sideways");
            }
        }
    });
}
