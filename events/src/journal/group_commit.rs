//! The queue in front of a committer: callers push, one thread drains and commits.
//!
//! The writer commits at once when it is idle; it never waits for company. While it writes,
//! others queue, and the next look at the queue takes them into the same transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::backend::Backend;
use super::committer::{Committer, Outcome};
use super::request::Prepared;
use crate::ids::Position;
use crate::ports::AppendError;

/// Events in one transaction; a single larger request still goes in one.
const MAX_BATCH_EVENTS: usize = 1_024;
/// Bytes in one transaction; a single larger request still goes in one.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// What one permit of the queue stands for.
const PERMIT_BYTES: usize = 1_024;

/// How much may wait, and how long a caller waits for room.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    /// Bytes of events that may wait or be under way.
    pub(super) bytes: usize,
    /// After this time without room a caller hears that the store is busy.
    pub(super) deadline: Duration,
}

pub(super) struct GroupCommit {
    /// Taken at the end, so that the writer sees the queue end.
    queue: Option<Sender<Work>>,
    writer: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
    permits: u32,
    deadline: Duration,
}

/// What the writer is asked to do.
enum Work {
    Append(Pending),
    /// To go over to the timeline behind this one.
    Timeline(u64, oneshot::Sender<Result<u64, AppendError>>),
    /// To take leaves that were recorded once.
    Restore(Vec<Arc<[u8]>>, oneshot::Sender<Result<Position, AppendError>>),
}

impl Work {
    /// Answers that the database cannot be reached. Nothing of it was sent. Without this each
    /// batch of a long queue would wait for a connection by itself, and so would the end of
    /// the process, which waits for the queue.
    fn fail(self, reason: &str) {
        let error = AppendError::Unavailable(reason.to_string());
        // A caller that went away does not need its answer.
        match self {
            Self::Append(pending) => drop(pending.reply.send(Err(error))),
            Self::Timeline(_, reply) => drop(reply.send(Err(error))),
            Self::Restore(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

struct Pending {
    request: Prepared,
    reply: oneshot::Sender<Outcome>,
    /// Given back when the request is answered.
    _room: OwnedSemaphorePermit,
}

impl GroupCommit {
    /// Starts the writer. `committed` learns each new head.
    pub(super) fn start<B: Backend + 'static>(
        committer: Committer<B>,
        limits: QueueLimits,
        committed: Arc<watch::Sender<Position>>,
    ) -> std::io::Result<Self> {
        let (queue, receiver) = channel();
        let writer = std::thread::Builder::new()
            .name("journal-writer".to_string())
            .spawn(move || write_until_closed(committer, &receiver, &committed))?;
        let permits = u32::try_from(limits.bytes / PERMIT_BYTES).unwrap_or(u32::MAX).max(1);
        let room = Arc::new(Semaphore::new(permits as usize));
        let deadline = limits.deadline;
        Ok(Self { queue: Some(queue), writer: Some(writer), room, permits, deadline })
    }

    pub(super) async fn append(&self, request: Prepared) -> Outcome {
        let room = self.room_for(&request).await?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending { request, reply, _room: room };
        let sent =
            self.queue.as_ref().is_some_and(|queue| queue.send(Work::Append(pending)).is_ok());
        if !sent {
            return Err(AppendError::Unavailable("the writer has stopped".to_string()));
        }
        answer.await.unwrap_or_else(|_| {
            Err(AppendError::Unknown("the writer stopped before it answered".to_string()))
        })
    }

    pub(super) async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.ask(|reply| Work::Timeline(current, reply)).await
    }

    pub(super) async fn restore(&self, leaves: Vec<Arc<[u8]>>) -> Result<Position, AppendError> {
        self.ask(|reply| Work::Restore(leaves, reply)).await
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Work,
    ) -> Result<T, AppendError> {
        let (reply, answer) = oneshot::channel();
        let work = work(reply);
        if self.queue.as_ref().is_none_or(|queue| queue.send(work).is_err()) {
            return Err(AppendError::Unavailable("the writer has stopped".to_string()));
        }
        answer.await.unwrap_or_else(|_| {
            Err(AppendError::Unknown("the writer stopped before it answered".to_string()))
        })
    }

    async fn room_for(&self, request: &Prepared) -> Result<OwnedSemaphorePermit, AppendError> {
        let wanted = u32::try_from(request.bytes / PERMIT_BYTES + 1).unwrap_or(u32::MAX);
        let wanted = wanted.min(self.permits);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(wanted) {
            return Ok(room);
        }
        let waiting = Arc::clone(&self.room).acquire_many_owned(wanted);
        match tokio::time::timeout(self.deadline, waiting).await {
            Ok(Ok(room)) => Ok(room),
            _ => {
                let wait = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
                Err(AppendError::Busy { retry_after_ms: wait.max(100) })
            }
        }
    }
}

impl Drop for GroupCommit {
    /// Lets the writer finish what is queued, so that nothing is half done when this returns.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already told its callers that nobody knows.
            let _ = writer.join();
        }
    }
}

/// The requests of one transaction, and who waits for them.
#[derive(Default)]
struct Gathered {
    requests: Vec<Prepared>,
    replies: Vec<(oneshot::Sender<Outcome>, OwnedSemaphorePermit)>,
    events: usize,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, pending: Pending) {
        self.events += pending.request.events;
        self.bytes += pending.request.bytes;
        self.requests.push(pending.request);
        self.replies.push((pending.reply, pending._room));
    }

    fn has_room(&self) -> bool {
        self.events < MAX_BATCH_EVENTS && self.bytes < MAX_BATCH_BYTES
    }
}

fn write_until_closed<B: Backend>(
    mut committer: Committer<B>,
    queue: &Receiver<Work>,
    committed: &watch::Sender<Position>,
) {
    let mut aside = None;
    while let Some(work) = aside.take().or_else(|| queue.recv().ok()) {
        let first = match work {
            Work::Append(first) => first,
            Work::Timeline(current, reply) => {
                // A caller that went away does not need its answer.
                let _ = reply.send(committer.begin_timeline(current));
                continue;
            }
            Work::Restore(leaves, reply) => {
                let restored = committer.restore(&leaves);
                tell(committed, committer.head());
                let _ = reply.send(restored);
                continue;
            }
        };
        let mut batch = Gathered::default();
        batch.add(first);
        while batch.has_room() && aside.is_none() {
            match queue.try_recv() {
                Ok(Work::Append(pending)) => batch.add(pending),
                Ok(other) => aside = Some(other),
                Err(_) => break,
            }
        }
        let outcomes = committer.batch(batch.requests);
        tell(committed, committer.head());
        let outage = committer.take_outage();
        let behind = outage.map(|reason| (queued(queue, aside.take()), reason));
        for ((reply, _room), outcome) in batch.replies.into_iter().zip(outcomes) {
            // A caller that went away does not need its answer.
            let _ = reply.send(outcome);
        }
        if let Some((behind, reason)) = behind {
            behind.into_iter().for_each(|work| work.fail(&reason));
        }
    }
}

/// All that waits now. Taken before anybody is answered, so that whoever asks again at once
/// is not among them.
fn queued(queue: &Receiver<Work>, aside: Option<Work>) -> Vec<Work> {
    aside.into_iter().chain(queue.try_iter()).collect()
}

/// Tells those who wait of a new head.
fn tell(committed: &watch::Sender<Position>, head: Option<Position>) {
    let Some(head) = head else { return };
    committed.send_if_modified(|known| {
        let newer = head > *known;
        *known = head.max(*known);
        newer
    });
}
