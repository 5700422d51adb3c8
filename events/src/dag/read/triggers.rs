//! `on`.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dag::codes;
use crate::dag::source::{Entry, Kind, Node};
use crate::dag::trigger::{
    CatchUp, GitlabEvent, GitlabTrigger, Overlap, Schedule, ScheduleTrigger, Triggers,
};
use crate::value::Value;

use super::fields::shorten;
use super::{Fields, Reader};

/// Keys of an entry of `on.gitlab`.
pub(crate) const GITLAB_KEYS: [&str; 4] = ["project", "push", "tag", "merge_request"];
/// Keys of an entry of `on.schedule`.
pub(crate) const SCHEDULE_KEYS: [&str; 6] =
    ["cron", "timezone", "overlap", "catch_up", "jitter", "params"];

const OVERLAPS: [(&str, Overlap); 4] = [
    ("skip", Overlap::Skip),
    ("queue", Overlap::Queue),
    ("allow", Overlap::Allow),
    ("cancel_running", Overlap::CancelRunning),
];

impl Reader<'_, '_> {
    pub fn triggers(&mut self, entry: &Entry) -> Triggers {
        let mut triggers = Triggers::default();
        let Some(fields) = self.fields(entry, "`on`", &["gitlab", "schedule"]) else {
            return triggers;
        };
        if let Some(gitlab) = fields.get("gitlab") {
            for node in self.entries_of(gitlab) {
                triggers.gitlab.extend(self.gitlab_trigger(node));
            }
        }
        if let Some(schedule) = fields.get("schedule") {
            for node in self.entries_of(schedule) {
                triggers.schedule.extend(self.schedule_trigger(node));
            }
        }
        triggers
    }

    /// A list of mappings, or one mapping alone.
    fn entries_of<'n>(&mut self, entry: &'n Entry) -> Vec<&'n Rc<Node>> {
        match &entry.node.kind {
            Kind::Map(_) => vec![&entry.node],
            _ => self.items(entry, false).unwrap_or_default(),
        }
    }

    fn gitlab_trigger(&mut self, node: &Node) -> Option<GitlabTrigger> {
        let what = "a gitlab trigger";
        let fields = self.fields_of_node(node, what, &GITLAB_KEYS)?;
        let project = self.required(&fields, "project", what).and_then(|e| self.project(e));
        let mut events = ["push", "tag", "merge_request"].into_iter().filter_map(|k| fields.get(k));
        let Some(first) = events.next() else {
            let message = "a gitlab trigger must have one of push, tag, merge_request";
            self.report.add(&codes::MISSING_KEY, fields.at, message);
            return None;
        };
        for other in events {
            let message = format!("a gitlab trigger has `{}` and `{}`", first.key, other.key);
            self.report
                .add(&codes::CONFLICT, other.key_span, message)
                .hint("make an entry of its own for each");
        }
        let event = self.gitlab_event(first)?;
        Some(GitlabTrigger { project: project?, event })
    }

    fn project(&mut self, entry: &Entry) -> Option<String> {
        let text = self.word(entry)?;
        let part = |part: &str| {
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' ');
            !part.is_empty() && part.chars().all(plain)
        };
        if text.contains('/') && text.split('/').all(part) {
            return Some(text);
        }
        let message = format!("`{}` is not a project's path", shorten(&text));
        self.report
            .add(&codes::BAD_NAME, entry.at(), message)
            .hint("write group and project: `acme/vision`");
        None
    }

    fn gitlab_event(&mut self, entry: &Entry) -> Option<GitlabEvent> {
        if entry.key == "tag" {
            return Some(GitlabEvent::Tag(self.some_words(entry)?));
        }
        let push = entry.key == "push";
        let branches_key = if push { "branches" } else { "target_branches" };
        let what = format!("`{}`", entry.key);
        let patterns = |reader: &mut Self, fields: &Fields<'_>, key: &str| {
            fields.get(key).and_then(|e| reader.some_words(e)).unwrap_or_default()
        };
        let (branches, paths, ignore_paths) = if entry.node.is_null() {
            Default::default()
        } else {
            let fields = self.fields(entry, &what, &[branches_key, "paths", "ignore_paths"])?;
            (
                patterns(self, &fields, branches_key),
                patterns(self, &fields, "paths"),
                patterns(self, &fields, "ignore_paths"),
            )
        };
        Some(match push {
            true => GitlabEvent::Push { branches, paths, ignore_paths },
            false => GitlabEvent::MergeRequest { target_branches: branches, paths, ignore_paths },
        })
    }

    fn schedule_trigger(&mut self, node: &Node) -> Option<ScheduleTrigger> {
        let fields = self.fields_of_node(node, "a schedule", &SCHEDULE_KEYS)?;
        let zone = self.zone(&fields);
        let schedule = self
            .required(&fields, "cron", "a schedule")
            .and_then(|entry| self.cron(entry, zone.as_deref().unwrap_or("UTC")));
        let overlap = fields.get("overlap").and_then(|e| self.choice(e, &OVERLAPS));
        let catch_up = fields.get("catch_up").and_then(|e| self.catch_up(e));
        let jitter = fields.get("jitter").and_then(|e| self.duration(e));
        let params = fields.get("params").map(|e| self.schedule_params(e)).unwrap_or_default();
        Some(ScheduleTrigger {
            schedule: schedule?,
            overlap: overlap.unwrap_or_default(),
            catch_up: catch_up.unwrap_or_default(),
            jitter,
            params,
        })
    }

    fn zone(&mut self, fields: &Fields<'_>) -> Option<String> {
        let entry = fields.get("timezone")?;
        let name = self.word(entry)?;
        if crate::dag::trigger::find_zone(&name).is_ok() {
            return Some(name);
        }
        let message = format!("there is no time zone `{}`", shorten(&name));
        self.report
            .add(&codes::UNKNOWN_ZONE, entry.at(), message)
            .hint("write a name of the IANA database: `Europe/Vienna`, `UTC`");
        None
    }

    fn cron(&mut self, entry: &Entry, zone: &str) -> Option<Schedule> {
        let text = self.word(entry)?;
        Schedule::new(&text, zone)
            .map_err(|error| {
                let message = format!("`{}` is not a schedule: {error}", shorten(&text));
                self.report
                    .add(&codes::BAD_CRON, entry.at(), message)
                    .hint("five fields as in crontab: `30 2 * * 1-5` is 02:30 on weekdays");
            })
            .ok()
    }

    fn catch_up(&mut self, entry: &Entry) -> Option<CatchUp> {
        if let Kind::Map(_) = entry.node.kind {
            let fields = self.fields(entry, "`catch_up`", &["all_within"])?;
            let within = self.required(&fields, "all_within", "`catch_up`")?;
            return self.duration(within).map(CatchUp::AllWithin);
        }
        self.choice(entry, &[("none", CatchUp::None), ("latest", CatchUp::Latest)])
    }

    fn schedule_params(&mut self, entry: &Entry) -> BTreeMap<String, Value> {
        let mut params = BTreeMap::new();
        for member in self.members(entry).unwrap_or_default() {
            match member.node.to_value() {
                Ok(value) => {
                    params.insert(member.key.clone(), value);
                }
                Err(at) => {
                    let message = "this number cannot be kept exactly: integers end at 2^53 - 1";
                    self.report.add(&codes::BAD_NUMBER, at, message).hint("quote it");
                }
            }
        }
        params
    }
}
