//! One line for each fact, for logs and pipes.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use dagbook_events::run::{RunFact, RunState};
use dagbook_events::time::Timestamp;

use super::Progress;
use super::words::{Mood, sentence};

/// Writes lines to stderr.
#[derive(Debug, Default)]
pub struct Plain;

impl Progress for Plain {
    fn facts(&mut self, state: &RunState, facts: &[RunFact]) {
        let mut out = anstream::stderr().lock();
        for fact in facts {
            let Some((subject, mood, text)) = sentence(state, fact) else { continue };
            let clock = &fact.at.to_rfc3339()[11..19];
            let style = style(mood);
            // Nobody to tell when stderr is gone.
            let _ = writeln!(out, "{clock} {style}{subject}{style:#} {text}");
        }
    }

    fn tick(&mut self, _state: &RunState, _now: Timestamp) {}

    fn note(&mut self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    fn close(&mut self) {}
}

pub(super) fn style(mood: Mood) -> Style {
    match mood {
        Mood::Plain => Style::new().bold(),
        Mood::Good => Style::new().fg_color(Some(AnsiColor::Green.into())).bold(),
        Mood::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
        Mood::Dim => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
    }
}
