//! Export of the running configuration as a file.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use lb_model::{
    Admin, Backend, CheckRequest, HealthCheck, Notify, Policy, Recipient, Service, secrets,
};
use serde_json::{Map, Value, json};

use super::{Config, read};

/// Minimal file, as the base of comparisons of the daemon's settings.
const LEAST: &str = "interfaces = [\"lo\"]";

/// Selects whether secret values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Written,
    Hidden,
}

/// A table of the file.
type Keys = Map<String, Value>;

/// Returns a file with the daemon's settings and these services. The file is parsed again to check
/// that it leads to the same configuration.
pub fn running(config: &Config, services: &[&Service], secrets: Secrets) -> Result<String> {
    let written = |defaults: &Policy, secrecy| -> Result<String> {
        let mut settings = settings(config, defaults)?;
        if secrecy == Secrets::Hidden {
            settings = object(secrets::shown(&settings.into()))?;
        }
        let mut text = head(config, services, defaults, secrecy);
        text += &toml::to_string(&settings)?;
        write_services(services, defaults, secrecy, &mut text)?;
        Ok(text)
    };
    for defaults in [&config.defaults, &Policy::default()] {
        let whole = written(defaults, Secrets::Written)?;
        if makes(&whole, config, defaults, services) {
            return if secrets == Secrets::Written {
                Ok(whole)
            } else {
                written(defaults, secrets)
            };
        }
    }
    bail!(
        "the running configuration cannot be written as a file: this is a bug; `xdplb history` \
         shows its versions"
    )
}

/// Returns `[[service]]` tables of these services, independent of a file's defaults.
pub fn tables(services: &[&Service], secrets: Secrets) -> Result<String> {
    let mut text = String::new();
    write_services(services, &Policy::default(), secrets, &mut text)?;
    Ok(text)
}

fn head(config: &Config, services: &[&Service], defaults: &Policy, secrets: Secrets) -> String {
    let mut text = concat!("# Exported by xdplb ", env!("CARGO_PKG_VERSION"), ".\n").to_owned();
    let has_secrets = |check: &HealthCheck| check.request.send.is_some();
    if config.api.http_token.is_some() {
        text += match secrets {
            Secrets::Written => "# Keep this file private: it has the `http_token`.\n",
            Secrets::Hidden => "# `http_token` is shown only to root: replace \"(hidden)\".\n",
        };
    }
    let is_url = |notify: &Notify| matches!(notify.recipient, Recipient::Url(_));
    if config.notify.iter().any(is_url) {
        text += match secrets {
            Secrets::Written => "# Keep this file private: a `url` may contain a secret.\n",
            Secrets::Hidden => "# `url` is shown only to root: replace \"(hidden)\".\n",
        };
    }
    if services.iter().any(|one| has_secrets(&one.policy.health)) || has_secrets(&defaults.health) {
        text += match secrets {
            Secrets::Written => "# `send` may contain passwords: keep this file private.\n",
            Secrets::Hidden => "# `send` is shown only to root: replace \"(hidden)\".\n",
        };
    }
    if config.defaults.health != defaults.health || config.defaults.timeouts != defaults.timeouts {
        text += "# Without [defaults], as a service lacks one of their values.\n";
    }
    text + "\n"
}

/// Returns true if a file leads to the same settings and services.
fn makes(text: &str, config: &Config, defaults: &Policy, services: &[&Service]) -> bool {
    let Ok(made) = read("export".to_owned(), text.to_owned()).map(|loaded| loaded.config) else {
        return false;
    };
    let expected = Config { defaults: defaults.clone(), ..config.settings() };
    let unordered = |service: &Service| {
        let backends = service.backends.iter().map(|backend| Backend {
            admin: Admin::Enabled,
            drain_until: None,
            ..backend.clone()
        });
        Service { backends: backends.collect(), ..normalized(service) }
    };
    expected.steps_to(&made).is_empty()
        && made.services.len() == services.len()
        && made.services.iter().zip(services).all(|(made, one)| *made == unordered(one))
}

fn normalized(service: &Service) -> Service {
    let mut service = service.clone();
    service.normalize();
    service
}

fn settings(config: &Config, defaults: &Policy) -> Result<Keys> {
    let base = read("least".to_owned(), LEAST.to_owned())?.config;
    let mut settings = object(serde_json::to_value(config)?)?;
    settings.remove("defaults");
    prune(&mut settings, &object(serde_json::to_value(&base)?)?);
    settings.insert("interfaces".to_owned(), json!(config.interfaces));
    let given = policy(defaults, &Policy::default())?;
    let given: Keys = given
        .into_iter()
        .filter(|(key, _)| matches!(key.as_str(), "health" | "timeouts"))
        .collect();
    if !given.is_empty() {
        settings.insert("defaults".to_owned(), given.into());
    }
    Ok(settings)
}

