//! Names in expressions: each must mean something at the place where it stands.

use std::collections::BTreeSet;

use crate::dag::codes::{self, Code};
use crate::dag::expr::{
    FILTERS, GIT_MEMBERS, Mention, Name, ROOTS, RUN_MEMBERS, STEP_MEMBERS, Segment, TESTS,
};
use crate::dag::plan::{Action, Section};
use crate::dag::read::{Place, Reader, Use};
use crate::dag::source::Span;
use crate::dag::spec::{FanOutSpec, Spec, StepSpec, SubRead};
use crate::dag::suggest::did_you_mean;

use super::graph::Needs;

pub(crate) fn check(reader: &mut Reader<'_, '_>, spec: &mut Spec, needs: &Needs) {
    let uses = std::mem::take(&mut reader.uses);
    let mut checker = Checker {
        reader,
        spec,
        needs,
        used_params: BTreeSet::new(),
        all_params_used: false,
        sub_reads: Vec::new(),
        seen: vec![0; needs.of.len()],
        round: 0,
    };
    for one in &uses {
        if checker.reader.report.is_full() {
            break;
        }
        checker.check(one);
    }
    checker.unused_params();
    spec.sub_reads = checker.sub_reads;
}

struct Checker<'c, 'r, 's> {
    reader: &'c mut Reader<'r, 's>,
    spec: &'c Spec,
    needs: &'c Needs,
    used_params: BTreeSet<String>,
    all_params_used: bool,
    sub_reads: Vec<SubRead>,
    /// Marks of the search for needs: the round in which a step was seen.
    seen: Vec<u32>,
    round: u32,
}

