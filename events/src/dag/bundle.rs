//! Files of a bundle: each read once, sub-DAGs followed.

use std::collections::BTreeMap;

use super::codes::{self, Code};
use super::finding::Finding;
use super::plan::{Action, SourceBundle, SubDag, SubDagSource};
use super::read::{Reader, read_spec};
use super::source::{Report, SourceText, Span, read_tree};
use super::spec::{Spec, StepSpec};
use super::suggest::did_you_mean;
use super::validate::validate;

/// Deepest nesting of sub-DAG files.
const MAX_DEPTH: usize = 8;

/// What a check found, and the file if there was no error.
#[derive(Debug, Clone)]
pub struct Checked {
    /// All findings: of the entry file, then of the sub-DAG files, each by place.
    pub findings: Vec<Finding>,
    /// The entry file; nothing when any file of the bundle has an error.
    pub spec: Option<Spec>,
}

impl Checked {
    /// Whether there is an error among the findings.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }
}

/// Checks the entry file of a bundle and every sub-DAG file that it reaches.
pub fn check(bundle: &SourceBundle) -> Checked {
    let mut files = Files { bundle, read: BTreeMap::new(), order: Vec::new() };
    files.visit(&bundle.entry);
    let mut found = files.walk(&bundle.entry);
    for path in &files.order {
        found.entry(path.clone()).or_default().extend(files.calls(path));
    }
    let mut findings = Vec::new();
    for path in &files.order {
        let raw = found.remove(path).unwrap_or_default();
        findings.extend(files.findings(path, raw));
    }
    if !files.order.contains(&bundle.entry) {
        findings.push(missing_entry(&bundle.entry));
    }
    let good = !findings.iter().any(Finding::is_error);
    let spec = files.read.remove(&bundle.entry).and_then(|file| file.spec).filter(|_| good);
    Checked { findings, spec }
}

/// Reads and checks the bytes of one file; sub-DAGs are not followed.
pub fn parse(bytes: &[u8], path: &str) -> Checked {
    match super::source::decode(path, bytes) {
        Err(findings) => Checked { findings, spec: None },
        Ok(text) => {
            let file = read_file(path, &text);
            let good = !file.findings.iter().any(Finding::is_error);
            Checked { findings: file.findings, spec: file.spec.filter(|_| good) }
        }
    }
}

/// Turns the bytes of a file into text, or says what is wrong with them.
pub fn decode(bytes: &[u8], path: &str) -> Result<String, Vec<Finding>> {
    super::source::decode(path, bytes)
}

/// The sub-DAG files that a file calls, as the bundle must name them. Empty when the file
/// cannot be read: its own findings say why.
pub fn sub_dag_paths(path: &str, text: &str) -> Vec<String> {
    let mut paths = read_file(path, text).spec.map(|spec| spec.sub_dag_paths()).unwrap_or_default();
    paths.sort();
    paths.dedup();
    paths
}

struct File {
    spec: Option<Spec>,
    findings: Vec<Finding>,
}

fn read_file(path: &str, text: &str) -> File {
    let source = SourceText::new(path, text);
    let mut report = Report::new(&source);
    let spec = read_with(&mut report);
    File { spec, findings: report.into_findings() }
}

fn read_with(report: &mut Report<'_>) -> Option<Spec> {
    let source = report.source();
    if !source.check(report) {
        return None;
    }
    let tree = read_tree(report)?;
    let mut reader = Reader::new(report);
    let mut spec = read_spec(&mut reader, &tree.root)?;
    validate(&mut reader, &mut spec);
    Some(spec)
}

struct Files<'b> {
    bundle: &'b SourceBundle,
    read: BTreeMap<String, File>,
    /// In the order met.
    order: Vec<String>,
}

