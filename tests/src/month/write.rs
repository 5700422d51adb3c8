//! The history, appended in the order of time.

use std::sync::Arc;

use anyhow::{Context, Result};
use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::billing::{
    BILLING_STREAM, BillingEvent, CardAdopted, ContractPublished, PeriodKind, PeriodOpened,
};
use dagbook_events::canonical;
use dagbook_events::conformance::store::ManualClock;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{EventId, StreamName};
use dagbook_events::ports::{Actor, AppendRequest, EventStore, Expected, NewEvent, StreamAppend};
use dagbook_events::rating::Ledger;
use dagbook_events::time::{Millis, Timestamp};
use serde_json::Value;

use super::attempts::{Attempt, DAY, Record, attempts};
use super::audit::{Invoiced, close, ledger};
use super::events::id;
use super::money::{card, contract};
use super::{PERIODS, Shape, Tenant, instant, tenants};

/// Records that are appended together.
const TOGETHER: usize = 96;

/// A step of a tenant's account, and when.
enum Account {
    Card(u32, i64),
    Contract(i64),
    Open(usize),
    Close(usize),
}

/// Writes the history into a store that takes its time from the clock, and closes the periods.
///
/// # Errors
/// Where the store refuses, or what was written cannot be rated.
pub async fn record(
    store: &dyn EventStore,
    clock: &ManualClock,
    shape: Shape,
) -> Result<Vec<Invoiced>> {
    let tenants = tenants();
    let (attempts, records) = attempts(shape, &tenants);
    let mut accounts: Vec<(i64, usize, Account)> = Vec::new();
    for (number, tenant) in tenants.iter().enumerate() {
        accounts.extend(account(tenant).into_iter().map(|(at, what)| (at, number, what)));
    }
    accounts.sort_by_key(|(at, tenant, _)| (*at, *tenant));
    let mut writer = Writer::new(store, clock, tenants, attempts)?;
    let mut rest = records.as_slice();
    for (at, tenant, what) in accounts {
        let before = rest.partition_point(|(when, ..)| *when < at);
        let (now, later) = rest.split_at(before);
        writer.usage(now).await?;
        rest = later;
        writer.account(at, tenant, what).await?;
    }
    // What comes behind the last closing is there and counts for nobody.
    writer.usage(rest).await?;
    Ok(writer.invoiced)
}

/// Cards before the first month and in the middle of the second; periods a day before they begin;
/// closings two days behind their ends.
fn account(tenant: &Tenant) -> Vec<(i64, Account)> {
    let [september, october, november, _] = tenant.bounds;
    let day = DAY as i64;
    let change = instant("2026-10-16T00:00:00Z");
    let mut all = vec![
        (september - day, Account::Card(1, september)),
        (change - 3 * day, Account::Card(2, change)),
        (september - day, Account::Open(0)),
        (october - day, Account::Open(1)),
        (november - day, Account::Open(2)),
    ];
    if tenant.currency == "EUR" {
        all.push((september, Account::Contract(october + 10 * day)));
    }
    for period in 0..3 {
        all.push((tenant.bounds[period + 1] + 2 * day, Account::Close(period)));
    }
    all
}

struct Writer<'a> {
    store: &'a dyn EventStore,
    clock: &'a ManualClock,
    tenants: Vec<Tenant>,
    attempts: Vec<Attempt>,
    ledgers: Vec<Ledger>,
    invoiced: Vec<Invoiced>,
    actor: Arc<Actor>,
    now: i64,
    events: u64,
}

impl<'a> Writer<'a> {
    fn new(
        store: &'a dyn EventStore,
        clock: &'a ManualClock,
        tenants: Vec<Tenant>,
        attempts: Vec<Attempt>,
    ) -> Result<Self> {
        let ledgers = tenants.iter().map(|tenant| ledger(&tenant.id)).collect::<Result<_>>()?;
        Ok(Self {
            store,
            clock,
            tenants,
            attempts,
            ledgers,
            invoiced: Vec::new(),
            actor: Arc::new(Actor::new("system", "engine")),
            now: 0,
            events: 0,
        })
    }

    fn event(&mut self, kind: &str, at: i64, data: Vec<u8>, run: Option<&str>) -> NewEvent {
        self.events += 1;
        NewEvent {
            id: EventId(id(3, self.events)),
            kind: Arc::from(kind),
            at: Timestamp(at),
            actor: Arc::clone(&self.actor),
            causation: None,
            correlation: run.map(Arc::from),
            traceparent: None,
            data,
            blob: None,
        }
    }

