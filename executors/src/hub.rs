//! Spreads reports to everyone who watches, and keeps those of attempts that are not released,
//! so that someone who comes later, or comes back, hears them too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dagbook_events::ids::AttemptId;
use dagbook_events::step::{AttemptReport, ReportBody};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Reports of an executor, in order per attempt. There is a handful for each attempt, and now and
/// then a measurement, so the queue behind it needs no bound of its own.
#[derive(Debug)]
pub struct Reports(UnboundedReceiver<AttemptReport>);

impl Reports {
    /// The next report; `None` once the executor is gone.
    pub async fn recv(&mut self) -> Option<AttemptReport> {
        self.0.recv().await
    }

    /// A report that is there already.
    pub fn try_recv(&mut self) -> Option<AttemptReport> {
        self.0.try_recv().ok()
    }
}

#[derive(Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    watchers: Vec<UnboundedSender<AttemptReport>>,
    kept: BTreeMap<AttemptId, Vec<AttemptReport>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new watcher, told first what is kept.
    pub(crate) fn watch(&self) -> Reports {
        let (sender, receiver) = unbounded_channel();
        let mut inner = self.lock();
        for report in inner.kept.values().flatten() {
            let _ = sender.send(report.clone());
        }
        inner.watchers.push(sender);
        Reports(receiver)
    }

    /// Keeps the report and tells everyone. Nothing follows an exit, and an exit is said once:
    /// what comes after it is dropped here.
    pub(crate) fn send(&self, report: AttemptReport) {
        let mut inner = self.lock();
        let kept = inner.kept.entry(report.attempt).or_default();
        let ended = kept.iter().any(|r| matches!(r.body, ReportBody::Exited(_)));
        let once = matches!(report.body, ReportBody::Started { .. } | ReportBody::Stopping);
        if ended || once && kept.iter().any(|r| r.body == report.body) {
            return;
        }
        // Of what is measured only the last counts.
        if matches!(report.body, ReportBody::Usage(_)) {
            kept.retain(|kept| !matches!(kept.body, ReportBody::Usage(_)));
        }
        kept.push(report.clone());
        Self::tell(&mut inner, report);
    }

    /// Tells everyone again, as a faulty transport does.
    pub(crate) fn repeat(&self, report: AttemptReport) {
        Self::tell(&mut self.lock(), report);
    }

    /// Keeps the report for those who come later, and tells nobody: a report that was lost.
    pub(crate) fn lose(&self, report: AttemptReport) {
        self.lock().kept.entry(report.attempt).or_default().push(report);
    }

    /// Tells everyone what is kept of an attempt, again.
    pub(crate) fn replay(&self, attempt: AttemptId) {
        let mut inner = self.lock();
        for report in inner.kept.get(&attempt).cloned().unwrap_or_default() {
            Self::tell(&mut inner, report);
        }
    }

    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.lock().kept.remove(&attempt);
    }

    /// Ends every watcher's stream.
    pub(crate) fn close(&self) {
        self.lock().watchers.clear();
    }

    fn tell(inner: &mut Inner, report: AttemptReport) {
        match inner.watchers.as_slice() {
            // The usual case, without a copy.
            [only] => {
                if only.send(report).is_err() {
                    inner.watchers.clear();
                }
            }
            _ => inner.watchers.retain(|watcher| watcher.send(report.clone()).is_ok()),
        }
    }
}
