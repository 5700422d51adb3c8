//! A schedule and the backfill of its past, for drills: whoever leads, each instant has one run.

use std::collections::BTreeMap;

use dagbook::app::streams;
use dagbook::runtime::record::Recorder;
use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::schedule::ScheduleEvent;
use dagbook_events::time::{Millis, Timestamp};
use dagbook_tests::servers::eventually;
use reqwest::Method;
use serde_json::json;

use crate::SOON;
use crate::api::Api;
use crate::leader::now_ms;

const NAME: &str = "minutely";

/// A schedule that is fired each minute, and for so many minutes of the past, one a second.
pub struct Ticks {
    tenant: &'static str,
    from: Timestamp,
    past: u64,
}

fn minute(ms: u64) -> Timestamp {
    Timestamp(i64::try_from(ms - ms % 60_000).expect("not so soon"))
}

impl Ticks {
    /// Makes it.
    pub async fn begin(api: &Api, tenant: &'static str, dag: &str, past: u64) -> Self {
        let body = json!({ "dag": dag });
        let registered = api.put(tenant, Method::PUT, "pipelines/drill", body).await;
        assert_eq!(registered.0, 201, "{registered:?}");
        let to = minute(now_ms());
        let from = to - Millis::seconds(60 * past);
        let spec = json!({ "pipeline": "drill", "cron": "* * * * *", "overlap": "allow",
            "catch_up": "all" });
        let body = json!({ "name": NAME, "spec": spec });
        let made = api.put(tenant, Method::POST, "schedules", body).await;
        assert_eq!(made.0, 201, "{made:?}");
        let ask = json!({ "from": from.to_rfc3339(), "to": to.to_rfc3339(),
            "rate_per_minute": 60, "max_parallel": 10 });
        let path = format!("schedules/{NAME}/backfill");
        let asked = api.put(tenant, Method::POST, &path, ask).await;
        assert!((200..300).contains(&asked.0), "{asked:?}");
        Self { tenant, from, past }
    }

    /// Waits until the past is made up for, ends the schedule, and says which runs it made.
    ///
    /// # Panics
    /// Where an instant was fired twice or not at all.
    pub async fn end(self, api: &Api, recorder: &Recorder) -> BTreeMap<RunId, TenantId> {
        let tenant = TenantId::new(self.tenant).expect("a slug");
        let past = usize::try_from(self.past).expect("small");
        let whole = || async {
            let made_up = fired(recorder, &tenant).await.into_iter().filter(|it| it.2);
            (made_up.count() >= past).then_some(())
        };
        eventually("the past to be made up for", SOON * 3, whole).await;
        let path = format!("schedules/{NAME}/pause");
        let paused = api.put(self.tenant, Method::POST, &path, json!({})).await;
        assert!((200..300).contains(&paused.0), "{paused:?}");
        let fired = fired(recorder, &tenant).await;
        let runs: BTreeMap<RunId, TenantId> =
            fired.iter().map(|(_, run, _)| (*run, tenant.clone())).collect();
        assert_eq!(runs.len(), fired.len(), "a run of its own for each firing: {fired:?}");
        let minutes = |from: Timestamp, n: usize| -> Vec<Timestamp> {
            (0..n as u64).map(|n| from + Millis::seconds(60 * n)).collect()
        };
        let instants = |of_past: bool| -> Vec<Timestamp> {
            let mut all: Vec<_> =
                fired.iter().filter(|it| it.2 == of_past).map(|it| it.0).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(instants(true), minutes(self.from, past), "each minute of the past once");
        let since = instants(false);
        if let Some(first) = since.first() {
            assert_eq!(since, minutes(*first, since.len()), "and each since then");
        }
        for run in runs.keys() {
            let there = || async {
                let facts = recorder.facts(&tenant, *run).await.ok()?;
                (!facts.is_empty()).then_some(())
            };
            eventually("the run of a firing", SOON, there).await;
        }
        runs
    }
}

/// Instants and runs of all firings, and whether they make up for the past.
async fn fired(recorder: &Recorder, tenant: &TenantId) -> Vec<(Timestamp, RunId, bool)> {
    let stream = StreamName::new(&format!("schedule/{NAME}")).expect("a name");
    let all = recorder.store().read_stream(tenant, &stream, 0, 10_000).await.expect("it is read");
    let events = all.iter().filter_map(|it| streams::read::<ScheduleEvent>(it).expect("ours"));
    let one = |(_, event)| match event {
        ScheduleEvent::Fired(it) => Some((it.instant, it.run, it.backfill.is_some())),
        _ => None,
    };
    events.filter_map(one).collect()
}
