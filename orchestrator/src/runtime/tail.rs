//! What other processes append: found by position, so that nothing is missed and nothing of our
//! own is read twice. The store says when there is something new; that is a hint, and a slow look
//! gives the same result later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::Position;
use dagbook_events::ports::Recorded;
use tokio::sync::mpsc;

use super::news::News;
use super::record::Recorder;
use super::wake::Wake;

/// The longest wait for the store to tell of something new.
const WAIT: Duration = Duration::from_secs(1);
/// How long our own appends are given to be known as ours, so that they are not read again.
const SETTLE: Duration = Duration::from_millis(25);
/// How long a store that is away is left alone.
const PAUSE: Duration = Duration::from_millis(250);

/// Positions that this process appended itself and the tail has not passed yet.
#[derive(Debug, Default, Clone)]
pub(super) struct OwnRanges(Arc<Mutex<std::collections::BTreeMap<u64, u64>>>);

impl OwnRanges {
    pub(super) fn add(&self, first: Position, last: Position) {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.insert(first.0, last.0);
    }

    /// The highest position reached from the cursor by our own events alone.
    fn skip(&self, cursor: Position) -> Position {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reached = cursor.0;
        while let Some(entry) = ranges.first_entry() {
            if *entry.key() > reached + 1 {
                break;
            }
            reached = reached.max(*entry.get());
            entry.remove();
        }
        Position(reached)
    }

    fn covers(&self, position: Position) -> bool {
        let ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let below = ranges.range(..=position.0).next_back();
        below.is_some_and(|(_, last)| *last >= position.0)
    }
}

/// Follows the store until the driver is gone.
pub(super) async fn follow(
    (recorder, news): (Recorder, News),
    own: OwnRanges,
    start: Option<Position>,
    wakes: mpsc::WeakUnboundedSender<Wake>,
) {
    let store = recorder.store().clone();
    let mut cursor = match start {
        Some(start) => start,
        None => loop {
            match store.head().await {
                Ok(head) => break head,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        },
    };
    loop {
        if wakes.upgrade().is_none() {
            return;
        }
        cursor = own.skip(cursor);
        let Ok(head) = store.wait_beyond(cursor, WAIT).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if own.skip(cursor) < head {
            tokio::time::sleep(SETTLE).await;
        }
        cursor = own.skip(cursor);
        while cursor < head {
            let Ok(page) = news.after(cursor).await else { break };
            let Some(last) = page.last().map(|r| r.position) else { break };
            for recorded in &page {
                if !own.covers(recorded.position)
                    && let Some(wakes) = wakes.upgrade()
                {
                    tell(&recorder, recorded, &wakes).await;
                }
            }
            cursor = own.skip(last);
        }
    }
}

async fn tell(recorder: &Recorder, recorded: &Recorded, wakes: &mpsc::UnboundedSender<Wake>) {
    let tenant = recorded.tenant.clone();
    if let Some(run) = recorded.stream.as_run() {
        // An event that cannot be read now is met again when the run itself is read.
        if let Ok(read) = recorder.read(recorded).await {
            let (from, facts) = (recorded.version, vec![read.fact]);
            let _ = wakes.send(Wake::Foreign { tenant, run, from, facts });
        }
    } else if recorded.stream.as_str().starts_with("concurrency/")
        && let Ok(envelope) = Envelope::parse(&recorded.leaf)
        && let Ok(data) = envelope.data_object()
        && let Some(group) = data.get("group").and_then(|g| g.as_str())
    {
        let _ = wakes.send(Wake::GroupChanged { tenant, group: group.to_string() });
    }
}
