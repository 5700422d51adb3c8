//! Stopping: TERM to every process, a grace, then KILL until nothing is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::cgroup::Leaf;
use super::super::process;
use super::super::records::{Stop, StopReason};

/// How long survivors of the main process may take to end by themselves before they count as
/// left over: the end of a pipeline (`… > >(tee file)`) is often a moment behind.
const LINGER: Duration = Duration::from_millis(100);
/// Between two rounds of asking.
const FIRST_ASK_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_ASK_PAUSE: Duration = Duration::from_secs(1);
/// Between two rounds of killing.
const KILL_ROUND: Duration = Duration::from_millis(20);
/// After this long a process that is still there cannot be killed (it hangs in the kernel).
const KILL_BOUND: Duration = Duration::from_secs(30);

/// Where the stopping stands.
pub(super) struct Stopper {
    leaf: Leaf,
    main_pid: u32,
    reason: Option<StopReason>,
    deadline: Option<Instant>,
    forced: bool,
    asked: BTreeSet<u32>,
    next_ask: Option<Instant>,
    ask_pause: Duration,
    kill_since: Option<Instant>,
    next_round: Option<Instant>,
    linger_until: Option<Instant>,
    pub(super) leftovers: u32,
}

impl Stopper {
    pub(super) fn new(leaf: Leaf, main_pid: u32) -> Self {
        Self {
            leaf,
            main_pid,
            reason: None,
            deadline: None,
            forced: false,
            asked: BTreeSet::new(),
            next_ask: None,
            ask_pause: FIRST_ASK_PAUSE,
            kill_since: None,
            next_round: None,
            linger_until: None,
            leftovers: 0,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.reason.is_some()
    }

    /// What stopped the step, if something did.
    pub(super) fn verdict(&self) -> Option<Stop> {
        self.reason.map(|reason| Stop { reason, forced: self.forced })
    }

    /// Begins to stop. The first reason stands; a later, shorter grace makes haste.
    pub(super) fn request(&mut self, reason: StopReason, grace: Duration, now: Instant) {
        if self.reason.is_none() {
            self.reason = Some(reason);
            if !grace.is_zero() {
                self.ask(now);
            }
        }
        let deadline = now + grace;
        if self.deadline.is_none_or(|known| deadline < known) {
            self.deadline = Some(deadline);
        }
    }

    /// TERM, once to each process: many programs take a second one as "at once". Asked again
    /// later, this reaches those that were born meanwhile, and those that lost the first one:
    /// what a shell's child gets between fork and exec goes to a handler that is gone after. A
    /// process that lives on although TERM would end it has not had one.
    fn ask(&mut self, now: Instant) {
        for pid in self.processes() {
            if self.asked.insert(pid) || process::would_die_of(pid, Signal::TERM) {
                process::kill(pid, Signal::TERM);
                // One that is stopped cannot clean up before it goes on.
                process::kill(pid, Signal::CONT);
            }
        }
        self.next_ask = Some(now + self.ask_pause);
        self.ask_pause = (self.ask_pause * 2).min(LONGEST_ASK_PAUSE);
    }

    /// What to do now, the main process having ended or not. Survivors are only looked at by
    /// the caller where there are any.
    pub(super) fn tick(&mut self, main_ended: bool, now: Instant) {
        if self.kill_since.is_some() {
            if self.next_round.is_some_and(|at| at <= now) {
                self.kill(now);
            }
        } else if self.is_stopping() {
            if self.deadline.is_some_and(|at| at <= now) {
                self.forced = true;
                self.kill(now);
            } else if self.next_ask.is_some_and(|at| at <= now) {
                self.ask(now);
            }
        } else if main_ended {
            let until = *self.linger_until.get_or_insert(now + LINGER);
            if until <= now {
                self.leftovers = u32::try_from(self.processes().len()).unwrap_or(u32::MAX);
                self.kill(now);
            }
        }
    }

    /// When [`Stopper::tick`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.kill_since {
            Some(_) => self.next_round,
            None => [self.deadline, self.next_ask, self.linger_until].into_iter().flatten().min(),
        }
    }

    /// Processes that would not die, once that is certain.
    pub(super) fn given_up(&self, now: Instant) -> Option<u32> {
        let since = self.kill_since?;
        let late = now.saturating_duration_since(since) > KILL_BOUND;
        late.then(|| u32::try_from(self.processes().len().max(1)).unwrap_or(u32::MAX))
    }

    fn kill(&mut self, now: Instant) {
        self.kill_since.get_or_insert(now);
        self.next_round = Some(now + KILL_ROUND);
        // Descendants too: one with the right to do so may have left the group.
        if !self.leaf.kill() || self.leaf.pids().is_empty() {
            for pid in self.processes() {
                process::kill(pid, Signal::KILL);
            }
        }
    }

    /// Living processes of the attempt: those of the group and all descendants of the shim.
    /// Every orphan becomes the shim's child, so this is complete also without a group.
    fn processes(&self) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = self.leaf.pids().into_iter().collect();
        if !self.leaf.is_exact() || found.is_empty() {
            found.extend(descendants());
        }
        found.insert(self.main_pid);
        found.retain(|pid| process::is_alive(*pid));
        found
    }
}

fn descendants() -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        process::all().into_iter().filter_map(|pid| Some((pid, process::parent(pid)?))).collect();
    let mut found = vec![std::process::id()];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    found
}
