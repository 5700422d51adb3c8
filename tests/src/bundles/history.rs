//! Random histories of a tenant: two months of attempts with all that goes wrong, prices that
//! change, and closings.

use std::collections::BTreeMap;

use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tlog::{leaf_hash, root};
use serde_json::{Map, Value, json};

use super::build::{TENANT, ledger};
use super::large::Files;

const NOVEMBER: i64 = 1_793_487_600_000;
const DECEMBER: i64 = NOVEMBER + 30 * DAY;
const JANUARY: i64 = DECEMBER + 31 * DAY;
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

/// Numbers that follow from a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5dee_ce66)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn span(&mut self, end: i64) -> i64 {
        self.below(end.max(1) as u64) as i64
    }

    pub fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// An id as the record has it.
fn uuid(family: u64, number: u64) -> String {
    format!("0199a000-{:04x}-7000-8000-{:012x}", family, number)
}

/// A log that grows.
pub struct History {
    pub leaves: Vec<Vec<u8>>,
    /// Where leaves go to instead, if there are too many of them.
    files: Option<Files>,
    count: u64,
    versions: BTreeMap<String, u64>,
    now: i64,
    position: u64,
    timeline: u64,
    dice: Dice,
    currency: &'static str,
    exponent: u8,
    /// Whether attempts are lost. None is in a calm history, and much is said late there.
    is_calm: bool,
    /// Whether ends are recorded behind the closing of the month that they lie in.
    is_late: bool,
    ended: Vec<Attempt>,
    /// Time between two leaves at most; and whether some are told of days later.
    pace: i64,
    lags: bool,
    /// Ids as the record has them, not the short ones that are easier to look at.
    has_uuids: bool,
}

/// An attempt that was started.
#[derive(Clone)]
struct Attempt {
    run: u64,
    number: u64,
    allocated: i64,
}

impl History {
    fn new(mut dice: Dice) -> Self {
        let (currency, exponent) = *dice.pick(&[("EUR", 2), ("JPY", 0), ("KWD", 3)]);
        Self {
            leaves: Vec::new(),
            files: None,
            count: 0,
            versions: BTreeMap::new(),
            now: NOVEMBER - DAY,
            position: 0,
            timeline: 1,
            dice,
            currency,
            exponent,
            is_calm: false,
            is_late: false,
            ended: Vec::new(),
            pace: 2_000,
            lags: true,
            has_uuids: false,
        }
    }

    /// Two closed months, with the leaves that this seed gives.
    pub fn random(seed: u64) -> Self {
        Self::two_months(Self::new(Dice::new(seed)))
    }

    /// The same, but that no attempt is lost, so that the second month needs little of the first;
    /// and that attempts of the first month are heard of again in the second.
    pub fn calm(seed: u64) -> Self {
        Self::two_months(Self { is_calm: true, ..Self::new(Dice::new(seed)) })
    }

    /// The same, but that the ends of some attempts of the first month are heard of when it is
    /// closed, so that the second corrects it.
    pub fn late(seed: u64) -> Self {
        Self::two_months(Self { is_late: true, ..Self::new(Dice::new(seed)) })
    }

    fn two_months(mut this: Self) -> Self {
        if this.dice.is(95) {
            let early = if this.dice.is(80) { NOVEMBER - DAY } else { NOVEMBER + 3 * DAY };
            this.adopt(1, early);
        }
        this.open("2026-11", NOVEMBER, DECEMBER);
        this.work(NOVEMBER + 12 * DAY);
        if this.dice.is(60) {
            let from = NOVEMBER + 10 * DAY + this.dice.span(5 * DAY);
            this.adopt(2, from);
        }
        if this.dice.is(70) {
            let from = NOVEMBER + this.dice.span(20 * DAY);
            this.contract(1, from);
        }
        this.work(DECEMBER);
        this.open("2026-12", DECEMBER, JANUARY);
        this.work(DECEMBER + 2 * DAY);
        this.close("2026-11");
        if this.is_late {
            this.is_late = false;
            for attempt in std::mem::take(&mut this.ended) {
                this.end(&attempt);
            }
        }
        if this.dice.is(50) {
            let from = DECEMBER + 5 * DAY;
            this.contract(2, from);
        }
        if this.dice.is(40) {
            this.credit_note("acme-000001");
        }
        this.work(DECEMBER + 20 * DAY);
        this.again();
        this.work(JANUARY);
        if this.dice.is(50) {
            // Restored from a copy: what was closed keeps the origin that it had.
            this.timeline = 2;
        }
        this.work(JANUARY + 2 * DAY);
        this.close("2026-12");
        this.timeline = 2;
        this.work(JANUARY + 3 * DAY);
        this
    }

