//! Texts that differ in their strings and numbers alone have a form in common. A text of a form
//! that is known is compared with it, and only what differs is looked at: its keys, their order and
//! all that stands between values was checked when the form was learned.

use std::sync::atomic::{AtomicU64, Ordering};

use super::document::Place;
use super::scan::plain_until;

/// Longer texts have forms of their own, mostly: nothing is learned from them.
const MOST_BYTES: usize = 8 * 1024;
/// Nor from texts with more values.
const MOST_PLACES: usize = 512;
/// Integers of so many digits are looked at by the scanner: they may be too large.
const MAX_DIGITS: usize = 16;

/// Kinds of texts of which forms are known.
const MOST_KINDS: usize = 32;
/// Forms of one kind that are known at a time.
const MOST_FORMS: usize = 8;
/// Forms of one kind that are learned. Texts of a kind that always differs are then read as if
/// nothing were known.
const MOST_LEARNED: u32 = 512;

/// Names a form of texts: within a process, no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormId {
    number: u64,
    /// Where a reader keeps it.
    slot: usize,
}

/// What all texts of a form have in common.
#[derive(Debug)]
pub(super) struct Form {
    pub id: FormId,
    /// All bytes but strings and digits.
    fixed: Vec<u8>,
    holes: Vec<Hole>,
    /// Where values stand, by parts.
    pub places: Vec<Place>,
}

/// What differs.
#[derive(Debug, Clone, Copy)]
struct Hole {
    /// Bytes that stand between it and the one before.
    behind: u32,
    is_text: bool,
}

/// The forms that a reader knows.
#[derive(Debug, Default)]
pub(super) struct Forms {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    name: Vec<u8>,
    /// The one that fitted last stands first.
    forms: Vec<Form>,
    learned: u32,
}

impl Forms {
    /// Finds the form that a text of this kind has, if it is known: it is the first one of the kind
    /// that is answered then. Where each part of the text begins is written down: a part reaches from
    /// the end of a hole to the end of the next.
    pub fn find(&mut self, kind: &[u8], text: &[u8], parts: &mut Vec<u32>) -> Option<usize> {
        let at = self.kinds.iter().position(|known| known.name == kind)?;
        let forms = &mut self.kinds.get_mut(at)?.forms;
        let fitting = forms.iter().position(|form| form.fits(text, parts))?;
        forms.swap(0, fitting);
        Some(at)
    }

    /// The first form of a kind that was found.
    pub fn first(&self, kind: usize) -> &Form {
        &self.kinds[kind].forms[0]
    }

    /// Learns the form of a text that has none which is known.
    pub fn learn(&mut self, kind: &[u8], text: &[u8], places: &[Place]) {
        let at = self.kinds.iter().position(|known| known.name == kind);
        let at = at.unwrap_or_else(|| {
            if self.kinds.len() < MOST_KINDS {
                self.kinds.push(Kind { name: kind.to_vec(), forms: Vec::new(), learned: 0 });
            }
            self.kinds.len() - 1
        });
        let Some(known) = self.kinds.get_mut(at).filter(|known| known.name == kind) else { return };
        if known.learned == MOST_LEARNED {
            return;
        }
        // The last place is taken again: what fits often stands before it.
        let slot = at * MOST_FORMS + known.forms.len().min(MOST_FORMS - 1);
        let Some(mut form) = Form::of(text, places, slot) else { return };
        known.learned += 1;
        if let Some(last) = known.forms.get_mut(MOST_FORMS - 1) {
            form.id.slot = last.id.slot;
            *last = form;
        } else {
            known.forms.push(form);
        }
    }
}

