//! Expressions: what they give, what they refuse, and that nothing they do grows without bound.

use std::collections::BTreeMap;
use std::time::Instant;

use dagbook_events::dag::{
    Condition, ExprError, GitFacts, RunFacts, Scope, StepLookup, StepView, Template,
};
use dagbook_events::ids::StepName;
use dagbook_events::value::Value;

struct Steps(BTreeMap<&'static str, StepView>);

impl StepLookup for Steps {
    fn view(&self, step: &StepName) -> Option<StepView> {
        self.0.get(step.as_str()).cloned()
    }
}

fn json(text: &str) -> Value {
    Value::from_json(&serde_json::from_str(text).expect("JSON"))
}

fn object(text: &str) -> BTreeMap<String, Value> {
    match json(text) {
        Value::Object(members) => (*members).clone(),
        other => panic!("{other:?} is not an object"),
    }
}

fn with_scope<T>(git: bool, f: impl FnOnce(&Scope<'_>) -> T) -> T {
    let mut params =
        object(r#"{"top": 5, "name": "demo", "tags": ["a","b"], "o": {"k": [1,2]}, "on": true}"#);
    params.insert("rate".into(), Value::Number("0.10".into()));
    let run = RunFacts { id: "r1".into(), number: 7, tenant: "acme".into(), ..Default::default() };
    let facts = GitFacts { branch: "main".into(), sha: "abc".into(), ..Default::default() };
    let view = StepView {
        outputs: json(r#"{"n": [3, 4], "word": "hi", "big": 9007199254740993}"#),
        artifacts: json(r#"{"model-1": {"sha256": "00"}}"#),
        status: "succeeded",
    };
    let steps = Steps([("list-it", view.clone()), ("b", view)].into());
    let matrix = object(r#"{"split": "val"}"#);
    let item = json(r#"{"id": 9}"#);
    f(&Scope {
        params: &params,
        run: &run,
        git: git.then_some(&facts),
        steps: &steps,
        matrix: Some(&matrix),
        item: Some((&item, 3)),
    })
}

fn eval(text: &str) -> Result<Value, ExprError> {
    let template = Template::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    with_scope(true, |scope| template.evaluate(scope))
}

#[test]
fn values_keep_their_types_and_digits() {
    let cases = [
        ("plain", Value::str("plain")),
        ("", Value::str("")),
        ("${{ params.top }}", Value::Int(5)),
        ("${{ params.rate }}", Value::Number("0.10".into())),
        ("${{ params.on }}", Value::Bool(true)),
        ("${{ params.tags }}", json(r#"["a","b"]"#)),
        ("${{params.o.k[1]}}", Value::Int(2)),
        ("${{ params['name'] }}", Value::str("demo")),
        ("${{ steps.list-it.outputs.n }}", json("[3,4]")),
        ("${{ steps.list-it.outputs.n | length }}", Value::Int(2)),
        ("${{ steps.b.outputs.big }}", Value::Int(9_007_199_254_740_993)),
        ("${{ steps.b.outputs.big + 1 }}", Value::Int(9_007_199_254_740_994)),
        ("${{ steps.b.artifacts.model-1.sha256 }}", Value::str("00")),
        ("${{ steps.b.status }}", Value::str("succeeded")),
        ("${{ item.id }}", Value::Int(9)),
        ("${{ index }}", Value::Int(3)),
        ("${{ index + 1 }}", Value::Int(4)),
        ("${{ matrix.split }}", Value::str("val")),
        ("${{ run.number }}", Value::Int(7)),
        ("a-${{ params.name }}-${{ index }}", Value::str("a-demo-3")),
        ("${{ params.top * 2 }}", Value::Int(10)),
        ("${{ params.top / 2 }}", Value::Number("2.5".into())),
        ("${{ 4 / 2 }}", Value::Int(2)),
        ("${{ params.rate * 3 > 0.29 }}", Value::Bool(true)),
        ("${{ {'a': {'b': 1}} }}", json(r#"{"a":{"b":1}}"#)),
        ("${{ [params.top, 'x'] }}", json(r#"[5,"x"]"#)),
        ("${{ '}}' ~ \"${{\" }}", Value::str("}}${{")),
        ("${{ params.tags | join('-') | upper }}", Value::str("A-B")),
        ("${{ params.name | replace('e', '33') }}", Value::str("d33mo")),
        ("${{ params.o | json }}", Value::str(r#"{"k":[1,2]}"#)),
        ("${{ 'big' if params.top > 3 else 'small' }}", Value::str("big")),
        ("${{ none }}", Value::Null),
        ("${{ params.nope | default('d') }}", Value::str("d")),
        ("list: ${{ params.tags }}", Value::str(r#"list: ["a","b"]"#)),
    ];
    for (text, expected) in cases {
        assert_eq!(eval(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_has_no_value_says_why() {
    let cases = [
        ("${{ params.nope }}", "`params.nope` has no value"),
        ("${{ params.nope + 1 }}", "`params.nope` is undefined"),
        ("${{ steps.gone.outputs.n }}", "step `gone` has not ended"),
        ("${{ steps.b.outputs.x }}", "`steps.b.outputs.x` is not there"),
        ("${{ steps.b.outputs.n[9] }}", "`steps.b.outputs.n[9]` is not there"),
        ("${{ params.top.x }}", "`params.top` is of type integer, it has no `x`"),
        ("${{ run.status }}", "`run.status` has no value"),
        ("${{ 1 // 0 }}", "invalid operation"),
        ("${{ 1 / 0 }}", "invalid operation"),
        ("${{ params.name * 3 }}", "only numbers can be multiplied"),
        ("${{ 3 * 'x' }}", "only numbers can be multiplied"),
        ("${{ ([0] * 100000000) | length }}", "only numbers can be multiplied"),
        ("${{ range(100000000) }}", "unknown function"),
        ("${{ params.name | pprint }}", "unknown filter"),
        ("${{ {1: 2} }}", "an object's keys must be text"),
    ];
    for (text, expected) in cases {
        let error = eval(text).expect_err(text);
        assert!(error.message.contains(expected), "{text}: {}", error.message);
        assert!(!error.expression.is_empty());
    }
}

#[test]
fn text_that_is_no_expression_is_refused_with_its_place() {
    let cases = [
        ("a ${{ params.x", 2..5, "not closed"),
        ("${{ }}", 3..4, "empty"),
        ("${{ 1 + }}", 6..7, "unexpected"),
        ("x ${{ 'a }}", 2..5, "not closed"),
    ];
    for (text, range, message) in cases {
        let error = Template::compile(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {}", error.message);
        assert_eq!(error.range.start, range.start, "{text}: {error:?}");
    }
}

#[test]
fn conditions_are_true_or_false_and_git_may_be_absent() {
    let holds = |text: &str, git: bool| {
        let condition = Condition::compile(text).expect(text);
        with_scope(git, |scope| condition.holds(scope))
    };
    assert_eq!(holds("git.branch == \"main\"", true), Ok(true));
    assert_eq!(holds("git.branch == \"main\"", false), Ok(false));
    assert_eq!(holds("params.top > 3 and git.branch == 'main'", true), Ok(true));
    assert_eq!(holds("not params.on", true), Ok(false));
    assert_eq!(holds("${{ params.on }}", true), Ok(true));
    assert_eq!(holds("params.name in [\"demo\", 'b']", true), Ok(true));
    assert_eq!(holds("steps.list-it.status == 'succeeded'", true), Ok(true));
    let error = holds("params.top", true).expect_err("a number is no condition");
    assert!(error.message.contains("must be true or false"), "{error}");
}

#[test]
fn references_name_the_steps_that_are_read() {
    let template =
        Template::compile("${{ steps.b.status ~ steps['list-it'].outputs.n }}${{ item }}");
    let names: Vec<String> =
        template.expect("compiles").references().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["b", "list-it"]);
    assert!(Template::constant("${{ steps.b }}").references().is_empty());
    let condition = Condition::compile("steps.b.status == 'x'").expect("compiles");
    assert_eq!(condition.references().len(), 1);
}

#[test]
fn bombs_do_not_go_off() {
    let long = "a".repeat(60_000);
    let bombs = [
        format!("${{{{ '{long}' | replace('a', '{long}') }}}}"),
        format!("${{{{ ['{long}', '{long}', 'x'] | join('{long}') }}}}"),
        format!("{}{}", format!("${{{{ '{long}' }}}}").repeat(20), "x"),
        format!("${{{{ {} }}}}", ["1"; 190].join(" + ") + "9 ** 99 ** 99"),
    ];
    for bomb in bombs {
        let template = Template::compile(&bomb);
        let result = template.map(|t| with_scope(true, |scope| t.evaluate(scope)));
        assert!(matches!(result, Err(_) | Ok(Err(_))), "{}", &bomb[..40]);
    }
    let deep = format!("${{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Template::compile(&deep).is_err());
    let long_sum = format!("${{{{ {} }}}}", vec!["1"; 100_000].join("+"));
    assert!(Template::compile(&long_sum).is_err());
}

#[test]
fn many_evaluations_are_cheap() {
    let texts = ["constant", "${{ item.id }}", "${{ params.top + index }}"];
    for text in texts {
        let template = Template::compile(text).expect(text);
        #[expect(clippy::disallowed_methods, reason = "the test measures its own time")]
        let start = Instant::now();
        with_scope(true, |scope| {
            for _ in 0..100_000 {
                template.evaluate(scope).expect("a value");
            }
        });
        // An unoptimised build on a busy machine takes a few seconds; a build that compiled
        // the expression anew each time would take minutes.
        let took = start.elapsed();
        println!("{text}: 100,000 evaluations in {took:?}");
        assert!(took.as_secs() < 60, "{text}: {took:?}");
    }
}
