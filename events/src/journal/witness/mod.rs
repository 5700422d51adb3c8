//! The witness: a process of its own that reads only the second copy, rebuilds every tenant's
//! tree from it, and co-signs a head of the site only if its own root at that size is equal and
//! extends what it co-signed before. Its cosignature says: stored twice, apart, and equal.
//!
//! Whatever differs ends its trust in that log for ever: it keeps the reason in its folder and
//! never co-signs a head of that log again.

mod check;
mod evidence;
mod keep;
mod parts;
mod refusal;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use parts::{WitnessError, WitnessOptions, WitnessParts, WitnessStatus};
pub use refusal::Refusal;

use self::check::{Checks, Finding};
use self::evidence::{Evidence, Walk};
use self::keep::{Keeper, Kept, Standing};
use self::tree::{Known, Tree};
use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};
use crate::journal::keys::verify_note;
use crate::ports::{Board, CopiedEvent, CopyError, CopyScan, PostedNote};
use crate::tlog::{Checkpoint, KeyKind, Note, VerifierKey, leaf_hash};

/// Events and notes that are read at a time.
const PAGE: usize = 1_000;

/// How long a page that must be there is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pages of notes that are read in one turn at most: anybody who may post can post more.
const NOTE_PAGES: usize = 100;

/// Hashes of leaves that are held for all logs together, between two turns.
const MAX_ALL_NEWS: usize = 1_000_000;

/// Heads of one log that wait for their leaves at most; the oldest go first.
const MAX_PENDING: usize = 64;

/// A witness.
pub struct Witness {
    parts: WitnessParts,
    options: WitnessOptions,
    log_key: VerifierKey,
    keeper: Keeper,
    kept: Kept,
    timeline: u64,
    checks: Checks,
    position: Position,
    /// Hash of the leaf at that position.
    last_leaf: Option<Sha256Digest>,
    trees: BTreeMap<TenantId, Tree>,
    /// Heads that wait, by tenant and size.
    pending: BTreeMap<TenantId, BTreeMap<u64, PostedNote>>,
    scan: Option<Box<dyn CopyScan>>,
    seen: u64,
    /// The last turn left something to be read.
    more: bool,
    kept_at: Option<Instant>,
    changed: bool,
    status: watch::Sender<WitnessStatus>,
}

/// Why a turn ended early.
enum Trouble {
    /// Try again later.
    Later(String),
    /// Do not go on.
    Stop(WitnessError),
}

