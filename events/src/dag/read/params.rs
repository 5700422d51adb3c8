//! `params`: declarations.

use std::sync::Arc;

use crate::dag::codes;
use crate::dag::params::{coerce_written, number_text, violation};
use crate::dag::plan::OutputType;
use crate::dag::source::{Entry, Kind, Span, Typed};
use crate::dag::spec::{Decimal, ParamSpec, Pattern};
use crate::value::Value;

use super::fields::shorten;
use super::{Fields, Reader};

/// Parameters at most.
const MAX_PARAMS: usize = 256;

/// Types of parameters and outputs.
pub(crate) const TYPES: [(&str, OutputType); 6] = [
    ("string", OutputType::String),
    ("integer", OutputType::Integer),
    ("number", OutputType::Number),
    ("boolean", OutputType::Boolean),
    ("list", OutputType::List),
    ("object", OutputType::Object),
];

const KEYS: [&str; 8] =
    ["type", "description", "default", "required", "minimum", "maximum", "pattern", "enum"];

impl Reader<'_, '_> {
    pub fn params(&mut self, entry: &Entry) -> Vec<ParamSpec> {
        let members = self.members(entry).unwrap_or_default();
        if let Some(beyond) = members.get(MAX_PARAMS) {
            let message = format!("{} parameters; at most {MAX_PARAMS} are allowed", members.len());
            self.report.add(&codes::TOO_MANY_PARAMS, beyond.key_span, message);
        }
        self.written_params.extend(members.iter().map(|member| member.key.clone()));
        let kept = members.iter().take(MAX_PARAMS);
        kept.filter_map(|member| self.param(member)).collect()
    }

    fn param(&mut self, entry: &Entry) -> Option<ParamSpec> {
        let name = self.identifier(entry, "parameter");
        let fields = self.fields(entry, &format!("parameter `{}`", shorten(&entry.key)), &KEYS)?;
        let kind = match fields.get("type") {
            Some(kind) => self.choice(kind, &TYPES),
            None => Some(OutputType::String),
        };
        let required = fields.get("required").and_then(|e| self.boolean(e)).unwrap_or(false);
        if required && let Some(default) = fields.get("default") {
            let message = "a required parameter cannot have a default";
            self.report
                .add(&codes::CONFLICT, default.key_span, message)
                .hint("remove `required` or `default`");
        }
        let description = fields.get("description").and_then(|e| self.text(e)).unwrap_or_default();
        let kind = kind?;
        let mut param = ParamSpec {
            name: name?,
            kind,
            description,
            default: None,
            required,
            minimum: self.bound(&fields, "minimum", kind),
            maximum: self.bound(&fields, "maximum", kind),
            pattern: self.pattern(&fields, kind),
            choices: self.choices(&fields, kind),
            span: entry.key_span,
        };
        self.bounds_in_order(&fields, &param);
        if let Some(default) = fields.get("default") {
            param.default = self.typed_value(default, kind);
            self.default_obeys(default.at(), &param);
        }
        Some(param)
    }

    /// A written value as the type that is declared for it.
    pub fn typed_value(&mut self, entry: &Entry, kind: OutputType) -> Option<Value> {
        self.typed_node(&entry.node, entry.at(), &entry.key, kind)
    }

    fn typed_node(
        &mut self,
        node: &crate::dag::source::Node,
        at: Span,
        key: &str,
        kind: OutputType,
    ) -> Option<Value> {
        match coerce_written(node, kind) {
            Ok(value) => Some(value),
            Err(message) => {
                let message = format!("`{}` {message}", shorten(key));
                let hint = boolean_hint(node, kind);
                self.report.add(&codes::WRONG_TYPE, at, message).maybe_hint(hint);
                None
            }
        }
    }

    fn bound(&mut self, fields: &Fields<'_>, key: &str, kind: OutputType) -> Option<Decimal> {
        let entry = fields.get(key)?;
        if !matches!(kind, OutputType::Integer | OutputType::Number) {
            let message = format!("`{key}` is for integers and numbers only");
            self.report.add(&codes::CONFLICT, entry.key_span, message);
            return None;
        }
        let value = self.typed_value(entry, kind)?;
        number_text(&value).map(|text| Decimal(Arc::from(text)))
    }

    fn pattern(&mut self, fields: &Fields<'_>, kind: OutputType) -> Option<Pattern> {
        let entry = fields.get("pattern")?;
        if kind != OutputType::String {
            let message = "`pattern` is for strings only";
            self.report.add(&codes::CONFLICT, entry.key_span, message);
            return None;
        }
        let text = self.scalar(entry, "a regular expression")?.text.clone();
        let built = regex_lite::RegexBuilder::new(&text).size_limit(1 << 18).build();
        match built {
            Ok(regex) => Some(Pattern { text, regex }),
            Err(error) => {
                let reason = error.to_string();
                let message = format!("`pattern` cannot be used: {}", shorten(reason.trim()));
                self.report.add(&codes::BAD_PATTERN, entry.at(), message);
                None
            }
        }
    }

    fn choices(&mut self, fields: &Fields<'_>, kind: OutputType) -> Vec<Value> {
        let Some(entry) = fields.get("enum") else { return Vec::new() };
        let Some(items) = self.items(entry, false) else { return Vec::new() };
        if items.is_empty() {
            self.report.add(&codes::NOTHING_IN_IT, entry.at(), "`enum` is empty");
        }
        items
            .into_iter()
            .filter_map(|item| self.typed_node(item, item.span, "enum", kind))
            .collect()
    }

    fn bounds_in_order(&mut self, fields: &Fields<'_>, param: &ParamSpec) {
        if let (Some(low), Some(high), Some(entry)) =
            (&param.minimum, &param.maximum, fields.get("maximum"))
            && crate::dag::params::compare(&low.0, &high.0).is_gt()
        {
            let message = format!("`maximum` {} is below `minimum` {}", high.0, low.0);
            self.report.add(&codes::OUT_OF_RANGE, entry.at(), message);
        }
    }

    fn default_obeys(&mut self, at: Span, param: &ParamSpec) {
        let broken = param.default.as_ref().and_then(|value| violation(param, value));
        if let Some(message) = broken {
            let message = format!("the default of `{}` {message}", param.name);
            self.report.add(&codes::PARAM_RULE, at, message);
        }
    }
}

fn boolean_hint(node: &crate::dag::source::Node, kind: OutputType) -> Option<String> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    if kind != OutputType::Boolean || scalar.typed() != Typed::Str {
        return None;
    }
    match scalar.text.to_ascii_lowercase().as_str() {
        "no" | "off" | "n" => Some("write `false`".into()),
        "yes" | "on" | "y" => Some("write `true`".into()),
        _ => None,
    }
}
