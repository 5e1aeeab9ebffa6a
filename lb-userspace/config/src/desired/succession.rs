//! Matching of new services to former ones: a service is identified by its VIP, whatever its name.

use std::{collections::HashMap, sync::Arc};

use lb_model::Service;

/// Returns, for each new service, the index of the former one that it continues, if any: the one
/// with its VIP, or else the one with its name, unless another service has that VIP now. Each
/// former service is continued at most once.
#[must_use]
pub fn successions(formers: &[Arc<Service>], services: &[Arc<Service>]) -> Vec<Option<usize>> {
    let by_vip: HashMap<_, _> = formers.iter().zip(0..).map(|(one, nth)| (one.vip, nth)).collect();
    let by_name: HashMap<_, _> =
        formers.iter().zip(0..).map(|(one, nth)| (one.name.as_str(), nth)).collect();
    let mut is_continued = vec![false; formers.len()];
    for nth in services.iter().filter_map(|service| by_vip.get(&service.vip)) {
        is_continued[*nth] = true;
    }
    let former_of = |service: &Arc<Service>| {
        let same_name = || by_name.get(service.name.as_str()).filter(|nth| !is_continued[**nth]);
        by_vip.get(&service.vip).or_else(same_name).copied()
    };
    services.iter().map(former_of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use lb_model::{Keys, Policy};

    /// Services from texts like `web 1`: a name, and the VIP's last byte.
    fn services(texts: &[&str]) -> Vec<Arc<Service>> {
        let service = |text: &&str| {
            let (name, vip) = text.split_once(' ').expect("two words");
            let keys = Keys::from_iter([("vip".to_owned(), json!(format!("203.0.113.{vip}:80")))]);
            Arc::new(crate::service(name, &keys, &Policy::default()).expect("valid"))
        };
        texts.iter().map(service).collect()
    }

    /// Services before and after, and the former index that each continues.
    type Case = (&'static [&'static str], &'static [&'static str], &'static [Option<usize>]);

    #[test]
    fn a_service_continues_that_of_its_vip_or_else_that_of_its_name() {
        let cases: [Case; 7] = [
            (&["web 1"], &["shop 1"], &[Some(0)]),
            (&["web 1"], &["web 2"], &[Some(0)]),
            (&["web 1"], &["shop 2"], &[None]),
            (&["web 1", "db 2"], &["db 1", "web 2"], &[Some(0), Some(1)]),
            (&["web 1"], &["shop 1", "web 2"], &[Some(0), None]),
            (&["web 1"], &["web 2", "shop 1"], &[None, Some(0)]),
            (&["web 1", "db 2"], &["web 2", "db 3"], &[Some(1), None]),
        ];
        for (before, after, expected) in cases {
            let found = successions(&services(before), &services(after));
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }
}
