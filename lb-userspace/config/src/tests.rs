mod errors;
mod host;
mod privileges;
mod shown;
mod values;

use super::{Diagnostics, Loaded, Source, parse};

const SERVICE: &str = "[[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\n";

const VALID: &str = "interfaces = [\"eth0\"]\nsnat_ports = \"2000-3000\"\n\
    [defaults.health]\ninterval = \"5s\"\n\
    [[service]]\nname = \"web\"\nvip = \"203.0.113.10:80/tcp\"\n\
    [[service.backend]]\naddress = \"10.0.0.11:80\"\nweight = 2\nbackup = true\n";

fn read(text: &str) -> Result<Loaded, String> {
    let source = Source { path: "lb.toml".to_owned(), text: text.to_owned() };
    parse::parse(source).map_err(|error| error.to_string())
}

/// Returns the errors in a service with these lines from line 5 of the file on.
fn errors_in_service(lines: &str) -> String {
    read(&format!("interfaces = [\"eth0\"]\n{SERVICE}{lines}")).expect_err(lines)
}

fn assert_shows(shown: &str, place: &str, message: &str, fix: &str) {
    for part in [format!("lb.toml:{place}\n"), message.to_owned(), fix.to_owned()] {
        assert!(shown.contains(&part), "{part:?} is not in\n{shown}");
    }
}

/// Returns the places of errors in the order shown.
fn places(shown: &str) -> Vec<&str> {
    shown.lines().filter_map(|line| line.trim_start().strip_prefix("--> lb.toml:")).collect()
}
