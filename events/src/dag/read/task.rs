//! `run` and `command` steps.

use std::collections::BTreeMap;

use crate::dag::codes;
use crate::dag::expr::{Template, opens_expression};
use crate::dag::plan::{CachePolicy, OutputType, ProgramTemplate, TaskTemplate};
use crate::dag::source::{Entry, Kind};
use crate::step::{ArtifactRequest, SecretRequest};

use super::fields::shorten;
use super::params::TYPES;
use super::{Defaults, Fields, Place, Reader};

/// Executors that run no containers.
const WITHOUT_CONTAINERS: [&str; 1] = ["local"];

impl Reader<'_, '_> {
    pub fn task(
        &mut self,
        kind: &Entry,
        fields: &Fields<'_>,
        place: Place,
        defaults: &Defaults,
    ) -> TaskTemplate {
        let program = match kind.key.as_str() {
            "run" => self.script(kind, fields, defaults),
            _ => self.argv(kind, place).map(ProgramTemplate::Command),
        };
        let executor = match fields.get("executor") {
            Some(entry) => self.executor(entry).unwrap_or_else(|| defaults.executor.clone()),
            None => defaults.executor.clone(),
        };
        let own = fields.get("env").map(|e| self.variables(e, place)).unwrap_or_default();
        let secrets = fields.get("secrets").map(|e| self.secrets(e, &own)).unwrap_or_default();
        let image = fields.get("image").and_then(|e| self.image(e, &executor, place));
        let (require, prefer) =
            fields.get("placement").map(|e| self.placement(e, place)).unwrap_or_default();
        TaskTemplate {
            executor,
            image: image.or_else(|| defaults.image.clone()),
            env: merge_env(&defaults.env, own, &secrets),
            secrets,
            inputs: fields.get("inputs").map(|e| self.inputs(e, place)).unwrap_or_default(),
            artifacts: fields.get("artifacts").map(|e| self.artifacts(e)).unwrap_or_default(),
            outputs: fields.get("outputs").map(|e| self.outputs(e)).unwrap_or_default(),
            resources: fields.get("resources").map(|e| self.resources(e)).unwrap_or_default(),
            empty_workspace: fields
                .get("workspace")
                .and_then(|e| self.workspace(e))
                .unwrap_or(defaults.empty_workspace),
            require,
            prefer,
            cache: fields.get("cache").and_then(|e| self.cache(e, place)),
            requires: fields.get("requires").and_then(|e| self.some_words(e)).unwrap_or_default(),
            // A file with an error is never planned, but what refers to this step's outputs
            // should still find them.
            program: program.unwrap_or(ProgramTemplate::Command(Vec::new())),
        }
    }

    fn script(
        &mut self,
        entry: &Entry,
        fields: &Fields<'_>,
        defaults: &Defaults,
    ) -> Option<ProgramTemplate> {
        let shell = fields.get("shell").and_then(|e| self.interpreter(e));
        if let Kind::List(_) = entry.node.kind {
            self.report
                .add(&codes::WRONG_TYPE, entry.at(), "`run` must be text, not a list")
                .hint("a list of arguments is `command: […]`");
            return None;
        }
        let text = self.scalar(entry, "text")?.text.clone();
        if text.trim().is_empty() {
            self.report.add(&codes::NOTHING_IN_IT, entry.at(), "`run` is empty");
            return None;
        }
        if let Some(open) = opens_expression(&text) {
            self.expression_in_script(entry, &text, open);
            return None;
        }
        let interpreter = shell.unwrap_or_else(|| defaults.interpreter.clone());
        Some(ProgramTemplate::Script { interpreter, text })
    }

    /// Text spliced into a script becomes program: the way in for injected commands.
    fn expression_in_script(&mut self, entry: &Entry, text: &str, open: usize) {
        let end = text[open..].find("}}").map_or(text.len(), |at| open + at + 2);
        let expression = &text[open..end];
        let span = self.locate(&entry.node, text, &(open..end));
        let message = "an expression cannot stand in `run`: its value would become program";
        let name = variable_for(expression);
        let hint = format!(
            "pass it as a variable: `env: {{ {name}: \"{}\" }}`, and write \"${name}\" in the script",
            shorten(expression)
        );
        self.report.add(&codes::EXPRESSION_IN_SCRIPT, span, message).hint(hint);
    }