impl Form {
    /// The form of a text that was gone through. None where it is long, or has escapes or numbers
    /// below zero.
    fn of(text: &[u8], places: &[Place], slot: usize) -> Option<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let is_short = text.len() <= MOST_BYTES && places.len() <= MOST_PLACES;
        if !is_short || text.contains(&b'\\') {
            return None;
        }
        let found = holes(text, places)?;
        let (mut fixed, mut holes, mut at) = (Vec::with_capacity(text.len()), Vec::new(), 0);
        for (start, end, is_text) in &found {
            fixed.extend_from_slice(&text[at..*start]);
            holes.push(Hole { behind: (start - at) as u32, is_text: *is_text });
            at = *end;
        }
        fixed.extend_from_slice(&text[at..]);
        // A place in the text, as the part in which it is and how far from its beginning.
        let within = |place: u32| {
            let part = found.partition_point(|(_, end, _)| *end <= place as usize);
            let begin = part.checked_sub(1).map_or(0, |hole| found[hole].1);
            (place - begin as u32, part as u16)
        };
        let places = places.iter().map(|place| {
            let ((start, start_part), (end, end_part)) = (within(place.start), within(place.end));
            Place { start, end, count: place.count, start_part, end_part }
        });
        let id = FormId { number: NUMBER.fetch_add(1, Ordering::Relaxed), slot };
        Some(Self { id, fixed, holes, places: places.collect() })
    }

    /// Whether a text has this form, which says also that it is canonical if it is UTF-8.
    fn fits(&self, text: &[u8], parts: &mut Vec<u32>) -> bool {
        parts.clear();
        parts.push(0);
        let (mut at, mut fixed) = (0, self.fixed.as_slice());
        for hole in &self.holes {
            let (wanted, rest) = fixed.split_at(hole.behind as usize);
            let begin = at + wanted.len();
            if !text.get(at..begin).is_some_and(|there| is_same(there, wanted)) {
                return false;
            }
            at = match hole.is_text {
                // Behind it a quote is wanted.
                true => plain_until(text, begin),
                false => match digits_until(text, begin) {
                    Some(end) => end,
                    None => return false,
                },
            };
            fixed = rest;
            parts.push(at as u32);
        }
        text.get(at..) == Some(fixed)
    }
}

/// Where the strings that are no keys, without their quotes, and the numbers stand: beginning, end,
/// and whether it is a string.
fn holes(text: &[u8], places: &[Place]) -> Option<Vec<(usize, usize, bool)>> {
    let mut found = Vec::new();
    // The objects and arrays around: their last place, and for objects whether a key comes next.
    let mut around: Vec<(usize, Option<bool>)> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        while around.last().is_some_and(|(end, _)| *end <= index) {
            around.pop();
        }
        let mut is_key = false;
        if let Some((_, Some(key_is_next))) = around.last_mut() {
            is_key = *key_is_next;
            *key_is_next = !is_key;
        }
        let (start, end) = (place.start as usize, place.end as usize);
        match text.get(start)? {
            b'{' => around.push((index + place.count as usize, Some(true))),
            b'[' => around.push((index + place.count as usize, None)),
            b'"' if !is_key => found.push((start + 1, end - 1, true)),
            b'0'..=b'9' => found.push((start, end, false)),
            b'-' => return None,
            _ => {}
        }
    }
    Some(found)
}

/// Whether two slices of one length are the same. They are short, so this is not worth a call.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.first_chunk::<8>(), other.first_chunk::<8>()) {
        (Some(first), Some(wanted)) => {
            let (heads, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
            first == wanted
                && one.last_chunk::<8>() == other.last_chunk::<8>()
                && heads.iter().zip(others).skip(1).all(|(one, other)| one == other)
        }
        _ => one.iter().zip(other).all(|(one, other)| one == other),
    }
}

/// Where the digits of a number end that is plain, and surely not too large.
#[inline]
fn digits_until(text: &[u8], begin: usize) -> Option<usize> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = begin;
    // Eight at a time: a byte less '0' is at most nine where it is a digit.
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight) ^ ZEROS;
        let found = (((word & !HIGHS) + 0x7676_7676_7676_7676) | word) & HIGHS;
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return is_plain(text, begin, at).then_some(at);
        }
        at += 8;
    }
    at += text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    is_plain(text, begin, at).then_some(at)
}

#[inline]
fn is_plain(text: &[u8], begin: usize, end: usize) -> bool {
    match end - begin {
        1 => true,
        2..MAX_DIGITS => text[begin] != b'0',
        _ => false,
    }
}

/// What was found out about forms, kept for the texts that have them.
#[derive(Debug)]
pub(crate) struct Memo<T> {
    known: Vec<Option<(u64, T)>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { known: Vec::new() }
    }
}

