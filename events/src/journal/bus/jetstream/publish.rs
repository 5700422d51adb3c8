//! Adding to a stream, so that its sequences are positions.
//!
//! Each message, or each batch by its first message, says where the stream must end for it to
//! be taken. A message that is sent twice, late or by two of us is therefore either the right
//! one at its place, or refused; so several may be under way at once, and what a lost
//! connection still holds back cannot do harm when it arrives. The first message or batch of a
//! call is awaited alone: where the call is wrong about the end, nothing of it is taken, also
//! not a later part that would happen to fit.

use std::collections::VecDeque;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::api::{ApiError, NO_BATCHES, WRONG_LAST};
use super::connect::Nats;
use super::message::{EXPECTED_LAST, Outgoing, outgoing};
use crate::ids::Position;
use crate::journal::copy::BATCH_EVENTS;
use crate::ports::{CopyError, Recorded};

/// Single messages that are under way at once.
const WINDOW: usize = 256;
/// Batches that are under way at once.
const BATCHES: usize = 4;
/// A batch holds at most so many bytes of leaves, and at least one event.
const BATCH_BYTES: usize = 4 << 20;

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// What is known of the server's batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batches {
    /// The stream has none.
    None,
    /// The stream's configuration promises them; no first reply was seen yet.
    Promised,
    /// A first reply was empty, as only a server that holds a batch back answers.
    Seen,
}

/// One answer to a message or a batch.
#[derive(Deserialize)]
struct Ack {
    error: Option<ApiError>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    count: usize,
}

/// One call of `add`.
pub(super) struct Publication<'a> {
    nats: &'a Nats,
    client: Client,
    timeline: u64,
    inbox: String,
    replies: Subscriber,
}

/// Why it stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// As the port says it.
    Copy(CopyError),
    /// The stream is gone: it must be made anew.
    NoStream,
    /// The server does not hold batches back; the end is known.
    NotAtomic(Position),
}

impl From<CopyError> for Stopped {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

type Sent<T> = Result<T, Stopped>;

impl<'a> Publication<'a> {
    pub(super) async fn begin(nats: &'a Nats, timeline: u64) -> Sent<Self> {
        let client = nats.client()?;
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(format!("{inbox}.*"));
        let replies = nats
            .within("subscribe", subscribed)
            .await?
            .map_err(|error| nats.unavailable(&error.to_string()))?;
        Ok(Self { nats, client, timeline, inbox, replies })
    }

    /// Adds one by one, a window at once.
    pub(super) async fn singles(&mut self, after: Position, events: &[Recorded]) -> Sent<Position> {
        let mut answered = after;
        for event in events {
            // Positions are dense, so what is under way is a difference.
            let window = if answered == after { 1 } else { WINDOW as u64 };
            while event.position.0 - answered.0 > window {
                answered = self.acknowledged(Position(answered.0 + 1), 1, false).await?;
            }
            let mut message = outgoing(self.timeline, event);
            message.headers.insert(EXPECTED_LAST, before(event));
            self.send(message, Some(event.position)).await?;
        }
        let end = Position(after.0 + events.len() as u64);
        while answered < end {
            answered = self.acknowledged(Position(answered.0 + 1), 1, false).await?;
        }
        Ok(end)
    }

    /// Adds in atomic batches, some at once. The first reply of the first batch is awaited
    /// where none was seen on this connection: a server without batches would have stored the
    /// first message, and must not get the others unasked.
    pub(super) async fn batches(
        &mut self,
        after: Position,
        events: &[Recorded],
        known: &mut Batches,
    ) -> Sent<Position> {
        let mut answered = after;
        let mut under_way: VecDeque<(Position, usize)> = VecDeque::new();
        for batch in cut(events) {
            while under_way.len() >= if answered == after { 1 } else { BATCHES } {
                answered = self.oldest(&mut under_way, answered).await?;
            }
            if let [single] = batch {
                // A batch of one has nothing to hold together.
                let mut message = outgoing(self.timeline, single);
                message.headers.insert(EXPECTED_LAST, before(single));
                self.send(message, Some(single.position)).await?;
                under_way.push_back((single.position, 0));
                continue;
            }
            let end = self.batch(batch, known).await?;
            under_way.push_back((end, batch.len()));
        }
        while !under_way.is_empty() {
            answered = self.oldest(&mut under_way, answered).await?;
        }
        Ok(answered)
    }

