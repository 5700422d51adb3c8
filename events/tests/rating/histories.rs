//! Histories as leaves, written down shortly.

use std::collections::BTreeMap;

use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::billing::{
    Bill, BillFaults, BillingEvent, CardAdopted, Clock, Contract, ContractPublished, Match, Meter,
    PeriodKind, PeriodOpened, Price, RateCard, Rounding, Step, TierKind, Tiers, Whole,
};
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::rating::{Ledger, Line, Options, RatingError, Statement};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog;
use serde_json::{Value, json};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// A moment to begin at, so that instants are of a usual size.
pub const EPOCH: i64 = 1_767_225_600_000;

/// What an attempt is said to have used.
#[derive(Debug, Clone)]
pub struct Use {
    pub allocated: i64,
    pub released: i64,
    pub started: Option<i64>,
    pub executor: &'static str,
    pub class: &'static str,
    pub cpu_milli: u64,
    pub mem_mib: u64,
    pub gpu: u64,
    pub egress: u64,
    pub outcome: &'static str,
    pub fault: &'static str,
    pub heard: Option<(i64, Option<i64>, i64)>,
}

/// From one instant to another, in milliseconds behind [`EPOCH`], and nothing but time.
pub fn span(allocated: i64, released: i64) -> Use {
    Use {
        allocated: EPOCH + allocated,
        released: EPOCH + released,
        started: None,
        executor: "local",
        class: "standard",
        cpu_milli: 0,
        mem_mib: 0,
        gpu: 0,
        egress: 0,
        outcome: "succeeded",
        fault: "none",
        heard: None,
    }
}

impl Use {
    pub fn lost(self) -> Self {
        Self { outcome: "lost", fault: "infra", ..self }
    }

    fn json(&self) -> Value {
        let mut gpu = Vec::new();
        if self.gpu > 0 {
            gpu.push(json!({"count": self.gpu, "mode": "exclusive", "model": "H200"}));
        }
        let mut used = json!({"cpu_ms": 0, "mem_mib_ms": 0, "mem_peak_mib": 0});
        if self.egress > 0 {
            used["egress_bytes"] = json!(self.egress);
        }
        let mut usage = json!({
            "executor": self.executor, "class": self.class, "node": "n1",
            "allocated_ms": self.allocated, "released_ms": self.released,
            "requested": {
                "cpu_milli": self.cpu_milli, "mem_mib": self.mem_mib, "disk_mib": 0, "gpu": gpu,
            },
            "used": used, "source": "cgroup2", "quality": "exact",
            "outcome": self.outcome, "fault": self.fault,
        });
        if let Some(started) = self.started {
            usage["started_ms"] = json!(started);
        }
        usage
    }

    pub fn data(&self, attempt: &str) -> Value {
        let mut data = json!({"attempt": attempt, "step": "build", "usage": self.json()});
        if let Some((planned, started, exited)) = self.heard {
            data["heard"] = json!({"planned": planned, "exited": exited});
            if let Some(started) = started {
                data["heard"]["started"] = json!(started);
            }
        }
        data
    }
}

/// A log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub leaves: Vec<Vec<u8>>,
    versions: BTreeMap<String, u64>,
    rt: i64,
}

impl Log {
    /// With a card from the beginning, and a period of ten days.
    pub fn with(card: RateCard) -> Self {
        let mut log = Self::default();
        log.card(0, card);
        log.open("p1", 0, 10 * DAY);
        log
    }

    /// What follows is recorded at this instant behind [`EPOCH`].
    pub fn at(&mut self, rt: i64) -> &mut Self {
        self.rt = EPOCH + rt;
        self
    }

    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    pub fn leaf(&mut self, stream: &str, kind: &str, data: Value) -> u64 {
        let index = self.size();
        let version = self.versions.entry(stream.to_string()).or_default();
        let mut leaf = json!({
            "ac": {"id": "engine", "kind": "system"}, "at": self.rt, "d": data,
            "id": format!("00000000-0000-7000-8000-{index:012x}"), "pos": index + 1, "rt": self.rt,
            "st": stream, "sv": *version, "tl": 1, "tn": "acme", "ts": index, "ty": kind, "v": 1,
        });
        if stream != "billing" {
            leaf["co"] = json!(stream.trim_start_matches("run/"));
        }
        *version += 1;
        self.leaves.push(canonical::to_vec(&leaf).expect("canonical"));
        index
    }

    pub fn billing(&mut self, event: BillingEvent) -> u64 {
        self.leaf("billing", event.kind(), Value::Object(event.to_data()))
    }

    pub fn card(&mut self, from: i64, card: RateCard) -> u64 {
        let effective_from = Timestamp(EPOCH + from);
        let sha256 = Sha256Digest::of(&canonical::to_vec(&card).expect("canonical"));
        let source = "rate_card: …\n".to_string();
        self.billing(BillingEvent::CardAdopted(CardAdopted {
            card,
            effective_from,
            sha256,
            source,
        }))
    }

