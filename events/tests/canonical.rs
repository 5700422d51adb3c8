//! Canonical JSON against an independent, naive rendering, and against bytes that are not it.

use std::collections::BTreeMap;

use dagbook_events::canonical::{Node, Problem, Reader, to_vec, verify};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

/// The naive rendering: sort keys by UTF-16 as RFC 8785 says, and let `serde_json` do the rest.
fn naive(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, v)| !v.is_null()).collect();
            members.sort_by_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
            let render =
                |(k, v): (&String, &Value)| format!("{}:{}", Value::from(k.as_str()), naive(v));
            format!("{{{}}}", members.into_iter().map(render).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(naive).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn canonical(value: &impl Serialize) -> String {
    String::from_utf8(to_vec(value).expect("canonical")).expect("UTF-8")
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,8}", "[\u{0}-\u{7f}]{0,6}", "[\u{e000}-\u{10ffff}]{0,3}"];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_the_naive_rendering_and_is_accepted(value in values()) {
        let bytes = canonical(&value);
        prop_assert_eq!(&bytes, &naive(&value));
        prop_assert_eq!(verify(bytes.as_bytes()), Ok(()));
        let read: Value = serde_json::from_str(&bytes).expect("JSON");
        prop_assert_eq!(read, value);
    }

    /// Whatever is accepted is exactly what its own value renders to.
    #[test]
    fn one_byte_changed_is_refused_or_still_canonical(
        value in values(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = to_vec(&value).expect("canonical");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if verify(&bytes).is_ok() {
            let read: Value = serde_json::from_slice(&bytes).expect("JSON");
            prop_assert_eq!(to_vec(&read).expect("canonical"), bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if verify(&bytes).is_ok() {
            let read: Value = serde_json::from_slice(&bytes).expect("JSON");
            prop_assert_eq!(to_vec(&read).expect("canonical"), bytes);
        }
    }
}

/// What a value is, seen through the reader that builds nothing.
fn rebuilt(node: Node<'_>) -> Value {
    let key = |raw: &str| serde_json::from_str::<String>(&format!("\"{raw}\"")).expect("a key");
    if let Some(text) = node.text() {
        Value::from(text)
    } else if let Some(number) = node.integer() {
        Value::from(number)
    } else if let Some(members) = node.members() {
        members.map(|(name, value)| (key(name), rebuilt(value))).collect()
    } else if let Some(items) = node.items() {
        items.map(rebuilt).collect()
    } else {
        Value::from(node.raw() == "true")
    }
}

/// Canonical, by building the value and writing it again.
fn is_canonical(bytes: &[u8]) -> bool {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    value.and_then(|value| to_vec(&value).ok()).as_deref() == Some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_reader_finds_every_value_where_it_stands(value in values()) {
        let bytes = to_vec(&value).expect("canonical");
        let mut reader = Reader::default();
        let node = reader.read(&bytes).expect("canonical");
        prop_assert_eq!(node.raw().as_bytes(), &bytes[..]);
        prop_assert_eq!(rebuilt(node), value);
    }

    #[test]
    fn bytes_are_accepted_if_and_only_if_they_are_written_again(
        value in values(),
        at in any::<prop::sample::Index>(),
        many in prop::collection::vec(prop::sample::select(br#"{}[]",:0123-\u0e.ntf "#.to_vec()), 0..3),
        dropped in 0usize..3,
    ) {
        let mut bytes = to_vec(&value).expect("canonical");
        let at = at.index(bytes.len() + 1);
        let end = (at + dropped).min(bytes.len());
        bytes.splice(at..end, many);
        let accepted = verify(&bytes);
        prop_assert_eq!(accepted.is_ok(), is_canonical(&bytes), "{}", String::from_utf8_lossy(&bytes));
        let mut reader = Reader::default();
        prop_assert_eq!(reader.read(&bytes).map(|_| ()), accepted);
    }
}

#[test]
fn members_of_objects_are_found_by_name() {
    let mut reader = Reader::default();
    let node = reader.read(br#"{"a":[1,{"b":"\n"}],"c":-7,"d":"x"}"#).expect("canonical");
    assert_eq!(node.member("c").and_then(Node::integer), Some(-7));
    assert_eq!(node.member("c").and_then(Node::natural), None);
    assert_eq!(node.member("d").and_then(Node::text).as_deref(), Some("x"));
    assert!(node.member("b").is_none() && node.member("d").is_some_and(Node::is_text));
    let items: Vec<_> = node.member("a").and_then(Node::items).expect("an array").collect();
    assert_eq!(items[1].member("b").and_then(Node::text).as_deref(), Some("\n"));
    assert_eq!((items.len(), items[1].raw()), (2, r#"{"b":"\n"}"#));
}

#[test]
fn keys_are_ordered_by_utf_16() {
    // The example of RFC 8785, section 3.2.3.
    let value = json!({
        "\u{20ac}": "Euro Sign",
        "\r": "Carriage Return",
        "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\u{1f600}": "Emoji: Grinning Face",
        "\u{80}": "Control",
        "\u{f6}": "Latin Small Letter O With Diaeresis",
    });
    let bytes = canonical(&value);
    let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
    let places: Vec<_> = order.iter().map(|word| bytes.find(word).expect("there")).collect();
    assert!(places.is_sorted(), "{bytes}");
}

#[derive(Serialize)]
struct Unordered<'a> {
    zebra: u8,
    nothing: Option<u8>,
    apple: &'a str,
    unit: (),
    inner: BTreeMap<&'a str, Vec<Shape>>,
}

#[derive(Serialize)]
enum Shape {
    Unit,
    New(i32),
    Pair(u8, u8),
    Named { z: u8, a: u8 },
}

#[test]
fn every_serde_shape_has_its_form() {
    let shapes = vec![Shape::Unit, Shape::New(-1), Shape::Pair(1, 2), Shape::Named { z: 1, a: 2 }];
    let value = Unordered {
        zebra: 1,
        nothing: None,
        apple: "a\u{7}\u{8}\"\\/é",
        unit: (),
        inner: [("b", shapes), ("a", vec![])].into(),
    };
    assert_eq!(
        canonical(&value),
        r#"{"apple":"a\u0007\b\"\\/é","inner":{"a":[],"b":["Unit",{"New":-1},{"Pair":[1,2]},{"Named":{"a":2,"z":1}}]},"zebra":1}"#
    );
}

#[test]
fn what_has_no_form_is_refused_with_its_place() {
    let refused = |value: Value| to_vec(&value).expect_err("refused");
    let float = refused(json!({"steps": [{"weight": 1}, {"weight": 1.5}]}));
    assert_eq!((float.path.as_str(), &float.problem), (".steps[1].weight", &Problem::Float));
    assert_eq!(refused(json!([1, null])).problem, Problem::Null);
    assert_eq!(refused(json!(null)).problem, Problem::Null);
    assert_eq!(
        refused(json!({"n": 9_007_199_254_740_992i64})).to_string(),
        "at `.n`: the integer 9007199254740992 is beyond 2^53 - 1; use a decimal string"
    );
    assert_eq!(
        to_vec(&u128::MAX).expect_err("refused").problem,
        Problem::Integer(u128::MAX.to_string())
    );
    let by_number: BTreeMap<u8, u8> = [(1, 2)].into();
    assert_eq!(to_vec(&by_number).expect_err("refused").problem, Problem::Key);
    let twice = Twice { a: 1, b: 2, again: 3 };
    assert_eq!(to_vec(&twice).expect_err("refused").problem, Problem::Duplicate("a".into()));
}

#[derive(Serialize)]
struct Twice {
    a: u8,
    b: u8,
    #[serde(rename = "a")]
    again: u8,
}

#[test]
fn the_reader_says_where_and_why() {
    let cases: &[(&[u8], usize, &str)] = &[
        (b"", 0, "the bytes end too early"),
        (b"{\"a\":1} ", 7, "more bytes after the value"),
        (b"{ \"a\":1}", 1, "a member's name is expected"),
        (b"{\"a\": 1}", 5, "white space is not allowed"),
        (b"{\"b\":1,\"a\":2}", 7, "members are not in order"),
        (b"{\"a\":1,\"a\":2}", 7, "members are not in order"),
        (b"[1,]", 3, "a value is expected"),
        (b"[01]", 1, "an integer has no leading zero and no lone sign"),
        (b"[-0]", 1, "an integer has no leading zero and no lone sign"),
        (b"[-]", 1, "an integer has no leading zero and no lone sign"),
        (b"[1.0]", 2, "only integers are allowed"),
        (b"[1e2]", 2, "only integers are allowed"),
        (b"[9007199254740992]", 1, "the integer is beyond 2^53 - 1"),
        (b"[null]", 1, "null is not allowed"),
        (b"[\"\\u0041\"]", 2, "this escape is not the shortest form"),
        (b"[\"\\u000a\"]", 2, "this escape is not the shortest form"),
        (b"[\"\\u001F\"]", 2, "this escape is not the shortest form"),
        (b"[\"\\/\"]", 2, "this escape is not the shortest form"),
        (b"[\"\n\"]", 2, "a control character must be escaped"),
        (b"[\"a", 3, "the string does not end"),
        (b"[\"\xff\"]", 2, "not UTF-8"),
    ];
    for (bytes, offset, reason) in cases {
        let error = verify(bytes).expect_err("refused");
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!((error.offset, error.reason), (*offset, *reason), "{shown}");
    }
    let deep = "[".repeat(5_000);
    assert_eq!(verify(deep.as_bytes()).expect_err("refused").reason, "nested too deeply");
}