    fn argv(&mut self, entry: &Entry, place: Place) -> Option<Vec<Template>> {
        let Kind::List(items) = &entry.node.kind else {
            let message = format!("`command` must be a list, not {}", entry.node.type_name());
            let hint = "write `command: [program, argument]`; for a shell line use `run`";
            self.report.add(&codes::WRONG_TYPE, entry.at(), message).hint(hint);
            return None;
        };
        if items.is_empty() {
            self.report.add(&codes::NOTHING_IN_IT, entry.at(), "`command` is empty");
            return None;
        }
        let mut argv = Vec::with_capacity(items.len());
        for item in items {
            if item.as_scalar().is_none() || item.is_null() {
                let message = format!("`command` must hold text, not {}", item.type_name());
                self.report.add(&codes::WRONG_TYPE, item.span, message);
            } else if let Some(template) = self.template_node(item, place) {
                argv.push(template);
            }
        }
        (argv.len() == items.len()).then_some(argv)
    }

    /// `sh`, `bash`, `python3`, or the argument vector of any interpreter.
    pub fn interpreter(&mut self, entry: &Entry) -> Option<Vec<String>> {
        if let Kind::List(_) = entry.node.kind {
            let words = self.some_words(entry)?;
            return (!words.is_empty()).then_some(words);
        }
        let name = self.word(entry)?;
        let known = shell(&name);
        if known.is_none() {
            let message = format!(
                "`shell` must be one of sh, bash, python3, or a list, not `{}`",
                shorten(&name)
            );
            self.report
                .add(&codes::NOT_A_CHOICE, entry.at(), message)
                .hint("give any interpreter as a list: `shell: [node, \"{script}\"]`");
        }
        known
    }

    pub fn executor(&mut self, entry: &Entry) -> Option<String> {
        let name = self.word(entry)?;
        if crate::ids::TenantId::new(&name).is_ok() {
            return Some(name);
        }
        let message = format!("`{}` is not an executor's name", shorten(&name));
        self.report
            .add(&codes::BAD_NAME, entry.at(), message)
            .hint("local, gitlab, kubernetes, gpu, or a name the operator configured");
        None
    }

    pub fn workspace(&mut self, entry: &Entry) -> Option<bool> {
        self.choice(entry, &[("source", false), ("empty", true)])
    }

    /// Variables, in the order written.
    pub fn variables(&mut self, entry: &Entry, place: Place) -> Vec<(String, Template)> {
        let mut variables = Vec::new();
        for member in self.members(entry).unwrap_or_default() {
            let name = self.variable(member);
            let value = self.template(member, place);
            if let (Some(name), Some(value)) = (name, value) {
                self.likely_secret(member, &name, &value);
                variables.push((name, value));
            }
        }
        variables
    }

    fn likely_secret(&mut self, entry: &Entry, name: &str, value: &Template) {
        let upper = name.to_ascii_uppercase();
        let telling = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY"];
        let named = telling.iter().any(|word| upper.ends_with(word));
        if named && value.is_constant() && value.source().len() >= 8 {
            let message = format!("`{name}` looks like a secret written in the file");
            self.report.add(&codes::LIKELY_SECRET, entry.key_span, message).hint(format!(
                "store it with `dagbook secret`, then `secrets: {{ {name}: NAME }}`"
            ));
        }
    }

    fn secrets(&mut self, entry: &Entry, env: &[(String, Template)]) -> Vec<SecretRequest> {
        let mut secrets = Vec::new();
        for member in self.members(entry).unwrap_or_default() {
            let variable = self.variable(member);
            if env.iter().any(|(name, _)| *name == member.key) {
                let message = format!("`{}` is in `env` and in `secrets`", shorten(&member.key));
                self.report.add(&codes::CONFLICT, member.key_span, message);
            }
            let (secret, as_file) = match &member.node.kind {
                Kind::Map(_) => {
                    let what = format!("secret `{}`", shorten(&member.key));
                    let Some(fields) = self.fields(member, &what, &["name", "as"]) else {
                        continue;
                    };
                    let name = self.required(&fields, "name", &what).and_then(|e| self.word(e));
                    let forms = [("variable", false), ("file", true)];
                    let form = fields.get("as").and_then(|e| self.choice(e, &forms));
                    (name, form.unwrap_or(false))
                }
                _ => (self.word(member), false),
            };
            if let (Some(variable), Some(secret)) = (variable, secret) {
                secrets.push(SecretRequest { variable, secret, as_file });
            }
        }
        secrets
    }

    fn image(&mut self, entry: &Entry, executor: &str, place: Place) -> Option<Template> {
        if WITHOUT_CONTAINERS.contains(&executor) {
            let message =
                format!("the executor `{executor}` runs no containers: `image` is ignored");
            self.report
                .add(&codes::IMAGE_IGNORED, entry.key_span, message)
                .hint("choose an executor that does: gitlab, kubernetes, gpu");
        }
        self.template(entry, place)
    }

