//! One step: what all kinds have in common, and which kind it is.

use crate::dag::codes;
use crate::dag::plan::{Action, Section, SubDag, SubDagSource, When};
use crate::dag::source::{Entry, Kind};
use crate::dag::spec::{FanOutSpec, NeedSpec, StepSpec};
use crate::ids::StepName;

use super::fields::shorten;
use super::{Defaults, Fields, Place, Reader};

/// The keys of which a step has exactly one.
pub(crate) const ACTION_KEYS: [&str; 5] = ["run", "command", "approval", "wait", "dag"];

/// Keys of every step.
pub(crate) const COMMON_KEYS: [&str; 5] = ["description", "needs", "when", "if", "timeout"];

/// Keys of steps that can fan out.
pub(crate) const FAN_OUT_KEYS: [&str; 5] =
    ["matrix", "for_each", "max_parallel", "fail_fast", "min_success"];

/// Keys of `run` and `command` steps.
pub(crate) const TASK_KEYS: [&str; 13] = [
    "executor",
    "image",
    "env",
    "secrets",
    "resources",
    "placement",
    "outputs",
    "artifacts",
    "inputs",
    "cache",
    "workspace",
    "shell",
    "requires",
];

const WHEN: [(&str, When); 4] = [
    ("all_succeeded", When::AllSucceeded),
    ("any_failed", When::AnyFailed),
    ("any_succeeded", When::AnySucceeded),
    ("all_done", When::AllDone),
];

impl Reader<'_, '_> {
    /// Reads a step; its name is filled in by the caller.
    pub fn step(
        &mut self,
        entry: &Entry,
        at: usize,
        section: Section,
        defaults: &Defaults,
    ) -> Option<StepSpec> {
        let what = format!("step `{}`", shorten(&entry.key));
        let mut allowed: Vec<&str> = Vec::with_capacity(32);
        for keys in
            [&ACTION_KEYS[..], &COMMON_KEYS, &FAN_OUT_KEYS, &TASK_KEYS, &["retry", "params"]]
        {
            allowed.extend(keys);
        }
        let fields = self.fields(entry, &what, &allowed)?;
        let kind = self.action_key(&fields, &what);
        if let Some(kind) = kind {
            self.keys_of_other_kinds(&fields, kind);
        }
        let fan_out = self.fan_out(&fields, at);
        let place =
            if matches!(fan_out, FanOutSpec::None) { Place::Step(at) } else { Place::Child(at) };
        let action = kind.and_then(|kind| self.action(kind, &fields, place, defaults));
        if let Some(description) = fields.get("description") {
            self.text(description);
        }
        let (line, column) = self.report.source().position(entry.key_span.start);
        let timeouts = match fields.get("timeout") {
            Some(entry) => self.timeouts(entry, defaults.timeouts),
            None => defaults.timeouts,
        };
        let step = StepSpec {
            name: placeholder_name(),
            section,
            needs: fields.get("needs").map(|e| self.needs(e)).unwrap_or_default(),
            when: fields.get("when").and_then(|e| self.choice(e, &WHEN)).unwrap_or_default(),
            condition: fields.get("if").and_then(|e| self.condition(e, Place::Step(at))),
            broken: action.is_none(),
            action: action.unwrap_or(Action::Wait(crate::dag::plan::WaitFor::Event(String::new()))),
            max_parallel: fields.get("max_parallel").and_then(|e| self.count(e, 1, 50_000)),
            fail_fast: fields.get("fail_fast").and_then(|e| self.boolean(e)).unwrap_or(true),
            min_success: fields.get("min_success").and_then(|e| self.min_success(e)),
            fan_out,
            timeouts,
            retry: match fields.get("retry") {
                Some(entry) => self.retry(entry, &defaults.retry),
                None => defaults.retry.clone(),
            },
            line,
            column,
            span: entry.key_span,
            action_span: kind.map_or(entry.key_span, Entry::at),
        };
        self.never_runs(&fields, &step);
        Some(step)
    }

