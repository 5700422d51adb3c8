//! Goes through bytes once, and stops where they are not canonical.

use std::borrow::Cow;

use super::text::compare_keys;
use crate::value::MAX_SAFE_INTEGER;

/// How deep arrays and objects may be nested.
const MAX_DEPTH: usize = 120;
/// Integers with fewer digits are allowed.
pub(super) const MAX_DIGITS: usize = 16;

/// Bytes that are not in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical at byte {offset}: {reason}")]
pub struct NotCanonical {
    /// From the first byte, counted from 0.
    pub offset: usize,
    /// The rule that is broken.
    pub reason: &'static str,
}

/// Hears where each value stands, from the outside in: keys of members count as values.
pub(super) trait Keep {
    /// A value begins. The answer is given back when it ends.
    fn begin(&mut self, start: usize) -> usize;
    /// It ended, and so did all that is inside.
    fn end(&mut self, begun: usize, end: usize);
}

/// Keeps nothing.
pub(super) struct Nothing;

impl Keep for Nothing {
    fn begin(&mut self, _: usize) -> usize {
        0
    }
    fn end(&mut self, _: usize, _: usize) {}
}

/// Goes through all bytes, which must be one value.
pub(super) fn scan<'a>(bytes: &'a [u8], keep: &mut impl Keep) -> Result<&'a str, NotCanonical> {
    let text = text_of(bytes)?;
    let mut scanner = Scanner { bytes, at: 0, keep, reason: "" };
    let mut is_good = scanner.value(0).is_ok();
    if is_good && scanner.at < bytes.len() {
        (is_good, scanner.reason) = (false, "more bytes after the value");
    }
    match is_good {
        true => Ok(text),
        false => Err(NotCanonical { offset: scanner.at, reason: scanner.reason }),
    }
}

/// The bytes as a text.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, NotCanonical> {
    std::str::from_utf8(bytes)
        .map_err(|e| NotCanonical { offset: e.valid_up_to(), reason: "not UTF-8" })
}

struct Scanner<'a, 'k, K> {
    bytes: &'a [u8],
    at: usize,
    keep: &'k mut K,
    /// Why it failed, at this place.
    reason: &'static str,
}

/// It failed; the scanner knows why.
struct Failed;

