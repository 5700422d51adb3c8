//! Holds a record to what callers were told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::journal::verify::{AuditSource, RawEvent, RawHead, RawTenant, verify};
use dagbook_events::ports::{EventStore, ReadError, RecordCopy, Recorded};
use dagbook_events::tlog::leaf_hash;

use super::ledger::Ledger;
use super::script::{Label, fold_recorded};
use super::tail::Seen;

const PAGE: usize = 1_000;
/// Findings that are shown; a broken record has thousands.
const SHOWN: usize = 20;

/// A request as the record has it.
struct Group {
    tenant: TenantId,
    first: u64,
    last: u64,
    parts: u64,
    recorded_at: i64,
    digest: Sha256Digest,
}

/// Looks at each event of a record in order.
#[derive(Default)]
pub struct Oracle {
    position: u64,
    recorded_at: i64,
    timeline: u64,
    groups: BTreeMap<(u64, u64), Group>,
    /// The request whose parts are coming in now.
    open: Option<(u64, u64)>,
    tenants: BTreeMap<String, u64>,
    streams: BTreeMap<(String, String), u64>,
    hashes: Vec<Sha256Digest>,
    findings: Vec<String>,
}

impl Oracle {
    /// The next event.
    pub fn event(&mut self, event: &Recorded) {
        let position = event.position.0;
        self.position += 1;
        if position != self.position {
            self.find(format!("position {position} stands where {} was next", self.position));
            self.position = position;
        }
        self.hashes.push(leaf_hash(&event.leaf));
        let envelope = match Envelope::parse(&event.leaf) {
            Ok(envelope) => envelope,
            Err(error) => return self.find(format!("position {position}: {error}")),
        };
        self.numbers(event, &envelope);
        match serde_json::from_str::<Label>(&envelope.data) {
            Ok(label) => self.part(position, &label, &envelope),
            Err(error) => self.find(format!("position {position} is nobody's: {error}")),
        }
    }

    fn find(&mut self, text: String) {
        self.findings.push(text);
    }

    /// What the leaf says against what stands beside it, and against what came before.
    fn numbers(&mut self, event: &Recorded, envelope: &Envelope) {
        let position = event.position;
        let beside = (&event.tenant, &event.stream, event.tenant_sequence, event.version);
        let within =
            (&envelope.tenant, &envelope.stream, envelope.tenant_sequence, envelope.version);
        if beside != within || envelope.position != position {
            self.find(format!(
                "position {position}: the leaf says {within:?}, beside it {beside:?}"
            ));
        }
        let tenant = self.tenants.entry(envelope.tenant.to_string()).or_default();
        let sequence = std::mem::replace(tenant, envelope.tenant_sequence + 1);
        let name = (envelope.tenant.to_string(), envelope.stream.to_string());
        let stream = self.streams.entry(name).or_default();
        let version = std::mem::replace(stream, envelope.version + 1);
        if (sequence, version) != (envelope.tenant_sequence, envelope.version) {
            self.find(format!(
                "position {position}: sequence {} and version {} where {sequence} and {version} were next",
                envelope.tenant_sequence, envelope.version
            ));
        }
        let recorded_at = envelope.recorded_at.0;
        if envelope.timeline == self.timeline && recorded_at < self.recorded_at {
            self.find(format!("position {position} was recorded before the one before it"));
        }
        if envelope.timeline < self.timeline {
            self.find(format!("position {position} is of an earlier timeline"));
        }
        (self.timeline, self.recorded_at) = (envelope.timeline, recorded_at);
    }

    /// An event as a part of its request: parts come one behind the other, and once.
    fn part(&mut self, position: u64, label: &Label, envelope: &Envelope) {
        let name = (label.caller, label.request);
        if self.open != Some(name) {
            self.close();
            if let Some(group) = self.groups.get(&name) {
                let first = group.first;
                self.find(format!(
                    "request {} of caller {} stands at {first} and again at {position}",
                    label.request, label.caller
                ));
                return;
            }
            let group = Group {
                tenant: envelope.tenant.clone(),
                first: position,
                last: position,
                parts: 0,
                recorded_at: envelope.recorded_at.0,
                digest: Sha256Digest([0; 32]),
            };
            self.groups.insert(name, group);
            self.open = Some(name);
        }
        let Some(group) = self.groups.get_mut(&name) else { return };
        if label.part != group.parts || envelope.tenant != group.tenant {
            let text =
                format!("position {position}: part {} where {} was next", label.part, group.parts);
            self.findings.push(text);
        }
        group.parts += 1;
        group.last = position;
        group.digest = fold_recorded(group.digest, envelope);
        if group.parts == label.parts {
            self.open = None;
        }
    }

    /// A request whose parts stopped before all were there.
    fn close(&mut self) {
        if let Some((caller, request)) = self.open.take() {
            self.find(format!("request {request} of caller {caller} is there in part only"));
        }
    }

