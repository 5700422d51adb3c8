//! A reader that only ever asks for what is behind what it has seen.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::Position;
use dagbook_events::ports::{EventStore, ReadError};
use dagbook_events::tlog::leaf_hash;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PAGE: usize = 500;
/// How long it waits for news at a time.
const WAIT: Duration = Duration::from_millis(250);

/// What a reader saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Leaf hashes; the first is that of position 1.
    pub hashes: Vec<Sha256Digest>,
    /// What it should not have seen.
    pub surprises: Vec<String>,
    /// How often it could not read.
    pub failures: u64,
}

/// A reader at work.
pub struct Tail {
    task: JoinHandle<Seen>,
    until: watch::Sender<Option<u64>>,
}

impl Tail {
    /// Begins before the first event.
    pub fn start(store: Arc<dyn EventStore>) -> Self {
        let until = watch::Sender::new(None);
        let task = tokio::spawn(follow(store, until.subscribe()));
        Self { task, until }
    }

    /// Lets it read up to this position and says what it saw.
    ///
    /// # Panics
    /// Where it does not get there in a minute.
    pub async fn finish(self, head: Position) -> Seen {
        let _ = self.until.send(Some(head.0));
        let seen = tokio::time::timeout(Duration::from_secs(60), self.task).await;
        seen.expect("the reader reaches the head").expect("the reader does not fail")
    }
}

async fn follow(store: Arc<dyn EventStore>, until: watch::Receiver<Option<u64>>) -> Seen {
    let mut seen = Seen::default();
    loop {
        let cursor = seen.hashes.len() as u64;
        if until.borrow().is_some_and(|last| cursor >= last) {
            return seen;
        }
        match read(store.as_ref(), Position(cursor)).await {
            Err(ReadError::Unavailable(_)) => {
                seen.failures += 1;
                tokio::time::sleep(WAIT / 10).await;
            }
            Err(error) => {
                seen.surprises.push(error.to_string());
                return seen;
            }
            Ok(page) => {
                for (position, hash) in page {
                    let expected = seen.hashes.len() as u64 + 1;
                    if position != expected {
                        let text = format!("the reader saw {position} where {expected} was next");
                        seen.surprises.push(text);
                        return seen;
                    }
                    seen.hashes.push(hash);
                }
            }
        }
    }
}

async fn read(
    store: &dyn EventStore,
    cursor: Position,
) -> Result<Vec<(u64, Sha256Digest)>, ReadError> {
    if store.wait_beyond(cursor, WAIT).await? <= cursor {
        return Ok(Vec::new());
    }
    let page = store.read_after(cursor, PAGE).await?;
    Ok(page.iter().map(|event| (event.position.0, leaf_hash(&event.leaf))).collect())
}
