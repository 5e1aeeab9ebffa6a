//! Files that are compared or applied, and rollbacks.

use lb_config::desired::Author;
use lb_host::listeners::Listeners;
use lb_model::{
    Refusal,
    views::{Plan, Step},
};

use super::{
    comparison::{Comparison, outages, tried},
    control::Caller,
    daemon::Daemon,
    events::Events,
    files::Applied,
    reader::File,
    refusals::{failed, invalid},
    requests::no_version,
    state::State,
    vips::{self, Taken},
};

impl Daemon {
    /// Returns the comparison of a file with the running configuration.
    pub(super) async fn compare(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
    ) -> Result<Comparison, Refusal> {
        self.is_untidy = true;
        by.expected.refuse_stale(self.desired.number())?;
        let File { mut loaded, listeners, .. } = file?;
        loaded.keep_hidden(&self.config.notify).map_err(invalid)?;
        self.trust(&loaded, by).map_err(invalid)?;
        self.fit(&loaded, &listeners, by).await.map_err(invalid)?;
        let refused = self.config.refuse_restart_only(&loaded.config).err();
        let document = self.read_from(&loaded);
        let taken = vips::warnings(&document, self.document(), &listeners);
        let mut comparison = self.comparison(document).await;
        comparison.vip_warnings.extend(taken.iter().map(Taken::to_string));
        Ok(Comparison {
            settings: self.config.steps_to(&loaded.config),
            refused: refused.map(|error| format!("{error:#}")),
            ..comparison
        })
    }

    pub(super) async fn apply(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
        events: &mut Events,
    ) -> Result<Plan, Refusal> {
        self.is_untidy = true;
        by.expected.refuse_stale(self.desired.number())?;
        let file = file?;
        let former = self.state.clone();
        let Applied { steps, taken } = self.apply_file(file, by, events).await.map_err(invalid)?;
        let mut plan = self.done(steps, &former).await;
        plan.warnings.extend(taken);
        Ok(plan)
    }

    /// Applies the services of an earlier version.
    pub(super) async fn rollback(
        &mut self,
        number: u64,
        by: &Caller,
        listeners: &Listeners,
        events: &mut Events,
    ) -> Result<Plan, Refusal> {
        let former = self.desired.version(number).ok_or_else(|| no_version(number))?;
        by.expected.refuse_stale(self.desired.number())?;
        let what = format!("rolled back to version {}", former.number);
        let author = Author { by: by.name.clone(), what, file: None };
        let document = former.document.clone();
        self.refuse_local(&document)?;
        vips::refuse_ungrouped(&document, self.document(), &self.config)?;
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        let taken = vips::warnings(&document, self.document(), listeners);
        if by.is_dry_run {
            let difference = document.since(self.document());
            tried(&self.state, &difference, self.kernel.sync.trial()).map_err(failed)?;
            let mut plan = self.comparison(document).await.plan();
            plan.warnings.extend(taken.iter().map(Taken::to_string));
            return Ok(plan);
        }
        self.is_untidy = true;
        let former = self.state.clone();
        let steps = self.adopt(document, author, events).await.map_err(failed)?;
        let taken = vips::told(&taken);
        let mut plan = self.done(steps, &former).await;
        plan.warnings.extend(taken);
        Ok(plan)
    }

    pub(super) async fn done(&mut self, steps: Vec<Step>, former: &State) -> Plan {
        self.follow_vips().await;
        let mut warnings = outages(former, &self.state);
        warnings.extend(self.new_vip_warnings(former));
        Plan { version: self.desired.number(), steps, refused: None, warnings }
    }
}