    fn inputs(&mut self, entry: &Entry, place: Place) -> Vec<(String, Template)> {
        let mut inputs = Vec::new();
        for member in self.members(entry).unwrap_or_default() {
            let path = self.inner_path(&member.key, member.key_span, "the path");
            let value = self.template(member, place);
            if let Some(template) = &value
                && template.is_constant()
            {
                let message =
                    format!("input `{}` must be an artifact of a step", shorten(&member.key));
                self.report
                    .add(&codes::WRONG_TYPE, member.at(), message)
                    .hint("write `\"${{ steps.NAME.artifacts.NAME }}\"`");
            }
            inputs.extend(path.zip(value));
        }
        inputs
    }

    fn artifacts(&mut self, entry: &Entry) -> Vec<ArtifactRequest> {
        let mut artifacts = Vec::new();
        for member in self.members(entry).unwrap_or_default() {
            let name = self.artifact_name(member);
            let path =
                self.text(member).and_then(|text| self.inner_path(&text, member.at(), "the path"));
            if let Some(name) = name {
                artifacts.push(ArtifactRequest { name, path: path.unwrap_or_default() });
            }
        }
        artifacts
    }

    fn outputs(&mut self, entry: &Entry) -> BTreeMap<String, OutputType> {
        let mut outputs = BTreeMap::new();
        for member in self.members(entry).unwrap_or_default() {
            let name = self.identifier(member, "output");
            let kind = self.choice(member, &TYPES).unwrap_or(OutputType::String);
            outputs.extend(name.map(|name| (name, kind)));
        }
        outputs
    }

    fn placement(&mut self, entry: &Entry, place: Place) -> (Labels, Labels) {
        let Some(fields) = self.fields(entry, "`placement`", &["require", "prefer"]) else {
            return Default::default();
        };
        let mut read = |key: &str| fields.get(key).map(|e| self.place_labels(e, place));
        (read("require").unwrap_or_default(), read("prefer").unwrap_or_default())
    }

    /// Labels with values; a list stands for labels (tags) that must only be there: `true`.
    fn place_labels(&mut self, entry: &Entry, place: Place) -> Labels {
        let mut labels = Labels::new();
        if let Kind::List(_) = entry.node.kind {
            let words = self.words(entry).unwrap_or_default();
            labels.extend(words.into_iter().map(|(word, _)| (word, Template::constant("true"))));
            return labels;
        }
        for member in self.members(entry).unwrap_or_default() {
            if let Some(template) = self.template(member, place) {
                labels.insert(member.key.clone(), template);
            }
        }
        labels
    }

    fn cache(&mut self, entry: &Entry, place: Place) -> Option<CachePolicy> {
        let fields = self.fields(entry, "`cache`", &["key", "max_age"])?;
        let max_age = fields.get("max_age").and_then(|e| self.duration(e));
        let key_entry = self.required(&fields, "key", "`cache`")?;
        let mut key = Vec::new();
        for item in self.items(key_entry, true)? {
            if item.as_scalar().is_none() || item.is_null() {
                let message = format!("`key` must hold text, not {}", item.type_name());
                self.report.add(&codes::WRONG_TYPE, item.span, message);
            } else if let Some(template) = self.template_node(item, place) {
                key.push(template);
            }
        }
        Some(CachePolicy { key, max_age })
    }
}

type Labels = BTreeMap<String, Template>;

/// The argument vector of a shell that is known by name.
pub(crate) fn shell(name: &str) -> Option<Vec<String>> {
    let argv: &[&str] = match name {
        "sh" => &["sh", "-eu"],
        "bash" => &["bash", "-euo", "pipefail"],
        "python3" => &["python3"],
        _ => return None,
    };
    Some(argv.iter().map(ToString::to_string).collect())
}

fn merge_env(
    defaults: &[(String, Template)],
    own: Vec<(String, Template)>,
    secrets: &[SecretRequest],
) -> Vec<(String, Template)> {
    let replaced = |name: &str| {
        own.iter().any(|(key, _)| key == name) || secrets.iter().any(|s| s.variable == name)
    };
    let kept = defaults.iter().filter(|(name, _)| !replaced(name)).cloned();
    let mut env: Vec<_> = kept.collect();
    env.extend(own);
    env
}

/// A variable's name for an expression: `${{ params.data-set }}` gives `DATA_SET`.
fn variable_for(expression: &str) -> String {
    let inner = expression.trim_start_matches("${{").trim_end_matches("}}").trim();
    let last = inner.rsplit('.').next().unwrap_or("VALUE");
    let name: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    let usable = super::names::is_identifier(&name) && name.len() <= 24;
    if usable { name } else { "VALUE".into() }
}
