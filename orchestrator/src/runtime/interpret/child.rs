//! Sub-DAGs as runs of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::codec::run::PLANNER;
use dagbook_events::dag::{SourceBundle, SubDagSource};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::SubmitChild;
use dagbook_events::run::Ask;
use dagbook_events::run::event::{ParentLink, RunStatus, Source, Submitted};
use tokio::sync::oneshot;

use crate::runtime::AskError;
use crate::runtime::driver::Driver;

pub(super) fn submit(driver: &mut Driver, child: SubmitChild) {
    let run = child.run;
    match submitted(driver, &child) {
        Ok(submitted) => {
            let (reply, answer) = oneshot::channel();
            let wakes = driver.wakes.clone();
            driver.submit_child(run, submitted, reply);
            tokio::spawn(async move {
                // It exists already: this is a restart, and the child is taken over instead.
                let exists = matches!(answer.await, Ok(Err(AskError::Refused(_))));
                if exists && let Some(wakes) = wakes.upgrade() {
                    let (reply, _adopted) = oneshot::channel();
                    let _ = wakes.send(crate::runtime::wake::Wake::Adopt { run, reply });
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
            driver.ask(child.parent, ask, None);
        }
    }
}

/// The child's submission, made from the parent's bundle.
fn submitted(driver: &Driver, child: &SubmitChild) -> Result<Submitted, String> {
    let parent = driver.state(child.parent).ok_or("the run above is gone")?;
    let facts = parent.facts().clone();
    let SubDagSource::Path(entry) = &child.source else {
        return Err("registered pipelines need a server; name a file instead".to_string());
    };
    let files = facts.source.bundle.files.clone();
    let text = files.get(entry).ok_or_else(|| format!("`{entry}` is not in the source"))?;
    let mut submitted = Submitted {
        run: child.run,
        tenant: facts.tenant.clone(),
        pipeline: String::new(),
        number: facts.number,
        params: child.params.clone(),
        trigger: "dag".to_string(),
        scheduled_at: facts.scheduled_at,
        git: facts.git.clone(),
        parent: Some(ParentLink {
            run: child.parent,
            step: child.step.clone(),
            depth: facts.parent.as_ref().map_or(1, |link| link.depth + 1),
        }),
        retry_of: None,
        reuse: BTreeMap::new(),
        source_hash: Sha256Digest::of(text.as_bytes()),
        source: Arc::new(Source {
            bundle: SourceBundle { entry: entry.clone(), files },
            folder: facts.source.folder.clone(),
        }),
        planner: PLANNER,
        plan: None,
    };
    let plan = driver.recorder.plan(&submitted).map_err(|e| e.to_string())?;
    submitted.pipeline = plan.name.clone();
    submitted.plan = Some(plan);
    Ok(submitted)
}