impl From<CopyError> for Trouble {
    fn from(error: CopyError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<WitnessError> for Trouble {
    fn from(error: WitnessError) -> Self {
        Self::Stop(error)
    }
}

impl Witness {
    /// Opens the folder, or begins one, and goes on where it was left.
    pub fn open(parts: WitnessParts, options: WitnessOptions) -> Result<Self, WitnessError> {
        let keeper = Keeper::lock(&parts.folder)?;
        let (kept, log_key) = pins(&keeper, &options)?;
        let timeline = kept.timeline;
        let standing = keeper.standing(timeline)?;
        let mut this = Self {
            parts,
            options,
            log_key,
            keeper,
            kept,
            timeline,
            checks: Checks::default(),
            position: Position(0),
            last_leaf: None,
            trees: BTreeMap::new(),
            pending: BTreeMap::new(),
            scan: None,
            seen: 0,
            more: false,
            kept_at: None,
            changed: false,
            status: watch::Sender::default(),
        };
        this.stand(timeline, standing)?;
        this.tell(|_| ());
        Ok(this)
    }

    /// The key of the site that it pinned.
    pub fn log_key(&self) -> &VerifierKey {
        &self.log_key
    }

    /// What others need to check its cosignatures.
    pub fn verifier(&self) -> &VerifierKey {
        self.parts.cosigner.verifier()
    }

    /// What it knows, at the end of each turn.
    pub fn status(&self) -> watch::Receiver<WitnessStatus> {
        self.status.subscribe()
    }

    /// Logs that it refuses.
    pub fn refusals(&self) -> &[Refusal] {
        &self.kept.refusals
    }

    /// Takes turns until `stop` is true or its sender is gone. Returns the logs that it refuses.
    pub async fn run(
        &mut self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Vec<Refusal>, WitnessError> {
        loop {
            // Wherever a turn waits for somebody, what it knows is whole and can be kept.
            tokio::select! {
                biased;
                turned = self.turn() => drop(turned?),
                () = stopped(&mut stop) => {
                    self.scan = None;
                    break;
                }
            }
            let refused = self.options.stop_at_refusal && !self.kept.refusals.is_empty();
            if refused {
                break;
            }
            if self.more {
                tokio::task::yield_now().await;
                if *stop.borrow() || stop.has_changed().is_err() {
                    break;
                }
                continue;
            }
            let (notes, interval) = (Arc::clone(&self.parts.notes), self.options.interval);
            let next = Instant::now() + interval;
            let (seen, mut in_vain) = (self.seen, false);
            let news = async {
                // Nobody answers: the next turn says so.
                in_vain = notes.after(Board::Signed, seen, 1, interval).await.is_err();
                if in_vain {
                    tokio::time::sleep_until(next).await;
                }
            };
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = news => {}
            }
            if in_vain {
                self.seen = 0;
            }
        }
        self.keep()?;
        Ok(self.kept.refusals.clone())
    }

    /// Reads what is new, and co-signs what it can answer for. Fails only where the witness
    /// itself cannot go on.
    pub async fn turn(&mut self) -> Result<WitnessStatus, WitnessError> {
        self.more = false;
        let problem = match self.take_turn().await {
            Ok(()) => None,
            Err(Trouble::Later(problem)) => {
                (self.scan, self.more) = (None, false);
                // A board that lost its tail counts from an earlier number again. It holds one
                // note of each log, so reading it anew costs little.
                self.seen = 0;
                Some(problem)
            }
            Err(Trouble::Stop(error)) => {
                self.keep()?;
                return Err(error);
            }
        };
        let due = self.kept_at.is_none_or(|at| at.elapsed() >= self.options.keep_every);
        if self.changed && due {
            self.keep()?;
        }
        self.tell(|status| status.problem = problem);
        Ok(self.status.borrow().clone())
    }

    async fn take_turn(&mut self) -> Result<(), Trouble> {
        // Notes first: then the leaves that they speak of are most likely there.
        self.read_notes().await?;
        if self.kept.refused(None) {
            return Ok(());
        }
        self.read_copy().await?;
        let tenants: Vec<TenantId> = self.pending.keys().cloned().collect();
        for tenant in tenants {
            self.judge(&tenant).await?;
        }
        // The copy still has the leaves; memory must not grow with the number of logs.
        if self.trees.values().map(Tree::held).sum::<usize>() > MAX_ALL_NEWS {
            self.trees.values_mut().for_each(Tree::forget_news);
        }
        Ok(())
    }

    async fn read_notes(&mut self) -> Result<(), Trouble> {
        for _ in 0..NOTE_PAGES {
            let page =
                self.parts.notes.after(Board::Signed, self.seen, PAGE, Duration::ZERO).await?;
            let Some(last) = page.last() else { return Ok(()) };
            self.seen = self.seen.max(last.number);
            for posted in page {
                self.take_note(posted)?;
            }
        }
        self.more = true;
        Ok(())
    }

    fn take_note(&mut self, posted: PostedNote) -> Result<(), Trouble> {
        let head = Checkpoint::parse(&posted.note.text).ok();
        let head = head.filter(|head| head.origin == posted.origin);
        let log = self.of_origin(&posted.origin);
        let signed = verify_note(&posted.note, &self.log_key).is_ok();
        let (Some(head), Some((tenant, timeline)), true) = (head, log, signed) else {
            self.tell(|status| status.ignored += 1);
            return Ok(());
        };
        if timeline > self.timeline {
            self.keep()?;
            let standing = self.keeper.standing(timeline)?;
            self.stand(timeline, standing)?;
            self.keep()?;
        }
        if timeline == self.timeline && !self.kept.refused(Some(&posted.origin)) {
            let pending = self.pending.entry(tenant).or_default();
            pending.insert(head.size, posted);
            if pending.len() > MAX_PENDING {
                pending.pop_first();
            }
        }
        Ok(())
    }

    /// Begins a timeline, or goes on with it.
    fn stand(&mut self, timeline: u64, standing: Standing) -> Result<(), WitnessError> {
        self.kept.timeline = timeline;
        self.timeline = timeline;
        self.position = standing.position;
        self.last_leaf = standing.last_leaf;
        self.checks = standing.checks;
        self.trees = standing.trees;
        self.pending.clear();
        self.scan = None;
        self.changed = true;
        self.tell(|status| (status.timeline, status.copy_end) = (timeline, Position(0)));
        Ok(())
    }

    async fn read_copy(&mut self) -> Result<(), Trouble> {
        let end = self.parts.copy.last(self.timeline).await?;
        self.tell(|status| status.copy_end = end);
        if end < self.position {
            // The copy lost its tail; the relay brings it back.
            let text = format!(
                "the copy ends at position {end}, it was read up to position {}: waiting for its \
                 tail to come back",
                self.position
            );
            return Err(Trouble::Later(text));
        }
        let most = self.position.0.saturating_add(self.options.turn_events.max(1));
        let until = Position(end.0.min(most));
        self.more |= until < end;
        while self.position < until {
            let page = self.next_page(until, end).await?;
            for event in page {
                self.absorb(event).await?;
                if self.kept.refused(None) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn next_page(
        &mut self,
        until: Position,
        end: Position,
    ) -> Result<Vec<CopiedEvent>, Trouble> {
        if self.scan.is_none() {
            self.same_as_before().await?;
            let scan = self.parts.copy.scan(self.timeline, self.position, None).await?;
            self.scan = Some(scan);
        }
        let Some(scan) = &mut self.scan else { return Ok(Vec::new()) };
        let wanted = usize::try_from(until.0 - self.position.0).unwrap_or(PAGE).min(PAGE);
        let page = scan.next(wanted, PATIENCE).await?;
        match page.is_empty() {
            true => Err(Trouble::Later(format!(
                "the copy says that it ends at position {end}, and gives nothing behind {}",
                self.position
            ))),
            false => Ok(page),
        }
    }

    /// The copy must still hold, at the end of what was read, what was read.
    async fn same_as_before(&mut self) -> Result<(), Trouble> {
        let Some(before) = self.last_leaf else { return Ok(()) };
        let there = self.parts.copy.at(self.timeline, self.position).await?;
        let Some(there) = there else {
            let text = format!("the copy has nothing at position {} any more", self.position);
            return Err(Trouble::Later(text));
        };
        let now = leaf_hash(&there.leaf);
        if now == before {
            return Ok(());
        }
        let reason = "the copy has another leaf there than when it was read".to_string();
        self.refuse(Refusal {
            position: Some(self.position.0),
            ours: Some(before),
            theirs: Some(now),
            ..Refusal::new(reason)
        })?;
        Err(Trouble::Later("the copy was changed".to_string()))
    }

    /// Checks a leaf and adds it to its tree.
    async fn absorb(&mut self, event: CopiedEvent) -> Result<(), Trouble> {
        let expected = Position(self.position.0 + 1);
        if event.position != expected {
            self.scan = None;
            return self.explain_gap(expected, event.position).await;
        }
        let hash = leaf_hash(&event.leaf);
        let trees = &self.trees;
        let size = |tenant: &TenantId| trees.get(tenant).map_or(0, Tree::size);
        let found = self.checks.leaf(&event, hash, self.timeline, size);
        match found {
            Ok(tenant) => {
                let refused = self.kept.refused(Some(&self.origin(&tenant)));
                if !refused {
                    self.grow(&tenant, hash, expected)?;
                }
            }
            Err(Finding::TooNew(reason)) => {
                return Err(WitnessError::TooNew { position: expected, reason }.into());
            }
            Err(Finding::Leaf { tenant, reason }) => {
                let origin = tenant.as_ref().map(|tenant| self.origin(tenant));
                let tenant = tenant.map(|tenant| tenant.to_string());
                let position = Some(expected.0);
                self.refuse(Refusal { origin, tenant, position, ..Refusal::new(reason) })?;
            }
        }
        self.position = expected;
        self.last_leaf = Some(hash);
        self.changed = true;
        Ok(())
    }

    fn grow(
        &mut self,
        tenant: &TenantId,
        hash: Sha256Digest,
        position: Position,
    ) -> Result<(), Trouble> {
        if !self.trees.contains_key(tenant) {
            let last = self.parts.cosigner.last_cosigned(&self.origin(tenant));
            let last = last.map_err(WitnessError::from)?;
            self.trees.insert(tenant.clone(), Tree::new(last.map(|last| last.size)));
        }
        let pending = self.pending.get(tenant);
        if let Some(tree) = self.trees.get_mut(tenant) {
            tree.push(hash, position, |size| pending.is_some_and(|p| p.contains_key(&size)));
        }
        Ok(())
    }

    /// The scan left a position out, or went back.
    async fn explain_gap(&mut self, expected: Position, got: Position) -> Result<(), Trouble> {
        let missing = self.parts.copy.at(self.timeline, expected).await?.is_none();
        let end = self.parts.copy.last(self.timeline).await?;
        if missing && end > expected {
            let reason = format!("the copy has nothing there, though it goes on to {end}");
            let position = Some(expected.0);
            self.refuse(Refusal { position, ..Refusal::new(reason) })?;
        }
        Err(Trouble::Later(format!("position {expected} was expected, {got} came")))
    }

    /// Compares the heads of a log whose leaves are there, and co-signs the largest.
    async fn judge(&mut self, tenant: &TenantId) -> Result<(), Trouble> {
        let origin = self.origin(tenant);
        let size = self.trees.get(tenant).map_or(0, Tree::size);
        let due: Vec<PostedNote> = match self.pending.get(tenant) {
            Some(pending) => pending.range(..=size).map(|(_, note)| note.clone()).collect(),
            None => return Ok(()),
        };
        if due.is_empty() || self.kept.refused(Some(&origin)) {
            return Ok(());
        }
        let heads: Vec<Checkpoint> =
            due.iter().filter_map(|note| Checkpoint::parse(&note.note.text).ok()).collect();
        let last = self.parts.cosigner.last_cosigned(&origin).map_err(WitnessError::from)?;
        let Some(evidence) = self.evidence(tenant, &heads, last.as_ref()).await? else {
            return Ok(());
        };
        for (head, posted) in heads.iter().zip(&due) {
            if let Some(ours) = evidence.root(head.size).filter(|ours| *ours != head.root) {
                let reason = "the site signed another root than the copy has".to_string();
                return self.refuse(Refusal {
                    note: Some(posted.note.encode()),
                    ..self.of_log(tenant, head, ours, reason)
                });
            }
        }
        if let Some(last) = &last
            && let Some(ours) = evidence.root(last.size).filter(|ours| *ours != last.root)
        {
            let reason = "the copy has another root than was co-signed before".to_string();
            return self.refuse(self.of_log(tenant, last, ours, reason));
        }
        if let (Some(posted), Some(head)) = (due.last(), heads.last()) {
            let behind = last.as_ref().is_some_and(|last| last.size > head.size);
            if !behind {
                self.cosign(&posted.note, head, &evidence).await?;
            }
            self.settle(tenant, head.size, &evidence);
        }
        Ok(())
    }

    /// What is needed to judge: roots at all these sizes, and the proof from the last cosigned
    /// head to the largest. Reads the copy again where memory is not enough. `None`: the log
    /// was refused on the way.
    async fn evidence(
        &mut self,
        tenant: &TenantId,
        heads: &[Checkpoint],
        last: Option<&Checkpoint>,
    ) -> Result<Option<Evidence>, Trouble> {
        let Some(tree) = self.trees.get(tenant) else { return Ok(None) };
        let target = heads.last().map_or(0, |head| head.size);
        let anchor = last.map(|last| last.size).filter(|size| *size <= tree.size());
        let mut evidence = Evidence::default();
        let mut missing: Vec<u64> = Vec::new();
        for size in heads.iter().map(|head| head.size).chain(anchor) {
            match tree.known(size) {
                Some(known) => drop(evidence.known.insert(size, known)),
                None => missing.push(size),
            }
        }
        let proven = anchor.filter(|anchor| *anchor > 0 && *anchor < target);
        let Some(from) = missing.iter().copied().chain(proven).min() else {
            return Ok(Some(evidence));
        };
        let start = tree.known_up_to(from);
        let end = tree.current().clone();
        let mut walk = Walk { at: start, missing, proven, target };
        if let Some(news) = tree.news_from(&walk.at) {
            news.for_each(|(hash, position)| walk.step(hash, position, &mut evidence));
            return Ok(Some(evidence));
        }
        let same = self.read_again(tenant, walk, &end, &mut evidence).await?;
        Ok(same.then_some(evidence))
    }

    /// Walks over the leaves of one tenant in the copy, up to what was read before. `false`:
    /// they are not the same any more.
    async fn read_again(
        &mut self,
        tenant: &TenantId,
        mut walk: Walk,
        end: &Known,
        evidence: &mut Evidence,
    ) -> Result<bool, Trouble> {
        let after = walk.at.position;
        let mut scan = self.parts.copy.scan(self.timeline, after, Some(tenant)).await?;
        while walk.at.frontier.size() < end.frontier.size() {
            let left = end.frontier.size() - walk.at.frontier.size();
            let wanted = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
            let page = scan.next(wanted, PATIENCE).await?;
            if page.is_empty() {
                let text = format!("leaves of {tenant} in the copy are not there to be read again");
                return Err(Trouble::Later(text));
            }
            for event in page {
                walk.step(leaf_hash(&event.leaf), event.position, evidence);
            }
        }
        let (ours, theirs) = (end.frontier.root(), walk.at.frontier.root());
        if ours == theirs {
            return Ok(true);
        }
        let size = end.frontier.size();
        let origin = self.origin(tenant);
        let head = Checkpoint { origin, size, root: theirs };
        let reason = "the copy has other leaves than when it was read first".to_string();
        self.refuse(self.of_log(tenant, &head, ours, reason))?;
        Ok(false)
    }

    /// Co-signs a head and shows it.
    async fn cosign(
        &mut self,
        note: &Note,
        head: &Checkpoint,
        evidence: &Evidence,
    ) -> Result<(), Trouble> {
        let proof = match &evidence.extension {
            Some(extension) => extension.proof().map_err(|error| {
                Trouble::Later(format!("the proof for {} is not complete: {error}", head.origin))
            })?,
            None => Vec::new(),
        };
        let time = u64::try_from(self.parts.clock.now().0 / 1_000).unwrap_or(0);
        let cosigner = &self.parts.cosigner;
        let cosignature = cosigner.cosign(&note.text, &proof, time).map_err(WitnessError::from)?;
        let mut cosigned = note.clone();
        cosigned.cosign_with(cosigner.verifier(), &cosignature);
        let by = cosigner.verifier().name();
        self.parts.notes.post(Board::Cosigned, &head.origin, by, &cosigned).await?;
        self.tell(|status| status.cosigned += 1);
        Ok(())
    }

    /// What was co-signed is the new beginning.
    fn settle(&mut self, tenant: &TenantId, size: u64, evidence: &Evidence) {
        if let Some(pending) = self.pending.get_mut(tenant) {
            *pending = pending.split_off(&(size + 1));
            if pending.is_empty() {
                self.pending.remove(tenant);
            }
        }
        if let (Some(tree), Some(known)) = (self.trees.get_mut(tenant), evidence.known.get(&size)) {
            tree.rebase(known.clone());
        }
        self.changed = true;
    }

    fn of_log(
        &self,
        tenant: &TenantId,
        head: &Checkpoint,
        ours: Sha256Digest,
        reason: String,
    ) -> Refusal {
        Refusal {
            origin: Some(head.origin.clone()),
            tenant: Some(tenant.to_string()),
            size: Some(head.size),
            ours: Some(ours),
            theirs: Some(head.root),
            ..Refusal::new(reason)
        }
    }

    /// Refuses a log for ever, or all logs of this timeline.
    fn refuse(&mut self, refusal: Refusal) -> Result<(), Trouble> {
        let refusal = Refusal { timeline: self.timeline, ..refusal };
        if let Some(tenant) = refusal.tenant.as_deref().and_then(|t| TenantId::new(t).ok()) {
            self.pending.remove(&tenant);
        }
        if !self.kept.refuse(refusal) {
            return Ok(());
        }
        self.keep()?;
        self.tell(|_| ());
        Ok(())
    }

    fn keep(&mut self) -> Result<(), WitnessError> {
        self.keeper.keep(&self.kept)?;
        let place = (self.position, self.last_leaf);
        self.keeper.keep_standing(self.timeline, place, &self.checks, &self.trees)?;
        self.kept_at = Some(Instant::now());
        self.changed = false;
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut WitnessStatus)) {
        self.status.send_modify(|status| {
            status.timeline = self.timeline;
            status.position = self.position;
            status.waiting = self.pending.values().map(BTreeMap::len).sum();
            status.refusals.clone_from(&self.kept.refusals);
            change(status);
        });
    }

    fn site(&self) -> &str {
        self.kept.site.as_str()
    }

    fn origin(&self, tenant: &TenantId) -> String {
        format!("{}/t/{tenant}/{}", self.site(), self.timeline)
    }

    fn of_origin(&self, origin: &str) -> Option<(TenantId, u64)> {
        let rest = origin.strip_prefix(self.site())?.strip_prefix("/t/")?;
        let (tenant, timeline) = rest.split_once('/')?;
        let (tenant, timeline) = (TenantId::new(tenant).ok()?, timeline.parse::<u64>().ok()?);
        let same = format!("{}/t/{tenant}/{timeline}", self.site()) == origin && timeline > 0;
        same.then_some((tenant, timeline))
    }
}

/// Returns when it is time to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody can tell any more: that ends it as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The key and the site, as given and as pinned.
fn pins(keeper: &Keeper, options: &WitnessOptions) -> Result<(Kept, VerifierKey), WitnessError> {
    let refuse = |text: String| Err(WitnessError::Options(text));
    let mut kept = keeper.kept()?;
    let pinned = match kept.log_key.is_empty() {
        true => None,
        false => Some(VerifierKey::parse(&kept.log_key).map_err(|error| {
            WitnessError::Options(format!("the pinned key of the site: {error}"))
        })?),
    };
    let key = match (pinned, &options.log_key) {
        (None, None) => {
            return refuse("the key of the site must be given at the first start".to_string());
        }
        (Some(pinned), Some(given)) if pinned != *given => {
            return refuse(format!(
                "the key `{}` was pinned at the first start, `{}` is given now; a witness of \
                 another site needs a folder and a key of its own",
                pinned.to_text(),
                given.to_text()
            ));
        }
        (Some(key), _) => key,
        (None, Some(given)) => given.clone(),
    };
    if key.kind() != KeyKind::Log {
        return refuse("the key of the site is that of a log, not of a witness".to_string());
    }
    let site = options.site.clone().unwrap_or_else(|| key.name().to_string());
    if !kept.site.is_empty() && kept.site != site {
        return refuse(format!("the site `{}` was pinned, `{site}` is given now", kept.site));
    }
    kept.log_key = key.to_text();
    kept.site = site;
    keeper.keep(&kept)?;
    Ok((kept, key))
}
