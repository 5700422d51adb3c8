//! Texts that differ in their strings and numbers alone have a form in common. A text of a form
//! that is known is compared with it, and only what differs is looked at: keys, their order and all
//! that stands between values were checked when the form was learned.

use std::sync::atomic::{AtomicU64, Ordering};

use super::document::Place;
use super::scan::{MAX_DIGITS, digits_until, string_until};

/// Longer texts have forms of their own, mostly: nothing is learned from them.
const MOST_BYTES: usize = 8 * 1024;
/// Nor from texts with more values.
const MOST_PLACES: usize = 512;
/// Bytes that a reader keeps for forms, about. When they are full, texts whose form is not known are
/// read as if none were.
const MOST_KEPT: usize = 2 * 1024 * 1024;
/// Forms that a reader knows at most.
const MOST_FORMS: usize = 4_096;
/// Steps that may follow one, so that a text of no form is not held against many.
const MOST_OTHERS: usize = 32;
/// No step.
const NONE: u32 = u32::MAX;

/// Names a form of texts: within a process, no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormId {
    number: u64,
    /// Its number among those of its reader.
    slot: usize,
}

/// What all texts of a form have in common.
#[derive(Debug)]
pub(super) struct Form {
    pub id: FormId,
    /// Where values stand, by parts.
    pub places: Vec<Place>,
}

/// The forms that a reader knows, as a tree: forms that begin alike share what they begin with.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// The first one is the beginning of all.
    steps: Vec<Step>,
    /// The bytes of all steps.
    fixed: Vec<u8>,
    forms: Vec<Form>,
    kept: usize,
}

/// From one value to the next.
#[derive(Debug)]
struct Step {
    /// Bytes that all texts have here.
    start: u32,
    end: u32,
    then: Then,
    /// What follows mostly; [`NONE`] behind the end.
    next: u32,
    /// What else may follow.
    others: Vec<u32>,
}

/// What stands behind fixed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// What is in a string.
    Text,
    /// Digits.
    Digits,
    /// Digits behind a minus.
    DigitsBelowZero,
    /// Nothing: the text has this form.
    End(usize),
}

impl Forms {
    /// The form that a text has, if it is known. Where each part of the text begins is written down: a
    /// part reaches from the end of a value that differs to the end of the next.
    pub fn find(&mut self, text: &[u8], parts: &mut Vec<u32>) -> Option<usize> {
        parts.clear();
        parts.push(0);
        let (mut at, mut before) = (0, 0);
        loop {
            let Step { next, others, .. } = self.steps.get(before)?;
            let follows = |step: u32| Some((step, self.follow(step, text, at)?));
            let (step, end) = match follows(*next) {
                Some(found) => found,
                None => {
                    let found = |(other, step): (usize, &u32)| Some((other, follows(*step)?));
                    let (other, found) = others.iter().enumerate().find_map(found)?;
                    let Step { next, others, .. } = &mut self.steps[before];
                    std::mem::swap(next, &mut others[other]);
                    found
                }
            };
            if let Then::End(form) = self.steps[step as usize].then {
                return Some(form);
            }
            parts.push(end as u32);
            (at, before) = (end, step as usize);
        }
    }

    /// Where the value behind the fixed bytes of a step ends, if the text has both here.
    #[inline]
    fn follow(&self, step: u32, text: &[u8], at: usize) -> Option<usize> {
        let Step { start, end, then, .. } = self.steps.get(step as usize)?;
        let fixed = &self.fixed[*start as usize..*end as usize];
        let begin = at + fixed.len();
        if !is_same(text.get(at..begin)?, fixed) {
            return None;
        }
        match then {
            // Behind it a quote is wanted.
            Then::Text => string_until(text, begin).ok(),
            Then::Digits => plain_until(text, begin),
            Then::DigitsBelowZero => {
                plain_until(text, begin).filter(|_| text.get(begin) != Some(&b'0'))
            }
            Then::End(_) => (begin == text.len()).then_some(begin),
        }
    }

    /// A form that was found.
    pub fn get(&self, form: usize) -> &Form {
        &self.forms[form]
    }

