//! Evaluation of a compiled expression.

use std::collections::BTreeMap;

use minijinja::value::Value as Jinja;

use crate::ids::StepName;
use crate::value::Value;

use super::compile::{Compiled, Program};
use super::convert::{from_jinja, to_jinja};
use super::names::{Mention, Name, Segment};
use super::scope::{GIT_MEMBERS, GitFacts, RUN_MEMBERS, Scope};

/// The value of an expression, or why it has none.
pub(crate) fn evaluate(compiled: &Compiled, scope: &Scope<'_>) -> Result<Value, String> {
    match &compiled.program {
        Program::Path(mention) => look_up(mention, scope),
        Program::Engine(expression) => {
            let context = context(&compiled.names, scope);
            let value = expression.eval(context).map_err(|error| explain(&error))?;
            from_jinja(&value)
        }
    }
}

fn explain(error: &minijinja::Error) -> String {
    let base = error.kind().to_string();
    match error.detail() {
        Some(detail) => format!("{base}: {detail}"),
        None => base,
    }
}

/// Follows a path through the scope.
fn look_up(mention: &Mention, scope: &Scope<'_>) -> Result<Value, String> {
    let mut segments = mention.segments.iter();
    let mut seen = mention.root.clone();
    let mut member = |what: &str| match segments.next() {
        Some(Segment::Member(name, _)) => Ok(name.clone()),
        _ => Err(format!("`{what}` alone is not a value; name one of its members")),
    };
    let missing = |name: &str| format!("`{}.{name}` has no value", mention.root);
    let mut value = match mention.root.as_str() {
        "item" => scope.item.map(|(item, _)| item.clone()).ok_or("there is no `item` here")?,
        "index" => {
            scope.item.map(|(_, i)| Value::Int(i.into())).ok_or("there is no `index` here")?
        }
        "params" if mention.segments.is_empty() => Value::object(scope.params.clone()),
        "params" => {
            let name = member("params")?;
            seen = format!("{seen}.{name}");
            scope.params.get(&name).cloned().ok_or_else(|| missing(&name))?
        }
        "matrix" => {
            let cell = scope.matrix.ok_or("there is no `matrix` here")?;
            if mention.segments.is_empty() {
                Value::object(cell.clone())
            } else {
                let name = member("matrix")?;
                seen = format!("{seen}.{name}");
                cell.get(&name).cloned().ok_or_else(|| missing(&name))?
            }
        }
        "run" => {
            let name = member("run")?;
            seen = format!("{seen}.{name}");
            scope.run.member(&name).ok_or_else(|| missing(&name))?
        }
        "git" => {
            let name = member("git")?;
            seen = format!("{seen}.{name}");
            GitFacts::member(scope.git, &name).ok_or_else(|| missing(&name))?
        }
        "steps" => {
            let (step, part) = (member("steps")?, member("steps.…")?);
            seen = format!("{seen}.{step}.{part}");
            step_part(&step, &part, scope)?
        }
        other => return Err(format!("`{other}` is not a name that expressions have")),
    };
    for segment in segments {
        value = into_member(value, segment, &mut seen)?;
    }
    Ok(value)
}

fn step_part(step: &str, part: &str, scope: &Scope<'_>) -> Result<Value, String> {
    let name = StepName::new(step).map_err(|error| error.to_string())?;
    let view = scope.steps.view(&name).ok_or_else(|| format!("step `{step}` has not ended"))?;
    view.member(part).ok_or_else(|| format!("a step has no `{part}`"))
}

fn into_member(value: Value, segment: &Segment, seen: &mut String) -> Result<Value, String> {
    let before = seen.clone();
    let found = match (segment, &value) {
        (Segment::Member(name, _), Value::Object(members)) => {
            seen.push_str(&format!(".{name}"));
            members.get(name.as_str()).cloned()
        }
        (Segment::Index(n), Value::List(items)) => {
            seen.push_str(&format!("[{n}]"));
            usize::try_from(*n).ok().and_then(|n| items.get(n)).cloned()
        }
        (Segment::Member(name, _), other) => {
            return Err(format!("`{before}` is of type {}, it has no `{name}`", other.type_name()));
        }
        (_, other) => {
            return Err(format!("`{before}` is of type {}, not a list", other.type_name()));
        }
    };
    found.ok_or_else(|| format!("`{seen}` is not there"))
}

/// The names that an expression mentions, with what they stand for; nothing else is built.
fn context(names: &[Name], scope: &Scope<'_>) -> Jinja {
    let mut context: BTreeMap<&str, Jinja> = BTreeMap::new();
    let mut steps: BTreeMap<String, Jinja> = BTreeMap::new();
    for name in names {
        let Name::Path(mention) = name else { continue };
        let root = mention.root.as_str();
        if root == "steps" {
            if let Some(Segment::Member(step, _)) = mention.segments.first() {
                step_view(step, scope, &mut steps);
            }
        } else if !context.contains_key(root)
            && let Some(value) = root_value(root, scope)
        {
            context.insert(static_root(root), value);
        }
    }
    context.insert("steps", Jinja::from(steps));
    Jinja::from(context)
}

fn static_root(root: &str) -> &'static str {
    super::scope::ROOTS.into_iter().find(|known| *known == root).unwrap_or("steps")
}

fn root_value(root: &str, scope: &Scope<'_>) -> Option<Jinja> {
    let object = |members: &BTreeMap<String, Value>| {
        members.iter().map(|(k, v)| (k.as_str(), to_jinja(v))).collect::<BTreeMap<_, _>>().into()
    };
    Some(match root {
        "params" => object(scope.params),
        "matrix" => object(scope.matrix?),
        "item" => to_jinja(scope.item?.0),
        "index" => Jinja::from(scope.item?.1),
        "run" => members(&RUN_MEMBERS, |name| scope.run.member(name)),
        "git" => members(&GIT_MEMBERS, |name| GitFacts::member(scope.git, name)),
        _ => return None,
    })
}

fn members(names: &[&'static str], value: impl Fn(&str) -> Option<Value>) -> Jinja {
    let known = names.iter().filter_map(|name| Some((*name, to_jinja(&value(name)?))));
    known.collect::<BTreeMap<_, _>>().into()
}

fn step_view(step: &str, scope: &Scope<'_>, steps: &mut BTreeMap<String, Jinja>) {
    if steps.contains_key(step) {
        return;
    }
    let view = StepName::new(step).ok().and_then(|name| scope.steps.view(&name));
    if let Some(view) = view {
        let parts = members(&super::scope::STEP_MEMBERS, |name| view.member(name));
        steps.insert(step.to_string(), parts);
    }
}