    pub fn contract(&mut self, from: i64, contract: Contract) -> u64 {
        let effective_from = Timestamp(EPOCH + from);
        let sha256 = Sha256Digest::of(&canonical::to_vec(&contract).expect("canonical"));
        let source = "contract: …\n".to_string();
        self.billing(BillingEvent::ContractPublished(ContractPublished {
            contract,
            effective_from,
            sha256,
            source,
        }))
    }

    pub fn open(&mut self, name: &str, start: i64, end: i64) -> u64 {
        self.open_in(name, EPOCH + start, EPOCH + end, ("EUR", 2))
    }

    pub fn open_in(&mut self, name: &str, start: i64, end: i64, money: (&str, u8)) -> u64 {
        self.billing(BillingEvent::PeriodOpened(PeriodOpened {
            period: name.to_string(),
            kind: PeriodKind::Custom,
            start: Timestamp(start),
            end: Timestamp(end),
            zone: "Europe/Berlin".to_string(),
            grace_ms: Millis(0),
            currency: money.0.to_string(),
            exponent: money.1,
            needs_from: 0,
        }))
    }

    /// An attempt's end, recorded when it was released or later.
    pub fn exited(&mut self, attempt: &str, used: &Use) -> u64 {
        self.rt = self.rt.max(used.released);
        self.leaf("run/r1", "attempt.exited", used.data(attempt))
    }

    pub fn checkpoint(&mut self, attempt: &str, used: &Use) -> u64 {
        self.rt = self.rt.max(used.released);
        self.leaf("run/r1", "usage.checkpoint", used.data(attempt))
    }

    pub fn truth(&mut self, attempt: &str, used: &Use) -> u64 {
        self.rt = self.rt.max(used.released);
        self.leaf("run/r1", "report.stale", used.data(attempt))
    }

    /// Closes a period with all leaves that are there.
    pub fn close(&mut self, period: &str) -> Statement {
        let statement = self.rate(period);
        let closed = statement
            .closing(self.root(), Sha256Digest::of(&statement.usage_csv()))
            .expect("a document");
        self.billing(BillingEvent::PeriodClosed(closed.event));
        statement
    }

    pub fn root(&self) -> Sha256Digest {
        let hashes: Vec<_> = self.leaves.iter().map(|leaf| tlog::leaf_hash(leaf)).collect();
        tlog::root(&hashes)
    }

    /// The statement with all leaves that are there.
    pub fn rate(&self, period: &str) -> Statement {
        self.try_rate(period).expect("it can be rated")
    }

    pub fn try_rate(&self, period: &str) -> Result<Statement, RatingError> {
        self.ledger(options())?.statement(period, self.size())
    }

    pub fn ledger(&self, options: Options) -> Result<Ledger, RatingError> {
        let mut ledger = Ledger::new(options)?;
        for (index, leaf) in (0..).zip(&self.leaves) {
            ledger.push(index, leaf)?;
        }
        Ok(ledger)
    }
}

pub fn options() -> Options {
    Options {
        tenant: "acme".to_string(),
        origin: "billing.example/t/acme/1".to_string(),
        ..Options::default()
    }
}

pub fn step(price_nanos: i128, up_to: Option<i128>) -> Step {
    Step { price_nanos: Whole(price_nanos), up_to: up_to.map(Whole) }
}

pub fn tiers(kind: TierKind, steps: &[(i128, Option<i128>)]) -> Tiers {
    Tiers { kind, steps: steps.iter().map(|(price, up_to)| step(*price, *up_to)).collect() }
}

pub fn flat(price_nanos: i128) -> Tiers {
    tiers(TierKind::Flat, &[(price_nanos, None)])
}

pub fn price(sku: &str, meter: Meter, per: i64, tiers: Tiers) -> Price {
    Price {
        sku: sku.to_string(),
        meter,
        matches: Match::default(),
        per: Whole(i128::from(per)),
        tiers,
    }
}

/// A card that asks 0.60 for an hour of anything, from version 1 on.
pub fn hourly(version: u32, price_nanos: i128) -> RateCard {
    card(version, vec![price("time", Meter::RunnerMs, HOUR, flat(price_nanos))])
}

pub const SIXTY_CENTS: i128 = 600_000_000;

pub fn card(version: u32, prices: Vec<Price>) -> RateCard {
    RateCard {
        name: "standard".to_string(),
        version,
        currency: "EUR".to_string(),
        exponent: 2,
        bill: Bill::Allocated,
        clock: Clock::Executor,
        bill_faults: BillFaults { infra: false, policy: true, user: true },
        minimum_ms: Millis(0),
        increment_ms: Millis(1),
        rounding: Rounding::HalfEven,
        prices,
    }
}

/// What is on the lines: sku, step, quantity, minor amount.
pub fn shown(lines: &[Line]) -> Vec<(&str, u32, i128, i128)> {
    lines.iter().map(|line| (&*line.sku, line.tier, line.quantity, line.amount_minor)).collect()
}

/// How often something odd was found.
pub fn odd(statement: &Statement) -> Vec<(&str, u64)> {
    statement.anomalies.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}
