//! From a spec and parameters to a plan.

mod matrix;
mod order;

use std::collections::BTreeMap;

use crate::digest::Sha256Digest;
use crate::ids::StepName;
use crate::value::Value;

use super::bundle::check;
use super::codes;
use super::expr::{ExprError, GitFacts, RunFacts, Scope, StepLookup, StepView};
use super::finding::Finding;
use super::params::bind;
use super::plan::{Concurrency, FanOut, Plan, PlannedStep, SourceBundle, StepIndex};
use super::source::{Report, SourceText};
use super::spec::{FanOutSpec, Spec, StepSpec};

/// Units of work in one run.
const MAX_UNITS: usize = 100_000;

/// What is known of the run before there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanFacts {
    /// The commit, if the source is one.
    pub git: Option<GitFacts>,
    /// `run.tenant`.
    pub tenant: String,
}

/// Plans the entry file of a bundle with the parameters given.
///
/// Parameters may be text (`--param k=v`), which is read as the declared type, or typed.
/// The same input gives the same plan on every machine. On failure all findings come back,
/// warnings among them.
pub fn plan(
    bundle: &SourceBundle,
    given: &BTreeMap<String, Value>,
    facts: &PlanFacts,
) -> Result<Plan, Vec<Finding>> {
    let checked = check(bundle);
    let Some(spec) = checked.spec else { return Err(checked.findings) };
    let text = bundle.files.get(&bundle.entry).map_or("", String::as_str);
    plan_spec(spec, &bundle.entry, text, given, facts).map_err(|found| {
        let mut findings = checked.findings;
        findings.extend(found);
        findings
    })
}

/// Plans a file that was checked before; `text` is its text.
pub fn plan_spec(
    spec: Spec,
    path: &str,
    text: &str,
    given: &BTreeMap<String, Value>,
    facts: &PlanFacts,
) -> Result<Plan, Vec<Finding>> {
    let source = SourceText::new(path, text);
    let mut report = Report::new(&source);
    let params = bind(&spec, given, &mut report);
    if report.has_errors() {
        return Err(report.into_findings());
    }
    let run = RunFacts { tenant: facts.tenant.clone(), ..RunFacts::default() };
    let git = facts.git.as_ref();
    let scope =
        Scope { params: &params, run: &run, git, steps: &NoSteps, matrix: None, item: None };
    let concurrency = concurrency(&spec, &scope, &mut report);
    let fan_outs: Vec<FanOut> =
        spec.steps.iter().map(|step| fan_out(step, &scope, &mut report)).collect();
    let units: usize = fan_outs.iter().map(units_of).sum();
    if units > MAX_UNITS {
        let message = format!("the run has {units} units of work; at most {MAX_UNITS} are planned");
        report.add(&codes::TOO_MANY_STEPS, Default::default(), message);
    }
    if report.has_errors() {
        return Err(report.into_findings());
    }
    let (steps, index) = arrange(spec.steps, fan_outs);
    Ok(Plan {
        name: spec.name,
        description: spec.description,
        labels: spec.labels,
        params,
        source_hash: Sha256Digest::of(text.as_bytes()),
        concurrency,
        priority: spec.priority,
        timeout: spec.timeout,
        max_parallel: spec.max_parallel,
        steps,
        index,
    })
}

/// When a plan is made no step has ended.
struct NoSteps;

impl StepLookup for NoSteps {
    fn view(&self, _step: &StepName) -> Option<StepView> {
        None
    }
}

fn units_of(fan_out: &FanOut) -> usize {
    match fan_out {
        FanOut::Matrix(cells) => cells.len(),
        FanOut::None | FanOut::ForEach(_) => 1,
    }
}

fn concurrency(spec: &Spec, scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Concurrency> {
    let declared = spec.concurrency.as_ref()?;
    match declared.group.render(scope) {
        Ok(group) if group.trim().is_empty() => {
            let message = "the concurrency group is empty";
            report.add(&codes::EVALUATION, declared.span, message);
            None
        }
        Ok(group) => {
            Some(Concurrency { group, limit: declared.limit, when_full: declared.when_full })
        }
        Err(error) => {
            evaluation(report, declared.span, &error);
            None
        }
    }
}

fn evaluation(report: &mut Report<'_>, at: super::source::Span, error: &ExprError) {
    report.add(&codes::EVALUATION, at, error.to_string());
}

fn fan_out(step: &StepSpec, scope: &Scope<'_>, report: &mut Report<'_>) -> FanOut {
    match &step.fan_out {
        FanOutSpec::None => FanOut::None,
        FanOutSpec::ForEach(template) => FanOut::ForEach(template.clone()),
        FanOutSpec::Matrix(matrix) => FanOut::Matrix(matrix::cells(matrix, scope, report)),
    }
}

/// Puts the steps into the order of the plan and resolves their names.
fn arrange(
    specs: Vec<StepSpec>,
    fan_outs: Vec<FanOut>,
) -> (Vec<PlannedStep>, BTreeMap<StepName, StepIndex>) {
    let arrangement = order::arrange(&specs);
    let mut index = BTreeMap::new();
    for (at, step) in specs.iter().enumerate() {
        index.insert(step.name.clone(), arrangement.place[at]);
    }
    let mut steps: Vec<Option<PlannedStep>> = specs.iter().map(|_| None).collect();
    for (at, (step, fan_out)) in specs.into_iter().zip(fan_outs).enumerate() {
        let place = arrangement.place[at].0 as usize;
        steps[place] = Some(PlannedStep {
            name: step.name,
            section: step.section,
            needs: arrangement.needs[at].clone(),
            dependents: Vec::new(),
            level: arrangement.level[at],
            when: step.when,
            condition: step.condition,
            action: step.action,
            fan_out,
            max_parallel: step.max_parallel,
            fail_fast: step.fail_fast,
            min_success: step.min_success,
            timeouts: step.timeouts,
            retry: step.retry,
        });
    }
    let mut steps: Vec<PlannedStep> = steps.into_iter().flatten().collect();
    for at in 0..steps.len() {
        for need in steps[at].needs.clone() {
            let dependent = StepIndex(u32::try_from(at).unwrap_or(u32::MAX));
            steps[need.0 as usize].dependents.push(dependent);
        }
    }
    (steps, index)
}
