//! A configuration file of any text: a consistent document, or an error that can be shown.

#![no_main]

use lb_config::desired::{Document, violation};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "lb.toml";

fuzz_target!(|text: &str| {
    let read = || lb_config::read(NAME.to_owned(), text.to_owned());
    match read() {
        Ok(loaded) => {
            let document = Document::of(loaded.config.services.clone());
            assert_eq!(document.services().count(), loaded.config.services.len(), "a name twice");
            for service in document.services() {
                assert_eq!(violation(&document, service), None);
            }
            let again = read().expect("it was valid");
            assert!(loaded.config.steps_to(&again.config).is_empty());
            assert_eq!(loaded.config.services, again.config.services);
        }
        Err(error) => {
            let error = format!("{error:#}");
            assert!(error.contains("error: ") && error.contains(NAME), "{error}");
        }
    }
});
