//! Samples, their medians, and ratios between them.

use serde::Serialize;

/// All samples of one figure.
#[derive(Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Such as `events/s`.
    pub unit: &'static str,
    /// One a round.
    pub samples: Vec<f64>,
}

/// A figure set against another one.
struct Comparison {
    name: String,
    against: String,
    /// The ratio to reach; `None` for what is only told. Negative: not to be exceeded.
    target: Option<f64>,
}

/// What a suite measured.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    comparisons: Vec<Comparison>,
    demands: Vec<(String, f64)>,
}

impl Report {
    /// Adds one round's sample.
    pub fn sample(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.samples.push(value),
            None => {
                let name = name.to_string();
                self.figures.push(Figure { name, unit, samples: vec![value] });
            }
        }
    }

    /// How many rounds have a sample of this figure.
    pub fn rounds_of(&self, name: &str) -> usize {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.map_or(0, |figure| figure.samples.len())
    }

    /// Sets a figure against a ceiling of the same run.
    pub fn compare(&mut self, name: &str, against: &str, target: Option<f64>) {
        let (name, against) = (name.to_string(), against.to_string());
        self.comparisons.push(Comparison { name, against, target });
    }

    /// Demands that a figure's median be at most so much (`value` > 0) or, negative, at least
    /// its absolute value.
    pub fn demand(&mut self, name: &str, value: f64) {
        self.demands.push((name.to_string(), value));
    }

    /// Medians, then ratios, for people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for figure in &self.figures {
            let (low, high) = range(&figure.samples);
            out.push_str(&format!(
                "{:<44} {:>14} {:<10} ({} to {})\n",
                figure.name,
                rounded(median(&figure.samples)),
                figure.unit,
                rounded(low),
                rounded(high)
            ));
        }
        out.push('\n');
        for line in &self.comparisons {
            let Some(ratio) = self.ratio(&line.name, &line.against) else { continue };
            let verdict = match line.target {
                None => String::new(),
                Some(target) if target < 0.0 => {
                    format!("at most {:.2}: {}", -target, word(ratio <= -target))
                }
                Some(target) => format!("at least {target:.2}: {}", word(ratio >= target)),
            };
            let pair = format!("{} / {}", line.name, line.against);
            out.push_str(&format!("{pair:<72} {ratio:>6.3}  {verdict}\n"));
        }
        for (name, value) in &self.demands {
            let Some(ours) = self.median(name) else { continue };
            let (bound, reached) = match *value < 0.0 {
                true => ("at least", ours >= -value),
                false => ("at most", ours <= *value),
            };
            let target = rounded(value.abs());
            out.push_str(&format!("{name:<72} {bound} {target}: {}\n", word(reached)));
        }
        out
    }

    /// One figure a line, with all its samples.
    pub fn json_lines(&self) -> serde_json::Result<String> {
        let lines: Result<Vec<String>, _> =
            self.figures.iter().map(serde_json::to_string).collect();
        Ok(lines?.join("\n") + "\n")
    }

    /// The median of a figure.
    pub fn median(&self, name: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.name == name)?;
        Some(median(&figure.samples))
    }

    /// The median of the rounds' ratios. Both samples of a round were taken side by side, so
    /// that a minute in which the machine was busy does not count for one of them alone.
    fn ratio(&self, name: &str, against: &str) -> Option<f64> {
        let samples = |name: &str| {
            let figure = self.figures.iter().find(|figure| figure.name == name);
            figure.map(|figure| figure.samples.as_slice())
        };
        let pairs = samples(name)?.iter().zip(samples(against)?);
        Some(median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>()))
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => sorted[middle],
        (_, middle) => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

fn range(samples: &[f64]) -> (f64, f64) {
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    (low, samples.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn rounded(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

fn word(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}
