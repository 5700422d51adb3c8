//! What other processes append: found by position, so that nothing is missed and nothing of our
//! own is read twice. A hint from the bus would only make it quicker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::Position;
use dagbook_events::ports::Recorded;
use tokio::sync::mpsc;

use super::record::Recorder;
use super::wake::Wake;

/// How often other processes' events are looked for.
const INTERVAL: Duration = Duration::from_millis(250);

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
    recorder: Recorder,
    own: OwnRanges,
    start: Position,
    wakes: mpsc::WeakUnboundedSender<Wake>,
) {
    let mut cursor = start;
    loop {
        tokio::time::sleep(INTERVAL).await;
        if wakes.upgrade().is_none() {
            return;
        }
        cursor = own.skip(cursor);
        let Ok(head) = recorder.store().head().await else { continue };
        while cursor < head {
            let Ok(page) = recorder.store().read_after(cursor, 500).await else { break };
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
    if let Some(run) = recorded.stream.as_run() {
        // An event that cannot be read now is met again when the run itself is read.
        if let Ok(read) = recorder.read(recorded).await {
            let wake = Wake::Foreign { run, from: recorded.version, facts: vec![read.fact] };
            let _ = wakes.send(wake);
        }
    } else if recorded.stream.as_str().starts_with("concurrency/")
        && let Ok(envelope) = Envelope::parse(&recorded.leaf)
        && let Ok(data) = envelope.data_object()
        && let Some(group) = data.get("group").and_then(|g| g.as_str())
    {
        let _ = wakes.send(Wake::GroupChanged { group: group.to_string() });
    }
}
