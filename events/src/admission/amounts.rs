//! What one attempt asks of a pool, and sums of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dag::{Action, Plan};
use crate::step::Resources;

/// Different requests of one run for one executor that are told apart. A plan with more of them
/// is a fault or an attack: beyond, requests are counted as the largest of them.
const DEMANDS_MAX: usize = 256;

/// What one attempt asks of a pool besides its place. Zero means "no request".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Need {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// GPUs.
    pub gpus: u32,
    /// Of this model; none: of any.
    pub gpu_model: Option<Arc<str>>,
}

impl Need {
    /// What a step's resources ask of a pool.
    pub fn of(resources: &Resources) -> Self {
        let gpu = resources.gpu.as_ref().filter(|gpu| gpu.count > 0);
        Self {
            cpu_milli: resources.cpu_milli,
            memory_bytes: resources.memory_bytes,
            gpus: gpu.map_or(0, |gpu| gpu.count),
            gpu_model: gpu.and_then(|gpu| gpu.model.as_deref().map(Arc::from)),
        }
    }

    fn raise(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.gpus = self.gpus.max(other.gpus);
        self.gpu_model = None;
    }
}

/// What a step asks for: a place in the pool of an executor, of a size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// The executor's name.
    pub executor: Arc<str>,
    /// What it asks for there.
    pub need: Need,
}

/// The different demands of a plan, and for each step the index of its own. A step that asks for
/// no place has index 0. Never empty.
pub fn demands_of(plan: &Plan) -> (Vec<Demand>, Vec<u16>) {
    let mut found: Vec<Demand> = Vec::new();
    let mut index: BTreeMap<Demand, u16> = BTreeMap::new();
    let mut executors: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut rest: BTreeMap<Arc<str>, u16> = BTreeMap::new();
    let mut of_step = Vec::with_capacity(plan.steps.len());
    for planned in &plan.steps {
        let Action::Task(task) = &planned.action else {
            of_step.push(0);
            continue;
        };
        let name = match executors.get(task.executor.as_str()) {
            Some(name) => Arc::clone(name),
            None => {
                let name: Arc<str> = Arc::from(task.executor.as_str());
                executors.insert(Arc::clone(&name));
                name
            }
        };
        let demand = Demand { executor: Arc::clone(&name), need: Need::of(&task.resources) };
        let next = u16::try_from(found.len()).unwrap_or(u16::MAX);
        let at = match index.get(&demand) {
            Some(at) => *at,
            None if found.len() < DEMANDS_MAX => {
                found.push(demand.clone());
                index.insert(demand, next);
                next
            }
            None => {
                let at = *rest.entry(name).or_insert_with(|| {
                    found.push(demand.clone());
                    next
                });
                found[usize::from(at)].need.raise(&demand.need);
                at
            }
        };
        of_step.push(at);
    }
    if found.is_empty() {
        found.push(Demand { executor: Arc::from("local"), need: Need::default() });
    }
    (found, of_step)
}

/// Sums over attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Attempts, each of which has a place.
    pub attempts: u64,
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// GPUs of whatever model.
    pub gpus: u64,
    /// Of these, the ones that were asked for by model. Holds no zeros.
    pub models: BTreeMap<Arc<str>, u64>,
}

impl Amounts {
    /// So many attempts of one need.
    pub fn of(need: &Need, count: u32) -> Self {
        let n = u64::from(count);
        let gpus = u64::from(need.gpus).saturating_mul(n);
        let models = match &need.gpu_model {
            Some(model) if gpus > 0 => BTreeMap::from([(Arc::clone(model), gpus)]),
            _ => BTreeMap::new(),
        };
        Self {
            attempts: n,
            cpu_milli: need.cpu_milli.saturating_mul(n),
            memory_bytes: need.memory_bytes.saturating_mul(n),
            gpus,
            models,
        }
    }

    /// More of it.
    pub fn add(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.gpus = self.gpus.saturating_add(other.gpus);
        for (model, n) in &other.models {
            let own = self.models.entry(Arc::clone(model)).or_default();
            *own = own.saturating_add(*n);
        }
    }

    /// Less of it.
    pub fn sub(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_sub(other.attempts);
        self.cpu_milli = self.cpu_milli.saturating_sub(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_sub(other.memory_bytes);
        self.gpus = self.gpus.saturating_sub(other.gpus);
        for (model, n) in &other.models {
            if let Some(own) = self.models.get_mut(model) {
                *own = own.saturating_sub(*n);
            }
        }
        self.models.retain(|_, n| *n > 0);
    }

    /// The larger of both, each amount for itself.
    pub fn raise(&mut self, other: &Self) {
        self.attempts = self.attempts.max(other.attempts);
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.gpus = self.gpus.max(other.gpus);
        for (model, n) in &other.models {
            let own = self.models.entry(Arc::clone(model)).or_default();
            *own = (*own).max(*n);
        }
    }

    /// What is left of it without the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.sub(other);
        left
    }

    /// Of a model.
    pub fn of_model(&self, model: &str) -> u64 {
        self.models.get(model).copied().unwrap_or(0)
    }
}

/// What holds places: what is held now, and the most that the record may show before what is
/// under way is recorded. Others may have what is beyond the latter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) live: Amounts,
    pub(super) peak: Amounts,
}

impl Held {
    /// What only the holder itself may take: it ended, and the end is not recorded.
    pub(super) fn own_credit(&self) -> Amounts {
        self.peak.without(&self.live)
    }
}
