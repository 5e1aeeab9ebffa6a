//! URLs of notifications that an export hides, in a text that is sent back.

use anyhow::Result;
use lb_model::{Notify, Recipient, secrets::HIDDEN};

use super::{Fault, Loaded, diagnostics::Diagnostic};

impl Loaded {
    /// Takes hidden URLs from running recipients with the same settings. Returns an error if there is none.
    pub fn keep_hidden(&mut self, running: &[Notify]) -> Result<()> {
        let is_url = |notify: &&Notify| matches!(notify.recipient, Recipient::Url(_));
        let mut left: Vec<_> = running.iter().filter(is_url).collect();
        let mut faults = Vec::new();
        for (notify, place) in self.config.notify.iter_mut().zip(&self.spans.notify) {
            if !is_hidden(&notify.recipient) {
                continue;
            }
            let found = left.iter().position(|known| {
                **known == Notify { recipient: known.recipient.clone(), ..notify.clone() }
            });
            if let Some(nth) = found {
                notify.recipient = left.remove(nth).recipient.clone();
                continue;
            }
            let message = format!("{HIDDEN} stands for a value that is not shown");
            let fix = "give the URL itself";
            faults.push(Fault(Diagnostic::error(place.clone(), message, fix)));
        }
        self.refuse(faults)
    }
}

fn is_hidden(recipient: &Recipient) -> bool {
    matches!(recipient, Recipient::Url(url) if url == HIDDEN)
}
