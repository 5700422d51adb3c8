//! Leaves as they were read before: bytes are checked, and then built by serde. It says of every
//! leaf what the reader in one go says, whole or damaged.

use std::borrow::Cow;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::leaves::Leaves;
use crate::canonical;
use crate::envelope::MAX_LEAF_BYTES;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(rename = "ac")]
    _ac: Actor,
    #[serde(rename = "at")]
    _at: i64,
    #[serde(borrow, default)]
    b: Option<&'a RawValue>,
    #[serde(default, rename = "ca")]
    _ca: Option<String>,
    #[serde(default, rename = "co")]
    _co: Option<String>,
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(rename = "id")]
    _id: String,
    pos: u64,
    rt: i64,
    #[serde(borrow, default)]
    s: Option<&'a RawValue>,
    #[serde(borrow)]
    st: Cow<'a, str>,
    sv: u64,
    tl: u64,
    #[serde(borrow)]
    tn: Cow<'a, str>,
    #[serde(default, rename = "tp")]
    _tp: Option<String>,
    ts: u64,
    #[serde(rename = "ty")]
    _ty: String,
    v: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default, rename = "on_behalf_of")]
    _on_behalf_of: Option<String>,
    #[serde(default, rename = "token")]
    _token: Option<String>,
}

/// Position, recorded, stream, version, timeline, index.
type Numbers = (u64, i64, String, u64, u64, u64);

fn before(leaf: &[u8]) -> Option<Numbers> {
    let is_short = leaf.len() <= MAX_LEAF_BYTES;
    if !is_short || canonical::verify(leaf).is_err() || !leaf.starts_with(br#"{"ac":{"#) {
        return None;
    }
    let wire: Wire<'_> = serde_json::from_slice(leaf).ok()?;
    let objects = [Some(wire.d), wire.b, wire.s];
    if objects.into_iter().flatten().any(|value| !value.get().starts_with('{')) {
        return None;
    }
    let numbers = (wire.pos, wire.rt, wire.st.into_owned(), wire.sv, wire.tl, wire.ts);
    (wire.v == 1 && wire.tn == "acme").then_some(numbers)
}

fn now(leaves: &mut Leaves, leaf: &[u8]) -> Option<Numbers> {
    let (_, numbered) = leaves.read(r#""acme""#, leaf).ok()?;
    let stream = serde_json::from_str(numbered.stream).expect("a text");
    let version = numbered.version;
    let (position, recorded) = (numbered.position, numbered.recorded);
    Some((position, recorded, stream, version, numbered.timeline, numbered.index))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,6}", ".{0,4}", "[\u{0}-\u{7f}]{0,4}", "[\u{e000}-\u{10ffff}]{0,2}"]
}

fn any_value() -> impl Strategy<Value = Value> {
    let flat = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    flat.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn leaves() -> impl Strategy<Value = Value> {
    let perhaps = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (name, value)))
    };
    let texts = || text().prop_map(Value::from).boxed();
    let object = || prop::collection::btree_map(text(), any_value(), 0..4);
    let objects = || object().prop_map(|object| object.into_iter().collect::<Value>()).boxed();
    let many = (
        perhaps("b", objects()),
        perhaps("ca", texts()),
        perhaps("co", texts()),
        perhaps("s", objects()),
        perhaps("tp", texts()),
        perhaps("on_behalf_of", texts()),
        perhaps("token", texts()),
    );
    (many, objects(), text(), -5i64..5, 0u64..4).prop_map(|(many, d, st, at, number)| {
        let mut leaf = json!({
            "ac": {"id": "system", "kind": "system"}, "at": at, "d": d, "id": "x", "pos": number,
            "rt": at, "st": st, "sv": number, "tl": 1, "tn": "acme", "ts": number, "ty": "t",
            "v": 1,
        });
        let (b, ca, co, s, tp, on_behalf_of, token) = many;
        for (name, value) in [b, ca, co, s, tp].into_iter().flatten() {
            leaf[name] = value;
        }
        for (name, value) in [on_behalf_of, token].into_iter().flatten() {
            leaf["ac"][name] = value;
        }
        leaf
    })
}

