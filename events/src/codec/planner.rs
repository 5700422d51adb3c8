//! Plans of sources, made once: many runs share one source, and a plan is a function of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::run::CodecError;
use crate::dag::{self, Finding, Plan, PlanFacts, SourceBundle};
use crate::digest::Sha256Digest;
use crate::run::event::Submitted;
use crate::value::Value;

/// The planner that this build holds. A change of what a source means needs a new number, and
/// the old planner kept for the runs that were made with it.
pub const PLANNER: u32 = 1;

/// The most plans that are remembered.
const MOST_PLANS: usize = 64;
/// The most steps that they have together; one larger plan is remembered alone.
const MOST_STEPS: usize = 100_000;

/// Makes plans from sources, and remembers those that were used last. Clones remember together,
/// and none waits while another plans.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Each with when it was used last.
    plans: BTreeMap<Sha256Digest, (Arc<Plan>, u64)>,
    steps: usize,
    uses: u64,
}

impl Planner {
    /// The plan of a source.
    ///
    /// # Errors
    /// What is wrong with the source, or with the parameters.
    pub fn plan(
        &self,
        bundle: &SourceBundle,
        params: &BTreeMap<String, Value>,
        facts: &PlanFacts,
    ) -> Result<Arc<Plan>, Vec<Finding>> {
        let key = key(bundle, params, facts);
        if let Some(plan) = self.with(|known| known.find(&key)) {
            return Ok(plan);
        }
        let plan = Arc::new(dag::plan(bundle, params, facts)?);
        self.with(|known| known.keep(key, plan.clone()));
        Ok(plan)
    }

    /// The plan of an accepted run.
    ///
    /// # Errors
    /// [`CodecError::Plan`] where another planner made it, or none can be made.
    pub fn plan_of(&self, submitted: &Submitted) -> Result<Arc<Plan>, CodecError> {
        if submitted.planner != PLANNER {
            return Err(CodecError::Plan(format!(
                "it needs planner {}, and this version of dagbook has planner {PLANNER}",
                submitted.planner
            )));
        }
        let facts = PlanFacts { git: submitted.git.clone(), tenant: submitted.tenant.to_string() };
        self.plan(&submitted.source.bundle, &submitted.params, &facts).map_err(|findings| {
            let first = findings.first().map(|finding| finding.message.clone());
            CodecError::Plan(first.unwrap_or_default())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn find(&mut self, key: &Sha256Digest) -> Option<Arc<Plan>> {
        self.uses += 1;
        let (plan, used) = self.plans.get_mut(key)?;
        *used = self.uses;
        Some(plan.clone())
    }

    fn keep(&mut self, key: Sha256Digest, plan: Arc<Plan>) {
        let is_known = self.plans.contains_key(&key);
        if is_known {
            return;
        }
        let steps = plan.steps.len();
        while !self.plans.is_empty()
            && (self.plans.len() >= MOST_PLANS || self.steps + steps > MOST_STEPS)
        {
            self.forget_one();
        }
        self.steps += steps;
        self.plans.insert(key, (plan, self.uses));
    }

    /// Forgets the one that nobody has used for the longest time.
    fn forget_one(&mut self) {
        let oldest = self.plans.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
        if let Some((plan, _)) = oldest.and_then(|key| self.plans.remove(&key)) {
            self.steps -= plan.steps.len();
        }
    }
}

/// Everything that a plan is a function of.
fn key(bundle: &SourceBundle, params: &BTreeMap<String, Value>, facts: &PlanFacts) -> Sha256Digest {
    let params = serde_json::to_vec(params).unwrap_or_default();
    let git = serde_json::to_vec(&facts.git).unwrap_or_default();
    let mut text = Vec::new();
    for (path, file) in &bundle.files {
        for part in [path.as_bytes(), file.as_bytes()] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
    }
    Sha256Digest::of_parts(&[
        bundle.entry.as_bytes(),
        b"\0",
        facts.tenant.as_bytes(),
        b"\0",
        &params,
        b"\0",
        &git,
        b"\0",
        &text,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, steps: usize) -> SourceBundle {
        let step = |n| format!("  s{n}: {{ run: 'true' }}\n");
        let steps: String = (0..steps).map(step).collect();
        let text = format!("dagbook: v1\nname: {name}\nsteps:\n{steps}");
        let files = BTreeMap::from([("dag.yaml".to_string(), text)]);
        SourceBundle { entry: "dag.yaml".to_string(), files }
    }

    fn facts(tenant: &str) -> PlanFacts {
        PlanFacts { git: None, tenant: tenant.to_string() }
    }

    fn plan(planner: &Planner, source: &SourceBundle, tenant: &str) -> Arc<Plan> {
        planner.plan(source, &BTreeMap::new(), &facts(tenant)).expect("a plan")
    }

    #[test]
    fn a_source_is_planned_once_for_each_tenant() {
        let (planner, source) = (Planner::default(), source("one", 3));
        let first = plan(&planner, &source, "acme");
        assert!(Arc::ptr_eq(&first, &plan(&planner.clone(), &source, "acme")));
        let other = plan(&planner, &source, "umbrella");
        assert!(!Arc::ptr_eq(&first, &other), "what a plan says may depend on the tenant");
    }

    #[test]
    fn those_that_were_used_last_are_remembered() {
        let planner = Planner::default();
        let (kept, gone) = (source("kept", 1), source("gone", 1));
        let (first, lost) = (plan(&planner, &kept, "acme"), plan(&planner, &gone, "acme"));
        for n in 0..MOST_PLANS {
            plan(&planner, &source(&format!("n{n}"), 1), "acme");
            assert!(Arc::ptr_eq(&first, &plan(&planner, &kept, "acme")), "after {n} others");
        }
        assert!(!Arc::ptr_eq(&lost, &plan(&planner, &gone, "acme")));
        planner.with(|known| {
            assert_eq!(known.plans.len(), MOST_PLANS);
            let steps = known.plans.values().map(|(plan, _)| plan.steps.len());
            assert_eq!(known.steps, steps.sum::<usize>());
        });
    }

    #[test]
    fn large_plans_leave_no_room_for_others() {
        let large = plan(&Planner::default(), &source("large", 2), "acme");
        let planner = Planner::default();
        let key = |n: u8| Sha256Digest([n; 32]);
        let many = |steps: usize| {
            let mut plan = (*large).clone();
            plan.steps = vec![large.steps[0].clone(); steps];
            Arc::new(plan)
        };
        planner.with(|known| {
            known.keep(key(1), many(MOST_STEPS / 2));
            known.keep(key(2), many(MOST_STEPS / 2));
            assert_eq!((known.plans.len(), known.steps), (2, MOST_STEPS));
            known.keep(key(3), many(MOST_STEPS + 1));
            assert_eq!((known.plans.len(), known.steps), (1, MOST_STEPS + 1));
            known.keep(key(4), many(1));
            assert_eq!((known.plans.len(), known.steps), (1, 1));
        });
    }
}