impl Checker<'_, '_, '_> {
    fn add(&mut self, code: &'static Code, at: Span, message: String, hint: Option<String>) {
        self.reader.report.add(code, at, message).maybe_hint(hint);
    }

    fn check(&mut self, one: &Use) {
        let at = one.span;
        match &one.name {
            Name::Filter(name, _) => self.known(name, at, "filter", &FILTERS),
            Name::Test(name, _) => self.known(name, at, "test", &TESTS),
            Name::Call(name, _) => {
                let message = format!("expressions have no function `{name}`");
                let last = name.rsplit('.').next().unwrap_or(name);
                let hint = FILTERS
                    .contains(&last)
                    .then(|| format!("use the filter: `… | {last}`"))
                    .or_else(|| {
                        Some("expressions have filters (`x | length`), no functions".into())
                    });
                self.add(&codes::UNKNOWN_FUNCTION, at, message, hint);
            }
            Name::Path(mention) => self.path(mention, one.place, at),
        }
    }

    fn known(&mut self, name: &str, at: Span, what: &str, words: &[&str]) {
        if !words.contains(&name) {
            let message = format!("expressions have no {what} `{name}`");
            let hint = did_you_mean(name, words.iter().copied());
            self.add(&codes::UNKNOWN_FUNCTION, at, message, hint);
        }
    }

    fn path(&mut self, mention: &Mention, place: Place, at: Span) {
        let member = match mention.segments.first() {
            Some(Segment::Member(name, _)) => Some(name.as_str()),
            _ => None,
        };
        match mention.root.as_str() {
            "params" => self.param(member, at),
            "run" => self.run(member, place, at),
            "git" => self.member("git", member, &GIT_MEMBERS, at),
            "steps" => self.step(mention, member, place, at),
            "matrix" => self.matrix(member, place, at),
            "item" | "index" => self.item(&mention.root, place, at),
            other => {
                let message = format!("expressions have no name `{other}`");
                let hint = did_you_mean(other, ROOTS).or_else(|| {
                    let listed = ROOTS.join(", ");
                    Some(format!("names start with {listed}; quote text: `\"{other}\"`"))
                });
                self.add(&codes::UNKNOWN_NAME, at, message, hint);
            }
        }
    }

    fn param(&mut self, member: Option<&str>, at: Span) {
        let Some(name) = member else {
            self.all_params_used = true;
            return;
        };
        self.used_params.insert(name.to_string());
        if self.reader.written_params.contains(name) {
            return;
        }
        let message = format!("there is no parameter `{name}`");
        let known = self.reader.written_params.iter().map(String::as_str);
        let hint =
            self.reader.report.suggest(name, known).or_else(|| {
                Some(format!("declare it: `params: {{ {name}: {{ type: string }} }}`"))
            });
        self.add(&codes::UNKNOWN_PARAM, at, message, hint);
    }

    fn member(&mut self, root: &str, member: Option<&str>, members: &[&str], at: Span) {
        let listed = || Some(format!("`{root}` has {}", members.join(", ")));
        match member {
            None => {
                let message = format!("`{root}` alone is not a value");
                self.add(&codes::UNKNOWN_NAME, at, message, listed());
            }
            Some(name) if !members.contains(&name) => {
                let message = format!("`{root}` has no member `{name}`");
                let hint = did_you_mean(name, members.iter().copied()).or_else(listed);
                self.add(&codes::UNKNOWN_NAME, at, message, hint);
            }
            Some(_) => {}
        }
    }

    fn run(&mut self, member: Option<&str>, place: Place, at: Span) {
        self.member("run", member, &RUN_MEMBERS, at);
        let Some(name) = member.filter(|name| RUN_MEMBERS.contains(name)) else { return };
        let finally = match place {
            Place::Step(i) | Place::Child(i) => self.spec.steps[i].section == Section::Finally,
            Place::Plan | Place::Defaults => false,
        };
        if place == Place::Plan && name != "tenant" {
            let message = format!("`run.{name}` has no value yet when the plan is made");
            let hint = Some("here `params`, `git` and `run.tenant` have values".into());
            self.add(&codes::NAME_NOT_HERE, at, message, hint);
        } else if name == "status" && !finally {
            let message = "`run.status` has a value in `finally` only".to_string();
            let hint = Some("for one step's end use `steps.NAME.status`".into());
            self.add(&codes::NAME_NOT_HERE, at, message, hint);
        }
    }

    fn matrix(&mut self, member: Option<&str>, place: Place, at: Span) {
        let matrix = match place {
            Place::Child(i) => match &self.spec.steps[i].fan_out {
                FanOutSpec::Matrix(matrix) => Some(matrix),
                _ => None,
            },
            _ => None,
        };
        let Some(matrix) = matrix else {
            let hint = match place {
                Place::Step(_) => {
                    "it exists for each child of a step with `matrix`; `if` and \
                                   `for_each` are about the step as a whole"
                }
                _ => "it exists in steps with `matrix`",
            };
            let message = "`matrix` has no value here".to_string();
            self.add(&codes::NAME_NOT_HERE, at, message, Some(hint.into()));
            return;
        };
        let Some(name) = member else { return };
        let included = matrix.include.iter().flatten().map(|(name, _)| name.as_str());
        let axes = matrix.axes.iter().map(|(name, _)| name.as_str());
        let known: BTreeSet<&str> = axes.chain(included).collect();
        if !known.contains(name) {
            let message = format!("the matrix has no axis `{name}`");
            let hint = did_you_mean(name, known.iter().copied());
            self.add(&codes::UNKNOWN_NAME, at, message, hint);
        }
    }

    fn item(&mut self, root: &str, place: Place, at: Span) {
        let here = match place {
            Place::Child(i) => matches!(self.spec.steps[i].fan_out, FanOutSpec::ForEach(_)),
            _ => false,
        };
        if !here {
            let message = format!("`{root}` has no value here");
            let hint = Some("it exists for each child of a step with `for_each`".into());
            self.add(&codes::NAME_NOT_HERE, at, message, hint);
        }
    }

    fn step(&mut self, mention: &Mention, member: Option<&str>, place: Place, at: Span) {
        let from = match place {
            Place::Plan | Place::Defaults => {
                let message = "`steps` has no values here".to_string();
                let hint = Some("it has in the steps that need those steps".into());
                return self.add(&codes::NAME_NOT_HERE, at, message, hint);
            }
            Place::Step(i) | Place::Child(i) => i,
        };
        let Some(name) = member else {
            let message = "name the step after `steps.`".to_string();
            let hint = Some("which steps an expression reads must be known beforehand".into());
            return self.add(&codes::UNKNOWN_STEP, at, message, hint);
        };
        let Some(&target) = self.needs.index.get(name) else {
            if !self.reader.written_steps.contains(name) {
                let message = format!("there is no step `{name}`");
                let known = self.needs.index.keys().map(String::as_str);
                let hint = self.reader.report.suggest(name, known);
                self.add(&codes::UNKNOWN_STEP, at, message, hint);
            }
            return;
        };
        if !self.is_upstream(from, target) {
            self.not_upstream(from, target, at);
        }
        let target: &StepSpec = &self.spec.steps[target];
        self.step_member(mention, target, at);
    }

    fn not_upstream(&mut self, from: usize, target: usize, at: Span) {
        let (reader, read) = (&self.spec.steps[from], &self.spec.steps[target]);
        let (message, hint) = if from == target {
            (format!("step `{}` reads itself", read.name), None)
        } else {
            (
                format!("step `{}` may not have ended when `{}` starts", read.name, reader.name),
                Some(format!("add `needs: {}` to `{}`", read.name, reader.name)),
            )
        };
        self.add(&codes::NOT_UPSTREAM, at, message, hint);
    }

    fn step_member(&mut self, mention: &Mention, target: &StepSpec, at: Span) {
        let names: Vec<Option<&str>> = mention.segments[1..]
            .iter()
            .map(|segment| match segment {
                Segment::Member(name, _) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let Some(Some(part)) = names.first() else {
            let message = format!("`steps.{}` alone is not a value", target.name);
            let hint = Some("read its `outputs`, `artifacts` or `status`".into());
            return self.add(&codes::UNKNOWN_OUTPUT, at, message, hint);
        };
        if !STEP_MEMBERS.contains(part) {
            let message = format!("a step has no `{part}`");
            let hint = did_you_mean(part, STEP_MEMBERS)
                .or_else(|| Some(format!("did you mean `steps.{}.outputs.{part}`?", target.name)));
            return self.add(&codes::UNKNOWN_OUTPUT, at, message, hint);
        }
        let Some(Some(name)) = names.get(1) else { return };
        if target.broken || *part == "status" {
            return;
        }
        if let (Action::SubDag(_), "outputs") = (&target.action, *part) {
            let output = names.get(2).copied().flatten().map(str::to_string);
            let step = target.name.clone();
            self.sub_reads.push(SubRead { step, inner: name.to_string(), output, span: at });
            return;
        }
        self.declared(target, part, name, at);
    }

    fn declared(&mut self, target: &StepSpec, part: &str, name: &str, at: Span) {
        let known: Vec<&str> = match (&target.action, part) {
            (Action::Task(task), "outputs") => task.outputs.keys().map(String::as_str).collect(),
            (Action::Task(task), _) => task.artifacts.iter().map(|a| a.name.as_str()).collect(),
            _ => Vec::new(),
        };
        if known.contains(&name) {
            return;
        }
        let what = part.trim_end_matches('s');
        let message = format!("step `{}` declares no {what} `{name}`", target.name);
        let hint = did_you_mean(name, known.iter().copied()).or_else(|| match part {
            "outputs" => Some(format!("declare it there: `outputs: {{ {name}: string }}`")),
            _ => Some(format!("declare it there: `artifacts: {{ {name}: PATH }}`")),
        });
        self.add(&codes::UNKNOWN_OUTPUT, at, message, hint);
    }

    /// Whether `target` has ended for certain when `from` starts.
    fn is_upstream(&mut self, from: usize, target: usize) -> bool {
        let sections = (self.spec.steps[from].section, self.spec.steps[target].section);
        match sections {
            (Section::Finally, Section::Main) => return true,
            (Section::Main, Section::Finally) => return false,
            _ => {}
        }
        if self.needs.of[from].contains(&target) {
            return from != target;
        }
        self.round += 1;
        let mut stack = vec![from];
        while let Some(at) = stack.pop() {
            for &need in &self.needs.of[at] {
                if need == target && from != target {
                    return true;
                }
                if self.seen[need] != self.round {
                    self.seen[need] = self.round;
                    stack.push(need);
                }
            }
        }
        false
    }

    fn unused_params(&mut self) {
        if self.all_params_used {
            return;
        }
        let spec = self.spec;
        for param in spec.params.iter().filter(|p| !self.used_params.contains(&p.name)) {
            let message = format!("nothing reads the parameter `{}`", param.name);
            let hint = format!("read it with `${{{{ params.{} }}}}`, or remove it", param.name);
            self.reader.report.add(&codes::UNUSED_PARAM, param.span, message).hint(hint);
        }
    }
}