    /// What is wrong, with what callers and a reader were told.
    pub fn finish(mut self, ledger: &Ledger, seen: Option<&Seen>) -> Vec<String> {
        self.close();
        self.findings.extend(ledger.surprises());
        let mut told = BTreeSet::new();
        for entry in ledger.acknowledged() {
            let name = format!("request {} of caller {}", entry.request, entry.caller);
            if !told.insert((entry.caller, entry.request)) {
                self.findings.push(format!("{name} was answered twice"));
            }
            match self.groups.get(&(entry.caller, entry.request)) {
                None => self.findings.push(format!(
                    "{name} was acknowledged at {} to {} and is lost",
                    entry.first, entry.last
                )),
                Some(group) => {
                    let (is, said) = ((group.first, group.last), (entry.first, entry.last));
                    if is != said || group.tenant != entry.tenant {
                        self.findings
                            .push(format!("{name} was told {said:?} and stands at {is:?}"));
                    }
                    if group.digest != entry.digest {
                        self.findings.push(format!("{name} is not what was asked for"));
                    }
                    if group.recorded_at != entry.recorded_at {
                        self.findings.push(format!("{name} was told another recording time"));
                    }
                }
            }
        }
        for (caller, request) in ledger.refused() {
            if self.groups.contains_key(&(caller, request)) {
                let text = format!("request {request} of caller {caller} was refused and is there");
                self.findings.push(text);
            }
        }
        if let Some(seen) = seen {
            self.findings.extend(seen.surprises.iter().cloned());
            if seen.hashes != self.hashes {
                let same = seen.hashes.iter().zip(&self.hashes).take_while(|(a, b)| a == b).count();
                self.findings.push(format!(
                    "the reader saw {} events, {} are there; the first difference is at {}",
                    seen.hashes.len(),
                    self.hashes.len(),
                    same + 1
                ));
            }
        }
        self.findings.truncate(SHOWN);
        self.findings
    }
}

/// Everything that is wrong with a store after a load: what it acknowledged, its numbers, and
/// its trees.
///
/// # Panics
/// Where the store cannot be read.
pub async fn judge<S: EventStore + AuditSource + ?Sized>(
    store: &S,
    ledger: &Ledger,
    seen: Option<&Seen>,
) -> Vec<String> {
    let mut oracle = Oracle::default();
    let mut cursor = Position(0);
    loop {
        let page = store.read_after(cursor, PAGE).await.expect("the store can be read");
        let Some(last) = page.last() else { break };
        cursor = last.position;
        page.iter().for_each(|event| oracle.event(event));
    }
    let mut findings = oracle.finish(ledger, seen);
    let report = verify(&Audited(store), &[]).await.expect("the store can be verified");
    if report.events != cursor.0 {
        findings.push(format!("{} events were verified, {cursor} are there", report.events));
    }
    findings.extend(report.findings.iter().take(SHOWN).map(ToString::to_string));
    findings
}

/// What differs between a store and its copy, which must be equal and complete.
///
/// # Panics
/// Where either cannot be read.
pub async fn compare_with_copy(
    store: &dyn EventStore,
    copy: &dyn RecordCopy,
    timeline: u64,
) -> Vec<String> {
    let head = store.head().await.expect("the store can be read");
    let last = copy.last(timeline).await.expect("the copy can be read");
    if last != head {
        return vec![format!("the copy ends at {last}, the record at {head}")];
    }
    let mut scan = copy.scan(timeline, Position(0), None).await.expect("the copy can be read");
    let mut cursor = Position(0);
    let mut findings = Vec::new();
    while cursor < head && findings.len() < SHOWN {
        let page = store.read_after(cursor, PAGE).await.expect("the store can be read");
        let mut copied = Vec::new();
        while copied.len() < page.len() {
            let wait = Duration::from_secs(10);
            let more = scan.next(page.len() - copied.len(), wait).await;
            let more = more.expect("the copy can be read");
            if more.is_empty() {
                findings.push(format!("the copy gives nothing more behind {cursor}"));
                return findings;
            }
            copied.extend(more);
        }
        for (event, copied) in page.iter().zip(&copied) {
            let hash = leaf_hash(&event.leaf);
            let stated = copied.stated_hash.is_none_or(|stated| stated == hash);
            if copied.position != event.position || copied.leaf != event.leaf || !stated {
                findings.push(format!("the copy differs at {}", event.position));
            }
        }
        let Some(last) = page.last() else { break };
        cursor = last.position;
    }
    findings
}

/// The side of a store that can be looked into, also of one whose type is not known.
struct Audited<'a, S: ?Sized>(&'a S);

#[async_trait]
impl<S: AuditSource + ?Sized> AuditSource for Audited<'_, S> {
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError> {
        self.0.raw_counters().await
    }

    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        self.0.raw_events(after, limit).await
    }
}
