//! Programs that steps say they need (`requires`), looked for on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dagbook_events::dag::{Finding, Severity, SourceBundle, Spec};

/// The code of the finding. It is about this machine, not about the file.
pub const MISSING_PROGRAM: &str = "W201";

/// A warning for each program that is not on the search path, where the step runs here.
pub fn missing(spec: &Spec, bundle: &SourceBundle) -> Vec<Finding> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let text = bundle.files.get(&bundle.entry).map_or("", String::as_str);
    let wanted = spec.requirements().into_iter().filter(|r| r.executor == "local");
    let absent = wanted.filter(|r| !is_there(&r.program, &path));
    absent
        .map(|r| {
            let start = offset(text, r.line, r.column);
            let program = &r.program;
            Finding {
                code: MISSING_PROGRAM,
                severity: Severity::Warning,
                file: bundle.entry.clone(),
                line: r.line,
                column: r.column,
                span: start..start + r.step.as_str().len(),
                message: format!("step `{}` requires `{program}`, which is not here", r.step),
                hint: Some(format!("install `{program}`, or run this where it is on the PATH")),
            }
        })
        .collect()
}

/// Whether the program would be found.
pub fn is_there(program: &str, search_path: &std::ffi::OsStr) -> bool {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return executable(Path::new(program));
    }
    std::env::split_paths(search_path).any(|folder| executable(&folder.join(program)))
}

/// The byte at a line and column, both from 1, the column in characters.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let lines_before = line.saturating_sub(1) as usize;
    let start: usize = text.split_inclusive('\n').take(lines_before).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1) as usize);
    start + within.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_there_and_nonsense_is_not() {
        let path = std::ffi::OsString::from("/usr/bin:/bin");
        assert!(is_there("sh", &path));
        assert!(is_there("/bin/sh", &path));
        assert!(!is_there("no-such-program-anywhere", &path));
        assert!(!is_there("/bin", &path));
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(offset("ä: 1\nbö: x\n", 2, 3), 9);
        assert_eq!(offset("a\n", 9, 9), 2);
    }
}