    /// Learns the form of a text that has none which is known, where there is room for it.
    pub fn learn(&mut self, text: &[u8], places: &[Place]) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let is_short = text.len() <= MOST_BYTES && places.len() <= MOST_PLACES;
        if !is_short || self.kept >= MOST_KEPT || self.forms.len() == MOST_FORMS {
            return;
        }
        let Some(holes) = holes(text, places) else { return };
        if self.steps.is_empty() {
            self.add(&[], Then::Text);
        }
        let (mut at, mut before) = (0, 0);
        for (start, end, then) in &holes {
            let Some(step) = self.go(before, &text[at..*start], *then) else { return };
            (before, at) = (step, *end);
        }
        let slot = self.forms.len();
        let Some(last) = self.go(before, &text[at..], Then::End(slot)) else { return };
        if self.steps[last].then != Then::End(slot) {
            // It was known, but a number was too large.
            return;
        }
        // A place in the text, as the part in which it is and how far from its beginning.
        let within = |place: u32| {
            let part = holes.partition_point(|(_, end, _)| *end <= place as usize);
            let begin = part.checked_sub(1).map_or(0, |hole| holes[hole].1);
            (place - begin as u32, part as u16)
        };
        let places = places.iter().map(|place| {
            let ((start, start_part), (end, end_part)) = (within(place.start), within(place.end));
            Place { start, end, count: place.count, start_part, end_part }
        });
        let id = FormId { number: NUMBER.fetch_add(1, Ordering::Relaxed), slot };
        let places: Vec<Place> = places.collect();
        self.kept += places.len() * size_of::<Place>() + size_of::<Form>();
        self.forms.push(Form { id, places });
    }

    /// The step with these bytes behind another, which is made if there is none and room for it.
    fn go(&mut self, before: usize, fixed: &[u8], then: Then) -> Option<usize> {
        let Step { next, others, .. } = &self.steps[before];
        let is_it = |step: &u32| {
            let Some(step) = self.steps.get(*step as usize) else { return false };
            let is_alike = match (step.then, then) {
                (Then::End(_), Then::End(_)) => true,
                (one, other) => one == other,
            };
            is_alike && self.fixed[step.start as usize..step.end as usize] == *fixed
        };
        if let Some(known) = std::iter::once(next).chain(others).find(|step| is_it(step)) {
            return Some(*known as usize);
        }
        if others.len() == MOST_OTHERS {
            return None;
        }
        let made = self.add(fixed, then);
        let Step { next, others, .. } = &mut self.steps[before];
        match *next {
            NONE => *next = made as u32,
            _ => others.push(made as u32),
        }
        Some(made)
    }

    fn add(&mut self, fixed: &[u8], then: Then) -> usize {
        let start = self.fixed.len() as u32;
        self.fixed.extend_from_slice(fixed);
        let end = self.fixed.len() as u32;
        self.steps.push(Step { start, end, then, next: NONE, others: Vec::new() });
        self.kept += fixed.len() + size_of::<Step>() + size_of::<u32>();
        self.steps.len() - 1
    }
}

/// Where the strings that are no keys, without their quotes, and the digits of numbers stand: beginning,
/// end, and which of the two it is.
fn holes(text: &[u8], places: &[Place]) -> Option<Vec<(usize, usize, Then)>> {
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
            b'"' if !is_key => found.push((start + 1, end - 1, Then::Text)),
            b'0'..=b'9' => found.push((start, end, Then::Digits)),
            b'-' => found.push((start + 1, end, Then::DigitsBelowZero)),
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
fn plain_until(text: &[u8], begin: usize) -> Option<usize> {
    let end = digits_until(text, begin);
    let is_plain = match end - begin {
        1 => true,
        2..MAX_DIGITS => text[begin] != b'0',
        _ => false,
    };
    is_plain.then_some(end)
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
            prop_assert!(trained.read_formed(&first).expect("canonical").1.is_none());
            let wanted = fresh.read(&bytes).map(values_of);
            let read = trained.read_formed(&bytes).map(|(node, _)| values_of(node));
            prop_assert_eq!(read, wanted);
        }
    }

    #[test]
    fn a_text_that_differs_in_strings_and_numbers_has_the_form_of_the_one_before() {
        let mut reader = Reader::default();
        let mut form = |text: &str| {
            reader.read_formed(text.as_bytes()).expect("canonical").1.map(|form| form.slot)
        };
        assert_eq!(form(r#"{"a":"x","b":[1,true]}"#), None);
        let known = form(r#"{"a":"","b":[123456789012345,true]}"#);
        assert!(known.is_some());
        assert_eq!(form(r#"{"a":"\n\"","b":[0,true]}"#), known);
        // Other values, too large a number, below zero: the last is another form from then on.
        assert_eq!(form(r#"{"a":"x","b":[1,false]}"#), None);
        assert_eq!(form(r#"{"a":"x","b":[1234567890123456,true]}"#), None);
        assert_eq!(form(r#"{"a":"x","b":[-1,true]}"#), None);
        let below = form(r#"{"a":"x","b":[-20,true]}"#);
        assert!(below.is_some() && below != known);
        assert_eq!(form(r#"{"a":"x","b":[0,true]}"#), known);
    }

    #[test]
    fn what_is_known_of_forms_is_bounded() {
        let many = |from: u32| {
            let members: Vec<String> =
                (0..100).map(|at| format!(r#""k{from}x{at:03}":1"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        // Objects that begin with other keys are no more than some.
        let mut reader = Reader::default();
        for number in 0..500 {
            let text = many(number);
            assert!(reader.read_formed(text.as_bytes()).expect("canonical").1.is_none());
        }
        assert_eq!(reader.forms().forms.len(), 1 + super::MOST_OTHERS);
        assert!(reader.read_formed(many(0).as_bytes()).expect("canonical").1.is_some());
        // A tree of which each step has few branches takes no more memory than it may.
        let mut reader = Reader::default();
        let branching = |number: u32| {
            let branch = |place: u32| number / 3u32.pow(place) % 3 + 10 * place;
            let keys: Vec<String> =
                (0..6).map(|place| format!(r#""k{:02}":1"#, branch(place))).collect();
            format!(r#"{{"a":{{{}}},"b":{}}}"#, keys.join(","), many(0))
        };
        for number in 0..729 {
            let text = branching(number);
            assert!(reader.read_formed(text.as_bytes()).expect("canonical").1.is_none());
        }
        let forms = reader.forms();
        assert!((100..729).contains(&forms.forms.len()), "{}", forms.forms.len());
        assert!(forms.kept < super::MOST_KEPT + 3 * super::MOST_BYTES);
        let steps = forms.steps.len() * size_of::<super::Step>() + forms.fixed.len();
        let places: usize = forms.forms.iter().map(|form| form.places.len()).sum();
        assert!(steps + places * size_of::<super::Place>() <= forms.kept);
        assert!(reader.read_formed(branching(0).as_bytes()).expect("canonical").1.is_some());
    }
}
