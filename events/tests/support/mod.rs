//! Shared by the tests of DAG files; each of them uses its part.
#![allow(dead_code)]

/// One entry of `dag/bad.txt`.
pub struct BadFile {
    pub title: String,
    pub text: String,
    pub expected: String,
    /// A JSON Schema cannot see what is wrong.
    pub schema_is_blind: bool,
}

/// Reads `=== title`, the file, `---`, the findings.
pub fn bad_files() -> Vec<BadFile> {
    let all = include_str!("../dag/bad.txt");
    let read = |section: &str| {
        let (title, rest) = section.split_once('\n').expect("a title");
        // The last `---`: a file may hold one of its own.
        let (text, expected) = rest.rsplit_once("---\n").expect("findings");
        let (title, schema_is_blind) = match title.strip_suffix(" (schema: blind)") {
            Some(title) => (title, true),
            None => (title, false),
        };
        BadFile {
            title: title.to_string(),
            text: text.to_string(),
            expected: expected.to_string(),
            schema_is_blind,
        }
    };
    all.split("=== ").skip(1).map(read).collect()
}
