//! The checkpoint loop: signs what is new, publishes it, and collects cosignatures.
//!
//! A turn signs the heads of the logs that changed, writes their tiles, adds the heads to the
//! site's own log, and only then publishes each head: so a published head always finds its
//! tiles, and stands in the site's log. A turn that was cut short is finished by the next one,
//! in this process or another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::site::SiteLog;
use super::{CheckpointError, Checkpoints, SignedCheckpoint};
use crate::ids::{Position, TenantId};
use crate::journal::guard::Guard;
use crate::journal::keys::verify_note;
use crate::journal::tiles::{StoreLeaves, TileError, TileWriter, tenant_folder};
use crate::ports::{Board, CopyError, EventStore, Notes, Objects, PostedNote};
use crate::tlog::{Edge, KeyKind, VerifierKey};

/// Cosignatures that are looked at in one go.
const COSIGNED_PAGE: usize = 256;

/// How long a publisher goes on when it is told to stop.
const ENDING: Duration = Duration::from_secs(10);

/// A head that is not co-signed after so many turns is shown again, then after twice as many.
const FIRST_PATIENCE: u32 = 60;

/// The longest time between two showings of one head, in turns.
const LONGEST_PATIENCE: u32 = FIRST_PATIENCE * 64;

/// Heads that are shown again in one turn, at most.
const SHOWN_AGAIN: usize = 64;

/// What a publisher works with.
pub struct PublisherParts {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// What signs its heads, and the history in which they are kept.
    pub checkpoints: Checkpoints,
    /// Where tiles and heads are published; without it there is no site log either.
    pub objects: Option<Arc<dyn Objects>>,
    /// Where heads are shown to witnesses.
    pub notes: Option<Arc<dyn Notes>>,
    /// What is halted where the record contradicts what was signed.
    pub guard: Arc<Guard>,
}

/// How a publisher works.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// Time from one turn to the next.
    pub interval: Duration,
    /// Keys of the witnesses whose cosignatures are taken up.
    pub witnesses: Vec<VerifierKey>,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), witnesses: Vec::new() }
    }
}

/// Why a publisher does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublisherError {
    /// The record contradicts what was signed; its guard is halted.
    #[error("{0}")]
    Halted(String),
    /// The options make no sense.
    #[error("the publisher's options: {0}")]
    Options(String),
}

/// What a turn did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// The position up to which the record was looked at.
    pub head: Position,
    /// Tenants' logs that were looked at because they changed, or were not finished before.
    pub touched: usize,
    /// Heads that were published.
    pub published: usize,
    /// Notes that were shown to witnesses.
    pub posted: usize,
    /// Cosignatures that were taken up since the turn before.
    pub cosigned: usize,
    /// What did not succeed and is tried again.
    pub problems: Vec<String>,
}

/// What is known of a tenant's log.
#[derive(Default)]
struct Log {
    signed: Option<SignedCheckpoint>,
    /// Leaves below the published head; `None`: nobody looked yet.
    published: Option<u64>,
    /// The edge of the tiles at the published head, where it is known.
    edge: Option<Edge>,
    /// Leaves below the head that stands in the site's log.
    listed: u64,
    /// Leaves below the head that was shown to witnesses.
    posted: u64,
    /// Turns since it was shown, or looked at whether it has to be shown again.
    waited: u32,
    /// After so many turns it is looked at.
    patience: u32,
    /// What a crash may have left was removed.
    swept: bool,
}

impl Log {
    fn size(&self) -> u64 {
        self.signed.as_ref().map_or(0, |signed| signed.checkpoint.size)
    }
}

/// Signs and publishes the heads of all logs of a record.
pub struct Publisher {
    parts: PublisherParts,
    options: PublisherOptions,
    timeline: u64,
    logs: BTreeMap<TenantId, Log>,
    site: Option<SiteLog>,
    /// The position up to which everything is finished.
    finished: Option<Position>,
    /// The last note with cosignatures that was looked at.
    seen: u64,
    cosigned: usize,
    turns: watch::Sender<Turn>,
}