    /// One closed month with so many attempts, spread over all of it.
    pub fn large(seed: u64, attempts: u64) -> Self {
        Self::large_in(seed, attempts, None)
    }

    /// The same, with its leaves in files.
    pub fn large_to(seed: u64, attempts: u64, files: Files) -> Files {
        let mut files = Self::large_in(seed, attempts, Some(files)).files.expect("files");
        files.finish();
        files
    }

    fn large_in(seed: u64, attempts: u64, files: Option<Files>) -> Self {
        let mut this = Self::new(Dice::new(seed));
        this.files = files;
        this.has_uuids = true;
        this.lags = false;
        this.pace = (DECEMBER - NOVEMBER) / (attempts as i64 * 5).max(1);
        this.adopt(1, NOVEMBER - DAY);
        this.open("2026-11", NOVEMBER, DECEMBER);
        this.work_of(DECEMBER, attempts);
        this.close("2026-11");
        this
    }

    /// A closed month with so many attempts of which none is lost, and the beginning of the next.
    pub fn long(seed: u64, attempts: u64) -> Self {
        let mut this = Self { is_calm: true, ..Self::new(Dice::new(seed)) };
        this.adopt(1, NOVEMBER - DAY);
        this.open("2026-11", NOVEMBER, DECEMBER);
        this.work_of(DECEMBER, attempts);
        this.open("2026-12", DECEMBER, JANUARY);
        this.work(DECEMBER + 2 * DAY);
        this.close("2026-11");
        this.work(DECEMBER + 5 * DAY);
        this
    }

    fn add(&mut self, stream: &str, kind: &str, run: Option<&str>, data: Value) {
        let id = match self.has_uuids {
            true => uuid(3, self.count),
            false => format!("00000000-0000-7000-8000-{:012x}", self.count),
        };
        let version = self.versions.entry(stream.to_string()).or_default();
        self.position += 1 + self.dice.below(3);
        let mut leaf = json!({
            "ac": {"id": "system", "kind": "system"}, "at": self.now, "d": data,
            "id": id, "pos": self.position, "rt": self.now, "st": stream, "sv": *version,
            "tl": self.timeline, "tn": TENANT, "ts": self.count,
            "ty": kind, "v": 1,
        });
        *version += 1;
        if let Some(run) = run {
            leaf["co"] = json!(run);
        }
        let leaf = canonical::to_vec(&leaf).expect("canonical");
        match &mut self.files {
            Some(files) => files.take(leaf),
            None => self.leaves.push(leaf),
        }
        self.count += 1;
        self.now += self.dice.span(self.pace);
    }

    fn stream(&self, run: u64) -> String {
        match self.has_uuids {
            true => format!("run/{}", uuid(1, run)),
            false => format!("run/{run}"),
        }
    }

    /// Attempts until an instant, some of which are heard of late or never.
    fn work(&mut self, until: i64) {
        let count = 3 + self.dice.below(12);
        self.work_of(until, count);
    }

    fn work_of(&mut self, until: i64, count: u64) {
        let mut open: Vec<Attempt> = Vec::new();
        for number in 0..count {
            let left = until - self.now;
            self.now += self.dice.span(left / (count - number) as i64 * 2).min(left).max(0);
            let run = self.count;
            let back = self.dice.span(30 * HOUR);
            open.push(Attempt { run, number, allocated: self.now - back });
            let stream = self.stream(run);
            self.add(&stream, "run.submitted", None, json!({"name": "é\u{1}"}));
            while open.len() > 2 || !open.is_empty() && self.dice.is(60) {
                let at = self.dice.below(open.len() as u64) as usize;
                let attempt = open.swap_remove(at);
                self.end(&attempt);
            }
        }
        self.now = self.now.max(until);
    }

    /// What is said of attempts long after their end, in a calm history.
    fn again(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        while let Some(attempt) = ended.pop() {
            if self.dice.is(40) {
                let released = attempt.allocated + self.dice.span(30 * HOUR);
                let kind = ["attempt.exited", "report.stale", "usage.checkpoint"];
                let kind = *self.dice.pick(&kind);
                let fault = *self.dice.pick(&["none", "infra"]);
                self.told(&attempt, kind, released, "failed", fault);
            }
        }
    }

