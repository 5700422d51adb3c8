//! Wake-ups between processes: the newest head, told over plain NATS.
//!
//! A hint that finds another one still waiting to go out replaces it, so publishing never
//! waits for the network. Hints are lost while there is no connection; the newest one goes out
//! when there is one again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::connect::Nats;
use crate::ids::{Position, TenantId};
use crate::ports::{BusError, EventBus, Wake};

/// The subject of wake-ups.
pub const WAKE_SUBJECT: &str = "dagbook.wake";

/// Pause before another attempt after a refusal.
const PAUSE: Duration = Duration::from_millis(500);

/// Carries hints between all processes that share a NATS account.
pub struct JetStreamBus {
    head: Arc<watch::Sender<Position>>,
    outgoing: watch::Sender<Option<Wake>>,
    tasks: [AbortHandle; 2],
}

impl JetStreamBus {
    /// A bus over [`WAKE_SUBJECT`]. Must be called within a tokio runtime.
    pub fn new(nats: Nats) -> Self {
        Self::on(nats, WAKE_SUBJECT)
    }

    /// A bus over a subject of its own, so that several sites can share an account.
    pub fn on(nats: Nats, subject: &str) -> Self {
        let head = Arc::new(watch::Sender::new(Position(0)));
        let (outgoing, pending) = watch::channel(None);
        let tell = tell(nats.clone(), subject.to_string(), pending);
        let listen = listen(nats, subject.to_string(), Arc::clone(&head));
        let tasks = [tokio::spawn(tell).abort_handle(), tokio::spawn(listen).abort_handle()];
        Self { head, outgoing, tasks }
    }
}

impl Drop for JetStreamBus {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Hints may come late and out of order; the number only grows.
fn raise(head: &watch::Sender<Position>, to: Position) {
    head.send_if_modified(|head| {
        let newer = to > *head;
        *head = to.max(*head);
        newer
    });
}

/// Sends the newest hint, one at a time.
async fn tell(nats: Nats, subject: String, mut pending: watch::Receiver<Option<Wake>>) {
    let mut epoch = nats.epoch();
    while pending.changed().await.is_ok() {
        loop {
            let wake = pending.borrow_and_update().clone();
            let Some(Wake { tenant, head }) = wake else { break };
            epoch.borrow_and_update();
            let sent = async {
                let client = nats.client().ok()?;
                let text = format!("{head} {tenant}");
                client.publish(subject.clone(), text.into()).await.ok()?;
                client.flush().await.ok()
            };
            if nats.within("wake others", sent).await.is_ok_and(|sent| sent.is_some()) {
                break;
            }
            let _ = tokio::time::timeout(PAUSE, epoch.changed()).await;
        }
    }
}

/// Takes in what others tell, and what we told ourselves.
async fn listen(nats: Nats, subject: String, head: Arc<watch::Sender<Position>>) {
    let mut epoch = nats.epoch();
    loop {
        epoch.borrow_and_update();
        let subscribed = async { nats.client().ok()?.subscribe(subject.clone()).await.ok() };
        if let Ok(Some(mut hints)) = nats.within("hear others", subscribed).await {
            // A subscription outlives reconnections, and ends with its client.
            while let Some(hint) = hints.next().await {
                if let Some(told) = read(&hint.payload) {
                    raise(&head, told);
                }
            }
        }
        let _ = tokio::time::timeout(PAUSE, epoch.changed()).await;
    }
}

/// `<head> <tenant>`; anything else is passed over.
fn read(payload: &[u8]) -> Option<Position> {
    let text = std::str::from_utf8(payload.get(..payload.len().min(128))?).ok()?;
    let (head, tenant) = text.split_once(' ')?;
    TenantId::new(tenant).ok()?;
    head.parse().ok().map(Position)
}

#[async_trait]
impl EventBus for JetStreamBus {
    async fn publish(&self, wake: Wake) -> Result<(), BusError> {
        raise(&self.head, wake.head);
        self.outgoing.send_if_modified(|pending| {
            // The same head again is told again: somebody may not have listened before.
            let newer = pending.as_ref().is_none_or(|pending| wake.head >= pending.head);
            if newer {
                *pending = Some(wake);
            }
            newer
        });
        Ok(())
    }

    async fn wait_beyond(&self, seen: Position) -> Result<Position, BusError> {
        let mut head = self.head.subscribe();
        let closed = |_| BusError::Unavailable("the bus is closed".to_string());
        let beyond = head.wait_for(|head| *head > seen).await.map_err(closed)?;
        Ok(*beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_and_a_tenant_are_a_hint() {
        assert_eq!(read(b"17 acme"), Some(Position(17)));
        for nonsense in [&b"17"[..], b"x acme", b"17 Not A Tenant", b"\xff 1", b"-1 acme", b""] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }
}
