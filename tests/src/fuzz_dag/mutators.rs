//! Changes that keep an input near the format: lines, blocks, words, nesting.

use super::random::Random;

/// Longest input, a little beyond what the parser takes.
const LONGEST: usize = (1 << 20) + 4_096;

/// Words of the format, of YAML, and of trouble.
const WORDS: [&str; 72] = [
    "dagbook",
    "v1",
    "name",
    "steps",
    "finally",
    "params",
    "defaults",
    "on",
    "gitlab",
    "schedule",
    "cron",
    "timezone",
    "concurrency",
    "group",
    "needs",
    "when",
    "if",
    "run",
    "command",
    "approval",
    "wait",
    "for",
    "until",
    "event",
    "dag",
    "pipeline",
    "env",
    "secrets",
    "resources",
    "gpu",
    "timeout",
    "retry",
    "matrix",
    "include",
    "exclude",
    "for_each",
    "outputs",
    "artifacts",
    "inputs",
    "cache",
    "key",
    "placement",
    "requires",
    "type",
    "integer",
    "list",
    "object",
    "default",
    "pattern",
    "enum",
    "minimum",
    "${{ params.dataset }}",
    "${{ steps.fetch.outputs.shards }}",
    "${{ item }}",
    "${{",
    "}}",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "|\n",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "\t",
    "'",
    "\"",
    "9007199254740993",
];

/// Texts that have broken parsers before.
const TROUBLE: [&str; 16] = [
    "\u{feff}",
    "\u{2028}",
    "💥",
    "\u{0}",
    "\r\n",
    "a: b: c",
    "? x",
    "%YAML 1.2\n",
    "#",
    "~",
    "''",
    "1e999",
    "-0",
    "0x1F",
    "parts/child.yaml",
    "((((((((((((((((((((",
];

/// One to four changes of an input; `other` lends lines.
pub fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut bytes, other, random);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    match random.below(13) {
        0 => insert_word(bytes, &WORDS, random),
        1 => insert_word(bytes, &TROUBLE, random),
        2 => swap_word(bytes, random),
        3 => splice_lines(bytes, other, random),
        4 => duplicate_lines(bytes, random),
        5 => drop_lines(bytes, random),
        6 => swap_lines(bytes, random),
        7 => indent_lines(bytes, random),
        8 => nest(bytes, random),
        9 => alias_chain(bytes, random),
        10 => many_steps(bytes, random),
        11 => long_expression(bytes, random),
        _ => flip_byte(bytes, random),
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|c| *c == b'\n').map(<[u8]>::to_vec).collect()
}

/// First and one past the last of some lines in a row.
fn stretch(count: usize, most: usize, random: &mut Random) -> (usize, usize) {
    let from = random.below(count);
    (from, (from + 1 + random.below(most)).min(count))
}

fn insert_word(bytes: &mut Vec<u8>, words: &[&str], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let word = random.pick(words);
    bytes.splice(at..at, word.bytes());
}

fn swap_word(bytes: &mut Vec<u8>, random: &mut Random) {
    let part = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_';
    let at = random.below(bytes.len());
    let from = bytes[..at].iter().rposition(|c| !part(c)).map_or(0, |i| i + 1);
    let to = bytes[at..].iter().position(|c| !part(c)).map_or(bytes.len(), |i| at + i);
    let word = random.pick(&WORDS);
    bytes.splice(from..to.max(from), word.bytes());
}

fn splice_lines(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let lent = lines(other);
    let mut own = lines(bytes);
    let (from, to) = stretch(lent.len(), 6, random);
    let at = random.below(own.len() + 1);
    own.splice(at..at, lent[from..to].iter().cloned());
    *bytes = own.concat();
}

fn duplicate_lines(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut own = lines(bytes);
    let (from, to) = stretch(own.len(), 8, random);
    let block = own[from..to].concat();
    let times = *random.pick(&[1usize, 1, 2, 5, 50, 500]);
    own.insert(to, block.repeat(times));
    *bytes = own.concat();
}

fn drop_lines(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut own = lines(bytes);
    let (from, to) = stretch(own.len(), 4, random);
    own.drain(from..to);
    *bytes = own.concat();
}

fn swap_lines(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut own = lines(bytes);
    if !own.is_empty() {
        let (a, b) = (random.below(own.len()), random.below(own.len()));
        own.swap(a, b);
    }
    *bytes = own.concat();
}

fn indent_lines(bytes: &mut Vec<u8>, random: &mut Random) {
    let mut own = lines(bytes);
    let (from, to) = stretch(own.len(), 5, random);
    let deeper = random.below(2) == 0;
    for line in &mut own[from..to] {
        if deeper {
            line.splice(0..0, *b"  ");
        } else if line.starts_with(b"  ") {
            line.drain(0..2);
        }
    }
    *bytes = own.concat();
}

fn nest(bytes: &mut Vec<u8>, random: &mut Random) {
    let depth = *random.pick(&[3usize, 30, 63, 64, 65, 300, 20_000]);
    let (open, close) = *random.pick(&[("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")]);
    let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let at = random.below(bytes.len() + 1);
    bytes.splice(at..at, text.into_bytes());
}

fn alias_chain(bytes: &mut Vec<u8>, random: &mut Random) {
    let (links, width) = (random.below(12) + 1, random.below(12) + 1);
    let mut text = String::from("x-0: &a0 [1]\n");
    for link in 1..=links {
        let items = vec![format!("*a{}", link - 1); width].join(", ");
        text.push_str(&format!("x-{link}: &a{link} [{items}]\n"));
    }
    text.push_str(&format!("x-m: {{ matrix: *a{links} }}\n"));
    bytes.splice(0..0, text.into_bytes());
}

fn many_steps(bytes: &mut Vec<u8>, random: &mut Random) {
    let count = *random.pick(&[5usize, 100, 3_000]);
    let reach = random.below(5) + 1;
    let mut text = String::from("\nsteps:\n");
    for n in 0..count {
        let needs: Vec<String> =
            (1..=reach).filter(|r| *r <= n).map(|r| format!("t{}", n - r)).collect();
        let reads = format!("${{{{ steps.t{}.status }}}}", random.below(n + 1));
        text.push_str(&format!(
            "  t{n}: {{ needs: [{}], command: [\"{reads}\"] }}\n",
            needs.join(",")
        ));
    }
    match random.below(2) {
        0 => bytes.extend(text.bytes()),
        _ => *bytes = format!("dagbook: v1\nname: many{text}").into_bytes(),
    }
}

fn long_expression(bytes: &mut Vec<u8>, random: &mut Random) {
    let parts = ["1", "params", "'a'", "item", "git.sha", "[1]", "(2)", "steps.a-b.outputs.x"];
    let signs =
        [" + ", " * ", " ~ ", " and ", " ** ", " | join(", ".", " if ", " is ", "[", ", ", " not "];
    let count = *random.pick(&[2usize, 5, 20, 150, 5_000]);
    let mut text = String::from("${{ ");
    for _ in 0..count {
        text.push_str(parts[random.below(parts.len())]);
        text.push_str(signs[random.below(signs.len())]);
    }
    text.push_str("1 }}");
    let at = match bytes.windows(3).position(|window| window == b"${{") {
        Some(at) => at,
        None => random.below(bytes.len() + 1),
    };
    bytes.splice(at..at, text.into_bytes());
}

fn flip_byte(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = random.bits().to_le_bytes()[0];
    }
}