    fn end(&mut self, attempt: &Attempt) {
        if self.is_calm {
            self.ended.push(attempt.clone());
        }
        if self.is_late && self.dice.is(40) {
            if self.dice.is(50) {
                let measured = attempt.allocated + self.dice.span(20 * HOUR);
                self.told(attempt, "usage.checkpoint", measured, "running", "none");
            }
            self.ended.push(attempt.clone());
            return;
        }
        for _ in 0..self.dice.below(3) {
            let released = attempt.allocated + self.dice.span(30 * HOUR);
            self.told(attempt, "usage.checkpoint", released, "running", "none");
        }
        if self.dice.is(5) && !self.is_calm {
            return;
        }
        let mut released = attempt.allocated + self.dice.span(30 * HOUR);
        match self.dice.below(20) {
            0 => released = attempt.allocated,
            1 => released = attempt.allocated - HOUR,
            2 => released = self.now + 2 * DAY,
            _ => {}
        }
        let mut outcome = *self.dice.pick(&["succeeded", "succeeded", "failed", "lost"]);
        if self.is_calm && outcome == "lost" {
            outcome = "failed";
        }
        let fault = match outcome {
            "succeeded" => "none",
            "lost" => "infra",
            _ => *self.dice.pick(&["user", "policy", "infra"]),
        };
        self.told(attempt, "attempt.exited", released, outcome, fault);
        if self.dice.is(15) {
            let (again, outcome) = match self.dice.is(50) {
                true => (released, "succeeded"),
                false => (released + 1_000, "failed"),
            };
            self.told(attempt, "attempt.exited", again, outcome, "none");
        }
        if outcome == "lost" && self.dice.is(60) || self.dice.is(5) {
            if self.lags && self.dice.is(50) {
                let late = self.dice.span(3 * DAY);
                self.now += if self.is_calm { 0 } else { late };
            }
            self.told(attempt, "report.stale", released + HOUR, "succeeded", "none");
        }
        if self.dice.is(5) {
            self.told(attempt, "usage.checkpoint", released, "running", "none");
        }
    }

    fn told(&mut self, attempt: &Attempt, kind: &str, released: i64, outcome: &str, fault: &str) {
        let run = match self.has_uuids {
            true => uuid(1, attempt.run),
            false => format!("0{:x}", attempt.run),
        };
        let id = match self.has_uuids {
            true => uuid(2, attempt.run),
            false => format!("{}", attempt.number % 4),
        };
        let mut gpu = Vec::new();
        for mode in ["exclusive", "shared:2"] {
            if self.dice.is(20) {
                gpu.push(json!({"count": 1 + self.dice.below(3), "mode": mode, "model": "H200"}));
            }
        }
        let mut usage = json!({
            "allocated_ms": attempt.allocated, "class": self.dice.pick(&["standard", "spot"]),
            "executor": self.dice.pick(&["local", "gitlab"]), "fault": fault, "node": "n1",
            "outcome": outcome, "quality": "exact", "released_ms": released,
            "requested": {
                "cpu_milli": self.dice.below(5) * 500, "disk_mib": self.dice.below(2) * 10,
                "gpu": gpu, "mem_mib": self.dice.below(5_000),
            },
            "source": "cgroup2",
            "used": {"cpu_ms": 1, "mem_mib_ms": 0, "mem_peak_mib": 5},
        });
        if self.dice.is(30) {
            usage["used"]["egress_bytes"] = json!(self.dice.below(1 << 40));
        }
        if self.dice.is(60) {
            let wait = self.dice.span(HOUR);
            usage["started_ms"] = json!(attempt.allocated + wait);
        }
        let mut data = Map::new();
        if self.dice.is(60) {
            let shift = self.dice.span(10_000) + if self.dice.is(5) { 2 * DAY } else { 0 };
            let mut heard = json!({
                "exited": released + shift, "planned": attempt.allocated + shift,
            });
            if self.dice.is(50) {
                heard["started"] = json!(attempt.allocated + shift + 500);
            }
            data.insert("heard".to_string(), heard);
        }
        data.insert("attempt".to_string(), json!(id));
        data.insert("step".to_string(), json!(self.dice.pick(&["build", "a,\"b\""])));
        data.insert("usage".to_string(), usage);
        let stream = self.stream(attempt.run);
        self.add(&stream, kind, Some(&run), Value::Object(data));
    }

    fn tiers(&mut self) -> Value {
        let price = |dice: &mut Dice| json!({"price_nanos": dice.below(9_000_000_000).to_string()});
        let kind = *self.dice.pick(&["flat", "graduated", "volume"]);
        let mut steps = Vec::new();
        if kind != "flat" {
            for step in 1..=2 {
                let mut priced = price(&mut self.dice);
                let up_to = u128::from(self.dice.below(40_000_000_000)) * step * step + 1;
                priced["up_to"] = json!((up_to * 1_000 * step).to_string());
                steps.push(priced);
            }
            steps.sort_by_key(|step| step["up_to"].as_str().map(|up_to| up_to.len()));
        }
        steps.push(price(&mut self.dice));
        json!({"kind": kind, "steps": steps})
    }

