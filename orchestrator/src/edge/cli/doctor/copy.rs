//! NATS and the second copy: reachable, set so that it keeps what it acknowledged, and not
//! behind.

use dagbook_events::journal::bus::jetstream::{CopyFacts, NatsFacts, SyncInterval};
use dagbook_events::ports::RecordCopy;

use super::{Check, Standing};
use crate::edge::cli::{Context, output};
use crate::wiring::Jet;

/// A copy that is further behind than this is a warning.
const LAG_ALLOWED: u64 = 10_000;

pub(super) async fn checks(ctx: &Context, standing: Option<Standing>) -> Vec<Check> {
    let Some(jet) = Jet::of(ctx.config()) else {
        return vec![
            Check::ok("copy", "none: no `bus` is configured")
                .hint("a second copy in NATS JetStream lets a witness vouch for the record"),
        ];
    };
    let unreachable = |text: String| {
        vec![
            Check::broken("nats", format!("{}: {text}", jet.shown()))
                .hint("nothing is appended without it: see ops/runbooks/relay-lagging.md"),
        ]
    };
    if let Err(error) = jet.ready().await {
        return unreachable(error.to_string());
    }
    let timeline = standing.map_or(1, |standing| standing.timeline);
    let facts = match jet.copy.facts(timeline).await {
        Ok(facts) => facts,
        Err(error) => return unreachable(error.to_string()),
    };
    let mut checks = vec![server(&jet, &facts), sync(&facts)];
    checks.push(match (&facts.copy, standing) {
        (None, _) => Check::warning("copy", format!("there is none of timeline {timeline} yet"))
            .hint("the next command that appends makes it, and so does `dagbook relay`"),
        (Some(copy), standing) => lag(&jet, copy, standing).await,
    });
    checks
}

fn server(jet: &Jet, facts: &NatsFacts) -> Check {
    let batches = if facts.atomic_batches { "atomic batches" } else { "no atomic batches" };
    let tls = if facts.tls { "encrypted" } else { "not encrypted" };
    let cluster = facts.cluster.as_deref().map(|name| format!(", cluster {}", output::clean(name)));
    let detail = format!(
        "{}: version {}{}, JetStream, {batches}, {tls}",
        jet.shown(),
        output::clean(&facts.version),
        cluster.unwrap_or_default()
    );
    match facts.atomic_batches {
        true => Check::ok("nats", detail),
        false => Check::ok("nats", detail)
            .hint("servers from 2.12 on take batches as a whole, which is faster"),
    }
}

fn sync(facts: &NatsFacts) -> Check {
    let hint = "set `sync_interval: always` in the server's `jetstream` block; a tail that is \
                lost is brought back from the store, but until then the copy vouches for less";
    match &facts.sync {
        SyncInterval::Always => Check::ok("sync", "before each acknowledgement"),
        SyncInterval::Every(span) => Check::warning(
            "sync",
            format!("only every {} s: what came since is lost with the machine", span.as_secs()),
        )
        .hint(hint),
        SyncInterval::Unknown(why) => Check::ok("sync", format!("not known: {why}")).hint(hint),
    }
}

async fn lag(jet: &Jet, copy: &CopyFacts, standing: Option<Standing>) -> Check {
    let events = output::count(copy.messages as usize, "event");
    let detail = format!(
        "{}: {events}, {}, {}",
        copy.stream,
        output::bytes(copy.bytes),
        output::count(copy.replicas as usize, "replica")
    );
    if let Some(first) = copy.differences.first() {
        return Check::broken("copy", format!("{detail}; {}", output::clean(first)))
            .hint("see ops/runbooks/copy-diverged.md");
    }
    if copy.messages > 0 && copy.first != 1 {
        let first = copy.first;
        return Check::broken("copy", format!("{detail}; it begins at position {first}"))
            .hint("see ops/runbooks/copy-diverged.md");
    }
    let Some(standing) = standing else { return Check::ok("copy", detail) };
    // Asked after the store, so that a copy that is ahead really is.
    let last = match jet.copy.last(standing.timeline).await {
        Ok(last) => last.0,
        Err(error) => return Check::broken("copy", error.to_string()),
    };
    let (head, late) = (standing.position, standing.position.saturating_sub(last));
    if last > head + LAG_ALLOWED {
        return Check::broken("copy", format!("{detail}; it ends at {last}, the record at {head}"))
            .hint("the store was restored from an older copy: see ops/runbooks/store-restored.md");
    }
    if last > head {
        return Check::warning(
            "copy",
            format!("{detail}; it ends at {last}, the record at {head}"),
        )
        .hint("where nothing is running now, see ops/runbooks/store-restored.md");
    }
    match late {
        0 => Check::ok("copy", format!("{detail}, up to date")),
        1..=LAG_ALLOWED => Check::ok("copy", format!("{detail}, {late} behind")),
        _ => Check::warning("copy", format!("{detail}, {late} behind"))
            .hint("see ops/runbooks/relay-lagging.md"),
    }
}