    async fn oldest(
        &mut self,
        under_way: &mut VecDeque<(Position, usize)>,
        answered: Position,
    ) -> Sent<Position> {
        match under_way.pop_front() {
            Some((end, 0)) => self.acknowledged(end, 1, false).await,
            Some((end, count)) => self.acknowledged(end, count, true).await,
            None => Ok(answered),
        }
    }

    async fn batch(&mut self, batch: &[Recorded], known: &mut Batches) -> Sent<Position> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Position(0));
        };
        let token = self.inbox.rsplit('.').next().unwrap_or_default();
        let id = format!("{token}-{}", first.position);
        for (index, event) in batch.iter().enumerate() {
            let mut message = outgoing(self.timeline, event);
            message.headers.insert(BATCH_ID, id.as_str());
            message.headers.insert(BATCH_SEQUENCE, (index + 1).to_string());
            let commits = event.position == last.position;
            if commits {
                message.headers.insert(BATCH_COMMIT, "1");
            }
            if index == 0 {
                message.headers.insert(EXPECTED_LAST, before(event));
            }
            let probing = index == 0 && *known != Batches::Seen;
            let replies = probing || commits;
            self.send(message, replies.then_some(event.position)).await?;
            if probing {
                self.first_reply(event.position).await?;
                *known = Batches::Seen;
            }
        }
        Ok(last.position)
    }

    /// The first reply of a batch must be empty; a number means that it was stored at once.
    async fn first_reply(&mut self, position: Position) -> Sent<()> {
        let reply = self.reply().await?;
        if reply.payload.is_empty() && reply.status.is_none() {
            return Ok(());
        }
        let ack = self.read(&reply)?;
        match ack.seq == position.0 {
            true => Err(Stopped::NotAtomic(position)),
            false => Err(CopyError::OutOfStep(format!(
                "position {position} was stored as number {}",
                ack.seq
            ))
            .into()),
        }
    }

    /// Waits for the answer to what ends at a position.
    async fn acknowledged(&mut self, end: Position, count: usize, batch: bool) -> Sent<Position> {
        let reply = self.reply().await?;
        let ack = self.read(&reply)?;
        if ack.seq != end.0 {
            let text = format!("position {end} was stored as number {}", ack.seq);
            return Err(CopyError::OutOfStep(text).into());
        }
        if batch && ack.count != count {
            let text = format!(
                "a batch of {count} that ends at position {end} was taken as one of {}",
                ack.count
            );
            return Err(CopyError::OutOfStep(text).into());
        }
        Ok(end)
    }

    async fn send(&self, message: Outgoing, reply: Option<Position>) -> Sent<()> {
        let Outgoing { subject, headers, body } = message;
        let publish = async {
            match reply {
                Some(position) => {
                    let inbox = format!("{}.{position}", self.inbox);
                    let body = body.into();
                    self.client.publish_with_reply_and_headers(subject, inbox, headers, body).await
                }
                None => self.client.publish_with_headers(subject, headers, body.into()).await,
            }
        };
        let sent = self.nats.within("publish", publish).await?;
        sent.map_err(|error| Stopped::Copy(self.nats.unavailable(&error.to_string())))
    }

    async fn reply(&mut self) -> Sent<Message> {
        let reply = self.nats.within("publish", self.replies.next()).await?;
        reply.ok_or_else(|| Stopped::Copy(self.nats.unavailable("the connection has ended")))
    }

    fn read(&self, reply: &Message) -> Sent<Ack> {
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Stopped::NoStream);
        }
        let ack: Ack = serde_json::from_slice(&reply.payload).map_err(|error| {
            self.nats.unavailable(&format!("an acknowledgement cannot be read: {error}"))
        })?;
        match ack.error {
            None => Ok(ack),
            Some(error) if WRONG_LAST.contains(&error.err_code) => {
                Err(CopyError::OutOfStep(error.text()).into())
            }
            Some(error) if error.err_code == NO_BATCHES => Err(Stopped::NoStream),
            Some(error) => {
                let text = format!("JetStream did not take an event: {}", error.text());
                Err(CopyError::Unavailable(text).into())
            }
        }
    }
}

/// Cuts events into batches that are bounded in number and bytes.
fn cut(events: &[Recorded]) -> impl Iterator<Item = &[Recorded]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH_EVENTS).take_while(|event| {
            let first = bytes == 0;
            bytes += event.leaf.len();
            first || bytes <= BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fits.count());
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Where the stream must end for an event to be taken.
fn before(event: &Recorded) -> String {
    (event.position.0 - 1).to_string()
}
