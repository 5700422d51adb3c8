//! The top level of the file.

use std::collections::BTreeMap;

use crate::dag::codes;
use crate::dag::plan::{Section, WhenFull};
use crate::dag::source::{Entry, Kind, Node, Scalar};
use crate::dag::spec::{ConcurrencySpec, Spec, StepSpec};
use crate::dag::trigger::Triggers;

use super::fields::shorten;
use super::{Defaults, Fields, Place, Reader};

/// Keys of the top level.
pub(crate) const TOP_KEYS: [&str; 13] = [
    "dagbook",
    "name",
    "description",
    "labels",
    "params",
    "on",
    "concurrency",
    "priority",
    "timeout",
    "max_parallel",
    "defaults",
    "steps",
    "finally",
];

/// Reads a whole file. Something comes back whenever there is a mapping at all; whether it
/// is good is for the findings to say.
pub(crate) fn read_spec(reader: &mut Reader<'_, '_>, root: &Node) -> Option<Spec> {
    let fields = open_top(reader, root)?;
    version(reader, &fields);
    let name = reader
        .required(&fields, "name", "a DAG file")
        .and_then(|entry| pipeline_name(reader, entry))
        .unwrap_or_default();
    let params = fields.get("params").map(|entry| reader.params(entry)).unwrap_or_default();
    let defaults = match fields.get("defaults") {
        Some(entry) => reader.defaults(entry),
        None => Defaults::default(),
    };
    Some(Spec {
        name,
        description: fields.get("description").and_then(|e| reader.text(e)).unwrap_or_default(),
        labels: fields.get("labels").map(|e| reader.labels(e)).unwrap_or_default(),
        params,
        triggers: match fields.get("on") {
            Some(entry) => reader.triggers(entry),
            None => Triggers::default(),
        },
        concurrency: fields.get("concurrency").and_then(|e| reader.concurrency(e)),
        priority: fields
            .get("priority")
            .and_then(|e| reader.integer(e, -100, 100))
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(0),
        timeout: fields.get("timeout").and_then(|e| reader.duration(e)),
        max_parallel: fields.get("max_parallel").and_then(|e| reader.count(e, 1, 100_000)),
        steps: all_steps(reader, &fields, &defaults),
        sub_reads: Vec::new(),
    })
}

/// Keys that start with `x-` are the author's own, for anchors and other tools.
fn open_top<'n>(reader: &mut Reader<'_, '_>, root: &'n Node) -> Option<Fields<'n>> {
    let own = |entries: &[Entry]| -> Vec<String> {
        entries.iter().map(|e| e.key.clone()).filter(|key| key.starts_with("x-")).collect()
    };
    let extra = match &root.kind {
        Kind::Map(entries) => own(entries),
        _ => Vec::new(),
    };
    let allowed: Vec<&str> = TOP_KEYS.into_iter().chain(extra.iter().map(String::as_str)).collect();
    let mut fields = reader.fields_of_node(root, "a DAG file", &allowed)?;
    fields.at.end = fields.at.start;
    Some(fields)
}

fn version(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) {
    let Some(entry) = fields.get("dagbook") else {
        reader
            .report
            .add(&codes::VERSION, fields.at, "the format version is missing")
            .hint("start the file with `dagbook: v1`");
        return;
    };
    let good = matches!(&entry.node.kind, Kind::Scalar(Scalar { text, .. }) if text == "v1");
    if !good {
        let written = entry.node.as_scalar().map_or(entry.node.type_name(), |s| s.text.as_str());
        let message = format!("the format version `{}` is not supported", shorten(written));
        reader
            .report
            .add(&codes::VERSION, entry.at(), message)
            .hint("this dagbook reads `dagbook: v1`");
    }
}

