//! Whoever dies is missed: a task that ends before the server stops ends the process, with a
//! message. Nothing goes on with a part of itself gone.

use std::sync::Arc;

use tokio::sync::watch;

/// What died, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Knows what died first.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    failed: watch::Sender<Option<Failure>>,
    quiet: watch::Sender<bool>,
}

impl Default for Supervisor {
    fn default() -> Self {
        let (failed, quiet) = (watch::Sender::new(None), watch::Sender::new(false));
        Self(Arc::new(Inner { failed, quiet }))
    }
}

impl Supervisor {
    /// Runs the task; its end is a failure.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let supervisor = self.clone();
        let task = tokio::spawn(task);
        tokio::spawn(async move {
            let how = match task.await {
                Ok(()) => "ended",
                Err(error) if error.is_panic() => "panicked",
                // The runtime is going away.
                Err(_) => return,
            };
            supervisor.fail(format!("{name} {how}"));
        });
    }

    /// Something died. The first is kept; none counts once the server stops.
    pub fn fail(&self, what: String) {
        if *self.0.quiet.borrow() {
            return;
        }
        self.0.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                tracing::error!("{what}");
                *failed = Some(Failure(what));
            }
            first
        });
    }

    /// From now on the server stops, and ends are no failures.
    pub fn quiet(&self) {
        self.0.quiet.send_replace(true);
    }

    /// Returns when something has died.
    pub async fn failed(&self) -> Failure {
        let mut failed = self.0.failed.subscribe();
        match failed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(failure)) => failure.clone(),
            // The sender lives in `self`.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let supervisor = Supervisor::default();
        supervisor.spawn("the counter of sheep", async { panic!("no sheep") });
        let failure = supervisor.failed().await;
        assert_eq!(failure.to_string(), "the counter of sheep panicked");
        supervisor.fail("later".to_string());
        assert_eq!(supervisor.failed().await, failure, "the first one is kept");
    }

    #[tokio::test]
    async fn what_ends_while_the_server_stops_is_no_failure() {
        let supervisor = Supervisor::default();
        supervisor.quiet();
        supervisor.fail("the engine ended".to_string());
        let waited = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(waited, supervisor.failed()).await.is_err());
    }
}
