//! What a schedule would run now, looked up and remembered until the pipeline changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dagbook_events::dag::{self, PlanFacts};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::pipeline::Pipeline;
use dagbook_events::schedule::{ScheduleSpec, Target};

use crate::app::error::AppError;
use crate::app::pipelines;
use crate::app::services::Services;

/// Most things that are remembered of each kind; then all are forgotten.
const REMEMBERED: usize = 20_000;

/// Whether parameters fit a version: nothing, or what is wrong.
type Fit = Option<String>;

/// Pipelines as they are, and which parameters fit which version. Disposable.
#[derive(Debug, Clone, Default)]
pub(super) struct Targets(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Grows with every pipeline that changed: what was read before is not remembered after.
    changes: u64,
    pipelines: BTreeMap<(TenantId, String), Arc<Pipeline>>,
    fits: BTreeMap<Sha256Digest, Fit>,
}

impl Targets {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline has changed.
    pub fn forget(&self, tenant: &TenantId, pipeline: &str) {
        let mut known = self.known();
        known.changes += 1;
        known.pipelines.remove(&(tenant.clone(), pipeline.to_string()));
    }

    /// What the schedule runs if it fires now.
    pub async fn of(
        &self,
        services: &Services,
        tenant: &TenantId,
        spec: &ScheduleSpec,
    ) -> Result<Target, AppError> {
        let name = &spec.pipeline;
        let pipeline = match self.pipeline(services, tenant, name).await {
            Ok(pipeline) => pipeline,
            Err(AppError::NotFound { .. }) => {
                return Ok(Target::Gone(format!("there is no pipeline `{name}`")));
            }
            Err(error) => return Err(error),
        };
        if pipeline.archived.is_some() {
            return Ok(Target::Gone(format!("the pipeline `{name}` is archived")));
        }
        let Ok(version) = pipelines::chosen(&pipeline, name, spec.version) else {
            return Ok(Target::Gone(format!("the pipeline `{name}` has no such version")));
        };
        let pinned = pipelines::pin(name, version);
        let params = serde_json::to_vec(&spec.params).unwrap_or_default();
        let parts = [tenant.as_str().as_bytes(), b"\0", &pinned.hash.0[..], &params];
        let question = Sha256Digest::of_parts(&parts);
        let known = self.known().fits.get(&question).cloned();
        let fit = match known {
            Some(fit) => fit,
            None => {
                let source = pipelines::source(services, &pinned.hash).await?;
                let facts = PlanFacts { git: None, tenant: tenant.to_string() };
                let plan = dag::plan(&source.bundle, &spec.params, &facts);
                let fit = plan.err().map(|findings| {
                    findings.first().map(|finding| finding.message.clone()).unwrap_or_default()
                });
                let mut known = self.known();
                if known.fits.len() >= REMEMBERED {
                    known.fits.clear();
                }
                known.fits.insert(question, fit.clone());
                fit
            }
        };
        Ok(fit.map_or(Target::Version(pinned), Target::DoesNotFit))
    }

    async fn pipeline(
        &self,
        services: &Services,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Arc<Pipeline>, AppError> {
        let key = (tenant.clone(), name.to_string());
        let (seen, found) = {
            let known = self.known();
            (known.changes, known.pipelines.get(&key).cloned())
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let loaded = Arc::new(pipelines::existing(services, tenant, name).await?.state);
        let mut known = self.known();
        if known.changes == seen {
            if known.pipelines.len() >= REMEMBERED {
                known.pipelines.clear();
            }
            known.pipelines.insert(key, loaded.clone());
        }
        Ok(loaded)
    }
}