fn write_services(
    services: &[&Service],
    defaults: &Policy,
    secrets: Secrets,
    text: &mut String,
) -> Result<()> {
    for service in services {
        let mut keys = Keys::new();
        keys.insert("name".to_owned(), service.name.as_str().into());
        keys.insert("vip".to_owned(), service.vip.to_string().into());
        keys.extend(policy(&normalized(service).policy, defaults)?);
        if secrets == Secrets::Hidden {
            keys = object(secrets::shown(&keys.into()))?;
        }
        write!(text, "\n{}", toml::to_string(&json!({ "service": [keys] }))?)?;
        for backend in &service.backends {
            write_backend(backend, text)?;
        }
    }
    Ok(())
}

fn write_backend(backend: &Backend, text: &mut String) -> Result<()> {
    writeln!(text, "\n[[service.backend]]")?;
    match (backend.admin, backend.drain_until) {
        (Admin::Enabled, _) => {}
        (admin, None) => writeln!(text, "# {admin} by a command; a file cannot set this")?,
        (admin, Some(until)) => {
            writeln!(text, "# {admin} until {until} by a command; a file cannot set this")?;
        }
    }
    writeln!(text, "address = \"{}\"", backend.address)?;
    if backend.weight != 1 {
        writeln!(text, "weight = {}", backend.weight)?;
    }
    if backend.backup {
        writeln!(text, "backup = true")?;
    }
    Ok(())
}

/// Returns the keys that turn the policy `base` into `wanted`.
fn policy(wanted: &Policy, base: &Policy) -> Result<Keys> {
    let mut keys = object(serde_json::to_value(wanted)?)?;
    if let Some(health) = keys.get_mut("health").and_then(Value::as_object_mut) {
        spell_out(health, &wanted.health, &base.health)?;
    }
    let mut base = base.clone();
    if wanted.health.probe != base.health.probe {
        base.health.request = CheckRequest::default();
    }
    prune(&mut keys, &object(serde_json::to_value(base)?)?);
    Ok(keys)
}

