//! Reading a stream in order, across lost connections and deleted streams.
//!
//! A consumer on the server hands out messages on request and asks for no acknowledgement. It
//! numbers what it hands out: a hole in these numbers is a message that was lost on the way.
//! Whenever anything is unclear, the consumer is forgotten and another one begins behind the
//! last message that the caller got; so nothing is left out and nothing comes twice.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{self, ApiFault, NO_STREAM};
use super::connect::Nats;
use crate::ports::CopyError;

/// One request waits at most so long at the server.
const SLICE: Duration = Duration::from_secs(2);
/// What the server adds to it, at most.
const GRACE: Duration = Duration::from_secs(1);
/// The server forgets a consumer that nobody asks for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How often to look for a stream that does not exist yet.
const LOOK: Duration = Duration::from_millis(200);
/// One request asks for at most so many messages.
const LARGEST_PAGE: usize = 1_000;

/// A message with its sequence in the stream.
pub(super) struct Pulled {
    pub(super) sequence: u64,
    pub(super) message: Message,
}

/// A reading that goes on.
pub(super) struct Pull {
    nats: Nats,
    stream: String,
    filter: Option<String>,
    seen: u64,
    consumer: Option<Consumer>,
}

struct Consumer {
    name: String,
    inbox: String,
    messages: Subscriber,
    /// The connection's epoch: a new connection needs a new consumer.
    epoch: u64,
    /// How many requests it got: each has a subject of its own for its ending.
    requests: u64,
    /// How many messages it has handed out.
    handed: u64,
    /// How many more there were when it handed out the last.
    pending: u64,
}

/// How one request ended.
enum Ended {
    /// As it should.
    Well,
    /// The consumer is not to be trusted any more.
    Lost,
}

#[derive(Deserialize)]
struct Created {
    name: String,
    #[serde(default)]
    num_pending: u64,
}

impl Pull {
    pub(super) fn new(nats: Nats, stream: String, filter: Option<String>, seen: u64) -> Self {
        Self { nats, stream, filter, seen, consumer: None }
    }

    /// The sequence behind which it goes on.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The next messages; waits for the first of them.
    pub(super) async fn next(
        &mut self,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Pulled>, CopyError> {
        let limit = limit.min(LARGEST_PAGE);
        let deadline = Instant::now() + wait;
        let mut page = Vec::new();
        while limit > 0 && page.is_empty() {
            if !self.prepare().await? {
                if !pause(deadline).await {
                    break;
                }
                continue;
            }
            let there = self.consumer.as_ref().is_some_and(|consumer| consumer.pending > 0);
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = match there {
                true => self.request(limit, None, &mut page).await?,
                false if left.is_zero() => break,
                false => self.request(1, Some(left.min(SLICE)), &mut page).await?,
            };
            if matches!(ended, Ended::Lost) {
                self.consumer = None;
                if page.is_empty() && !pause(deadline).await {
                    break;
                }
            }
        }
        // The first one came alone: what came with it is taken along.
        let more = self.consumer.as_ref().is_some_and(|consumer| consumer.pending > 0);
        if page.len() == 1 && limit > 1 && more {
            match self.request(limit - 1, None, &mut page).await {
                Ok(Ended::Well) => {}
                Ok(Ended::Lost) | Err(_) => self.consumer = None,
            }
        }
        Ok(page)
    }

    /// Makes sure of a consumer; false where there is no stream.
    async fn prepare(&mut self) -> Result<bool, CopyError> {
        let epoch = *self.nats.epoch().borrow();
        if self.consumer.as_ref().is_some_and(|consumer| consumer.epoch == epoch) {
            return Ok(true);
        }
        self.consumer = None;
        let client = self.nats.client()?;
        let Some(created) = self.create().await? else { return Ok(false) };
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(format!("{inbox}.*"));
        let messages = self
            .nats
            .within("subscribe", subscribed)
            .await?
            .map_err(|error| self.nats.unavailable(&error.to_string()))?;
        let Created { name, num_pending: pending } = created;
        let (requests, handed) = (0, 0);
        self.consumer = Some(Consumer { name, inbox, messages, epoch, requests, handed, pending });
        Ok(true)
    }

    async fn create(&self) -> Result<Option<Created>, CopyError> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut config = json!({
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.seen + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": nanos(FORGOTTEN_AFTER),
            "mem_storage": true,
            "num_replicas": 1,
        });
        if let Some(filter) = &self.filter {
            config["filter_subject"] = Value::String(filter.clone());
        }
        let body = json!({ "stream_name": self.stream, "config": config });
        match api::ask(&self.nats, &format!("CONSUMER.CREATE.{}", self.stream), &body).await {
            Ok(created) => Ok(Some(created)),
            Err(ApiFault::Refused(error)) if error.err_code == NO_STREAM => Ok(None),
            Err(fault) => Err(fault.into_copy(&format!("read the stream {}", self.stream))),
        }
    }