    fn adopt(&mut self, version: u32, from: i64) {
        let mut prices = Vec::new();
        let all = [
            ("cpu", "cpu_milli_ms", json!({})),
            ("mem-spot", "mem_mib_ms", json!({"class": "spot"})),
            ("mem", "mem_mib_ms", json!({})),
            ("gpu", "gpu_ms", json!({"gpu_model": "H200", "mode": "exclusive"})),
            ("runner", "runner_ms", json!({"executor": "gitlab"})),
            ("egress", "egress_bytes", json!({})),
        ];
        for (sku, meter, matches) in all {
            if self.dice.is(80) {
                let per = (1 + self.dice.below(3_600_000_000)).to_string();
                let tiers = self.tiers();
                prices.push(json!({
                    "match": matches, "meter": meter, "per": per, "sku": sku, "tiers": tiers,
                }));
            }
        }
        let card = json!({
            "bill": self.dice.pick(&["allocated", "started"]),
            "bill_faults": {"infra": self.dice.is(20), "policy": true, "user": self.dice.is(80)},
            "clock": self.dice.pick(&["executor", "orchestrator"]),
            "currency": self.currency, "exponent": self.exponent,
            "increment_ms": 1 + self.dice.below(60_000), "minimum_ms": self.dice.below(600_000),
            "name": "standard", "prices": prices, "rounding": "half_even", "version": version,
        });
        self.publish("rate_card.adopted", "card", card, from);
    }

    fn contract(&mut self, version: u32, from: i64) {
        let mut overrides = Vec::new();
        if self.dice.is(60) {
            let tiers = self.tiers();
            overrides.push(json!({"per": "3600000", "sku": "cpu", "tiers": tiers}));
        }
        let mut discounts = Vec::new();
        for (name, skus) in [("volume", Some(["cpu", "mem"])), ("friend", None)] {
            if self.dice.is(50) {
                let parts = self.dice.below(400_000_000).to_string();
                let mut discount = json!({"name": name, "parts_per_billion": parts});
                if let Some(skus) = skus {
                    discount["skus"] = json!(skus);
                }
                discounts.push(discount);
            }
        }
        let contract = json!({
            "credits": [{"amount_minor": "5000", "name": "welcome"}], "currency": self.currency,
            "discounts": discounts, "exponent": self.exponent, "name": "acme",
            "overrides": overrides, "version": version,
        });
        self.publish("contract.published", "contract", contract, from);
    }

    fn publish(&mut self, kind: &str, member: &str, what: Value, from: i64) {
        let bytes = canonical::to_vec(&what).expect("canonical");
        let sha256 = Sha256Digest::of(&bytes);
        let mut data = json!({
            "effective_from": from, "sha256": sha256, "source": "# as it was written\n",
        });
        data[member] = what;
        self.add("billing", kind, None, data);
    }

    fn open(&mut self, name: &str, start: i64, end: i64) {
        let size = self.leaves.len() as u64;
        let needs_from = ledger(&self.leaves, size, self.timeline).needs_from(start, size);
        let data = json!({
            "currency": self.currency, "end": end, "exponent": self.exponent,
            "grace_ms": 2 * DAY, "kind": "month", "needs_from": needs_from, "period": name,
            "start": start, "zone": "Europe/Berlin",
        });
        self.add("billing", "period.opened", None, data);
    }

    fn close(&mut self, name: &str) {
        if let Some(files) = &mut self.files {
            let closed = files.close(name);
            return self.add("billing", "period.closed", None, json!(closed));
        }
        let size = self.leaves.len() as u64 - self.dice.below(2);
        let hashes: Vec<Sha256Digest> =
            self.leaves[..size as usize].iter().map(|leaf| leaf_hash(leaf)).collect();
        let statement =
            ledger(&self.leaves, size, self.timeline).statement(name, size).expect("rated");
        let usage = Sha256Digest::of(&statement.usage_csv());
        let closed = statement.closing(root(&hashes), usage).expect("documents");
        let data = serde_json::to_value(closed.event).expect("JSON");
        self.add("billing", "period.closed", None, data);
    }

    fn credit_note(&mut self, invoice: &str) {
        let document = json!({
            "currency": self.currency, "exponent": self.exponent, "format": "dagbook.credit_note/1",
            "invoice": invoice, "issued_ms": self.now, "issuer": "books.example", "lines": [],
            "number": "acme-cn-000001", "period": "2026-11", "postings": [], "reason": "an outage",
            "tenant": TENANT, "total_minor": "5",
        });
        let document = document.to_string();
        let data = json!({
            "document": document, "invoice": invoice, "number": "acme-cn-000001",
            "sha256": Sha256Digest::of(document.as_bytes()),
        });
        self.add("billing", "credit_note.issued", None, data);
    }
}
