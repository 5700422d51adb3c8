//! Hears of appends of other processes at once. Notifications only wake: what the head is, the
//! database says. Whatever is missed, the slow look of those who wait finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use futures_util::stream::poll_fn;
use futures_util::{FutureExt, StreamExt};
use tokio_postgres::AsyncMessage;

use super::read::Reading;
use super::retry::Backoff;
use super::session::connection;
use super::url::PostgresUrl;
use crate::ids::Position;
use crate::journal::wake::Wakeups;

/// The longest wait between two tries to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Listens until it is dropped.
pub(super) struct Listener(tokio::task::JoinHandle<()>);

impl Listener {
    /// `writer`: the process of the server that serves this store's own writer.
    pub(super) fn start(
        url: PostgresUrl,
        reading: Arc<Reading>,
        wakeups: Arc<Wakeups>,
        writer: Arc<AtomicI32>,
    ) -> Self {
        Self(tokio::spawn(async move {
            let mut backoff = Backoff::new(LONGEST_WAIT);
            loop {
                let heard = listen(&url, &reading, &wakeups, &writer).await;
                wakeups.hear(false);
                if heard.is_some() {
                    backoff = Backoff::new(LONGEST_WAIT);
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens until the connection ends. `None`: there never was one.
async fn listen(
    url: &PostgresUrl,
    reading: &Reading,
    wakeups: &Wakeups,
    writer: &AtomicI32,
) -> Option<()> {
    let (client, mut link) = connection(url).connect(url.tls().ok()?).await.ok()?;
    let mut messages = poll_fn(move |context| link.poll_message(context)).fuse();
    // Whoever stands between may take it and never hand anything on: that it is heard is shown by
    // a word of its own, in which nobody finds a position.
    let ask = "LISTEN dagbook_head; NOTIFY dagbook_head, 'heard'";
    let mut begun = client.batch_execute(ask).boxed().fuse();
    // The connection is driven by asking it for messages.
    loop {
        futures_util::select_biased! {
            answer = begun => break answer.ok()?,
            message = messages.next() => match message {
                Some(Ok(message)) => note(&message, wakeups),
                Some(Err(_)) | None => return None,
            },
        }
    }
    // What was appended before nobody told.
    look(reading, wakeups).await;
    while let Some(Ok(message)) = messages.next().await {
        note(&message, wakeups);
        let AsyncMessage::Notification(told) = message else { continue };
        // Its own appends a store knows of without being told.
        let own = told.process_id() == writer.load(Ordering::Relaxed);
        // A number that somebody has made up is asked about and believed no further.
        let news = || told.payload().parse().is_ok_and(|told| Position(told) > wakeups.known());
        if !own && news() {
            look(reading, wakeups).await;
        }
    }
    Some(())
}

/// Any notification shows that notifications come.
fn note(message: &AsyncMessage, wakeups: &Wakeups) {
    if matches!(message, AsyncMessage::Notification(_)) {
        wakeups.hear(true);
    }
}

async fn look(reading: &Reading, wakeups: &Wakeups) {
    if let Ok((_, head)) = reading.head().await {
        wakeups.tell(head);
    }
}
