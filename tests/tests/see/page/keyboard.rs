//! The page without a mouse.

use lb_tests::{
    browser::browse,
    site::{Site, backend},
};

use super::{open, wait_for_backends, wait_for_text};
use crate::watched::site;

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const TAB: &str = "\u{e004}";

#[test]
#[ignore = "needs root"]
fn keys_filter_move_and_open() {
    let Site { balancer: _balancer, servers: _servers, testbed } = site("");
    let [first, second] = [0, 1].map(|nth| backend(&testbed, nth).to_string());
    browse(&testbed, async |page| {
        open(page, "").await;
        wait_for_backends(page, 3).await;
        for (keys, shown) in [("/", 3), (&second, 1), (ESCAPE, 3), ("p", 0), ("p", 3)] {
            page.press(keys).await;
            wait_for_backends(page, shown).await;
        }
        page.press("?").await;
        page.wait("document.querySelector('dialog').open").await;
        page.press(ESCAPE).await;
        page.wait("!document.querySelector('dialog').open").await;
        for key in ["j", "j", "j", "k", ENTER] {
            page.press(key).await;
        }
        wait_for_text(page, "h1", &first).await;
        page.press("u").await;
        wait_for_text(page, "h1", "web").await;
        page.press("u").await;
        wait_for_backends(page, 3).await;
    });
}

#[test]
#[ignore = "needs root"]
fn columns_sort() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let second = backend(&testbed, 1).to_string();
    balancer.done(&["backend", "set", "web", &second, "--weight", "7"]);
    browse(&testbed, async |page| {
        open(page, "").await;
        wait_for_backends(page, 3).await;
        page.value("document.querySelector('thead .check button').focus()").await;
        page.press(TAB).await;
        page.press(ENTER).await;
        wait_for_text(page, "thead [aria-sort]", "Weight").await;
        wait_for_text(page, "tr.backend .name", &second).await;
        page.press(ENTER).await;
        wait_for_text(page, "tr.backend .name", &backend(&testbed, 0).to_string()).await;
    });
}
