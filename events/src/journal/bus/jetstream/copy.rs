//! The second copy in JetStream: one stream for each timeline, in which the sequence of a
//! message is the position of its event.
//!
//! What a site needs to be permitted: to publish `dagbook.ev.>` and `$JS.API.>`. A reader such
//! as a witness needs to publish, for `S` = `DAGBOOK_EVENTS_t<timeline>` of each timeline (NATS
//! knows no wildcard inside a name), `$JS.API.STREAM.INFO.S`, `$JS.API.STREAM.MSG.GET.S`,
//! `$JS.API.CONSUMER.CREATE.S` and `$JS.API.CONSUMER.MSG.NEXT.S.>`; for notes it needs
//! `dagbook.notes.cosigned.>`, `$JS.API.STREAM.INFO.DAGBOOK_NOTES`,
//! `$JS.API.CONSUMER.CREATE.DAGBOOK_NOTES` and `$JS.API.CONSUMER.MSG.NEXT.DAGBOOK_NOTES.>`. Both
//! subscribe to `_INBOX.>`, and to `dagbook.wake` where they want to be woken.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::api::{self, ApiFault, NO_MESSAGE, NO_STREAM};
use super::connect::Nats;
use super::message::{self, all_subjects, stream_name, tenant_subjects};
use super::publish::{Batches, Publication, Stopped};
use super::scan::Pull;
use super::stream::{Wanted, takes_batches};
use crate::ids::{Position, TenantId};
use crate::journal::copy::check_dense;
use crate::ports::{CopiedEvent, CopyError, CopyScan, RecordCopy, Recorded};

/// The second copy of a record in JetStream.
pub struct JetStreamCopy {
    nats: Nats,
    /// Streams that were looked at on this connection.
    ready: Mutex<BTreeMap<u64, Ready>>,
}

#[derive(Clone, Copy)]
struct Ready {
    epoch: u64,
    batches: Batches,
}

/// A message as `STREAM.MSG.GET` hands it out.
#[derive(Deserialize)]
struct StoredReply {
    message: Stored,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl JetStreamCopy {
    /// The copy behind a connection. Nothing is asked yet.
    pub fn new(nats: Nats) -> Self {
        Self { nats, ready: Mutex::default() }
    }

    /// The connection.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(super) fn wanted(&self, timeline: u64) -> Wanted {
        Wanted {
            name: stream_name(timeline),
            subjects: vec![all_subjects(timeline)],
            description: "dagbook: the second copy of a record; sequence = position",
            per_subject: None,
            batches: true,
            replicas: self.nats.options().replicas,
        }
    }

    fn ready(&self) -> MutexGuard<'_, BTreeMap<u64, Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure of the stream, once for each connection.
    async fn prepare(&self, timeline: u64) -> Result<Batches, CopyError> {
        let epoch = *self.nats.epoch().borrow();
        let known = self.ready().get(&timeline).copied();
        if let Some(ready) = known.filter(|ready| ready.epoch == epoch) {
            return Ok(ready.batches);
        }
        let info = self.wanted(timeline).ensure(&self.nats).await?;
        let batches = if takes_batches(&info.config) { Batches::Promised } else { Batches::None };
        self.ready().insert(timeline, Ready { epoch, batches });
        Ok(batches)
    }

    fn remember(&self, timeline: u64, batches: Batches) {
        if let Some(ready) = self.ready().get_mut(&timeline) {
            ready.batches = batches;
        }
    }

    async fn add_all(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, Stopped> {
        let known = self.prepare(timeline).await?;
        let mut publication = Publication::begin(&self.nats, timeline).await?;
        if known == Batches::None {
            return publication.singles(after, events).await;
        }
        let mut seen = known;
        let added = publication.batches(after, events, &mut seen).await;
        self.remember(timeline, seen);
        match added {
            Err(Stopped::NotAtomic(end)) => {
                self.remember(timeline, Batches::None);
                let done = usize::try_from(end.0 - after.0).unwrap_or(usize::MAX);
                publication.singles(end, events.get(done..).unwrap_or_default()).await
            }
            other => other,
        }
    }
}

#[async_trait]
impl RecordCopy for JetStreamCopy {
    async fn last(&self, timeline: u64) -> Result<Position, CopyError> {
        let Some(info) = api::stream_info(&self.nats, &stream_name(timeline)).await? else {
            return Ok(Position(0));
        };
        self.wanted(timeline).check(&info)?;
        Ok(Position(info.state.last_seq))
    }

    /// Asks the stream's leader: a direct get may be answered by a replica that lags behind,
    /// for which the newest messages do not exist yet.
    async fn at(
        &self,
        timeline: u64,
        position: Position,
    ) -> Result<Option<CopiedEvent>, CopyError> {
        if position == Position(0) {
            return Ok(None);
        }
        let call = format!("STREAM.MSG.GET.{}", stream_name(timeline));
        let stored =
            match api::ask::<StoredReply>(&self.nats, &call, &json!({ "seq": position.0 })).await {
                Ok(reply) => reply.message,
                Err(ApiFault::Refused(e)) if [NO_STREAM, NO_MESSAGE].contains(&e.err_code) => {
                    return Ok(None);
                }
                Err(fault) => return Err(fault.into_copy(&format!("read position {position}"))),
            };
        let broken = |_| CopyError::Unavailable(format!("position {position} is not base64"));
        let body = STANDARD.decode(&stored.data).map_err(broken)?;
        let headers = STANDARD.decode(&stored.hdrs).map_err(broken)?;
        let mut event = message::copied(Position(stored.seq), None, &body);
        let stated = message::header_of(&headers, message::LEAF);
        event.stated_hash = stated.and_then(|hash| hash.parse().ok());
        Ok(Some(event))
    }

    async fn add(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, CopyError> {
        check_dense(after, events)?;
        if events.is_empty() {
            return Ok(after);
        }
        self.add_all(timeline, after, events).await.map_err(|stopped| {
            match stopped {
                Stopped::Copy(error) => error,
                Stopped::NoStream | Stopped::NotAtomic(_) => {
                    // It is looked at anew, and made anew if need be, with the next events.
                    self.ready().remove(&timeline);
                    CopyError::OutOfStep(format!("the stream {} is gone", stream_name(timeline)))
                }
            }
        })
    }

    async fn scan(
        &self,
        timeline: u64,
        after: Position,
        tenant: Option<&TenantId>,
    ) -> Result<Box<dyn CopyScan>, CopyError> {
        let filter = tenant.map(|tenant| tenant_subjects(timeline, tenant));
        let pull = Pull::new(self.nats.clone(), stream_name(timeline), filter, after.0);
        Ok(Box::new(Scan { pull, dense: tenant.is_none() }))
    }
}

struct Scan {
    pull: Pull,
    dense: bool,
}

#[async_trait]
impl CopyScan for Scan {
    async fn next(
        &mut self,
        limit: usize,
        wait: std::time::Duration,
    ) -> Result<Vec<CopiedEvent>, CopyError> {
        let mut expected = self.pull.seen() + 1;
        let page = self.pull.next(limit, wait).await?;
        let mut events = Vec::with_capacity(page.len());
        for message in &page {
            if self.dense && message.sequence != expected {
                return Err(CopyError::Unusable(format!(
                    "positions {expected} to {} are missing",
                    message.sequence - 1
                )));
            }
            expected = message.sequence + 1;
            let (headers, body) = (message.message.headers.as_ref(), &message.message.payload);
            events.push(message::copied(Position(message.sequence), headers, body));
        }
        Ok(events)
    }
}
