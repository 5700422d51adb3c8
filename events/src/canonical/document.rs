//! Canonical JSON that is looked into without building anything: bytes are gone through once, and
//! where each value stands is written down.

use std::borrow::Cow;

use super::form::{FormId, Forms};
use super::scan::{Keep, NotCanonical, Nothing, scan, text_of, unescaped};

/// Accepts the bytes if they are exactly what [`super::to_vec`] writes for some value.
pub fn verify(bytes: &[u8]) -> Result<(), NotCanonical> {
    scan(bytes, &mut Nothing).map(|_| ())
}

/// Reads one text after the other, in the same memory.
#[derive(Debug, Default)]
pub struct Reader {
    places: Places,
    parts: Vec<u32>,
    forms: Forms,
}

#[derive(Debug, Default)]
struct Places(Vec<Place>);

/// Where a value stands: a place is counted from the beginning of a part of the text. A text that
/// was gone through is one part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub start: u32,
    pub end: u32,
    /// Places that it takes, with all that is inside.
    pub count: u32,
    pub start_part: u16,
    pub end_part: u16,
}

impl Keep for Places {
    #[inline]
    fn begin(&mut self, start: usize) -> usize {
        // Texts whose lengths do not fit are refused before.
        let start = start as u32;
        self.0.push(Place { start, end: 0, count: 1, start_part: 0, end_part: 0 });
        self.0.len() - 1
    }

    #[inline]
    fn end(&mut self, begun: usize, end: usize) {
        let count = (self.0.len() - begun) as u32;
        if let Some(place) = self.0.get_mut(begun) {
            (place.end, place.count) = (end as u32, count);
        }
    }
}

impl Reader {
    /// Reads a text, which must be canonical, of less than 4 GiB.
    pub fn read<'r>(&'r mut self, bytes: &'r [u8]) -> Result<Node<'r>, NotCanonical> {
        self.read_formed(bytes).map(|(node, _)| node)
    }

    /// The same, and names the form of the text if it is known.
    pub(crate) fn read_formed<'r>(
        &'r mut self,
        bytes: &'r [u8],
    ) -> Result<(Node<'r>, Option<FormId>), NotCanonical> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(NotCanonical { offset: 0, reason: "longer than 4 GiB" });
        }
        let Some(form) = self.forms.find(bytes, &mut self.parts) else {
            self.places.0.clear();
            self.parts.truncate(1);
            let text = scan(bytes, &mut self.places)?;
            self.forms.learn(bytes, &self.places.0);
            let node = Node { text, parts: &self.parts, places: &self.places.0, at: 0 };
            return Ok((node, None));
        };
        let form = self.forms.get(form);
        let node = Node { text: text_of(bytes)?, parts: &self.parts, places: &form.places, at: 0 };
        Ok((node, Some(form.id)))
    }

    #[cfg(test)]
    pub(super) fn forms(&self) -> &Forms {
        &self.forms
    }
}

/// A value in a text that was read.
#[derive(Debug, Clone, Copy)]
pub struct Node<'r> {
    text: &'r str,
    /// Where the parts of the text begin.
    parts: &'r [u32],
    /// All places of the text, and which of them is this one. Those of what is inside are behind it.
    places: &'r [Place],
    at: usize,
}

impl<'r> Node<'r> {
    /// The text as it stands there.
    #[inline]
    pub fn raw(self) -> &'r str {
        let Some(place) = self.places.get(self.at) else { return "" };
        let begin = |part: u16| self.parts.get(usize::from(part)).copied().unwrap_or_default();
        let start = begin(place.start_part) + place.start;
        let end = begin(place.end_part) + place.end;
        &self.text[start as usize..end as usize]
    }

    /// The number of this value in its text. A value with this number is in each text of a form.
    #[inline]
    pub(crate) fn place(self) -> usize {
        self.at
    }

    /// The value of this number in the same text.
    #[inline]
    pub(crate) fn at(self, place: usize) -> Self {
        Self { at: place, ..self }
    }

    /// The same, where there is one.
    #[inline]
    pub(crate) fn at_some(self, place: Option<usize>) -> Option<Self> {
        place.map(|place| self.at(place))
    }

    /// The text of a string.
    pub fn text(self) -> Option<Cow<'r, str>> {
        Some(unescaped(self.raw().strip_prefix('"')?.strip_suffix('"')?))
    }

    /// Whether it is an integer; `is_natural`: from 0 on.
    pub fn is_integer(self, is_natural: bool) -> bool {
        match self.raw().as_bytes().first() {
            Some(b'-') => !is_natural,
            first => first.is_some_and(u8::is_ascii_digit),
        }
    }

    /// Whether it is a string.
    pub fn is_text(self) -> bool {
        self.raw().starts_with('"')
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.raw().starts_with('{')
    }

    /// An integer.
    pub fn integer(self) -> Option<i64> {
        let raw = self.raw().as_bytes();
        let digits = raw.strip_prefix(b"-").unwrap_or(raw);
        let add = |number: i64, digit: &u8| number * 10 + i64::from(digit - b'0');
        match digits.first() {
            // What was read has sixteen digits at most.
            Some(b'0'..=b'9') if digits.len() < raw.len() => Some(-digits.iter().fold(0, add)),
            Some(b'0'..=b'9') => Some(digits.iter().fold(0, add)),
            _ => None,
        }
    }

    /// An integer from 0 on.
    pub fn natural(self) -> Option<u64> {
        self.integer().and_then(|number| u64::try_from(number).ok())
    }

    /// The members of an object, in their order; keys as they stand there, with their escapes.
    pub fn members(self) -> Option<impl Iterator<Item = (&'r str, Self)>> {
        let mut values = self.is_object().then(|| self.inside())?;
        Some(std::iter::from_fn(move || {
            let key = values.next()?.raw();
            Some((&key[1..key.len() - 1], values.next()?))
        }))
    }

    /// The member of an object that has this name, which is one without escapes.
    pub fn member(self, name: &str) -> Option<Self> {
        self.members()?.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The items of an array.
    pub fn items(self) -> Option<impl Iterator<Item = Self>> {
        self.raw().starts_with('[').then(|| self.inside())
    }

    fn inside(self) -> Inside<'r> {
        let count = self.places.get(self.at).map_or(0, |place| place.count as usize);
        Inside { of: self, next: self.at + 1, end: self.at + count }
    }
}

/// Values one behind the other.
struct Inside<'r> {
    of: Node<'r>,
    next: usize,
    end: usize,
}

impl<'r> Iterator for Inside<'r> {
    type Item = Node<'r>;

    #[inline]
    fn next(&mut self) -> Option<Node<'r>> {
        if self.next >= self.end {
            return None;
        }
        let node = self.of.at(self.next);
        self.next += self.of.places[self.next].count as usize;
        Some(node)
    }
}
