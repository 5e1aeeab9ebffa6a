//! Which service goes on as which: a service is its VIP and its backends, not its name.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::model::Service;

/// For each new service the place of the former one that it continues, if there is one: of those
/// with its VIP or its name the one that shares more backends with it, or else that with its VIP.
/// No former service is continued twice.
#[must_use]
pub fn successions(formers: &[Arc<Service>], services: &[Arc<Service>]) -> Vec<Option<usize>> {
    let by_vip: HashMap<_, _> = (0..).zip(formers).map(|(nth, one)| (one.vip, nth)).collect();
    let by_name: HashMap<_, _> =
        (0..).zip(formers).map(|(nth, one)| (one.name.as_str(), nth)).collect();
    let mut candidates = Vec::new();
    for (nth, service) in services.iter().enumerate() {
        let same_vip = by_vip.get(&service.vip).copied();
        let same_name = by_name.get(service.name.as_str()).copied();
        for former in same_vip.into_iter().chain(same_name.filter(|one| Some(*one) != same_vip)) {
            let shared = shared_backends(&formers[former], service);
            candidates.push((shared, Some(former) == same_vip, nth, former));
        }
    }
    // Ties are decided by the order of the services, whatever the maps' order.
    candidates.sort_by_key(|(shared, is_same_vip, nth, _)| {
        Reverse((*shared, *is_same_vip, Reverse(*nth)))
    });
    let (mut continued, mut taken) = (vec![None; services.len()], HashSet::new());
    for (_, _, nth, former) in candidates {
        if continued[nth].is_none() && taken.insert(former) {
            continued[nth] = Some(former);
        }
    }
    continued
}

fn shared_backends(former: &Service, service: &Service) -> usize {
    let known: HashSet<_> = former.backends.iter().map(|one| one.address).collect();
    service.backends.iter().filter(|one| known.contains(&one.address)).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{config, control::Keys, model::Policy};

    /// Services as in `web 1 a b`: a name, the VIP's last byte, and backends.
    fn services(texts: &[&str]) -> Vec<Arc<Service>> {
        let service = |text: &&str| {
            let mut words = text.split(' ');
            let name = words.next().expect("a name");
            let vip = words.next().expect("a VIP");
            let backends: Vec<_> = words
                .map(|one| json!({ "address": format!("10.0.0.{}:80", one.as_bytes()[0]) }))
                .collect();
            let keys = json!({ "vip": format!("203.0.113.{vip}:80"), "backend": backends });
            let keys: &Keys = keys.as_object().expect("an object");
            Arc::new(config::service(name, keys, &Policy::default()).expect("valid"))
        };
        texts.iter().map(service).collect()
    }

    #[test]
    fn a_service_continues_as_what_it_shares_most_with() {
        let cases: [(&[&str], &[&str], &[Option<usize>]); 9] = [
            (&["web 1 a b"], &["shop 1 a b"], &[Some(0)]),
            (&["web 1 a"], &["shop 1 b"], &[Some(0)]),
            (&["web 1 a"], &["web 2 b"], &[Some(0)]),
            (&["web 1 a"], &["shop 2 a"], &[None]),
            (&["web 1 a", "db 2 b"], &["db 1 a", "web 2 b"], &[Some(0), Some(1)]),
            (&["web 1 a", "db 2 b"], &["web 2 a", "db 1 b"], &[Some(0), Some(1)]),
            (&["web 1 a", "db 2 b"], &["web 1 b", "db 2 a"], &[Some(0), Some(1)]),
            (&["web 1 a"], &["shop 1 b", "web 2 a"], &[None, Some(0)]),
            (&["web 1 a", "db 2 b"], &["db 1 a"], &[Some(0)]),
        ];
        for (before, after, expected) in cases {
            let found = successions(&services(before), &services(after));
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }
}
