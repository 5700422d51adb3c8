//! Hears an executor's reports and waits for those that a case is about.

use std::time::Duration;

use dagbook_events::ids::AttemptId;
use dagbook_events::step::{AttemptExit, AttemptReport, ReportBody};

use crate::hub::Reports;
use crate::port::Executor;

/// How long anything may take that must happen.
pub(super) const BOUND: Duration = Duration::from_secs(40);

/// Reports, remembered.
pub struct Watch {
    reports: Reports,
    heard: Vec<AttemptReport>,
}

impl Watch {
    /// From now on.
    pub fn on(executor: &dyn Executor) -> Self {
        Self { reports: executor.watch(), heard: Vec::new() }
    }

    /// Waits for the first report that `wanted` accepts, one heard before included.
    pub async fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&AttemptReport) -> Option<T>,
    ) -> Result<T, String> {
        if let Some(found) = self.heard.iter().find_map(&wanted) {
            return Ok(found);
        }
        let wait = async {
            loop {
                let report = self.reports.recv().await?;
                let found = wanted(&report);
                self.heard.push(report);
                if found.is_some() {
                    return found;
                }
            }
        };
        match tokio::time::timeout(BOUND, wait).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(format!("the executor closed its reports before {what}")),
            Err(_) => Err(format!("no report of {what} within {BOUND:?}")),
        }
    }

    /// Waits until the attempt runs, and gives its process where there is one.
    pub async fn started(&mut self, attempt: AttemptId) -> Result<Option<u32>, String> {
        self.until("a start", |report| match &report.body {
            ReportBody::Started { pid, .. } if report.attempt == attempt => Some(*pid),
            _ => None,
        })
        .await
    }

    /// Waits for the attempt's end.
    pub async fn exit(&mut self, attempt: AttemptId) -> Result<AttemptExit, String> {
        self.until("an exit", |report| match &report.body {
            ReportBody::Exited(exit) if report.attempt == attempt => Some((**exit).clone()),
            _ => None,
        })
        .await
    }

    /// All heard of the attempt so far, with what has arrived meanwhile.
    pub fn all(&mut self, attempt: AttemptId) -> Vec<&AttemptReport> {
        while let Some(report) = self.reports.try_recv() {
            self.heard.push(report);
        }
        self.heard.iter().filter(|report| report.attempt == attempt).collect()
    }

    /// How many exits of the attempt were heard.
    pub fn exits(&mut self, attempt: AttemptId) -> usize {
        let is_exit = |r: &&&AttemptReport| matches!(r.body, ReportBody::Exited(_));
        self.all(attempt).iter().filter(is_exit).count()
    }
}