    fn action_key<'n>(&mut self, fields: &Fields<'n>, what: &str) -> Option<&'n Entry> {
        let mut found = fields.entries().iter().filter(|e| ACTION_KEYS.contains(&e.key.as_str()));
        let first = found.next();
        if first.is_none() && !fields.misspelt(&ACTION_KEYS) {
            let message = format!("{what} does nothing");
            self.report
                .add(&codes::NO_ACTION, fields.at, message)
                .hint("give it one of: run, command, approval, wait, dag");
        }
        for other in found {
            let one = first.map_or("", |e| e.key.as_str());
            let message = format!("{what} has `{one}` and `{}`", other.key);
            self.report
                .add(&codes::SEVERAL_ACTIONS, other.key_span, message)
                .hint("a step does one thing; make two steps of it");
        }
        first
    }

    fn keys_of_other_kinds(&mut self, fields: &Fields<'_>, kind: &Entry) {
        let task = matches!(kind.key.as_str(), "run" | "command");
        let waits = matches!(kind.key.as_str(), "approval" | "wait");
        for entry in fields.entries() {
            let key = entry.key.as_str();
            let stray = (TASK_KEYS.contains(&key) && !task)
                || (key == "shell" && kind.key != "run")
                || (key == "params" && kind.key != "dag")
                || (waits && (FAN_OUT_KEYS.contains(&key) || key == "retry" || key == "timeout"));
            if stray {
                let message = format!("`{key}` has no meaning for a step with `{}`", kind.key);
                let hint = (waits && key == "timeout" && kind.key == "approval")
                    .then(|| "put it inside: `approval: { timeout: 24h }`".to_string());
                self.report.add(&codes::CONFLICT, entry.key_span, message).maybe_hint(hint);
            }
        }
    }

    fn action(
        &mut self,
        kind: &Entry,
        fields: &Fields<'_>,
        place: Place,
        defaults: &Defaults,
    ) -> Option<Action> {
        match kind.key.as_str() {
            "approval" => self.approval(kind, place).map(Action::Approval),
            "wait" => self.wait(kind).map(Action::Wait),
            "dag" => self.sub_dag(kind, fields, place).map(Action::SubDag),
            _ => Some(Action::Task(Box::new(self.task(kind, fields, place, defaults)))),
        }
    }

    fn needs(&mut self, entry: &Entry) -> Vec<NeedSpec> {
        let mut needs: Vec<NeedSpec> = Vec::new();
        for (name, span) in self.words(entry).unwrap_or_default() {
            if needs.iter().any(|need| need.name == name) {
                let message = format!("`{}` is needed already", shorten(&name));
                self.report.add(&codes::REPEATED, span, message);
            } else {
                needs.push(NeedSpec { name, span });
            }
        }
        needs
    }

    fn never_runs(&mut self, fields: &Fields<'_>, step: &StepSpec) {
        let asks = matches!(step.when, When::AnyFailed | When::AnySucceeded);
        if step.section == Section::Main
            && asks
            && step.needs.is_empty()
            && let Some(entry) = fields.get("when")
        {
            let message = "this step never runs: it needs nothing that could fail or succeed";
            self.report
                .add(&codes::NEVER_RUNS, entry.at(), message)
                .hint("name the steps in `needs`, or move it to `finally`");
        }
    }

    fn sub_dag(&mut self, kind: &Entry, fields: &Fields<'_>, place: Place) -> Option<SubDag> {
        let outer = fields.get("params");
        let (source, inner) = match &kind.node.kind {
            Kind::Map(_) => {
                let keys = ["path", "pipeline", "params"];
                let inner = self.fields(kind, "`dag`", &keys)?;
                (self.sub_dag_source(&inner), inner.get("params"))
            }
            _ => {
                let text = self.word(kind)?;
                let path = self.source_path(&text, kind.at());
                (path.map(SubDagSource::Path), None)
            }
        };
        if let (Some(_), Some(second)) = (inner, outer) {
            let message = "`params` is given inside `dag` and beside it";
            self.report.add(&codes::CONFLICT, second.key_span, message);
        }
        let mut params = std::collections::BTreeMap::new();
        if let Some(entry) = inner.or(outer) {
            for member in self.members(entry).unwrap_or_default() {
                if let Some(template) = self.template(member, place) {
                    params.insert(member.key.clone(), template);
                }
            }
        }
        Some(SubDag { source: source?, params })
    }

    fn sub_dag_source(&mut self, fields: &Fields<'_>) -> Option<SubDagSource> {
        match (fields.get("path"), fields.get("pipeline")) {
            (Some(path), None) => {
                let text = self.word(path)?;
                self.source_path(&text, path.at()).map(SubDagSource::Path)
            }
            (None, Some(pipeline)) => self.pipeline(pipeline).map(SubDagSource::Pipeline),
            (Some(_), Some(second)) => {
                let message = "`dag` has `path` or `pipeline`, not both";
                self.report.add(&codes::CONFLICT, second.key_span, message);
                None
            }
            (None, None) => {
                let message = "`dag` must have `path` or `pipeline`";
                self.report.add(&codes::MISSING_KEY, fields.at, message);
                None
            }
        }
    }

    fn pipeline(&mut self, entry: &Entry) -> Option<String> {
        let text = self.word(entry)?;
        let (name, version) = text.split_once('@').unwrap_or((&text, "latest"));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let good = crate::ids::TenantId::new(name).is_ok()
            && !version.is_empty()
            && version.len() <= 64
            && version.chars().all(plain);
        if !good {
            let message = format!("`pipeline` must be `name@version`, not `{}`", shorten(&text));
            self.report.add(&codes::BAD_NAME, entry.at(), message);
        }
        good.then(|| text.clone())
    }
}

/// Stands in until the caller sets the real name.
fn placeholder_name() -> StepName {
    static NAME: std::sync::LazyLock<StepName> =
        std::sync::LazyLock::new(|| StepName::new("_").expect("a valid name"));
    NAME.clone()
}