/// Adds default values where the base check sets another value.
fn spell_out(keys: &mut Keys, wanted: &HealthCheck, base: &HealthCheck) -> Result<()> {
    if wanted.probe != base.probe {
        return Ok(());
    }
    let set = object(serde_json::to_value(&base.request)?)?;
    let effective = object(serde_json::to_value(wanted.effective().request)?)?;
    for (key, value) in effective {
        if set.contains_key(&key) {
            keys.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Removes values that equal the base, and tables that are empty afterwards.
fn prune(keys: &mut Keys, base: &Keys) {
    keys.retain(|key, value| {
        if let (Value::Object(table), Some(Value::Object(base))) = (&mut *value, base.get(key)) {
            prune(table, base);
            return !table.is_empty();
        }
        base.get(key) != Some(value)
    });
}

fn object(value: Value) -> Result<Keys> {
    match value {
        Value::Object(keys) => Ok(keys),
        other => bail!("{other} is not a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changed_service;

    const FILE: &str = r#"
        interfaces = ["eth0", "eth1"]
        xdp_mode = "native"
        snat_ports = "2000-3000"
        snat_addresses = ["10.0.0.2"]
        state_dir = "/var/lib/other"
        [api]
        socket = "/run/other.sock"
        [limits]
        flows = 10
        [checks]
        user = "checker"
        tls_directories = ["/etc/tls"]
        [[notify]]
        program = "/usr/local/sbin/page"
        events = ["service-down", "service-up"]
        services = ["zero"]
        timeout = "1m"
        retries = 0
        [[notify]]
        url = "https://hooks.example/secret"
        [connection_log]
        to = "/var/log/xdplb/connections.log"
        format = "json"
        services = ["zero"]
        unfinished = true
        per_second = 7
        [defaults.health]
        type = "http"
        path = "/ready"
        interval = "5s"
        [defaults.timeouts]
        closed = "10s"
        [[service]]
        name = "zero"
        vip = "203.0.113.10:80"
        health.path = "/"
        turns = "per-cpu"
        [[service]]
        name = "all"
        vip = "203.0.113.11:443"
        scheduler = "source-hash"
        min_active = 2
        min_capacity = "50%"
        fail_open = "30%"
        failback = "manual"
        slow_start = "1h 30m"
        on_down = "reset"
        on_refused = "pass"
        timeouts.half_open = "3s"
        [service.health]
        type = "https"
        fast_interval = "500ms"
        timeout = "300ms"
        rise = 7
        fall = 8
        address = "10.0.0.9"
        port = 8443
        close = "fin"
        method = "HEAD"
        host = "db.example"
        status = "200-299,401"
        expect = "a\"b'c\\d"
        verify = false
        sni = "db"
        [[service.backend]]
        address = "10.0.0.1:80"
        weight = 5
        [[service.backend]]
        address = "10.0.0.2:80"
        backup = true
        [[service]]
        name = "sent"
        vip = "203.0.113.12:6379"
        health = { type = "send-expect", send = 'AUTH "x"\r\n', contains = "+OK" }
        [[service]]
        name = "run"
        vip = "203.0.113.13:80"
        health = { type = "exec", command = ["/bin/a b", "c"] }
        "#;

    fn config() -> Config {
        read("lb.toml".to_owned(), FILE.to_owned()).expect("valid").config
    }

    fn exported(config: &Config, secrets: Secrets) -> String {
        running(config, &config.services.iter().collect::<Vec<_>>(), secrets).expect("written")
    }

    #[test]
    fn an_exported_file_leads_to_the_same_configuration() {
        let config = config();
        let text = exported(&config, Secrets::Written);
        let again = read("again".to_owned(), text.clone()).expect(&text).config;
        assert_eq!(again.services, config.services, "{text}");
        assert_eq!(config.steps_to(&again), [], "{text}");
        assert!(text.contains("interval = \"5s\""), "{text}");
        assert_eq!(
            text.matches("closed = \"10s\"").count(),
            1,
            "defaults are not repeated: {text}"
        );
        let again = exported(&again, Secrets::Written);
        assert_eq!(again, text);
    }

    #[test]
    fn groups_are_exported() {
        let file = r#"
            interfaces = ["eth0"]
            [[group]]
            name = "web"
            vips = ["203.0.113.10", "203.0.113.11"]
            snat_addresses = ["10.0.0.5"]
            [[service]]
            name = "zero"
            vip = "203.0.113.10:80"
        "#;
        let config = read("file".to_owned(), file.to_owned()).expect("valid").config;
        let text = exported(&config, Secrets::Hidden);
        let again = read("again".to_owned(), text.clone()).expect(&text).config;
        assert_eq!((again.groups.len(), &again.groups), (1, &config.groups), "{text}");
        let refused =
            config.refuse_restart_only(&Config { groups: Vec::new(), ..config.settings() });
        let refused = refused.expect_err("a restart is needed").to_string();
        assert!(refused.contains("`group` has changed: restart the daemon"), "{refused}");
    }

    #[test]
    fn a_service_without_a_value_of_the_defaults_is_exported_whole() {
        let mut config = config();
        // Like a rollback to a version from before the defaults had it.
        config.defaults.health.request.port = Some(8_080);
        let text = exported(&config, Secrets::Written);
        assert!(text.contains("# Without [defaults]"), "{text}");
        let again = read("again".to_owned(), text.clone()).expect(&text).config;
        assert_eq!(again.services, config.services, "{text}");
    }

    #[test]
    fn administrative_states_and_hidden_values_are_noted() {
        let mut config = config();
        config.services[1].backends[0].admin = Admin::Draining;
        let text = exported(&config, Secrets::Hidden);
        assert!(text.contains("# draining by a command"), "{text}");
        assert!(!text.contains("AUTH") && text.contains("send = \"(hidden)\""), "{text}");
        assert!(!text.contains("secret") && text.contains("url = \"(hidden)\""), "{text}");
        assert!(text.contains("shown only to root"), "{text}");
        let text = exported(&config, Secrets::Written);
        assert!(text.contains("AUTH") && text.contains("keep this file private"), "{text}");
    }

    #[test]
    fn values_that_older_versions_kept_are_no_difference() {
        let mut config = config();
        config.services[3].policy.health.request.close = Some(lb_model::Close::Reset);
        config.services[1].policy.health.request.path = Some("/".to_owned());
        exported(&config, Secrets::Written);
    }

    #[test]
    fn settings_that_are_shown_and_sent_back_change_nothing() {
        let config = config();
        for service in &config.services {
            let mut shown = service.policy.effective();
            if let Some(send) = &mut shown.health.request.send {
                secrets::HIDDEN.clone_into(send);
            }
            let keys = object(serde_json::to_value(shown).expect("keys")).expect("keys");
            let again = changed_service(service, &keys, &config.defaults);
            assert_eq!(again.expect("valid"), *service);
        }
    }
}
