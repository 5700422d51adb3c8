//! Writing a bundle: everything that a stranger needs to check a part of a tenant's log, and the
//! bill that follows from it. `ops/audit/VERIFY.md` says what is in it.
//!
//! Reading order: [`Exporter::plan`] finds out what is to be written, and refuses early;
//! [`Exporter::write`] goes through the log once. `heads` chooses the signed checkpoints, `book`
//! reads the stream `billing`, `trees` writes leaves and tiles, `money` what follows from them,
//! `proofs` the way from a line to its leaves. The same log under the same checkpoints gives the
//! same bytes.

mod again;
mod book;
mod error;
mod folder;
mod heads;
mod money;
mod order;
mod proofs;
mod range;
mod sort;
mod trees;

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::again::{RatedAgain, rate_again};
use self::book::{Book, Closing};
pub use self::error::ExportError;
use self::folder::Folder;
use self::heads::Heads;
pub use self::order::{MAX_PROVEN_LINES, Order, Progress, Wanted};
use super::layout;
use super::manifest::{
    Control, FileEntry, Head, Kind, LogPart, MANIFEST_FORMAT, Manifest, PeriodPart, RATING,
};
use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::journal::checkpoints::Checkpoints;
use crate::journal::tiles::StoreLeaves;
use crate::ports::EventStore;
use crate::tlog::{ENTRY_TILE_WIDTH, Policy, VerifierKey, empty_root};

/// Writes bundles of a record.
pub struct Exporter<'a> {
    /// The record, archived events included.
    pub store: &'a dyn EventStore,
    /// What signs, and what was signed.
    pub checkpoints: &'a Checkpoints,
    /// Keys of the witnesses that co-sign.
    pub witnesses: &'a [VerifierKey],
    /// The version of this program.
    pub program: &'a str,
    /// How long cosignatures are waited for.
    pub patience: Duration,
}

/// What will be written.
#[derive(Debug, Clone)]
pub struct Plan {
    tenant: TenantId,
    policy: Policy,
    book: Book,
    closing: Option<Closing>,
    heads: Heads,
    first: u64,
    tiles: Vec<u64>,
    lines: Vec<String>,
}

/// A bundle that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What it holds.
    pub manifest: Manifest,
    /// Bytes of all its files.
    pub bytes: u64,
}

impl Plan {
    /// Whether it will have an invoice.
    pub fn kind(&self) -> Kind {
        if self.closing.is_some() { Kind::Invoice } else { Kind::History }
    }

    /// The period that it is of; none: it is a history.
    pub fn period(&self) -> Option<&str> {
        self.closing.as_ref().map(|closing| closing.opened.period.as_str())
    }

    /// The origin of the log as it was when the period was closed: a log that went over to
    /// another timeline since then has another one, and the invoice does not change.
    fn origin_of(&self, closing: &Closing) -> String {
        let origin = &self.heads.end.checkpoint.origin;
        let log = origin.rsplit_once('/').map_or(origin.as_str(), |(log, _)| log);
        format!("{log}/{}", closing.timeline)
    }

    /// Leaves of the log under its checkpoint.
    pub fn size(&self) -> u64 {
        self.heads.end.checkpoint.size
    }
}