fn pipeline_name(reader: &mut Reader<'_, '_>, entry: &Entry) -> Option<String> {
    let text = reader.word(entry)?;
    if crate::ids::TenantId::new(&text).is_ok() {
        return Some(text);
    }
    let message = format!(
        "`{}` is not a pipeline name: it must match [a-z0-9][a-z0-9-]{{0,62}}",
        shorten(&text)
    );
    let better: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let hint = crate::ids::TenantId::new(&better).is_ok().then(|| format!("write `{better}`"));
    reader.report.add(&codes::BAD_NAME, entry.at(), message).maybe_hint(hint);
    None
}

fn all_steps(
    reader: &mut Reader<'_, '_>,
    fields: &Fields<'_>,
    defaults: &Defaults,
) -> Vec<StepSpec> {
    let mut steps: Vec<StepSpec> = Vec::new();
    match fields.get("steps") {
        None => {
            reader.required(fields, "steps", "a DAG file");
        }
        Some(entry) => {
            let before = reader.report.has_errors();
            reader.section(entry, Section::Main, defaults, &mut steps);
            if steps.is_empty() && !before && !reader.report.has_errors() {
                let message = "`steps` is empty: there is nothing to run";
                reader.report.add(&codes::NOTHING_IN_IT, entry.key_span, message);
            }
        }
    }
    if let Some(entry) = fields.get("finally") {
        reader.section(entry, Section::Finally, defaults, &mut steps);
    }
    repeated_names(reader, &steps);
    steps
}

fn repeated_names(reader: &mut Reader<'_, '_>, steps: &[StepSpec]) {
    let mut first: BTreeMap<&str, u32> = BTreeMap::new();
    for step in steps {
        if let Some(line) = first.get(step.name.as_str()) {
            let message = format!("a step `{}` is there already, in line {line}", step.name);
            reader
                .report
                .add(&codes::REPEATED, step.span, message)
                .hint("steps and `finally` share their names");
        } else {
            first.insert(step.name.as_str(), step.line);
        }
    }
}

impl Reader<'_, '_> {
    fn section(
        &mut self,
        entry: &Entry,
        section: Section,
        defaults: &Defaults,
        steps: &mut Vec<StepSpec>,
    ) {
        if let Kind::List(_) = &entry.node.kind {
            let message = format!("`{}` must be a mapping, not a list", entry.key);
            self.report
                .add(&codes::WRONG_TYPE, entry.key_span, message)
                .hint("give each step a name: `fetch: { run: ./fetch.sh }`");
            return;
        }
        for member in self.members(entry).unwrap_or_default() {
            self.written_steps.insert(member.key.clone());
            let name = self.step_name(member);
            let uses_before = self.uses.len();
            match (self.step(member, steps.len(), section, defaults), name) {
                (Some(step), Some(name)) => steps.push(StepSpec { name, ..step }),
                // Its place in the list goes to the next step.
                _ => self.uses.truncate(uses_before),
            }
        }
    }

    pub fn labels(&mut self, entry: &Entry) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for member in self.members(entry).unwrap_or_default() {
            if let Some(text) = self.text(member) {
                labels.insert(member.key.clone(), text);
            }
        }
        labels
    }

    fn concurrency(&mut self, entry: &Entry) -> Option<ConcurrencySpec> {
        let fields = self.fields(entry, "`concurrency`", &["group", "limit", "when_full"])?;
        let group = self.required(&fields, "group", "`concurrency`");
        let limit = fields.get("limit").and_then(|e| self.count(e, 1, 100_000)).unwrap_or(1);
        let policies = [
            ("queue", WhenFull::Queue),
            ("cancel_running", WhenFull::CancelRunning),
            ("reject", WhenFull::Reject),
        ];
        let when_full = fields.get("when_full").and_then(|e| self.choice(e, &policies));
        let group = group?;
        Some(ConcurrencySpec {
            span: group.at(),
            group: self.template(group, Place::Plan)?,
            limit,
            when_full: when_full.unwrap_or(WhenFull::Queue),
        })
    }
}