impl<'a, K: Keep> Scanner<'a, '_, K> {
    #[cold]
    fn fail<T>(&mut self, reason: &'static str) -> Result<T, Failed> {
        self.reason = reason;
        Err(Failed)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn value(&mut self, depth: usize) -> Result<(), Failed> {
        if depth > MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        let begun = self.keep.begin(self.at);
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.integer()?,
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => return self.fail("null is not allowed"),
            Some(b' ' | b'\t' | b'\n' | b'\r') => return self.fail("white space is not allowed"),
            Some(_) => return self.fail("a value is expected"),
            None => return self.fail("the bytes end too early"),
        }
        self.keep.end(begun, self.at);
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Failed> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is expected");
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn integer(&mut self) -> Result<(), Failed> {
        let negative = self.peek() == Some(b'-');
        let digits = &self.bytes[self.at + usize::from(negative)..];
        let count = digits_until(digits, 0);
        if let Some(b'.' | b'e' | b'E') = digits.get(count) {
            self.at += usize::from(negative) + count;
            return self.fail("only integers are allowed");
        }
        let is_plain = match (count, digits.first()) {
            (0, _) => false,
            (1, Some(b'0')) => !negative,
            (_, first) => first != Some(&b'0'),
        };
        if !is_plain {
            return self.fail("an integer has no leading zero and no lone sign");
        }
        if count >= MAX_DIGITS && !is_safe(&digits[..count]) {
            return self.fail("the integer is beyond 2^53 - 1");
        }
        self.at += usize::from(negative) + count;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Failed> {
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

    fn object(&mut self, depth: usize) -> Result<(), Failed> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut before: Option<&'a [u8]> = None;
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return self.fail("a member's name is expected");
            }
            let begun = self.keep.begin(start);
            let key = self.string()?;
            self.keep.end(begun, self.at);
            if before.is_some_and(|before| !ascends(before, key)) {
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
    #[inline]
    fn separator(&mut self, end: u8) -> Result<bool, Failed> {
        match self.peek() {
            Some(byte) if byte == b',' || byte == end => {
                self.at += 1;
                Ok(byte == end)
            }
            _ => self.fail("a comma or the end is expected"),
        }
    }

    /// What stands between the quotes of a string.
    #[inline]
    fn string(&mut self) -> Result<&'a [u8], Failed> {
        let start = self.at + 1;
        match string_until(self.bytes, start) {
            Ok(end) => {
                self.at = end + 1;
                Ok(&self.bytes[start..end])
            }
            Err((at, reason)) => {
                self.at = at;
                self.fail(reason)
            }
        }
    }
}

/// Whether sixteen digits or more are at most 2^53 − 1.
fn is_safe(digits: &[u8]) -> bool {
    let number = digits.iter().fold(0u64, |number, digit| {
        // Where it no longer fits there are too many digits.
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    number <= MAX_SAFE_INTEGER.unsigned_abs()
}

/// Where what is in a string ends, from a place on: at its quote, or where it does not end well, and why.
#[inline]
pub(super) fn string_until(bytes: &[u8], at: usize) -> Result<usize, (usize, &'static str)> {
    let mut at = plain_until(bytes, at);
    loop {
        match bytes.get(at) {
            None => return Err((at, "the string does not end")),
            Some(b'"') => return Ok(at),
            Some(b'\\') => match escape(&bytes[at..]) {
                Some((_, length)) => at = plain_until(bytes, at + length),
                None => return Err((at, "this escape is not the shortest form")),
            },
            Some(_) => return Err((at, "a control character must be escaped")),
        }
    }
}

/// Where the digits end, from a place on.
#[inline]
pub(super) fn digits_until(bytes: &[u8], mut at: usize) -> usize {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Eight at a time: a byte less '0' is at most nine where it is a digit.
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight) ^ ZEROS;
        let found = (((word & !HIGHS) + 0x7676_7676_7676_7676) | word) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Where the first quote, backslash or control character stands, from a place on; else the end.
#[inline]
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // Eight at a time. The lowest bit that is set is right; those above it may be borrowed.
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let is_control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (is_zero(quote) | is_zero(slash) | is_control) & HIGHS;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    rest.map_or(bytes.len(), |rest| at + rest)
}

/// The character that an escape at the beginning of the bytes stands for, and how long it is; none
/// if it is not the shortest form.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let short = match bytes.get(1)? {
        byte @ (b'"' | b'\\') => *byte,
        b'b' => 0x08,
        b't' => 0x09,
        b'n' => 0x0a,
        b'f' => 0x0c,
        b'r' => 0x0d,
        b'u' => {
            let [b'0', b'0', high @ b'0'..=b'1', low] = bytes.get(2..6)? else { return None };
            let low = match low {
                b'0'..=b'9' => low - b'0',
                b'a'..=b'f' => low - b'a' + 10,
                _ => return None,
            };
            let value = (high - b'0') * 16 + low;
            let is_short = super::text::short_escape(value).is_some();
            return (!is_short).then_some((char::from(value), 6));
        }
        _ => return None,
    };
    Some((char::from(short), 2))
}

/// The text of what stands between quotes, which was gone through.
pub(super) fn unescaped(content: &str) -> Cow<'_, str> {
    // It is cut at the first backslash, for there are neither quotes nor control characters.
    let first = plain_until(content.as_bytes(), 0);
    if first == content.len() {
        return Cow::Borrowed(content);
    }
    let (mut text, mut rest) = (content[..first].to_string(), &content[first..]);
    while let Some((letter, length)) = escape(rest.as_bytes()) {
        text.push(letter);
        rest = &rest[length..];
        let next = rest.find('\\').unwrap_or(rest.len());
        text.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(text)
}

/// Whether a key may stand behind another.
#[inline]
fn ascends(before: &[u8], key: &[u8]) -> bool {
    let Some(common) = before.iter().zip(key).position(|(one, other)| one != other) else {
        return before.len() < key.len();
    };
    let (one, other) = (before[common], key[common]);
    // The order is that of the bytes as long as one of the characters is ASCII, and no escape.
    let is_plain = one.is_ascii() || other.is_ascii();
    if is_plain && one != b'\\' && other != b'\\' && !before[..common].contains(&b'\\') {
        return one < other;
    }
    ascends_slowly(before, key)
}

#[cold]
fn ascends_slowly(before: &[u8], key: &[u8]) -> bool {
    // Both are parts of a text, between quotes.
    let [before, key] = [before, key].map(|key| str::from_utf8(key).unwrap_or_default());
    compare_keys(&unescaped(before), &unescaped(key)).is_lt()
}
