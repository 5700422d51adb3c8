//! The exposition read back: how OTLP, tests and tools see the same numbers as `/metrics`.

use std::collections::BTreeMap;

use super::Kind;

/// All that was exposed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposed {
    /// The families, in their order.
    pub families: Vec<ExposedFamily>,
}

/// A family as it was exposed.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedFamily {
    /// Its name, without `_total`.
    pub name: String,
    /// What it counts with.
    pub kind: Kind,
    /// What it says.
    pub help: String,
    /// One for each set of labels.
    pub points: Vec<Point>,
}

/// A number, or the numbers of a histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Labels by name, in their order.
    pub labels: Vec<(String, String)>,
    /// The number; of a histogram the sum.
    pub value: f64,
    /// Of a histogram, how many were seen.
    pub count: u64,
    /// Of a histogram, the bounds but the last, which has none.
    pub bounds: Vec<f64>,
    /// Of a histogram, how many were seen in each bucket, one more than bounds.
    pub buckets: Vec<u64>,
}

impl Exposed {
    /// The family of that name.
    pub fn family(&self, name: &str) -> Option<&ExposedFamily> {
        self.families.iter().find(|family| family.name == name)
    }

    /// The number of a family with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted = |point: &&Point| {
            point.labels.len() == labels.len()
                && labels.iter().all(|(k, v)| point.labels.iter().any(|(a, b)| a == k && b == v))
        };
        Some(self.family(name)?.points.iter().find(wanted)?.value)
    }
}

/// Reads an exposition; says the first line that makes no sense.
pub fn parse(text: &str) -> Result<Exposed, String> {
    let mut exposed = Exposed::default();
    let mut help = BTreeMap::new();
    let mut is_over = false;
    for line in text.lines() {
        let bad = || format!("this line makes no sense: {line}");
        if is_over {
            return Err(format!("something follows the end: {line}"));
        }
        if line == "# EOF" {
            is_over = true;
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, said) = rest.split_once(' ').ok_or_else(bad)?;
            help.insert(name.to_string(), said.to_string());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(bad)?;
            let kind = match kind {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => return Err(bad()),
            };
            let help = help.remove(name).unwrap_or_default();
            let points = Vec::new();
            exposed.families.push(ExposedFamily { name: name.to_string(), kind, help, points });
        } else {
            let family = exposed.families.last_mut().ok_or_else(bad)?;
            sample(family, line).ok_or_else(bad)?;
        }
    }
    if is_over { Ok(exposed) } else { Err("it has no end".to_string()) }
}

fn sample(family: &mut ExposedFamily, line: &str) -> Option<()> {
    let suffix = line.strip_prefix(family.name.as_str())?;
    let (suffix, labels, value) = match suffix.split_once('{') {
        Some((suffix, rest)) => {
            let (labels, rest) = labels(rest)?;
            (suffix, labels, rest.trim())
        }
        None => {
            let (suffix, value) = suffix.split_once(' ')?;
            (suffix, Vec::new(), value.trim())
        }
    };
    match (family.kind, suffix) {
        (Kind::Counter, "_total") | (Kind::Gauge, "") => {
            point(family, labels).value = value.parse().ok()?;
        }
        (Kind::Histogram, "_sum") => point(family, labels).value = value.parse().ok()?,
        (Kind::Histogram, "_count") => point(family, labels).count = value.parse().ok()?,
        (Kind::Histogram, "_bucket") => bucket(family, labels, value.parse().ok()?)?,
        _ => return None,
    }
    Some(())
}

/// Buckets are exposed as sums from below, and kept as they are between their bounds.
fn bucket(family: &mut ExposedFamily, mut labels: Vec<(String, String)>, upto: u64) -> Option<()> {
    let at = labels.iter().position(|(name, _)| name == "le")?;
    let (_, bound) = labels.remove(at);
    let point = point(family, labels);
    let below: u64 = point.buckets.iter().sum();
    point.buckets.push(upto.checked_sub(below)?);
    if bound != "+Inf" {
        point.bounds.push(bound.parse().ok()?);
    }
    Some(())
}

fn point(family: &mut ExposedFamily, labels: Vec<(String, String)>) -> &mut Point {
    let at = family.points.iter().rposition(|point| point.labels == labels);
    let at = at.unwrap_or_else(|| {
        family.points.push(Point { labels, ..Point::default() });
        family.points.len() - 1
    });
    &mut family.points[at]
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_string(), value));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_read_between_their_bounds() {
        let text = "# HELP a A thing.\n# TYPE a histogram\na_sum{x=\"1\"} 3.5\na_count{x=\"1\"} 3\n\
                    a_bucket{le=\"1.0\",x=\"1\"} 1\na_bucket{le=\"2.0\",x=\"1\"} 3\n\
                    a_bucket{le=\"+Inf\",x=\"1\"} 3\n# EOF\n";
        let exposed = parse(text).expect("it makes sense");
        let point = &exposed.families[0].points[0];
        assert_eq!((point.value, point.count), (3.5, 3));
        assert_eq!(
            (point.bounds.as_slice(), point.buckets.as_slice()),
            (&[1.0, 2.0][..], &[1, 2, 0][..])
        );
        assert_eq!(exposed.families[0].help, "A thing.");
    }

    #[test]
    fn labels_keep_what_was_escaped() {
        let text = "# TYPE a gauge\na{x=\"say \\\"}\\\" \\\\ \\n\",y=\"\"} 1\n# EOF\n";
        let exposed = parse(text).expect("it makes sense");
        assert_eq!(exposed.value("a", &[("x", "say \"}\" \\ \n"), ("y", "")]), Some(1.0));
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "a 1\n# EOF\n", "# TYPE a gauge\nb 1\n# EOF\n", "# EOF\n# EOF\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
