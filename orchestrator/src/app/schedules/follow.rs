//! Reading all schedules once, and following the store from there.

use std::time::Duration;

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::ports::Recorded;
use tokio::sync::mpsc;

use super::book::Book;
use crate::app::error::AppError;
use crate::app::services::Services;
use crate::app::streams;

/// Streams read at a time.
const PAGE: usize = 500;
/// How long the store is asked for something new before it is asked again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause after the store did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Everything up to the position, which is the head from before the reading.
pub(super) async fn load(services: &Services) -> Result<(Book, Position), AppError> {
    let head = services.store.head().await?;
    let mut book = Book::default();
    for tenant in services.store.log_heads().await?.into_keys() {
        let suspended = is_suspended(services, &tenant).await?;
        book.suspend(&tenant, suspended);
        let mut before: Option<StreamName> = None;
        loop {
            let names = services.store.streams(&tenant, "schedule/", before.as_ref(), PAGE).await?;
            for stream in &names {
                let loaded = streams::load(services.store.as_ref(), &tenant, stream).await?;
                if let Some(name) = stream.as_str().strip_prefix("schedule/") {
                    book.put(&tenant, name, loaded);
                }
            }
            match names.last() {
                Some(last) if names.len() == PAGE => before = Some(last.clone()),
                _ => break,
            }
        }
    }
    Ok((book, head))
}

async fn is_suspended(services: &Services, tenant: &TenantId) -> Result<bool, AppError> {
    let stream = StreamName::new("tenant").map_err(|e| AppError::Internal(e.to_string()))?;
    let (mut suspended, mut version) = (false, 0);
    loop {
        let page = services.store.read_stream(tenant, &stream, version, PAGE).await?;
        for recorded in &page {
            version = recorded.version + 1;
            let envelope = Envelope::parse(&recorded.leaf)
                .map_err(|e| AppError::Damaged(format!("position {}: {e}", recorded.position)))?;
            match envelope.kind.as_str() {
                "tenant.suspended" => suspended = true,
                "tenant.resumed" => suspended = false,
                _ => {}
            }
        }
        if page.len() < PAGE {
            return Ok(suspended);
        }
    }
}

/// Hands on what comes behind the position, in order, until nobody listens.
pub(super) async fn follow(
    services: Services,
    mut cursor: Position,
    pages: mpsc::Sender<Vec<Recorded>>,
) {
    loop {
        let head = tokio::select! {
            () = pages.closed() => return,
            head = services.news.wait_beyond(cursor, PATIENCE) => head,
        };
        let page = match head {
            Ok(head) if head <= cursor => continue,
            Ok(_) => services.news.after(cursor).await,
            Err(error) => Err(error),
        };
        match page {
            Ok(page) => {
                let Some(last) = page.last() else { continue };
                cursor = last.position;
                if pages.send(page).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the schedules cannot follow the store");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
