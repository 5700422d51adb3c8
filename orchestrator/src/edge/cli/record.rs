//! The record as the looking commands see it: opened, never made.

use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::ports::Clock;
use dagbook_events::project::{RunView, Surroundings};
use dagbook_events::run::Phase;
use dagbook_events::time::Timestamp;

use super::{CliError, Context, select};
use crate::config::{Config, DataDir, StoreLocation, nearest};
use crate::runtime::Ownership;
use crate::runtime::record::Recorder;
use crate::wiring::{Installation, KeeperError, Layout, OpenError, Purpose, default_slots};

/// An installation that is there.
pub struct OpenRecord {
    /// Where.
    pub data: DataDir,
    /// What it is made of.
    pub installation: Installation,
    /// Reads runs.
    pub recorder: Recorder,
}

impl OpenRecord {
    /// Opens it to look; an error when nothing was ever run there.
    pub async fn open(config: &Config, data: DataDir) -> Result<Self, CliError> {
        let is_file = !matches!(config.store, StoreLocation::Postgres(_));
        if is_file && !data.record().exists() {
            return Err(unborn(&format!("there is no {}", data.record().display())));
        }
        let installation = Installation::open(config, &data, Purpose::Look).await?;
        let recorder = Recorder::new(&installation.deps);
        Ok(Self { data, installation, recorder })
    }

    /// Whose runs these are.
    pub fn tenant(&self) -> &TenantId {
        &self.installation.deps.tenant
    }

    /// Where things are.
    pub fn layout(&self) -> Layout {
        Layout { data: self.data.root().to_path_buf() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        Clock::now(self.installation.deps.clock.as_ref())
    }

    /// The run that a person means.
    pub async fn select(&self, wanted: &str) -> Result<RunId, CliError> {
        select::run(&self.recorder, self.tenant(), wanted).await
    }

    /// The run with all its attempts.
    pub async fn view(&self, run: RunId) -> Result<RunView, CliError> {
        Ok(RunView::fold(&self.recorder.facts(self.tenant(), run).await?))
    }

    /// Whether some living process drives the run.
    pub fn is_driven(&self, run: RunId) -> bool {
        self.installation.locks.is_taken(run)
    }

    /// What an explanation may rest on beside the run itself.
    pub async fn surroundings(
        &self,
        ctx: &Context,
        view: &RunView,
    ) -> Result<Surroundings, CliError> {
        let state = &view.state;
        let holders = match (&state.plan.concurrency, state.phase) {
            (Some(group), Phase::Queued) => {
                self.recorder.group(self.tenant(), &group.group).await?.0
            }
            _ => Vec::new(),
        };
        let slots = ctx.config().slots.unwrap_or_else(default_slots);
        Ok(Surroundings {
            now: self.now(),
            holders,
            slots: [("local".to_string(), slots)].into(),
            waits: Default::default(),
            is_driven: (!state.is_finished()).then(|| self.is_driven(state.id())),
        })
    }
}

/// There is no record yet.
fn unborn(what: &str) -> CliError {
    CliError::usage(format!("nothing was run here yet: {what}")).hint(
        "`dagbook run FILE` makes it; for the record of another project change to its folder, or \
         name its data folder with `--data DIR`",
    )
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        if error.is_unborn() {
            return unborn(&error.to_string());
        }
        match error {
            OpenError::Keeper(error) => error.into(),
            OpenError::Checkpoints(error) if error.is_inconsistent() => {
                Self::damaged(error.to_string()).hint("see ops/runbooks/evidence-damaged.md")
            }
            OpenError::Schema(_) => Self::unavailable(error.to_string()),
            other => Self::unavailable(other.to_string()).hint("`dagbook doctor` says more"),
        }
    }
}

impl From<KeeperError> for CliError {
    fn from(error: KeeperError) -> Self {
        match error {
            KeeperError::Halted(_) => Self::damaged(error.to_string())
                .hint("nothing was appended; ops/runbooks/store-restored.md says what to look at"),
            KeeperError::TooSlow { .. } => Self::unavailable(error.to_string())
                .hint("`dagbook doctor` says more; ops/runbooks/relay-lagging.md says what to do"),
            KeeperError::Setup(_) => Self::usage(error.to_string()),
        }
    }
}

/// There is no such step: says so, with the nearest that there is.
pub fn no_such_step(view: &RunView, wanted: &StepKey) -> CliError {
    let names: Vec<&str> = view.state.plan.steps.iter().map(|s| s.name.as_str()).collect();
    let (name, label) = wanted.split();
    let error = CliError::usage(format!("run {} has no step `{wanted}`", view.state.id()));
    if names.contains(&name) && label.is_some() {
        return error.hint(format!("`dagbook show {}` lists its children", view.state.id()));
    }
    match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            error.hint(format!("its steps are: {}", super::output::cut(&names.join(", "), 300)))
        }
    }
}
