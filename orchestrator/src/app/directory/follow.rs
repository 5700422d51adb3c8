//! Keeps the book current: waits for news of the record and takes them in.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dagbook_events::ids::Position;

use super::Shared;
use super::book::{Book, Taken};
use crate::app::error::AppError;

/// The longest wait for news; also how soon a store that has come back is noticed.
const WAIT: Duration = Duration::from_millis(500);
/// How long a store that is away is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// How often last uses are written down, at the soonest.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Never returns.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut is_away = false;
    loop {
        match turn(&shared).await {
            Ok(()) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("the directory of tokens follows the record again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(%error, "the directory of tokens cannot follow the record");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Writes down when tokens were used, apart from the book, which must not wait for it. Never
/// returns.
pub(super) async fn note_uses(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(NOTE_EVERY).await;
        // It is for people only; what cannot be noted now is noted with a later use.
        if let Err(error) = shared.used.write(shared.shelf.as_ref()).await {
            tracing::debug!(%error, "last uses of tokens were not noted");
        }
    }
}

async fn turn(shared: &Shared) -> Result<(), AppError> {
    let reached = shared.book().reached;
    let head = shared.news.wait_beyond(reached, WAIT).await?;
    if head < reached {
        // The record was put back to an older state.
        return load_again(shared).await;
    }
    let mut cursor = reached;
    while cursor < head {
        let page = shared.news.after(cursor).await?;
        let Some(last) = page.last() else { break };
        cursor = last.position;
        let mut has_gap = false;
        {
            let mut book = shared.book.write().unwrap_or_else(PoisonError::into_inner);
            for recorded in &page {
                has_gap |= book.take(recorded)? == Taken::Gap;
            }
            if !has_gap {
                book.reached = cursor;
            }
        }
        if has_gap {
            return load_again(shared).await;
        }
        reach(shared, cursor);
    }
    shared.saw_the_record();
    Ok(())
}

async fn load_again(shared: &Shared) -> Result<(), AppError> {
    let book = Book::load(shared.store.as_ref(), [&shared.home, &shared.site]).await?;
    let reached = book.reached;
    *shared.book.write().unwrap_or_else(PoisonError::into_inner) = book;
    reach(shared, reached);
    shared.saw_the_record();
    Ok(())
}

fn reach(shared: &Shared, position: Position) {
    shared.reached.send_replace(position);
}
