//! The strict reader: says whether bytes are canonical, and if not, where.

use std::borrow::Cow;

use super::text::{compare_keys, short_escape};
use crate::value::MAX_SAFE_INTEGER;

/// How deep arrays and objects may be nested.
const MAX_DEPTH: usize = 120;

/// Bytes that are not in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical at byte {offset}: {reason}")]
pub struct NotCanonical {
    /// From the first byte, counted from 0.
    pub offset: usize,
    /// The rule that is broken.
    pub reason: &'static str,
}

/// Accepts the bytes if they are exactly what [`super::to_vec`] writes for some value.
pub fn verify(bytes: &[u8]) -> Result<(), NotCanonical> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| NotCanonical { offset: e.valid_up_to(), reason: "not UTF-8" })?;
    let mut scanner = Scanner { text, bytes, at: 0 };
    scanner.value(0)?;
    if scanner.at == bytes.len() { Ok(()) } else { scanner.fail("more bytes after the value") }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, NotCanonical> {
        Err(NotCanonical { offset: self.at, reason })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.fail("null is not allowed"),
            Some(b' ' | b'\t' | b'\n' | b'\r') => self.fail("white space is not allowed"),
            Some(_) => self.fail("a value is expected"),
            None => self.fail("the bytes end too early"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), NotCanonical> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is expected");
        }
        self.at += word.len();
        Ok(())
    }

    fn integer(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.fail("only integers are allowed");
        }
        let text = &self.text[digits..self.at];
        let plain = match text.as_bytes() {
            [] => false,
            [b'0'] => !negative,
            [first, ..] => *first != b'0',
        };
        let small = text.parse::<u64>().is_ok_and(|n| n <= MAX_SAFE_INTEGER.unsigned_abs());
        self.at = start;
        match (plain, small) {
            (false, _) => self.fail("an integer has no leading zero and no lone sign"),
            (_, false) => self.fail("the integer is beyond 2^53 - 1"),
            _ => {
                self.at = digits + text.len();
                Ok(())
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.separator(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut before: Option<Cow<'a, str>> = None;
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.fail("a member's name is expected");
            }
            let key = self.string()?;
            if before.is_some_and(|before| compare_keys(&before, &key).is_ge()) {
                self.at = start;
                return self.fail("members are not in order");
            }
            before = Some(key);
            if self.peek() != Some(b':') {
                return self.fail("a colon is expected");
            }
            self.at += 1;
            self.value(depth + 1)?;
            if self.separator(b'}')? {
                return Ok(());
            }
        }
    }

    /// Steps over a comma (false) or the end of the array or object (true).
    fn separator(&mut self, end: u8) -> Result<bool, NotCanonical> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => self.fail("a comma or the end is expected"),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, NotCanonical> {
        self.at += 1;
        let mut copied = self.at;
        let mut owned = String::new();
        loop {
            match self.peek() {
                None => return self.fail("the string does not end"),
                Some(b'"') => {
                    let rest = &self.text[copied..self.at];
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    owned.push_str(rest);
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => {
                    owned.push_str(&self.text[copied..self.at]);
                    owned.push(self.escape()?);
                    copied = self.at;
                }
                Some(0..0x20) => return self.fail("a control character must be escaped"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotCanonical> {
        let letter = self.bytes.get(self.at + 1).copied();
        let short =
            (0..=0x7f).find(|byte| short_escape(*byte).is_some() && short_escape(*byte) == letter);
        if let Some(byte) = short {
            self.at += 2;
            return Ok(char::from(byte));
        }
        let digits = self.bytes.get(self.at..self.at + 6).unwrap_or_default();
        let value = match digits {
            [b'\\', b'u', b'0', b'0', high @ b'0'..=b'1', low @ (b'0'..=b'9' | b'a'..=b'f')] => {
                let low = if low.is_ascii_digit() { low - b'0' } else { low - b'a' + 10 };
                (high - b'0') * 16 + low
            }
            _ => return self.fail("this escape is not the shortest form"),
        };
        if short_escape(value).is_some() {
            return self.fail("this escape is not the shortest form");
        }
        self.at += 6;
        Ok(char::from(value))
    }
}