/// Damage to a leaf: some of its bytes, or one of its members.
#[derive(Debug, Clone)]
enum Damage {
    None,
    Byte(prop::sample::Index, u8),
    Drop(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Move(prop::sample::Index, prop::sample::Index, usize),
    Without(prop::sample::Index),
    With(String, Value),
    Instead(prop::sample::Index, Value),
}

fn damages() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let names = prop_oneof![
        text(),
        prop::sample::select(vec!["a", "ac", "at", "aa", "b", "c", "co", "e", "s", "tz", "v", "w"])
            .prop_map(str::to_string),
    ];
    let byte = prop_oneof![any::<u8>(), prop::sample::select(br#"{}[]",:0123-\u e"#.to_vec())];
    prop_oneof![
        Just(Damage::None),
        (at(), byte.clone()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        at().prop_map(Damage::Drop),
        (at(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Cut),
        (at(), at(), 1usize..20).prop_map(|(from, to, count)| Damage::Move(from, to, count)),
        at().prop_map(Damage::Without),
        (names, any_value()).prop_map(|(name, value)| Damage::With(name, value)),
        (at(), any_value()).prop_map(|(at, value)| Damage::Instead(at, value)),
    ]
}

fn damaged(mut leaf: Value, damage: Damage) -> Vec<u8> {
    let name = |leaf: &Value, at: prop::sample::Index| {
        let names: Vec<String> =
            leaf.as_object().into_iter().flatten().map(|m| m.0.clone()).collect();
        names[at.index(names.len())].clone()
    };
    match &damage {
        Damage::Without(at) => {
            let name = name(&leaf, *at);
            leaf.as_object_mut().and_then(|leaf| leaf.remove(&name));
        }
        Damage::With(name, value) => leaf[name.as_str()] = value.clone(),
        Damage::Instead(at, value) => {
            let name = name(&leaf, *at);
            leaf[name.as_str()] = value.clone();
        }
        _ => {}
    }
    let mut bytes = canonical::to_vec(&leaf).unwrap_or_default();
    let length = bytes.len();
    match damage {
        Damage::Byte(at, byte) => bytes[at.index(length)] = byte,
        Damage::Drop(at) => {
            bytes.remove(at.index(length));
        }
        Damage::Insert(at, byte) => bytes.insert(at.index(length), byte),
        Damage::Cut(at) => bytes.truncate(at.index(length)),
        Damage::Move(from, to, count) => {
            let from = from.index(length);
            let moved: Vec<u8> = bytes.drain(from..(from + count).min(length)).collect();
            let to = to.index(bytes.len() + 1);
            bytes.splice(to..to, moved);
        }
        _ => {}
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn both_readers_say_the_same_of_every_leaf(leaf in leaves(), damage in damages()) {
        let bytes = damaged(leaf.clone(), damage.clone());
        let (before, mut leaves) = (before(&bytes), Leaves::default());
        // The second time its form is known; the third time that of the leaf before the damage.
        for round in 1..=3 {
            let now = now(&mut leaves, &bytes);
            prop_assert_eq!(&before, &now, "{}, {}", round, String::from_utf8_lossy(&bytes));
            prop_assert!(now.is_some() || !matches!(damage, Damage::None));
            if round == 2 {
                leaves = Leaves::default();
                let whole = canonical::to_vec(&leaf).expect("canonical");
                prop_assert!(self::now(&mut leaves, &whole).is_some());
            }
        }
    }
}

#[test]
fn a_reader_remembers_nothing_of_the_leaf_before() {
    let mut reader = Leaves::default();
    let leaf = |st: &str| {
        format!(
            r#"{{"ac":{{"id":"a","kind":"k"}},"at":1,"d":{{}},"id":"x","pos":1,"rt":1,"st":"{st}","sv":0,"tl":1,"tn":"acme","ts":0,"ty":"t","v":1}}"#
        )
    };
    let first = now(&mut reader, leaf("run/1").as_bytes());
    assert_eq!(now(&mut reader, b"{"), None);
    let second = now(&mut reader, leaf("run/2").as_bytes());
    assert_eq!(first.map(|numbers| numbers.2), Some("run/1".to_string()));
    assert_eq!(second.map(|numbers| numbers.2), Some("run/2".to_string()));
}
