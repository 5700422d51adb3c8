//! The law books of the ports: every adapter, real or fake, passes all of its port's laws.
//!
//! A law is one named function that panics where it is broken. An ability that an adapter
//! does not have is declared by it and shows in the report; nothing is skipped silently.

pub mod blobs;
pub mod bus;
pub mod copy;
pub mod objects;
pub mod shelf;
pub mod store;

use std::fmt;
use std::pin::Pin;

/// What a law says about an adapter, if it does not panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Kept,
    /// The adapter has declared that it lacks what the law is about.
    NotApplicable(&'static str),
}

/// What became of one law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was tried.
    Tried(Verdict),
    /// It is broken.
    Broken(String),
}

/// All laws with their outcomes, in the order of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<(&'static str, Outcome)>);

impl Report {
    /// # Panics
    /// When a law is broken; the message names each such law and what broke it.
    pub fn assert_kept(&self) {
        let broken = self.0.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Broken(_)));
        assert!(broken.count() == 0, "laws are broken:\n{self}");
    }

    /// Laws that were declared not to apply.
    pub fn not_applicable(&self) -> Vec<&'static str> {
        let declared =
            |outcome: &Outcome| matches!(outcome, Outcome::Tried(Verdict::NotApplicable(_)));
        self.0.iter().filter(|(_, outcome)| declared(outcome)).map(|(law, _)| *law).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (law, outcome) in &self.0 {
            match outcome {
                Outcome::Tried(Verdict::Kept) => writeln!(f, "kept    {law}")?,
                Outcome::Tried(Verdict::NotApplicable(why)) => writeln!(f, "n/a     {law}: {why}")?,
                Outcome::Broken(why) => writeln!(f, "BROKEN  {law}: {why}")?,
            }
        }
        Ok(())
    }
}

type Trial = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Tries one law on a task of its own, so that a panic ends only that law.
async fn try_law(trial: Trial) -> Outcome {
    match tokio::spawn(trial).await {
        Ok(verdict) => Outcome::Tried(verdict),
        Err(error) => Outcome::Broken(reason(error)),
    }
}

fn reason(error: tokio::task::JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "it was cancelled".to_string() };
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_string()))
        .unwrap_or_else(|| "it panicked".to_string())
}