impl<T: Copy> Memo<T> {
    /// What is known of a form, else what is found out now.
    ///
    /// # Errors
    /// What the search says, of which nothing is kept.
    #[inline]
    pub fn get<E>(
        &mut self,
        form: Option<FormId>,
        search: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(FormId { number, slot }) = form else { return search() };
        if let Some(Some((known, found))) = self.known.get(slot)
            && *known == number
        {
            return Ok(*found);
        }
        let found = search()?;
        if self.known.len() <= slot {
            self.known.resize_with(slot + 1, || None);
        }
        self.known[slot] = Some((number, found));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{Node, Reader, to_vec};

    /// All values of a text, each as it stands there, with where it is.
    fn values_of(node: Node<'_>) -> Vec<(usize, String)> {
        let inside: Vec<Node<'_>> = match (node.members(), node.items()) {
            (Some(members), _) => members.map(|(_, value)| value).collect(),
            (_, Some(items)) => items.collect(),
            _ => Vec::new(),
        };
        let here = (node.place(), format!("{} {:?} {:?}", node.raw(), node.text(), node.integer()));
        std::iter::once(here).chain(inside.into_iter().flat_map(values_of)).collect()
    }

    fn flat() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Value::from),
            prop::sample::select(vec![0i64, 7, -1, 10, 999_999_999_999_999, 1_000_000_000_000_000])
                .prop_map(Value::from),
            "[a-z0-9-]{0,20}".prop_map(Value::from),
            prop_oneof![".{0,12}", "[\u{0}-\u{7f}]{0,9}", "[é\u{1f600}]{0,9}"]
                .prop_map(Value::from),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        flat().prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"é]{0,9}", inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    /// The same value with other strings and numbers.
    fn filled(value: &Value, from: &mut impl Iterator<Item = Value>) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| filled(item, from)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), filled(value, from)))
                .collect::<Value>(),
            Value::Bool(_) => value.clone(),
            _ => from.next().unwrap_or_else(|| value.clone()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_read_by_a_form_is_what_is_read_without(
            learned in any_value(),
            others in prop::collection::vec(flat(), 0..12),
            damage in prop::option::of((any::<prop::sample::Index>(), prop_oneof![
                any::<u8>(),
                prop::sample::select(br#"{}[]",:0123-\u0e.ntf "#.to_vec()),
            ])),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let first = to_vec(&learned).expect("canonical");
            let mut bytes =
                to_vec(&filled(&learned, &mut others.into_iter())).expect("canonical");
            if let Some((at, byte)) = damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(at) = cut {
                bytes.truncate(at.index(bytes.len()));
            }
            let (mut trained, mut fresh) = (Reader::default(), Reader::default());
            prop_assert!(trained.read_like(b"x", &first).expect("canonical").1.is_none());
            let wanted = fresh.read(&bytes).map(values_of);
            let read = trained.read_like(b"x", &bytes).map(|(node, _)| values_of(node));
            prop_assert_eq!(read, wanted);
        }
    }

    #[test]
    fn a_text_that_differs_in_strings_and_numbers_has_the_form_of_the_one_before() {
        let mut reader = Reader::default();
        let mut form = |kind: &[u8], text: &str| {
            reader.read_like(kind, text.as_bytes()).expect("canonical").1.map(|form| form.slot)
        };
        assert_eq!(form(b"a", r#"{"a":"x","b":[1,true]}"#), None);
        let known = form(b"a", r#"{"a":"","b":[123456789012345,true]}"#);
        assert!(known.is_some());
        // Of another kind, with other values, too large a number, an escape, below zero.
        assert_eq!(form(b"b", r#"{"a":"x","b":[1,true]}"#), None);
        assert_eq!(form(b"a", r#"{"a":"x","b":[1,false]}"#), None);
        assert_eq!(form(b"a", r#"{"a":"x","b":[1234567890123456,true]}"#), None);
        assert_eq!(form(b"a", r#"{"a":"\n","b":[1,true]}"#), None);
        assert_eq!(form(b"a", r#"{"a":"x","b":[-1,true]}"#), None);
        assert_eq!(form(b"a", r#"{"a":"x","b":[0,true]}"#), known);
    }

    #[test]
    fn what_is_known_of_forms_is_bounded() {
        let mut reader = Reader::default();
        for number in 0..2_000u32 {
            let text = format!(r#"{{"k{number}":"x"}}"#);
            let kind = (number % 50).to_be_bytes();
            assert!(reader.read_like(&kind, text.as_bytes()).expect("canonical").1.is_none());
            let all: usize = reader.forms().kinds.iter().map(|kind| kind.forms.len()).sum();
            assert!(all <= super::MOST_KINDS * super::MOST_FORMS);
        }
        // What is learned last can be found.
        assert!(
            reader.read_like(&[0, 0, 0, 0], br#"{"k1950":"y"}"#).expect("canonical").1.is_some()
        );
    }
}
