//! Comparison of the present document with another one.

use lb_config::desired::{Difference, Document, steps};
use lb_model::views::{Plan, Step};

use super::{
    daemon::Daemon, failover, service::Service, standing::states_of, state::State, sync::Trial,
};

/// Documents to compare outside the loop, as many differences take long.
pub(super) struct Comparison {
    pub(super) version: u64,
    /// Changes of the settings.
    pub(super) settings: Vec<Step>,
    pub(super) refused: Option<String>,
    pub(super) vip_warnings: Vec<String>,
    pub(super) before: Document,
    pub(super) after: Document,
    pub(super) state: State,
    pub(super) trial: Trial,
}

impl Daemon {
    /// Returns a comparison of the present document with another one.
    pub(super) async fn comparison(&self, after: Document) -> Comparison {
        let vips = after.services().map(|service| service.vip.address.ip());
        Comparison {
            version: self.desired.number(),
            settings: Vec::new(),
            refused: None,
            vip_warnings: self.warnings_of_vips(vips).await,
            before: self.document().clone(),
            after,
            state: self.state.clone(),
            trial: self.kernel.sync.trial(),
        }
    }
}

impl Comparison {
    pub(super) fn plan(self) -> Plan {
        let Self { version, settings, refused, vip_warnings, before, after, state, trial } = self;
        let (mut warnings, no_room) = match tried(&state, &after.since(&before), trial) {
            Ok(next) => (outages(&state, &next), None),
            // It takes out nothing.
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        warnings.extend(vip_warnings);
        let steps = settings.into_iter().chain(steps(&before, &after)).collect();
        Plan { version, steps, refused: refused.or(no_room), warnings }
    }
}

/// Returns the state after a difference, if there is room for it.
pub(super) fn tried(state: &State, difference: &Difference, trial: Trial) -> anyhow::Result<State> {
    let mut next = state.clone();
    next.follow(difference)?;
    if !difference.is_empty() {
        next.admit(state.need(), trial.limits())?;
        trial.check(&state.goal(), &next.goal())?;
    }
    Ok(next)
}

/// Returns the outages between two states.
pub(super) fn outages(former: &State, present: &State) -> Vec<String> {
    let touched = present.touched_since(former);
    let services = touched.iter().filter_map(|name| present.service(name));
    let outages = services.filter_map(|service| {
        let name = &service.spec.name;
        Some(format!("{name}: {}", outage(former.service(name), service)?))
    });
    outages.collect()
}

/// Returns a warning if a change removes the last usable backend of a service.
pub(super) fn outage(former: Option<&Service>, present: &Service) -> Option<String> {
    let was_out = former.is_some_and(failover::is_out);
    let is_taken = former.is_some() || !present.backends.is_empty();
    (is_taken && !was_out && failover::is_out(present)).then(|| {
        format!("no usable backend is left: new connections are refused ({})", states_of(present))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use lb_common::{backend::Hop, snat::Source};

    use super::{
        super::{
            changes::failback,
            failover::tests::service,
            refusals::{clashing, failed},
            remembered::Memories,
            state::{Route, tests::state_of},
        },
        *,
    };
    use lb_dataplane::adoption::Adopted;
    use lb_model::{Admin, Change, Health, Limits, Refusal, Settings};

    #[test]
    fn removal_of_the_last_usable_backend_is_a_warning() {
        let with = |admin, backends| {
            let mut service = service(json!({}), backends);
            if let Some(first) = service.backends.first_mut() {
                first.spec.admin = admin;
            }
            service
        };
        let enabled = |backends| with(Admin::Enabled, backends);
        for (former, present, is_warned) in [
            (enabled("ud"), with(Admin::Draining, "ud"), true),
            (enabled("ud"), with(Admin::Disabled, "ud"), true),
            (enabled("u"), enabled(""), true),
            (enabled("ud"), enabled("d"), true),
            (enabled("uu"), with(Admin::Draining, "uu"), false),
            (enabled("uU"), with(Admin::Draining, "uU"), false),
            (enabled("un"), with(Admin::Draining, "un"), false),
            (enabled("dd"), with(Admin::Draining, "dd"), false),
        ] {
            let warning = outage(Some(&former), &present);
            assert_eq!(warning.is_some(), is_warned, "{warning:?}");
        }
        assert_eq!(outage(None, &enabled("")), None, "a service is added before its backends");
        let warning = outage(Some(&enabled("u")), &with(Admin::Draining, "u")).expect("one");
        assert!(warning.contains("(1 draining)"), "{warning}");
    }

    #[test]
    fn enabling_a_backend_that_waits_for_the_operator_is_a_change() {
        let mut service = service(json!({ "failback": "manual" }), "uU");
        let addresses = [0, 1].map(|nth| service.backends[nth].spec.address);
        let change = |admin, nth: usize| Change::SetBackend {
            service: "web".to_owned(),
            address: addresses[nth],
            settings: Settings { admin, ..Settings::default() },
        };
        let enable = change(Some(Admin::Enabled), 0);
        assert_eq!(failback(Some(&service), &enable), None, "it does not wait");
        service.backends[0].held = true;
        let step = failback(Some(&service), &enable).expect("a step");
        assert_eq!(step.to_string(), "~ web: 10.0.0.1:80: failback: waiting -> done");
        for other in
            [change(Some(Admin::Draining), 0), change(None, 0), change(Some(Admin::Enabled), 1)]
        {
            assert_eq!(failback(Some(&service), &other), None, "{other}");
        }
    }

    /// A state whose service has a ring, its document, and one that gives the service another VIP.
    fn moved() -> (State, Document, Document) {
        let mut state = state_of(&[1]);
        let spec = |name: &str, last: u8| {
            let mut spec = lb_model::Service::clone(&state.services().next().expect("one").spec);
            spec.name = name.to_owned();
            spec.vip.address.set_ip([203, 0, 113, last].into());
            spec
        };
        let before = Document::of([spec("s1", 1)]);
        let after = Document::of([spec("s1", 2)]);
        state.resolve(vec![([10, 0, 0, 1].into(), route())]);
        state.change_backend("s1", ([10, 0, 0, 1], 80).into(), |one| one.health = Health::Up);
        (state, before, after)
    }

    /// A document with so many services of Maglev, each with a backend.
    fn maglevs(count: u16) -> Document {
        let template = state_of(&[1]).service("s1").expect("there").spec.clone();
        Document::of((1..=count).map(|nth| {
            let mut spec = lb_model::Service::clone(&template);
            spec.name = format!("m{nth}");
            spec.vip.address.set_port(nth);
            spec.policy.scheduler = lb_model::Scheduler::Maglev;
            spec
        }))
    }

    #[test]
    fn a_document_that_has_room_only_while_backends_are_down_is_refused() {
        const MOST: u16 = 63;
        let state_of = |document: &Document| {
            let mut state = State::new(&Adopted::default(), Memories::new(), &Limits::default());
            state.follow(&document.since(&Document::default())).expect("nothing is up");
            state
        };
        let room = || Trial::with_room(lb_common::limits::RING_SLOTS);
        let refusal = |before: &Document, after: &Document| {
            let tried = tried(&state_of(before), &after.since(before), room());
            tried.err().map(failed)
        };
        let [most, more, excessive] = [MOST, MOST + 1, MOST + 2].map(maglevs);
        assert_eq!(refusal(&Document::default(), &most), None);
        let refused = refusal(&most, &more).expect("no room once all are up");
        assert!(matches!(refused, Refusal::Invalid(_)), "{refused:?}");
        let next = tried(&state_of(&most), &more.since(&most), room());
        let refused = clashing(next.expect_err("no room"));
        assert!(matches!(refused, Refusal::Conflict(_)), "{refused:?}");
        for word in ["no room for the rings of all services", "4194304", "`maglev`"] {
            assert!(refused.detail().contains(word), "{refused:?}");
        }
        // One that runs already may be changed.
        assert_eq!(refusal(&excessive, &more), None, "it needs less");
        assert!(refusal(&more, &excessive).is_some(), "it needs more");
        let mut slow = lb_model::Service::clone(more.service("m1").expect("there"));
        slow.policy.timeouts.closing *= 2;
        assert_eq!(refusal(&more, &more.with(slow)), None, "it needs as much");
    }

    fn route() -> Route {
        let source = Source { address: [0; 16], first_port: 1, ports: 1 };
        Route { hop: Ok(Hop::new([2; 6], [4; 6], 1)), sources: vec![source], of_groups: Vec::new() }
    }

    #[test]
    fn a_plan_says_that_there_is_no_room_as_the_change_itself_would() {
        let (state, before, after) = moved();
        let plan = |slots, refused: Option<&str>, after: &Document| {
            let comparison = Comparison {
                version: 1,
                settings: Vec::new(),
                refused: refused.map(ToOwned::to_owned),
                vip_warnings: vec!["no route".to_owned()],
                before: before.clone(),
                after: after.clone(),
                state: state.clone(),
                trial: Trial::with_room(slots),
            };
            comparison.plan()
        };
        let fits = plan(1, None, &after);
        assert_eq!((fits.refused, fits.warnings), (None, vec!["no route".to_owned()]));
        let crowded = plan(0, None, &after);
        let refused = crowded.refused.expect("no room");
        assert!(refused.contains("no room for a ring of 1 slots"), "{refused}");
        assert!(!crowded.steps.is_empty());
        assert_eq!(plan(0, None, &before).refused, None, "nothing is to be written");
        assert_eq!(plan(0, Some("restart"), &after).refused.as_deref(), Some("restart"));
    }
}