    async fn append(&mut self, tenant: usize, streams: Vec<StreamAppend>) -> Result<()> {
        if streams.is_empty() {
            return Ok(());
        }
        self.clock.set(Timestamp(self.now));
        let tenant = self.tenants[tenant].id.clone();
        let request = AppendRequest { tenant, key: None, streams, fence: None };
        self.store.append(request).await.context("the history")?;
        Ok(())
    }

    /// Records of attempts, many at once, each stream once in an append.
    async fn usage(&mut self, records: &[(i64, u32, Record)]) -> Result<()> {
        for together in records.chunks(TOGETHER) {
            for tenant in 0..self.tenants.len() {
                let mut streams: Vec<StreamAppend> = Vec::new();
                for (at, number, record) in together {
                    let attempt = self.attempts[*number as usize].clone();
                    if attempt.tenant != tenant {
                        continue;
                    }
                    self.now = self.now.max(*at);
                    let run = attempt.run_id();
                    let (kind, data) = attempt.event(*record, *at);
                    let event = self.event(kind, *at, data, Some(&run));
                    let stream = StreamName::new(&format!("run/{run}"))?;
                    match streams.iter_mut().find(|append| append.stream == stream) {
                        Some(append) => append.events.push(event),
                        None => streams.push(StreamAppend {
                            stream,
                            expected: Expected::Any,
                            events: vec![event],
                        }),
                    }
                }
                self.append(tenant, streams).await?;
            }
        }
        Ok(())
    }

    async fn account(&mut self, at: i64, tenant: usize, what: Account) -> Result<()> {
        self.now = self.now.max(at);
        let of = &self.tenants[tenant];
        let event = match what {
            Account::Card(version, from) => {
                let card = card(of, version);
                let sha256 = Sha256Digest::of(&canonical::to_vec(&card)?);
                let source = format!("rate_card: standard\nversion: {version}\n");
                let effective_from = Timestamp(from);
                BillingEvent::CardAdopted(CardAdopted { card, effective_from, sha256, source })
            }
            Account::Contract(from) => {
                let contract = contract(of);
                let sha256 = Sha256Digest::of(&canonical::to_vec(&contract)?);
                let source = "contract: frame\nversion: 1\n".to_string();
                let effective_from = Timestamp(from);
                BillingEvent::ContractPublished(ContractPublished {
                    contract,
                    effective_from,
                    sha256,
                    source,
                })
            }
            Account::Open(period) => {
                let start = of.bounds[period];
                let mut opened = PeriodOpened {
                    period: PERIODS[period].to_string(),
                    kind: PeriodKind::Month,
                    start: Timestamp(start),
                    end: Timestamp(of.bounds[period + 1]),
                    zone: of.zone.to_string(),
                    grace_ms: Millis(2 * DAY),
                    currency: of.currency.to_string(),
                    exponent: of.exponent,
                    needs_from: 0,
                };
                let (size, _) = self.catch_up(tenant).await?;
                opened.needs_from = self.ledgers[tenant].needs_from(start, size);
                BillingEvent::PeriodOpened(opened)
            }
            Account::Close(period) => {
                let head = self.catch_up(tenant).await?;
                let id = self.tenants[tenant].id.clone();
                let ledger = &mut self.ledgers[tenant];
                let (invoiced, _) = close(&id, ledger, PERIODS[period], head)?;
                ledger.cut_at(head.0);
                self.invoiced.push(invoiced.clone());
                BillingEvent::PeriodClosed(invoiced.event)
            }
        };
        let data = canonical::to_vec(&Value::Object(event.to_data()))?;
        let event = self.event(event.kind(), at, data, None);
        let stream = StreamName::new(BILLING_STREAM)?;
        let append = StreamAppend { stream, expected: Expected::Any, events: vec![event] };
        self.append(tenant, vec![append]).await
    }

    /// Reads what is new of the tenant's log; its size and root.
    async fn catch_up(&mut self, tenant: usize) -> Result<(u64, Sha256Digest)> {
        let id = self.tenants[tenant].id.clone();
        let head = self.store.log_head(&id).await?;
        let ledger = &mut self.ledgers[tenant];
        let mut next = ledger.last().map_or(0, |last| last + 1);
        while next < head.size {
            let page = self.store.read_log(&id, next, 1_000).await?;
            for recorded in &page {
                ledger.push(recorded.tenant_sequence, &recorded.leaf)?;
            }
            next = ledger.last().map_or(0, |last| last + 1);
        }
        Ok((head.size, head.root))
    }
}
