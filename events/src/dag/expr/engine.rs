//! The one environment of the expression engine: immutable, so compiled expressions can
//! borrow it for ever.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, tests};

use super::convert;

/// Longest text that an expression may give, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 64 << 10;

/// Instructions that one evaluation may take.
const FUEL: u64 = 100_000;

pub(crate) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(build);

/// Filters, by name. Those that multiply their input (`batch`, `slice`, `format`, `indent`,
/// `map` over filters) are left out; `replace` and `join` are bounded here.
pub(crate) const FILTERS: [&str; 41] = [
    "abs",
    "attr",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "json",
    "keys",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "max",
    "min",
    "number",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];

/// Tests (`is …`), by name.
pub(crate) const TESTS: [&str; 17] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "float",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "undefined",
    "eq",
];

fn build() -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    text_filters(&mut env);
    list_filters(&mut env);
    number_filters(&mut env);
    env.add_test("boolean", tests::is_boolean);
    env.add_test("defined", tests::is_defined);
    env.add_test("divisibleby", tests::is_divisibleby);
    env.add_test("endingwith", tests::is_endingwith);
    env.add_test("eq", tests::is_eq);
    env.add_test("even", tests::is_even);
    env.add_test("float", tests::is_float);
    env.add_test("integer", tests::is_integer);
    env.add_test("iterable", tests::is_iterable);
    env.add_test("mapping", tests::is_mapping);
    env.add_test("none", tests::is_none);
    env.add_test("number", tests::is_number);
    env.add_test("odd", tests::is_odd);
    env.add_test("sequence", tests::is_sequence);
    env.add_test("startingwith", tests::is_startingwith);
    env.add_test("string", tests::is_string);
    env.add_test("undefined", tests::is_undefined);
    env
}

fn text_filters(env: &mut Environment<'static>) {
    env.add_filter("capitalize", filters::capitalize);
    env.add_filter("join", join);
    env.add_filter("json", json);
    env.add_filter("tojson", json);
    env.add_filter("lines", filters::lines);
    env.add_filter("lower", filters::lower);
    env.add_filter("replace", replace);
    env.add_filter("split", filters::split);
    env.add_filter("string", filters::string);
    env.add_filter("title", filters::title);
    env.add_filter("trim", filters::trim);
    env.add_filter("upper", filters::upper);
}

fn list_filters(env: &mut Environment<'static>) {
    env.add_filter("attr", filters::attr);
    env.add_filter("chain", filters::chain);
    env.add_filter("count", filters::length);
    env.add_filter("d", filters::default);
    env.add_filter("default", filters::default);
    env.add_filter("dictsort", filters::dictsort);
    env.add_filter("first", filters::first);
    env.add_filter("groupby", filters::groupby);
    env.add_filter("items", filters::items);
    env.add_filter("keys", filters::list);
    env.add_filter("last", filters::last);
    env.add_filter("length", filters::length);
    env.add_filter("list", filters::list);
    env.add_filter("max", filters::max);
    env.add_filter("min", filters::min);
    env.add_filter("reject", filters::reject);
    env.add_filter("rejectattr", filters::rejectattr);
    env.add_filter("reverse", filters::reverse);
    env.add_filter("select", filters::select);
    env.add_filter("selectattr", filters::selectattr);
    env.add_filter("sort", filters::sort);
    env.add_filter("sum", filters::sum);
    env.add_filter("unique", filters::unique);
}

fn number_filters(env: &mut Environment<'static>) {
    env.add_filter("abs", filters::abs);
    env.add_filter("bool", filters::bool);
    env.add_filter("float", filters::float);
    env.add_filter("int", filters::int);
    env.add_filter("number", number);
    env.add_filter("round", filters::round);
}

fn number(value: Jinja) -> Result<Jinja, Error> {
    if value.is_number() {
        return Ok(value);
    }
    let message = format!("only numbers can be multiplied, not {}", value.kind());
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn too_long() -> Error {
    let message = format!("the text is longer than {MAX_TEXT_BYTES} bytes");
    Error::new(ErrorKind::InvalidOperation, message)
}

fn replace(text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(too_long());
    }
    let hits = text.matches(from.as_ref()).count();
    if text.len().saturating_add(hits.saturating_mul(to.len())) > 2 * MAX_TEXT_BYTES {
        return Err(too_long());
    }
    Ok(text.replace(from.as_ref(), &to))
}

fn join(items: Jinja, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut out = String::new();
    for (i, item) in items.try_iter()?.enumerate() {
        if i > 0 {
            out.push_str(&between);
        }
        match item.as_str() {
            Some(text) => out.push_str(text),
            None => {
                let value = convert::from_jinja(&item)
                    .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))?;
                out.push_str(&value.to_text());
            }
        }
        if out.len() > MAX_TEXT_BYTES {
            return Err(too_long());
        }
    }
    Ok(out)
}

fn json(value: Jinja) -> Result<String, Error> {
    let value = convert::from_jinja(&value)
        .map_err(|message| Error::new(ErrorKind::InvalidOperation, message))?;
    Ok(value.to_json().to_string())
}