impl Files<'_> {
    /// Reads a file and all that it reaches, each once.
    fn visit(&mut self, entry: &str) {
        let mut waiting = vec![entry.to_string()];
        while let Some(path) = waiting.pop() {
            let Some(text) = self.bundle.files.get(&path) else { continue };
            if self.read.contains_key(&path) {
                continue;
            }
            let file = read_file(&path, text);
            let mut next = file.spec.as_ref().map(Spec::sub_dag_paths).unwrap_or_default();
            next.reverse();
            waiting.extend(next);
            self.order.push(path.clone());
            self.read.insert(path, file);
        }
    }

    /// All findings of a file: its own, and those about its calls.
    fn findings(&self, path: &str, raw: Vec<Raw>) -> Vec<Finding> {
        let mut findings = self.read[path].findings.clone();
        if !raw.is_empty() {
            let text = self.bundle.files.get(path).map_or("", String::as_str);
            let source = SourceText::new(path, text);
            let mut report = Report::new(&source);
            for Raw { code, at, message, hint } in raw {
                report.add(code, at, message).maybe_hint(hint);
            }
            findings.extend(report.into_findings());
            findings.sort_by_key(|finding| (finding.span.start, finding.code));
        }
        findings
    }

    /// What is wrong with the sub-DAG steps of a file: what they call, and with what.
    fn calls(&self, path: &str) -> Vec<Raw> {
        let mut found = Vec::new();
        let Some(spec) = &self.read[path].spec else { return found };
        for step in &spec.steps {
            let Action::SubDag(sub) = &step.action else { continue };
            let SubDagSource::Path(target) = &sub.source else { continue };
            match self.read.get(target) {
                None => {
                    let message = format!("the sub-DAG file `{target}` is not there");
                    let hint = did_you_mean(target, self.bundle.files.keys().map(String::as_str));
                    let at = step.action_span;
                    found.push(Raw { code: &codes::SUB_DAG_MISSING, at, message, hint });
                }
                // A file with errors of its own says nothing about its callers.
                Some(File { spec: Some(called), findings: own })
                    if !own.iter().any(Finding::is_error) =>
                {
                    params_of_call(step, sub, called, &mut found);
                    reads_of_call(spec, step, called, &mut found);
                }
                Some(_) => {}
            }
        }
        found
    }

    /// Follows the calls from the entry, looking for circles and for too much depth. A file
    /// reached at the same or a greater depth before is not followed again.
    fn walk(&self, entry: &str) -> BTreeMap<String, Vec<Raw>> {
        let mut walk = Walk { deepest: BTreeMap::new(), found: BTreeMap::new() };
        self.follow(entry, &mut vec![entry.to_string()], &mut walk);
        walk.found
    }

    fn follow(&self, path: &str, chain: &mut Vec<String>, walk: &mut Walk) {
        let depth = chain.len();
        if walk.deepest.get(path).is_some_and(|before| *before >= depth) {
            return;
        }
        walk.deepest.insert(path.to_string(), depth);
        let Some(File { spec: Some(spec), .. }) = self.read.get(path) else { return };
        for step in &spec.steps {
            let Action::SubDag(SubDag { source: SubDagSource::Path(target), .. }) = &step.action
            else {
                continue;
            };
            let at = step.action_span;
            if let Some(start) = chain.iter().position(|before| before == target) {
                let circle = format!("{} → {target}", chain[start..].join(" → "));
                let message = format!("sub-DAG files call each other in a circle: {circle}");
                walk.add(path, Raw { code: &codes::SUB_DAG_CYCLE, at, message, hint: None });
            } else if depth > MAX_DEPTH && self.read.contains_key(target) {
                let message = format!("sub-DAG files are nested deeper than {MAX_DEPTH}");
                walk.add(path, Raw { code: &codes::SUB_DAG_DEPTH, at, message, hint: None });
            } else if self.read.contains_key(target) {
                chain.push(target.clone());
                self.follow(target, chain, walk);
                chain.pop();
            }
        }
    }
}

/// A finding without its line.
#[derive(Debug, PartialEq, Eq)]
struct Raw {
    code: &'static Code,
    at: Span,
    message: String,
    hint: Option<String>,
}

fn params_of_call(step: &StepSpec, sub: &SubDag, called: &Spec, found: &mut Vec<Raw>) {
    let mut add = |message: String, hint: Option<String>| {
        found.push(Raw { code: &codes::SUB_DAG_PARAM, at: step.action_span, message, hint });
    };
    for name in sub.params.keys() {
        if !called.params.iter().any(|param| param.name == *name) {
            let known = called.params.iter().map(|param| param.name.as_str());
            let shown = cut(name);
            let message = format!("`{}` has no parameter `{shown}`", called.name);
            add(message, did_you_mean(name, known));
        }
    }
    for param in called.params.iter().filter(|param| param.required) {
        if !sub.params.contains_key(&param.name) {
            let message = format!("`{}` requires the parameter `{}`", called.name, param.name);
            add(message, Some(format!("add `params: {{ {}: … }}`", param.name)));
        }
    }
}

fn reads_of_call(spec: &Spec, step: &StepSpec, called: &Spec, found: &mut Vec<Raw>) {
    for read in spec.sub_reads.iter().filter(|read| read.step == step.name) {
        let inner = called.steps.iter().find(|inner| inner.name.as_str() == read.inner);
        let (message, hint) = match (inner.map(|inner| &inner.action), &read.output) {
            (None, _) => {
                let known = called.steps.iter().map(|inner| inner.name.as_str());
                let message = format!("`{}` has no step `{}`", called.name, cut(&read.inner));
                (message, did_you_mean(&read.inner, known))
            }
            (Some(Action::Task(task)), Some(output)) if !task.outputs.contains_key(output) => {
                let message = format!(
                    "step `{}` of `{}` declares no output `{}`",
                    read.inner,
                    called.name,
                    cut(output)
                );
                (message, did_you_mean(output, task.outputs.keys().map(String::as_str)))
            }
            _ => continue,
        };
        found.push(Raw { code: &codes::UNKNOWN_OUTPUT, at: read.span, message, hint });
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

struct Walk {
    deepest: BTreeMap<String, usize>,
    found: BTreeMap<String, Vec<Raw>>,
}

impl Walk {
    /// Adds it, once: a file may be reached in several ways.
    fn add(&mut self, path: &str, raw: Raw) {
        let of_file = self.found.entry(path.to_string()).or_default();
        if of_file.last() != Some(&raw) {
            of_file.push(raw);
        }
    }
}

fn missing_entry(path: &str) -> Finding {
    Finding {
        code: codes::SUB_DAG_MISSING.id,
        severity: codes::SUB_DAG_MISSING.severity(),
        file: path.to_string(),
        line: 1,
        column: 1,
        span: 0..0,
        message: format!("the DAG file `{path}` is not among the sources"),
        hint: None,
    }
}