    /// One request, for what is there or, with a wait, for what comes.
    async fn request(
        &mut self,
        limit: usize,
        wait: Option<Duration>,
        page: &mut Vec<Pulled>,
    ) -> Result<Ended, CopyError> {
        let Self { nats, stream, consumer, seen, .. } = self;
        let Some(consumer) = consumer else { return Ok(Ended::Lost) };
        let body = match wait {
            None => json!({ "batch": limit, "no_wait": true }),
            Some(wait) => json!({ "batch": limit, "expires": wait.as_nanos() as u64 }),
        };
        let mut epoch = nats.epoch();
        let client = nats.client()?;
        let call = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", consumer.name);
        consumer.requests += 1;
        let inbox = format!("{}.{}", consumer.inbox, consumer.requests);
        let published = client.publish_with_reply(call, inbox.clone(), body.to_string().into());
        nats.within("read", published)
            .await?
            .map_err(|error| nats.unavailable(&error.to_string()))?;
        let patience = wait.map_or(nats.options().timeout, |wait| wait + GRACE);
        let mut got = 0;
        while got < limit {
            let message = tokio::select! {
                message = consumer.messages.next() => message,
                _ = epoch.wait_for(|now| *now != consumer.epoch) => return Ok(Ended::Lost),
                () = tokio::time::sleep(patience) => return Ok(Ended::Lost),
            };
            let Some(message) = message else { return Ok(Ended::Lost) };
            if let Some(status) = message.status {
                if message.subject.as_str() != inbox {
                    // An earlier request has ended, which had got all that there was.
                    continue;
                }
                return Ok(match status.as_u16() {
                    // What was asked for is not there, or not any more, or did not come.
                    404 | 408 => {
                        consumer.pending = 0;
                        Ended::Well
                    }
                    _ => Ended::Lost,
                });
            }
            let Some(place) = message.reply.as_deref().and_then(Place::read) else {
                return Ok(Ended::Lost);
            };
            if place.handed != consumer.handed + 1 || place.sequence <= *seen {
                return Ok(Ended::Lost);
            }
            consumer.handed = place.handed;
            consumer.pending = place.pending;
            *seen = place.sequence;
            page.push(Pulled { sequence: place.sequence, message });
            got += 1;
            if place.pending == 0 {
                break;
            }
        }
        Ok(Ended::Well)
    }
}

/// Waits a little; false where the deadline has come.
async fn pause(deadline: Instant) -> bool {
    let now = Instant::now();
    tokio::time::sleep_until(deadline.min(now + LOOK)).await;
    now < deadline
}

/// What the reply subject of a message tells about it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sequence: u64,
    handed: u64,
    pending: u64,
}

impl Place {
    /// `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<handed out>.<time>.<pending>`, and the
    /// longer form with a domain and an account behind `$JS.ACK`.
    fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let rest = match tokens.len() {
            7 => &tokens[2..],
            9.. => &tokens[4..],
            _ => return None,
        };
        let number = |at: usize| rest.get(at)?.parse().ok();
        Some(Self { sequence: number(1)?, handed: number(2)?, pending: number(4)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_place_are_read() {
        let place = Some(Place { sequence: 20, handed: 3, pending: 7 });
        assert_eq!(Place::read("$JS.ACK.S.C.1.20.3.1700000000.7"), place);
        assert_eq!(Place::read("$JS.ACK.D.H.S.C.1.20.3.1700000000.7"), place);
        assert_eq!(Place::read("$JS.ACK.D.H.S.C.1.20.3.1700000000.7.x"), place);
        for broken in ["", "$JS.ACK.S.C", "$JS.ACK.S.C.1.x.3.1700000000.7", "A.B"] {
            assert_eq!(Place::read(broken), None, "{broken}");
        }
    }
}