impl Exporter<'_> {
    /// Finds out what is to be written. Signs a checkpoint where the newest one does not cover it.
    ///
    /// # Errors
    /// Where there is no such part, or no checkpoint that the policy accepts.
    pub async fn plan(&self, order: &Order) -> Result<Plan, ExportError> {
        let tenant = &order.tenant;
        if order.lines.len() > MAX_PROVEN_LINES {
            let what = format!("at most {MAX_PROVEN_LINES} lines are proven in one bundle");
            return Err(ExportError::TooMuch(what));
        }
        let log = self.checkpoints.history().key().clone();
        let mut policy = Policy::all_of(log, self.witnesses.to_vec());
        if order.unwitnessed {
            policy = policy.without_quorum();
        }
        let book = Book::read(self.store, tenant).await?;
        let closing = match &order.what {
            Wanted::Period(name) => Some(book.closing(name)?),
            Wanted::Between { from: Some(from), to: Some(to) } => {
                match book.closed_between(*from, *to) {
                    Some(name) => Some(book.closing(name)?),
                    None => None,
                }
            }
            Wanted::Between { .. } => None,
        };
        if closing.is_none() && !order.lines.is_empty() {
            let what = "a history has no lines: name a closed period".to_string();
            return Err(ExportError::Nothing(what));
        }
        let (before, beyond, from) = match (&closing, &order.what) {
            (Some(closing), _) => {
                let from = if order.since_opening { closing.opened.needs_from } else { 0 };
                (closing.opened_at, closing.closed_at, from)
            }
            (None, Wanted::Between { from, to }) => {
                let part = range::between(self.store, tenant, *from, *to).await?;
                (part.0, part.1, part.0)
            }
            (None, Wanted::Period(_)) => (0, 0, 0),
        };
        let heads = heads::heads(self, tenant, &policy, (before, beyond)).await?;
        let first = from - from % ENTRY_TILE_WIDTH;
        let tiles = book.tiles_before(first);
        let (tenant, lines) = (tenant.clone(), order.lines.clone());
        Ok(Plan { tenant, policy, book, closing, heads, first, tiles, lines })
    }

    /// Writes the bundle into a folder that is new or empty. It appears under its name when it is
    /// complete. `tell` hears how far it is, and is waited for; an export to which nobody listens
    /// any more is given up.
    ///
    /// # Errors
    /// Where something cannot be read or written, or the record does not give what was signed and
    /// billed. Nothing is left behind then.
    pub async fn write(
        &self,
        plan: &Plan,
        target: &Path,
        tell: Option<mpsc::Sender<Progress>>,
    ) -> Result<Exported, ExportError> {
        self.write_to(plan, Folder::begin(target, tell)?).await
    }

    /// The same into a folder of the caller's, who may read each file as soon as `tell` hears of
    /// it, and removes the folder.
    ///
    /// # Errors
    /// As [`Exporter::write`].
    pub async fn write_within(
        &self,
        plan: &Plan,
        folder: &Path,
        tell: mpsc::Sender<Progress>,
    ) -> Result<Exported, ExportError> {
        self.write_to(plan, Folder::within(folder, Some(tell))).await
    }

    async fn write_to(&self, plan: &Plan, mut folder: Folder) -> Result<Exported, ExportError> {
        let manifest = self.write_files(plan, &mut folder).await?;
        let bytes = manifest.to_bytes()?;
        let digest = Sha256Digest::of(&bytes);
        let note = self.checkpoints.sign_bundle(&plan.tenant, &digest)?.encode().into_bytes();
        let sums = layout::sums_text(&manifest, &bytes, &note).into_bytes();
        let unlisted = [bytes.len(), note.len(), sums.len()].map(|length| length as u64);
        let listed: u64 = manifest.files.iter().map(|file| file.bytes).sum();
        folder.put(layout::MANIFEST, bytes).await?;
        folder.put(layout::MANIFEST_NOTE, note).await?;
        folder.put(layout::SUMS, sums).await?;
        folder.finish().await?;
        Ok(Exported { manifest, bytes: listed + unlisted.iter().sum::<u64>() })
    }

    async fn write_files(&self, plan: &Plan, folder: &mut Folder) -> Result<Manifest, ExportError> {
        let Heads { start, end } = &plan.heads;
        let head = &end.checkpoint;
        let extent = trees::Extent {
            first: plan.first,
            tiles: plan.tiles.clone(),
            size: head.size,
            start: start.as_ref().map_or(0, |start| start.checkpoint.size),
            closed: plan.closing.as_ref().map_or(0, |closing| closing.closed.size),
        };
        let source = StoreLeaves { store: self.store, tenant: &plan.tenant };
        let mut money = money::Money::begin(plan)?;
        let mut look = |index: u64, leaf: &[u8]| money.leaf(index, leaf);
        let walked = trees::walk(&source, &extent, folder, &mut look).await?;
        let not_signed = |size: u64| {
            let origin = &head.origin;
            let what = format!("the first {size} leaves of {origin} do not have the signed root");
            ExportError::Damaged(format!("{what}; see ops/runbooks/evidence-damaged.md"))
        };
        if walked.root != head.root {
            return Err(not_signed(head.size));
        }
        if let Some(Closing { closed, .. }) = &plan.closing
            && walked.closed_root != closed.root
        {
            let (period, size) = (&closed.period, closed.size);
            let what = format!("the closing of {period} has another root over {size} leaves");
            return Err(ExportError::Damaged(what));
        }
        if let Some(start) = start {
            if walked.start_root != start.checkpoint.root {
                return Err(not_signed(start.checkpoint.size));
            }
            folder.put(layout::START_CHECKPOINT, start.note.encode().into_bytes()).await?;
            let proof = layout::proof_text(&walked.proof).into_bytes();
            folder.put(layout::CONSISTENCY_PROOF, proof).await?;
        }
        folder.put(layout::CHECKPOINT, end.note.encode().into_bytes()).await?;
        folder.put(layout::POLICY, plan.policy.to_text().into_bytes()).await?;
        folder.put(layout::RULE, super::VERIFY_TEXT.into()).await?;
        folder.put(layout::PROGRAM, super::VERIFY_PROGRAM.into()).await?;
        let billed = money.write(plan, folder).await?;
        let control = match &billed {
            None => Control { events: walked.events, ..Control::default() },
            Some(billed) => Control {
                events: walked.events,
                currency: Some(billed.currency.clone()),
                facts: Some(billed.facts),
                lines: Some(billed.lines),
                total_minor: Some(billed.total_minor.to_string()),
            },
        };
        let files = folder.files().iter().map(|(path, written)| FileEntry {
            bytes: written.bytes,
            path: path.clone(),
            sha256: written.sha256,
        });
        let start = start.as_ref().map_or(Head { root: empty_root(), size: 0 }, |start| Head {
            root: start.checkpoint.root,
            size: start.checkpoint.size,
        });
        Ok(Manifest {
            control,
            files: files.collect(),
            format: MANIFEST_FORMAT.to_string(),
            kind: plan.kind(),
            log: LogPart {
                end: Head { root: head.root, size: head.size },
                first: plan.first,
                origin: head.origin.clone(),
                start,
                tiles: plan.tiles.clone(),
            },
            period: plan.closing.as_ref().map(|Closing { opened, .. }| PeriodPart {
                end: opened.end,
                name: opened.period.clone(),
                start: opened.start,
                zone: opened.zone.clone(),
            }),
            program: self.program.to_string(),
            rating: RATING,
            tenant: plan.tenant.to_string(),
        })
    }
}
