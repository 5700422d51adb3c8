//! The bus within one process: a watched number.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::ids::Position;
use crate::ports::{BusError, EventBus, Wake};

/// Carries hints between tasks of one process.
#[derive(Debug)]
pub struct InProcessBus {
    head: watch::Sender<Position>,
}

impl InProcessBus {
    /// A bus that has carried nothing.
    pub fn new() -> Self {
        Self { head: watch::Sender::new(Position(0)) }
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventBus for InProcessBus {
    async fn publish(&self, wake: Wake) -> Result<(), BusError> {
        // Hints may come late and out of order; the number only grows.
        self.head.send_if_modified(|head| {
            let newer = wake.head > *head;
            *head = wake.head.max(*head);
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
