//! Canonical JSON that is looked into without building anything: bytes are gone through once, and
//! where each value stands is written down.

use std::borrow::Cow;

use super::scan::{Keep, NotCanonical, Nothing, scan, unescaped};

/// Accepts the bytes if they are exactly what [`super::to_vec`] writes for some value.
pub fn verify(bytes: &[u8]) -> Result<(), NotCanonical> {
    scan(bytes, &mut Nothing).map(|_| ())
}

/// Reads one text after the other, in the same memory.
#[derive(Debug, Default)]
pub struct Reader {
    places: Places,
}

#[derive(Debug, Default)]
struct Places(Vec<Place>);

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
    /// Places that it takes, with all that is inside.
    count: u32,
}

impl Keep for Places {
    #[inline]
    fn begin(&mut self, start: usize) -> usize {
        // Texts whose lengths do not fit are refused before.
        self.0.push(Place { start: start as u32, end: 0, count: 1 });
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
        self.places.0.clear();
        if u32::try_from(bytes.len()).is_err() {
            return Err(NotCanonical { offset: 0, reason: "longer than 4 GiB" });
        }
        let text = scan(bytes, &mut self.places)?;
        Ok(Node { text, places: &self.places.0 })
    }
}

/// A value in a text that was read.
#[derive(Debug, Clone, Copy)]
pub struct Node<'r> {
    text: &'r str,
    /// Its own place, and those of all that is inside.
    places: &'r [Place],
}

impl<'r> Node<'r> {
    /// The text as it stands there.
    #[inline]
    pub fn raw(self) -> &'r str {
        let place = self.places.first();
        place.map_or("", |place| &self.text[place.start as usize..place.end as usize])
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
        Inside { text: self.text, places: &self.places[1..] }
    }
}

/// Values one behind the other.
struct Inside<'r> {
    text: &'r str,
    places: &'r [Place],
}

impl<'r> Iterator for Inside<'r> {
    type Item = Node<'r>;

    fn next(&mut self) -> Option<Node<'r>> {
        let count = self.places.first()?.count as usize;
        let (places, rest) = self.places.split_at(count);
        self.places = rest;
        Some(Node { text: self.text, places })
    }
}
