//! The status page in a real browser.

mod access;
mod crowd;
mod keyboard;
mod shown;

use lb_tests::browser::Page;
use serde_json::json;

use super::watched::HTTP;

async fn open(page: &Page, path: &str) {
    page.goto(&format!("http://{HTTP}/{path}")).await;
    wait_for_text(page, "#live", "live").await;
}

/// Waits until the first element that a selector finds has this text.
async fn wait_for_text(page: &Page, selector: &str, text: &str) {
    let [selector, text] = [json!(selector), json!(text)];
    page.wait(&format!("document.querySelector({selector})?.textContent.includes({text})")).await;
}

/// Waits until the table has a row with these words.
async fn wait_for_row(page: &Page, words: &[&str]) {
    let words = json!(words);
    page.wait(&format!(
        "[...document.querySelectorAll('table.backends tbody tr')]\
         .some((row) => {words}.every((word) => row.textContent.includes(word)))"
    ))
    .await;
}

/// Waits until the table has this number of backends.
async fn wait_for_backends(page: &Page, count: usize) {
    page.wait(&format!("document.querySelectorAll('tr.backend').length === {count}")).await;
}
