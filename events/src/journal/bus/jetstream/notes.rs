//! Notes in JetStream: one stream of which each subject keeps its newest message.
//!
//! Signed notes are published under `dagbook.notes.signed.>`, co-signed ones under
//! `dagbook.notes.cosigned.>`: so a site can be permitted to publish only the first, and a
//! witness only the second. Origins and names of keys have characters that no subject has, so
//! their digests stand in the subjects and they themselves in headers.

use std::time::Duration;

use async_nats::header::{HeaderMap, HeaderValue};
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::api;
use super::connect::Nats;
use super::scan::Pull;
use super::stream::Wanted;
use crate::digest::Sha256Digest;
use crate::ports::{Board, CopyError, Notes, PostedNote};
use crate::tlog::Note;

const STREAM: &str = "DAGBOOK_NOTES";
const ORIGIN: &str = "Dagbook-Origin";
const BY: &str = "Dagbook-By";
/// No note is larger.
const LARGEST_NOTE: usize = 64 * 1024;
/// No origin and no name of a key is longer.
const LONGEST_NAME: usize = 512;

/// The place for notes behind a connection.
pub struct JetStreamNotes {
    nats: Nats,
    /// Readings that go on, one for each board.
    signed: Mutex<Reading>,
    cosigned: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    /// What the caller has seen, when the reading stands behind it.
    seen: u64,
    /// The connection on which the board was read last.
    epoch: Option<u64>,
    /// When the stream was made that was read last.
    created: Option<String>,
    pull: Option<Pull>,
}

impl JetStreamNotes {
    /// The notes behind a connection. Nothing is asked yet.
    pub fn new(nats: Nats) -> Self {
        Self { nats, signed: Mutex::default(), cosigned: Mutex::default() }
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            name: STREAM.to_string(),
            subjects: vec!["dagbook.notes.>".to_string()],
            description: "dagbook: signed and co-signed checkpoints",
            per_subject: Some(1),
            batches: false,
            replicas: self.nats.options().replicas,
        }
    }

    /// Publishes; false where no stream takes it.
    async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        body: String,
    ) -> Result<bool, CopyError> {
        let client = self.nats.client()?;
        let sent = client.request_with_headers(subject, headers, body.into());
        let reply = match self.nats.within("post a note", sent).await? {
            Ok(reply) => reply,
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                return Ok(false);
            }
            Err(error) => return Err(self.nats.unavailable(&error.to_string())),
        };
        match api::read::<serde_json::Value>("a note", &reply.payload) {
            Ok(_) => Ok(true),
            Err(fault) => Err(fault.into_copy("take a note")),
        }
    }
}

fn board_name(board: Board) -> &'static str {
    match board {
        Board::Signed => "signed",
        Board::Cosigned => "cosigned",
    }
}

fn token(name: &str) -> String {
    let mut digest = Sha256Digest::of(name.as_bytes()).to_hex();
    digest.truncate(32);
    digest
}

fn header(name: &str, what: &str) -> Result<HeaderValue, CopyError> {
    let value = name.parse().ok().filter(|_| name.len() <= LONGEST_NAME);
    let text = || format!("the {what} of a note is too long or has a line feed");
    value.ok_or_else(|| CopyError::Unusable(text()))
}

#[async_trait]
impl Notes for JetStreamNotes {
    async fn post(
        &self,
        board: Board,
        origin: &str,
        by: &str,
        note: &Note,
    ) -> Result<(), CopyError> {
        let mut subject = format!("dagbook.notes.{}.{}", board_name(board), token(origin));
        if board == Board::Cosigned {
            subject.push('.');
            subject.push_str(&token(by));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, header(origin, "origin")?);
        headers.insert(BY, header(by, "signer")?);
        let body = note.encode();
        if body.len() > LARGEST_NOTE {
            return Err(CopyError::Unusable(format!("a note of {} bytes", body.len())));
        }
        if self.publish(subject.clone(), headers.clone(), body.clone()).await? {
            return Ok(());
        }
        self.wanted().ensure(&self.nats).await?;
        match self.publish(subject, headers, body).await? {
            true => Ok(()),
            false => Err(self.nats.unavailable("no stream takes notes")),
        }
    }

    async fn after(
        &self,
        board: Board,
        seen: u64,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<PostedNote>, CopyError> {
        let deadline = tokio::time::Instant::now() + wait;
        let mut reading = match board {
            Board::Signed => self.signed.lock().await,
            Board::Cosigned => self.cosigned.lock().await,
        };
        // A server that was gone may be back without what it was given last, and then counts
        // from an earlier number again: what comes next would never be beyond `seen`.
        let epoch = *self.nats.epoch().borrow();
        if reading.epoch.replace(epoch).is_some_and(|before| before != epoch) && seen > 0 {
            reading.pull = None;
            let text = "the connection was made anew: the board is to be read from its beginning";
            return Err(CopyError::OutOfStep(text.to_string()));
        }
        // Somebody may have deleted the stream meanwhile, or it stands on another server.
        let info = api::stream_info(&self.nats, STREAM).await?;
        let last = info.as_ref().map_or(0, |info| info.state.last_seq);
        let created = info.map(|info| info.created);
        let before = std::mem::replace(&mut reading.created, created);
        let anew = before.is_some() && before != reading.created;
        if seen > 0 && (anew || last < seen) {
            reading.pull = None;
            let text = format!(
                "the stream {STREAM} {} where {seen} had been read: the board is to be read from \
                 its beginning",
                if anew { "was made anew".to_string() } else { format!("ends at {last}") }
            );
            return Err(CopyError::OutOfStep(text));
        }
        if reading.seen != seen {
            reading.pull = None;
        }
        let filter = format!("dagbook.notes.{}.>", board_name(board));
        let mut pull = reading.pull.take().unwrap_or_else(|| {
            Pull::new(self.nats.clone(), STREAM.to_string(), Some(filter), seen)
        });
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let page = pull.next(limit, left).await?;
            let empty = page.is_empty();
            // Whoever may publish may publish nonsense: it is passed over.
            let notes: Vec<_> = page.iter().filter_map(posted).collect();
            if empty || !notes.is_empty() {
                reading.seen = notes.last().map_or(seen, |note| note.number);
                reading.pull = Some(pull);
                return Ok(notes);
            }
        }
    }
}

fn posted(pulled: &super::scan::Pulled) -> Option<PostedNote> {
    let message = &pulled.message;
    let origin = message.headers.as_ref()?.get(ORIGIN)?.as_str().to_string();
    if message.payload.len() > LARGEST_NOTE || origin.len() > LONGEST_NAME {
        return None;
    }
    let note = Note::parse(&message.payload).ok()?;
    Some(PostedNote { number: pulled.sequence, origin, note })
}
