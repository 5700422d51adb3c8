//! W3C trace context: which trace a run belongs to, and the spans of its steps and attempts.
//!
//! All ids are derived from what is recorded, so that a replay, or another process that drives
//! the run later, tells of the same trace.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, RunId, StepKey};

/// Id of a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Id of a span within its trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A span somewhere, as `traceparent` names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether whoever began the trace wants it to be kept.
    pub sampled: bool,
}

/// The text is not a trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace context is `00-<32 hexadecimal digits>-<16>-<2>`, and no id of it is zero")]
pub struct InvalidTrace;

impl TraceContext {
    /// The trace of a run that nobody gave one: the run's own span is its root.
    pub fn of_run(run: RunId) -> Self {
        let Sha256Digest(digest) = Sha256Digest::of(run.0.as_bytes());
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&digest[..16]);
        span.copy_from_slice(&digest[16..24]);
        Self { trace: TraceId(trace), span: SpanId(span), sampled: true }
    }

    /// The run's own span, in the trace of whoever asked for the run.
    pub fn of_run_within(run: RunId, asked_by: Option<TraceContext>) -> Self {
        let own = Self::of_run(run);
        match asked_by {
            None => own,
            Some(above) => Self { trace: above.trace, sampled: above.sampled, span: own.span },
        }
    }

    /// A span that has just begun, below `above` or in a trace of its own; its ids are made of
    /// chance.
    pub fn begin(above: Option<TraceContext>, chance: [u8; 24]) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&chance[..16]);
        span.copy_from_slice(&chance[16..]);
        // Chance may give nothing, and nothing is no id.
        trace[15] |= 1;
        span[7] |= 1;
        match above {
            Some(above) => above.with_span(SpanId(span)),
            None => Self { trace: TraceId(trace), span: SpanId(span), sampled: true },
        }
    }

    /// Another span of the same trace.
    pub fn with_span(self, span: SpanId) -> Self {
        Self { span, ..self }
    }
}

impl SpanId {
    /// The span of a step, or of one child of a step that fans out.
    pub fn of_step(run: RunId, step: &StepKey) -> Self {
        Self::derived(&[run.0.as_bytes(), b"/step/", step.as_str().as_bytes()])
    }

    /// The span of an attempt.
    pub fn of_attempt(attempt: AttemptId) -> Self {
        Self::derived(&[attempt.0.as_bytes()])
    }

    /// The span of the time that a step waits for something else than an attempt.
    pub fn of_wait(run: RunId, step: &StepKey) -> Self {
        Self::derived(&[run.0.as_bytes(), b"/wait/", step.as_str().as_bytes()])
    }

    fn derived(parts: &[&[u8]]) -> Self {
        let mut span = [0; 8];
        span.copy_from_slice(&Sha256Digest::of_parts(parts).0[..8]);
        Self(span)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hexadecimal!(TraceId);
hexadecimal!(SpanId);

impl FromStr for TraceContext {
    type Err = InvalidTrace;

    /// Reads version 00, and of a later version the part that it shares with it.
    fn from_str(text: &str) -> Result<Self, InvalidTrace> {
        let bytes = text.trim().as_bytes();
        if bytes.len() < 55 || bytes.len() > 256 {
            return Err(InvalidTrace);
        }
        let dashes = [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
        let [version] = hex::<1>(&bytes[..2])?;
        let fits = match version {
            0 => bytes.len() == 55,
            0xff => false,
            _ => bytes.len() == 55 || bytes[55] == b'-',
        };
        let trace = hex::<16>(&bytes[3..35])?;
        let span = hex::<8>(&bytes[36..52])?;
        let [flags] = hex::<1>(&bytes[53..55])?;
        if !dashes || !fits || trace == [0; 16] || span == [0; 8] {
            return Err(InvalidTrace);
        }
        Ok(Self { trace: TraceId(trace), span: SpanId(span), sampled: flags & 1 == 1 })
    }
}

fn hex<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidTrace> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(InvalidTrace),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Ok(bytes)
}

impl TryFrom<String> for TraceContext {
    type Error = InvalidTrace;
    fn try_from(text: String) -> Result<Self, InvalidTrace> {
        text.parse()
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> String {
        context.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_context_reads_back_as_it_was_written() {
        let context: TraceContext = GIVEN.parse().expect("it is one");
        assert!(context.sampled);
        assert_eq!(context.to_string(), GIVEN);
        let json = serde_json::to_string(&context).expect("plain data");
        assert_eq!(serde_json::from_str::<TraceContext>(&json).expect("the same"), context);
    }

    #[test]
    fn what_is_no_trace_context_is_refused() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(InvalidTrace), "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = GIVEN.replacen("00", "01", 1) + "-more";
        assert_eq!(later.parse::<TraceContext>().expect("known so far").to_string(), GIVEN);
    }

    #[test]
    fn spans_of_one_run_differ() {
        let run = RunId(uuid::Uuid::from_u128(1));
        let key = StepKey::new("a");
        let spans = [
            TraceContext::of_run(run).span,
            SpanId::of_step(run, &key),
            SpanId::of_wait(run, &key),
            SpanId::of_step(run, &StepKey::new("a[0]")),
            SpanId::of_attempt(AttemptId(run.0)),
        ];
        for (index, span) in spans.iter().enumerate() {
            assert!(!spans[index + 1..].contains(span), "{spans:?}");
        }
    }
}
