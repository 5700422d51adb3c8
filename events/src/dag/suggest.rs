//! "Did you mean": the nearest known word.

/// The candidate nearest to `word`, if it is near enough to be a slip of the keyboard.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > 64 {
        return None;
    }
    let allowed = (length / 3).clamp(1, 3);
    let lower = word.to_lowercase();
    // `int` for `integer`: a start of at least three letters is as good as one slip.
    let far = |candidate: &str| match length >= 3 && candidate.starts_with(&lower) {
        // `cpu_ms` for `cpu_milli_ms`: all its parts are there, and nearer than any slip.
        _ if lower.contains('_') && has_parts(candidate, &lower) => 0,
        true => 1,
        false => distance(&lower, &candidate.to_lowercase()),
    };
    candidates
        .into_iter()
        // In a file of thousands of names a hint is not worth the search.
        .take(1_000)
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 8)
        .filter(|candidate| candidate.len() <= 64 && *candidate != word)
        .map(|candidate| (far(candidate), candidate))
        .filter(|(far, candidate)| *far <= allowed && *far < candidate.chars().count())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Whether all parts between underscores are there, in their order.
fn has_parts(candidate: &str, word: &str) -> bool {
    let mut parts = candidate.split('_');
    word.split('_').all(|part| parts.any(|it| it == part))
}

/// `did you mean `x`?` for the nearest candidate.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|found| format!("did you mean `{found}`?"))
}

/// Edits between two words; a swap of neighbours counts as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["needs", "env", "executor", "timeout", "retry"];
        assert_eq!(nearest("need", keys), Some("needs"));
        assert_eq!(nearest("neesd", keys), Some("needs"));
        assert_eq!(nearest("excutor", keys), Some("executor"));
        assert_eq!(nearest("Timeout", keys), Some("timeout"));
        assert_eq!(nearest("exec", keys), Some("executor"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("x", ["y"]), None);
        let meters = ["gpu_ms", "cpu_milli_ms", "mem_mib_ms", "runner_ms"];
        assert_eq!(nearest("cpu_ms", meters), Some("cpu_milli_ms"));
        assert_eq!(nearest("mem_ms", meters), Some("mem_mib_ms"));
        assert_eq!(nearest("gqu_ms", meters), Some("gpu_ms"));
        assert_eq!(nearest("ms_cpu", meters), None);
    }
}
