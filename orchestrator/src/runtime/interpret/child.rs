//! Sub-DAGs as runs of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::codec::planner::PLANNER;
use dagbook_events::dag::{SourceBundle, SubDagSource};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::SubmitChild;
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::run::Ask;
use dagbook_events::run::event::{ParentLink, RunStatus, Source, Submitted};
use dagbook_events::trace::SpanId;
use tokio::sync::oneshot;

use crate::runtime::AskError;
use crate::runtime::driver::Driver;

pub(super) fn submit(driver: &mut Driver, child: SubmitChild) {
    let run = child.run;
    let tenant = driver.state(child.parent).map(|parent| parent.facts().tenant.clone());
    match submitted(driver, &child) {
        Ok(submitted) => {
            let (reply, answer) = oneshot::channel();
            let wakes = driver.wakes.clone();
            driver.submit_child(run, submitted, reply);
            tokio::spawn(async move {
                // It exists already: this is a restart, and the child is taken over instead.
                let exists = matches!(answer.await, Ok(Err(AskError::Refused(_))));
                if exists
                    && let Some(tenant) = tenant
                    && let Some(wakes) = wakes.upgrade()
                {
                    let (reply, _adopted) = oneshot::channel();
                    let _ = wakes.send(crate::runtime::wake::Wake::Adopt { tenant, run, reply });
                }
            });
        }
        Err(reason) => {
            let ask = Ask::ChildFinished {
                step: child.step,
                run,
                status: RunStatus::Failed,
                outputs: BTreeMap::new(),
                reason,
            };
            driver.ask(child.parent, ask, None, None);
        }
    }
}

/// The child's submission, made from the parent's bundle.
fn submitted(driver: &Driver, child: &SubmitChild) -> Result<Submitted, String> {
    let parent = driver.state(child.parent).ok_or("the run above is gone")?;
    let facts = parent.facts().clone();
    let called = called(&facts.source, &child.source)?;
    let bundle = &called.source.bundle;
    let (entry, files) = (&bundle.entry, &bundle.files);
    let text = files.get(entry).ok_or_else(|| format!("`{entry}` is not in the source"))?;
    let below = facts.span().with_span(SpanId::of_step(child.parent, &child.step));
    let mut submitted = Submitted {
        run: child.run,
        tenant: facts.tenant.clone(),
        pipeline: String::new(),
        number: facts.number,
        params: child.params.clone(),
        trigger: "dag".to_string(),
        scheduled_at: facts.scheduled_at,
        pipeline_version: called.version,
        git: facts.git.clone(),
        parent: Some(ParentLink {
            run: child.parent,
            step: child.step.clone(),
            depth: facts.parent.as_ref().map_or(1, |link| link.depth + 1),
        }),
        retry_of: None,
        reuse: BTreeMap::new(),
        source_hash: Sha256Digest::of(text.as_bytes()),
        source: Arc::new(called.source),
        planner: PLANNER,
        // It goes on below the step that asked for it.
        traceparent: Some(below.to_string()),
        driven_at: facts.driven_at.clone(),
        plan: None,
    };
    let plan = driver.recorder.planner().plan_of(&submitted).map_err(|e| e.to_string())?;
    submitted.pipeline = plan.name.clone();
    submitted.plan = Some(plan);
    Ok(submitted)
}

/// What a step calls, and the version that it is pinned to if it is a registered pipeline.
struct Called {
    source: Source,
    version: Option<PipelineVersion>,
}

/// Looked up in the recorded source alone: what a reference means was decided when the run at the
/// top was submitted.
fn called(above: &Source, wanted: &SubDagSource) -> Result<Called, String> {
    match wanted {
        SubDagSource::Path(entry) => {
            let files = above.bundle.files.clone();
            let bundle = SourceBundle { entry: entry.clone(), files };
            Ok(Called { source: Source { bundle, ..above.clone() }, version: None })
        }
        SubDagSource::Pipeline(reference) => {
            let pinned = above.pipelines.get(reference).ok_or_else(|| {
                format!("the registered pipeline `{reference}` was not resolved at submission")
            })?;
            let source = Source {
                bundle: pinned.bundle.clone(),
                folder: None,
                archive: pinned.archive,
                pipelines: above.pipelines.clone(),
            };
            Ok(Called { source, version: Some(pinned.version.clone()) })
        }
    }
}