impl Publisher {
    /// A publisher that has not looked at anything yet.
    pub fn new(parts: PublisherParts, options: PublisherOptions) -> Result<Self, PublisherError> {
        if options.witnesses.iter().any(|key| key.kind() != KeyKind::Cosigner) {
            let text = "the key of a witness begins with the type 4, that of a log was given";
            return Err(PublisherError::Options(text.to_string()));
        }
        Ok(Self {
            parts,
            options,
            timeline: 0,
            logs: BTreeMap::new(),
            site: None,
            finished: None,
            seen: 0,
            cosigned: 0,
            turns: watch::Sender::default(),
        })
    }

    /// Tells what each turn did.
    pub fn turns(&self) -> watch::Receiver<Turn> {
        self.turns.subscribe()
    }

    /// Takes turns until `stop` is true or its sender is gone, and then a last one. From then
    /// on it has ten seconds: what is under way is given up, and the next process finishes it.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), PublisherError> {
        let mut told = stop.clone();
        let out_of_time = async {
            stopped(&mut told).await;
            sleep(ENDING).await;
        };
        let ended = tokio::select! {
            biased;
            ended = self.turn_until(&mut stop) => Some(ended),
            () = out_of_time => None,
        };
        ended.unwrap_or_else(|| {
            // What was in the middle of being done is not known any more.
            self.forget();
            let mut turn = self.turns.borrow().clone();
            turn.problems.push("the last turn took too long and was given up".to_string());
            self.turns.send_replace(turn);
            Ok(())
        })
    }

    async fn turn_until(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), PublisherError> {
        loop {
            let next = Instant::now() + self.options.interval;
            self.turn().await?;
            tokio::select! {
                () = stopped(stop) => {
                    self.turn().await?;
                    return Ok(());
                }
                done = self.collect_until(next) => done?,
            }
        }
    }

    /// Signs, publishes and shows what is new. Fails only where the record contradicts what
    /// was signed; everything else is a problem that the next turn has another go at.
    pub async fn turn(&mut self) -> Result<Turn, PublisherError> {
        let mut turn = Turn::default();
        if let Err(error) = self.take_turn(&mut turn).await {
            self.fail(&mut turn, error)?;
        }
        if let Err(error) = self.collect(Duration::ZERO).await {
            self.fail(&mut turn, error)?;
        }
        self.show_again(&mut turn).await;
        turn.cosigned = std::mem::take(&mut self.cosigned);
        self.turns.send_replace(turn.clone());
        Ok(turn)
    }

    async fn take_turn(&mut self, turn: &mut Turn) -> Result<(), Failure> {
        turn.head = self.parts.store.head().await.map_err(CheckpointError::from)?;
        let timeline = self.parts.store.timeline().await.map_err(CheckpointError::from)?;
        if timeline != self.timeline {
            self.forget();
            self.timeline = timeline;
            let objects = self.parts.objects.clone();
            self.site = objects.map(|objects| SiteLog::new(objects, timeline));
        }
        if self.finished == Some(turn.head) {
            return Ok(());
        }
        self.finished = None;
        let _lock = self.parts.checkpoints.history().lock().await?;
        let open = self.sign_news(turn).await?;
        turn.touched = open.len();
        self.publish(&open, turn).await?;
        self.post(&open, turn).await;
        if turn.problems.is_empty() {
            self.finished = Some(turn.head);
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.timeline = 0;
        self.logs.clear();
        self.finished = None;
        self.site = None;
    }

    /// Signs each log that changed; says which logs have something to be published or shown.
    async fn sign_news(&mut self, turn: &mut Turn) -> Result<Vec<TenantId>, Failure> {
        let heads = self.parts.store.log_heads().await.map_err(CheckpointError::from)?;
        let mut open = Vec::new();
        for (tenant, head) in heads {
            let log = self.logs.entry(tenant.clone()).or_default();
            if head.size == 0 {
                continue;
            }
            if head.size != log.size() {
                // With many logs: lets the process see that it is time to end.
                tokio::task::yield_now().await;
                match self.sign(&tenant).await {
                    Ok(()) => {}
                    // On another timeline the turn begins anew.
                    Err(error) if error.is_fatal() || error.is_of_old_timeline() => {
                        return Err(error);
                    }
                    Err(error) => {
                        turn.problems.push(format!("tenant {tenant}: {error}"));
                        continue;
                    }
                }
            }
            if self.is_open(&tenant) {
                open.push(tenant);
            }
        }
        Ok(open)
    }

    fn is_open(&self, tenant: &TenantId) -> bool {
        let Some(log) = self.logs.get(tenant) else { return false };
        let size = log.size();
        let published = self.parts.objects.is_none() || log.published == Some(size);
        let posted = self.parts.notes.is_none() || log.posted == size;
        !(published && posted)
    }

    async fn sign(&mut self, tenant: &TenantId) -> Result<(), Failure> {
        let checkpoints = &self.parts.checkpoints;
        let known = self.logs.get(tenant).is_some_and(|log| log.published.is_some());
        let found = match (self.writer(tenant), known) {
            (Some(writer), false) => Some(writer.published(checkpoints.history().key()).await),
            _ => None,
        };
        let published = match found {
            None => None,
            Some(Ok(head)) => Some(head.map(|head| head.checkpoint)),
            // The signer's own memory is enough; without it nothing is signed blindly.
            Some(Err(error)) => {
                let origin = checkpoints.origin(tenant, self.timeline);
                let remembered = checkpoints.signer().last_signed(&origin);
                remembered.map_err(CheckpointError::from)?.ok_or(error)?;
                None
            }
        };
        let head = published.as_ref().and_then(Option::as_ref);
        let store = &*self.parts.store;
        let signed = checkpoints.write_locked(store, tenant, self.timeline, head).await?;
        if let Some(log) = self.logs.get_mut(tenant) {
            log.signed = Some(signed);
            if let Some(head) = published {
                log.published = Some(head.map_or(0, |head| head.size));
            }
        }
        Ok(())
    }

    fn writer(&self, tenant: &TenantId) -> Option<TileWriter> {
        let objects = self.parts.objects.clone()?;
        Some(TileWriter::new(objects, tenant_folder(tenant, self.timeline)))
    }

    /// Tiles first, then the site's log, then the heads.
    async fn publish(&mut self, open: &[TenantId], turn: &mut Turn) -> Result<(), Failure> {
        let mut ready = Vec::new();
        for tenant in open {
            let Some(writer) = self.writer(tenant) else { return Ok(()) };
            match self.write_tiles(&writer, tenant).await {
                Ok(Some(edge)) => ready.push((tenant, writer, edge)),
                Ok(None) => {}
                Err(error) => {
                    turn.problems.push(format!("tenant {tenant}: {error}"));
                    // The others would wait as long for the same objects.
                    if error.is_transient() {
                        return Ok(());
                    }
                }
            }
        }
        if ready.is_empty() || !self.add_to_site_log(&ready, turn).await? {
            return Ok(());
        }
        for (tenant, writer, edge) in ready {
            match self.publish_head(tenant, &writer, edge).await {
                Ok(()) => turn.published += 1,
                Err(error) => turn.problems.push(format!("tenant {tenant}: {error}")),
            }
        }
        Ok(())
    }

    /// Writes the tiles of the signed head; `None`: it is published already.
    async fn write_tiles(
        &self,
        writer: &TileWriter,
        tenant: &TenantId,
    ) -> Result<Option<Edge>, TileError> {
        let Some(log) = self.logs.get(tenant) else { return Ok(None) };
        let Some(signed) = log.signed.as_ref().map(|signed| &signed.checkpoint) else {
            return Ok(None);
        };
        if log.published == Some(signed.size) {
            return Ok(None);
        }
        let edge = match &log.edge {
            Some(edge) => Some(edge.clone()),
            None => {
                let key = self.parts.checkpoints.history().key();
                let published = writer.published(key).await?;
                writer.edge(published.as_ref().map(|published| &published.checkpoint)).await?
            }
        };
        let source = StoreLeaves { store: &*self.parts.store, tenant };
        let edge = writer.extend(edge.unwrap_or_default(), signed.size, &source).await?;
        match edge.frontier().root() == signed.root {
            true => Ok(Some(edge)),
            false => Err(TileError::Damaged {
                path: tenant_folder(tenant, self.timeline),
                reason: format!("the leaves do not have the root signed over {}", signed.size),
            }),
        }
    }

    /// Whether the heads may be published now.
    async fn add_to_site_log(
        &mut self,
        ready: &[(&TenantId, TileWriter, Edge)],
        turn: &mut Turn,
    ) -> Result<bool, Failure> {
        let Some(site) = &mut self.site else { return Ok(true) };
        let mut leaves = Vec::new();
        for (tenant, ..) in ready {
            let Some(log) = self.logs.get(*tenant) else { continue };
            // Only the publishing of the head had failed.
            if log.listed != log.size() {
                leaves.extend(log.signed.as_ref().map(|signed| signed.checkpoint.to_text()));
            }
        }
        match site.append(&self.parts.checkpoints, &leaves).await {
            Ok(()) => {
                for (tenant, ..) in ready {
                    if let Some(log) = self.logs.get_mut(*tenant) {
                        log.listed = log.size();
                    }
                }
                Ok(true)
            }
            Err(error) => {
                turn.problems.push(error.to_string());
                // What cannot be mended from here must not hold up the tenants' heads.
                Ok(!error.is_transient())
            }
        }
    }

    async fn publish_head(
        &mut self,
        tenant: &TenantId,
        writer: &TileWriter,
        edge: Edge,
    ) -> Result<(), TileError> {
        let Some(log) = self.logs.get_mut(tenant) else { return Ok(()) };
        let Some(signed) = &log.signed else { return Ok(()) };
        writer.publish(&signed.note).await?;
        let (before, size) = (log.published.replace(edge.size()).unwrap_or(0), edge.size());
        log.edge = Some(edge);
        match log.swept {
            true => writer.sweep(before, size).await?,
            false => writer.sweep_all(size).await?,
        }
        log.swept = true;
        Ok(())
    }

    /// Shows the signed heads to witnesses.
    async fn post(&mut self, open: &[TenantId], turn: &mut Turn) {
        let Some(notes) = self.parts.notes.clone() else { return };
        let by = self.parts.checkpoints.history().key().name().to_string();
        for tenant in open {
            let Some(log) = self.logs.get_mut(tenant) else { continue };
            let Some(signed) = &log.signed else { continue };
            let size = signed.checkpoint.size;
            if log.posted == size {
                continue;
            }
            let origin = &signed.checkpoint.origin;
            match notes.post(Board::Signed, origin, &by, &signed.note).await {
                Ok(()) => {
                    log.posted = size;
                    (log.waited, log.patience) = (0, FIRST_PATIENCE);
                    turn.posted += 1;
                }
                Err(error) => {
                    turn.problems.push(format!("showing heads to witnesses: {error}"));
                    // The others would wait as long for the same board.
                    return;
                }
            }
        }
    }

    /// Shows heads once more that stay without a cosignature. The board may have lost them
    /// without anybody noticing, and a log in which nothing happens gets no newer head.
    async fn show_again(&mut self, turn: &mut Turn) {
        let Some(notes) = self.parts.notes.clone() else { return };
        let by = self.parts.checkpoints.history().key().name().to_string();
        let witnesses = &self.options.witnesses;
        let mut left = SHOWN_AGAIN;
        for log in self.logs.values_mut() {
            let Some(signed) = &log.signed else { continue };
            if log.posted != signed.checkpoint.size {
                continue;
            }
            log.waited = log.waited.saturating_add(1);
            if log.waited < log.patience || left == 0 {
                continue;
            }
            let cosigned = |key: &VerifierKey| signed.note.cosignature(key).is_ok();
            // Without a known witness nobody can tell who has seen it.
            if !witnesses.is_empty() && witnesses.iter().all(cosigned) {
                log.waited = 0;
                continue;
            }
            left -= 1;
            let origin = &signed.checkpoint.origin;
            if let Err(error) = notes.post(Board::Signed, origin, &by, &signed.note).await {
                turn.problems.push(format!("showing heads to witnesses again: {error}"));
                return;
            }
            (log.waited, log.patience) = (0, log.patience.saturating_mul(2).min(LONGEST_PATIENCE));
            turn.posted += 1;
        }
    }

    /// Takes up cosignatures as they come, until an instant.
    async fn collect_until(&mut self, until: Instant) -> Result<(), PublisherError> {
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if left.is_zero() {
                break;
            }
            // A board that does not answer is asked again in the next turn.
            match self.collect(left).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let mut turn = self.turns.borrow().clone();
                    self.fail(&mut turn, error)?;
                    self.turns.send_replace(turn);
                    break;
                }
            }
        }
        sleep_until(until).await;
        Ok(())
    }

    /// Takes up the cosignatures that came since the last time; says whether there were any.
    async fn collect(&mut self, wait: Duration) -> Result<bool, Failure> {
        let Some(notes) = self.parts.notes.clone() else { return Ok(false) };
        if self.options.witnesses.is_empty() {
            return Ok(false);
        }
        let page = notes.after(Board::Cosigned, self.seen, COSIGNED_PAGE, wait).await;
        let page = page.map_err(|error| {
            if matches!(error, CopyError::OutOfStep(_)) {
                // What was shown may be gone: all of it is read, and shown, again.
                self.seen = 0;
                self.finished = None;
                self.logs.values_mut().for_each(|log| log.posted = 0);
            }
            Failure::Problem(format!("cosignatures: {error}"))
        })?;
        if page.is_empty() {
            return Ok(false);
        }
        let _lock = self.parts.checkpoints.history().lock().await?;
        for posted in page {
            self.take_up(&posted).await?;
            self.seen = self.seen.max(posted.number);
        }
        Ok(true)
    }

    async fn take_up(&mut self, posted: &PostedNote) -> Result<(), Failure> {
        let checkpoints = &self.parts.checkpoints;
        let Some((tenant, timeline)) = checkpoints.of_origin(&posted.origin) else { return Ok(()) };
        let Ok(theirs) = crate::tlog::Checkpoint::parse(&posted.note.text) else { return Ok(()) };
        let history = checkpoints.history().on(timeline);
        let Some(mut kept) = history.at(&tenant, theirs.size)? else { return Ok(()) };
        if kept.checkpoint != theirs || kept.note.text != posted.note.text {
            // A stranger can post anything, but nobody else has this key.
            let ours =
                theirs.origin == posted.origin && verify_note(&posted.note, history.key()).is_ok();
            let text = format!(
                "two heads of {} with {} leaves were signed with the key `{}`: {} and {}",
                posted.origin,
                theirs.size,
                history.key().name(),
                kept.checkpoint.root,
                theirs.root
            );
            return if ours { Err(Failure::Contradiction(text)) } else { Ok(()) };
        }
        let mut more = 0;
        for key in &self.options.witnesses {
            let new = posted.note.cosignature(key);
            let Ok(new) = new else { continue };
            let older = kept.note.cosignature(key).is_ok_and(|old| old.time >= new.time);
            if !older && verify_note(&posted.note, key).is_ok() {
                kept.note.cosign_with(key, &new);
                more += 1;
            }
        }
        if more == 0 {
            return Ok(());
        }
        history.replace_note(&tenant, &kept)?;
        self.cosigned += more;
        if timeline == self.timeline {
            self.publish_cosigned(&tenant, kept).await?;
        }
        Ok(())
    }

    /// The published head gets the cosignatures too, while it is still the same.
    async fn publish_cosigned(
        &mut self,
        tenant: &TenantId,
        kept: SignedCheckpoint,
    ) -> Result<(), Failure> {
        if let Some(writer) = self.writer(tenant) {
            let key = self.parts.checkpoints.history().key();
            let published = writer.published(key).await?.map(|head| head.checkpoint);
            if published.as_ref() == Some(&kept.checkpoint) {
                writer.publish(&kept.note).await?;
            }
        }
        if let Some(log) = self.logs.get_mut(tenant)
            && log.size() == kept.checkpoint.size
        {
            log.signed = Some(kept);
        }
        Ok(())
    }

    /// Halts the record, or keeps a problem.
    fn fail(&self, turn: &mut Turn, failure: Failure) -> Result<(), PublisherError> {
        let text = failure.to_string();
        if failure.is_fatal() {
            self.parts.guard.halt(&text);
            return Err(PublisherError::Halted(text));
        }
        turn.problems.push(text);
        Ok(())
    }
}

/// Returns when it is time to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody can tell any more: that ends it as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tiles(#[from] TileError),
    #[error("{0}")]
    Contradiction(String),
    #[error("{0}")]
    Problem(String),
}

impl Failure {
    fn is_of_old_timeline(&self) -> bool {
        matches!(self, Self::Checkpoint(CheckpointError::OtherTimeline { .. }))
    }

    /// Whether the record contradicts what was signed.
    fn is_fatal(&self) -> bool {
        match self {
            Self::Checkpoint(error) => error.is_inconsistent(),
            Self::Contradiction(_) => true,
            Self::Tiles(_) | Self::Problem(_) => false,
        }
    }
}
