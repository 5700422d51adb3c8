//! Hides secret values in a stream of bytes, also where one is cut by a chunk's border.

/// What stands in the place of a secret.
const STARS: &[u8] = b"***";

/// Values shorter than this are not looked for in part (lines, encodings): they would hide half
/// of every log.
const SHORTEST_PART: usize = 4;

/// Replaces every occurrence of some values.
pub(crate) struct Masker {
    /// Longest first, so that a value that contains another is hidden whole.
    values: Vec<Vec<u8>>,
    starts: [bool; 256],
    held: Vec<u8>,
}

impl Masker {
    pub(crate) fn new(mut values: Vec<Vec<u8>>) -> Self {
        values.retain(|value| !value.is_empty());
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        let mut starts = [false; 256];
        for value in &values {
            starts[usize::from(value[0])] = true;
        }
        Self { values, starts, held: Vec::new() }
    }

    /// Whether any of the values is in the bytes.
    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        (0..bytes.len()).any(|at| self.at(&bytes[at..]).is_some())
    }

    /// Takes a chunk and appends to `out` what can be said already.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.values.is_empty() {
            out.extend_from_slice(chunk);
            return;
        }
        self.held.extend_from_slice(chunk);
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let rest = &held[at..];
            if !self.starts[usize::from(rest[0])] {
                out.push(rest[0]);
                at += 1;
                continue;
            }
            // A longer value may still be on its way, so that question comes first.
            if self.may_begin(rest) {
                break;
            }
            match self.at(rest) {
                Some(length) => {
                    out.extend_from_slice(STARS);
                    at += length;
                }
                None => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        self.held = held[at..].to_vec();
    }

    /// Says the rest at the end of the stream.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            match self.at(&held[at..]) {
                Some(length) => {
                    out.extend_from_slice(STARS);
                    at += length;
                }
                None => {
                    out.push(held[at]);
                    at += 1;
                }
            }
        }
    }

    fn at(&self, rest: &[u8]) -> Option<usize> {
        self.values.iter().find(|value| rest.starts_with(value)).map(Vec::len)
    }

    /// Whether the rest ends inside a value.
    fn may_begin(&self, rest: &[u8]) -> bool {
        self.values.iter().any(|value| value.len() > rest.len() && value.starts_with(rest))
    }
}

/// What to look for so that a secret's value does not show: the value, its lines, its base64.
pub(crate) fn patterns(value: &[u8]) -> Vec<Vec<u8>> {
    let trimmed = value.trim_ascii_end();
    let mut patterns = vec![value.to_vec(), trimmed.to_vec()];
    if trimmed.contains(&b'\n') {
        let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        patterns.extend(lines.filter(|line| line.len() >= SHORTEST_PART).map(<[u8]>::to_vec));
    }
    if trimmed.len() >= SHORTEST_PART {
        patterns.push(base64(value));
        patterns.push(base64(trimmed));
    }
    patterns.retain(|pattern| !pattern.is_empty());
    patterns
}

/// The standard alphabet, without padding, so that the padded form is found too.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            text.push(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&str], chunks: &[&str]) -> String {
        let mut masker = Masker::new(values.iter().map(|v| v.as_bytes().to_vec()).collect());
        let mut out = Vec::new();
        for chunk in chunks {
            masker.push(chunk.as_bytes(), &mut out);
        }
        masker.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_hidden_wherever_the_stream_is_cut() {
        let text = "say hunter22 and hunter2, hunt";
        for cut in 0..text.len() {
            for second in cut..text.len() {
                let chunks = [&text[..cut], &text[cut..second], &text[second..]];
                assert_eq!(
                    masked(&["hunter2", "hunter22"], &chunks),
                    "say *** and ***, hunt",
                    "cut at {cut} and {second}"
                );
            }
        }
    }

    #[test]
    fn overlapping_beginnings_do_not_hide_a_later_match() {
        assert_eq!(masked(&["aab"], &["aa", "ab aaa"]), "a*** aaa");
        assert_eq!(masked(&["abcabd"], &["abcabcabd"]), "abc***");
        assert_eq!(masked(&[], &["abc"]), "abc");
    }

    #[test]
    fn nothing_is_held_back_that_cannot_become_a_value() {
        let mut masker = Masker::new(vec![b"secret".to_vec()]);
        let mut out = Vec::new();
        masker.push(b"done\nsec", &mut out);
        assert_eq!(out, b"done\n");
        masker.push(b"ond", &mut out);
        assert_eq!(out, b"done\nsecond");
    }

    #[test]
    fn lines_and_encodings_of_a_value_are_hidden_too() {
        let patterns = patterns(b"first line\nx\nsecond line\n");
        let has = |text: &str| patterns.contains(&text.as_bytes().to_vec());
        assert!(has("first line") && has("second line") && !has("x"));
        assert!(has("Zmlyc3QgbGluZQp4CnNlY29uZCBsaW5l"), "base64 of the trimmed value");
        assert_eq!(base64(b"ab"), b"YWI");
    }
}
