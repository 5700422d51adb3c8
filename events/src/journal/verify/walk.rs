//! The walk itself: one pass, state per tenant and per stream.

use std::collections::BTreeMap;

use super::{Damage, Finding, RawEvent, RawHead, RawTenant, SignedHead, VerifyReport};
use crate::canonical;
use crate::digest::Sha256Digest;
use crate::envelope::Envelope;
use crate::ids::Position;
use crate::ports::LogHead;
use crate::tlog::{Frontier, leaf_hash};

/// Findings that are kept.
const MAX_FINDINGS: usize = 1_000;

#[derive(Default)]
pub(super) struct Walk {
    report: VerifyReport,
    position: u64,
    recorded_at: Option<i64>,
    tenants: BTreeMap<String, Log>,
    streams: BTreeMap<(String, String), u64>,
}

#[derive(Default)]
struct Log {
    frontier: Frontier,
    /// Signed roots to come, by size.
    signed: BTreeMap<u64, Sha256Digest>,
    /// Leaves that a signed root has proved.
    intact: u64,
}

impl Walk {
    pub(super) fn new(signed: &[SignedHead]) -> Self {
        let mut this = Self::default();
        for head in signed {
            let log = this.tenants.entry(head.tenant.to_string()).or_default();
            log.signed.insert(head.size, head.root);
        }
        this
    }

    pub(super) fn unreadable(&mut self, after: Position, detail: String) {
        let damage = Damage::Unreadable(detail);
        let position = Some(after.0 + 1);
        self.keep(Finding { position, tenant: None, stream: None, damage });
    }

    pub(super) fn event(&mut self, event: &RawEvent) {
        self.report.events += 1;
        self.dense(event);
        let hash = leaf_hash(&event.leaf);
        if hash.0.as_slice() != event.leaf_hash {
            self.find(event, Damage::Hash);
        }
        match canonical::verify(&event.leaf) {
            Ok(()) => self.envelope(event),
            Err(error) => self.find(event, Damage::NotCanonical(error.to_string())),
        }
        self.grow(event, hash);
    }

    /// Positions, log indexes and versions have no gaps.
    fn dense(&mut self, event: &RawEvent) {
        let stream = (event.tenant.clone(), event.stream.clone());
        let version = self.streams.get(&stream).copied().unwrap_or(0);
        let index = self.tenants.get(&event.tenant).map_or(0, |log| log.frontier.size());
        let numbers = [
            ("position", self.position + 1, event.position),
            ("index in the tenant's log", index, event.tenant_sequence),
            ("version in the stream", version, event.version),
        ];
        for (number, expected, actual) in numbers {
            if expected != actual {
                self.find(event, Damage::Gap { number, expected, actual });
            }
        }
        self.position = event.position;
        self.streams.insert(stream, event.version + 1);
    }

    /// The leaf says what the columns say.
    fn envelope(&mut self, event: &RawEvent) {
        let envelope = match Envelope::parse(&event.leaf) {
            Ok(envelope) => envelope,
            Err(error) => return self.find(event, Damage::Envelope(error.to_string())),
        };
        let columns = [
            ("position", event.position.to_string(), envelope.position.to_string()),
            ("tenant", event.tenant.clone(), envelope.tenant.to_string()),
            (
                "tenant_sequence",
                event.tenant_sequence.to_string(),
                envelope.tenant_sequence.to_string(),
            ),
            ("stream", event.stream.clone(), envelope.stream.to_string()),
            ("version", event.version.to_string(), envelope.version.to_string()),
        ];
        for (column, stored, leaf) in columns {
            if stored != leaf {
                self.find(event, Damage::Column { column, stored, leaf });
            }
        }
        let actual = envelope.recorded_at.0;
        if let Some(before) = self.recorded_at.filter(|before| actual < *before) {
            self.find(event, Damage::ClockWentBack { before, actual });
        }
        self.recorded_at = Some(actual);
    }

    /// Adds the leaf to its tree and compares with what was signed at that size.
    fn grow(&mut self, event: &RawEvent, hash: Sha256Digest) {
        let log = self.tenants.entry(event.tenant.clone()).or_default();
        log.frontier.push(hash);
        let size = log.frontier.size();
        let Some(signed) = log.signed.remove(&size) else { return };
        let actual = log.frontier.root();
        if actual == signed {
            log.intact = size;
            self.report.checkpoints += 1;
            return;
        }
        let (signed, actual) = (signed.to_hex(), actual.to_hex());
        let damage = Damage::Checkpoint { size, signed, actual, intact: log.intact };
        self.of_log(&event.tenant, damage);
    }

    pub(super) fn finish(mut self, head: &RawHead, tenants: &[RawTenant]) -> VerifyReport {
        for tenant in tenants {
            self.compare(tenant);
        }
        self.counters(head);
        for (name, log) in std::mem::take(&mut self.tenants) {
            let actual = log.frontier.size();
            for size in log.signed.keys().copied().filter(|size| *size > actual) {
                self.of_log(&name, Damage::Missing { size, actual });
            }
            let root = log.frontier.root();
            self.report.logs.insert(name, LogHead { size: actual, root });
        }
        self.report
    }

    /// The tree over the leaves against the stored frontier.
    fn compare(&mut self, tenant: &RawTenant) {
        let stored = match Frontier::from_bytes(tenant.size, &tenant.frontier) {
            Ok(frontier) => frontier,
            Err(error) => return self.of_log(&tenant.name, Damage::Frontier(error.to_string())),
        };
        let Some(log) = self.tenants.get(&tenant.name) else { return };
        let (size, root) = (log.frontier.size(), log.frontier.root());
        if size != tenant.size {
            let (stored, actual) = (tenant.size.to_string(), size.to_string());
            self.of_log(&tenant.name, Damage::Counter { counter: "size", stored, actual });
        } else if root != stored.root() {
            let (stored, actual) = (stored.root().to_hex(), root.to_hex());
            self.of_log(&tenant.name, Damage::Root { size, stored, actual });
        }
    }

    fn counters(&mut self, head: &RawHead) {
        if self.position != head.position {
            self.counter("position", head.position.into(), self.position.into());
        }
        let last = self.recorded_at.unwrap_or(0);
        if self.position == head.position && last != head.recorded_at {
            self.counter("recorded_at", head.recorded_at.into(), last.into());
        }
    }

    fn counter(&mut self, counter: &'static str, stored: i128, actual: i128) {
        let (stored, actual) = (stored.to_string(), actual.to_string());
        let damage = Damage::Counter { counter, stored, actual };
        self.keep(Finding { position: None, tenant: None, stream: None, damage });
    }

    fn find(&mut self, event: &RawEvent, damage: Damage) {
        self.keep(Finding {
            position: Some(event.position),
            tenant: Some(event.tenant.clone()),
            stream: Some(event.stream.clone()),
            damage,
        });
    }

    fn of_log(&mut self, tenant: &str, damage: Damage) {
        let tenant = Some(tenant.to_string());
        self.keep(Finding { position: None, tenant, stream: None, damage });
    }

    fn keep(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.further += 1;
        }
    }
}
