//! The writing side: one connection, on the thread of the committer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{OptionFuture, join};
use tokio::runtime::Runtime;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::columns::{Columns, EventColumns, signed};
use super::counters::Counters;
use super::fault::Trouble;
use super::retry::Backoff;
use super::session::{Identity, Session};
use super::url::PostgresUrl;
use crate::digest::Sha256Digest;
use crate::ids::Position;
use crate::journal::backend::{
    Backend, BackendFault, CommitFault, Ending, Found, Freshness, Head, KeptKey, Snapshot,
    StoredStream, StoredTenant, Wanted, Write,
};
use crate::time::Timestamp;
use crate::tlog::Frontier;

type Answer<T> = Result<T, BackendFault>;

/// Events in one statement. A larger batch goes in several, each of which is waited for, and
/// not by COPY: within COPY no time limit of the server holds, so a client that stops or
/// vanishes there keeps the lock of the head, and with it every other process, for as long as
/// its socket seems alive. Between statements `idle_in_transaction_session_timeout` ends it.
const MOST_EVENTS: usize = 4_096;
/// After so long without use the connection is looked at before it is used.
const IDLE: Duration = Duration::from_millis(500);
/// How long its runtime gets to see what came over it meanwhile.
const GLANCE: Duration = Duration::from_millis(1);
/// The longest wait between two tries to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What the writer is told when the store is opened.
pub(super) struct WriterOptions {
    pub(super) url: PostgresUrl,
    pub(super) answer_timeout: Duration,
    pub(super) resolve_deadline: Duration,
    pub(super) partition_width: i64,
    /// The position behind the last partition.
    pub(super) partitions_end: i64,
    /// Where the writer says which of the server's processes is its own.
    pub(super) process: Arc<AtomicI32>,
}

pub(super) struct PostgresBackend {
    options: WriterOptions,
    counters: Arc<Counters>,
    /// Made on the writer's thread, because it must not be dropped on a thread of another one.
    runtime: Option<Runtime>,
    session: Option<Session>,
    /// The session on which an answer was lost.
    lost: Option<Identity>,
    in_transaction: bool,
    /// The position at which making partitions ahead is tried again.
    partitions_next_try: i64,
    /// When the server was last asked something.
    used: Instant,
}

/// How a round trip ended that came too late.
fn too_late(limit: Duration) -> Trouble {
    Trouble::Gone(format!("no answer came within {} ms", limit.as_millis()))
}

impl PostgresBackend {
    pub(super) fn new(options: WriterOptions, counters: Arc<Counters>) -> Self {
        let (runtime, session, lost, in_transaction) = (None, None, None, false);
        // Not behind the first batches of all, for which somebody may be waiting.
        let (partitions_next_try, used) = (options.partition_width / 100, Instant::now());
        Self {
            options,
            counters,
            runtime,
            session,
            lost,
            in_transaction,
            partitions_next_try,
            used,
        }
    }

    /// Makes what is missing: the runtime, the connection. Says whether it had to connect.
    fn ready(&mut self) -> Result<bool, Trouble> {
        if self.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            self.runtime = Some(runtime.map_err(|error| Trouble::Gone(error.to_string()))?);
        }
        if self.is_open() {
            return Ok(false);
        }
        self.abandon();
        let limit = self.options.answer_timeout;
        let (url, lost) = (&self.options.url, self.lost.clone());
        let open = async {
            let session = Session::open(url, limit).await?;
            if let Some(lost) = &lost {
                // It may be gone already, or not ours to end. The lock that it may hold is what
                // counts, and that is waited for.
                let _ = session.end(lost).await;
            }
            Ok(session)
        };
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let opened = runtime.block_on(async { tokio::time::timeout(limit, open).await });
        let session = opened.map_err(|_| too_late(limit))??;
        self.options.process.store(session.identity.pid, Ordering::Relaxed);
        self.session = Some(session);
        self.lost = None;
        Counters::one(&self.counters.connections);
        Ok(true)
    }

    /// Whether there is a connection that is not known to be gone. That it went while nobody
    /// used it is seen here, before something is sent of which nobody would know the fate.
    fn is_open(&self) -> bool {
        let (Some(runtime), Some(session)) = (&self.runtime, &self.session) else { return false };
        if self.used.elapsed() > IDLE {
            runtime.block_on(async { tokio::time::sleep(GLANCE).await });
        }
        !session.client.is_closed()
    }

    /// One or a few round trips on the connection, within the time for one. After it is gone
    /// it is not used again.
    fn talk<T>(
        &mut self,
        work: impl AsyncFnOnce(&Session, &Counters) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let limit = self.options.answer_timeout;
        let (Some(runtime), Some(session)) = (&self.runtime, &self.session) else {
            return Err(stopped());
        };
        let counters = &self.counters;
        self.used = Instant::now();
        let answer = runtime
            .block_on(async { tokio::time::timeout(limit, work(session, counters)).await })
            .unwrap_or_else(|_| Err(too_late(limit)));
        if answer.as_ref().is_err_and(Trouble::ends_session) {
            self.abandon();
        }
        answer
    }

    /// Lets go of the connection at once, so that the server sees its end while this side does
    /// something else.
    fn abandon(&mut self) {
        self.in_transaction = false;
        if let (Some(runtime), Some(session)) = (&self.runtime, self.session.take()) {
            self.lost = Some(runtime.block_on(session.abandon()));
        }
    }

    fn try_begin(&mut self, wanted: &Wanted<'_>) -> Result<Answer<Snapshot>, Trouble> {
        self.in_transaction = true;
        let asked = Asked::of(wanted);
        let rows = self.talk(async |session, counters| asked.read(session, counters).await)?;
        Ok(asked.snapshot(wanted, &rows))
    }

    /// Sees to it that there is a partition for each event.
    fn need_partitions(&mut self, write: &Write<'_>) -> Result<(), Trouble> {
        match last_of(write) < self.options.partitions_end {
            true => Ok(()),
            false => self.make_partitions(write),
        }
    }

    /// Makes partitions ahead of need, after a batch was written. That it could not be done is
    /// no concern of the batch; it is tried again a hundredth of a partition later.
    fn keep_partitions_ahead(&mut self, write: &Write<'_>) {
        let (last, width) = (last_of(write), self.options.partition_width);
        let near = self.options.partitions_end.saturating_sub(width.saturating_mul(2));
        if last >= near && last >= self.partitions_next_try {
            self.partitions_next_try = last.saturating_add(width / 100);
            let _ = self.make_partitions(write);
        }
    }

    fn make_partitions(&mut self, write: &Write<'_>) -> Result<(), Trouble> {
        let width = self.options.partition_width;
        let events = i64::try_from(write.rows.len()).unwrap_or(i64::MAX);
        let ahead = i32::try_from(events / width + 3).unwrap_or(i32::MAX);
        let end = self.talk(async |session, counters| {
            counters.trip(1);
            let statement = &session.statements.partitions;
            let row = session.client.query_one(statement, &[&width, &ahead]).await;
            let row = row.map_err(|error| Trouble::of(&error))?;
            row.try_get::<_, i64>(0).map_err(|error| Trouble::of(&error))
        })?;
        self.options.partitions_end = end;
        Ok(())
    }

    /// Writes a batch and commits it in one round trip.
    fn write_and_commit(&mut self, write: &Write<'_>) -> Result<(), CommitFault> {
        let columns = Columns::of(write, true)?;
        let sent = self.talk(async |session, counters| {
            counters.trip(2);
            let params = columns.params();
            let write = session.client.query(&session.statements.write, &params);
            let (write, commit) = join(write, session.client.batch_execute("COMMIT")).await;
            // A transaction in which a statement was refused answers COMMIT with a rollback.
            let rows = write.map_err(|error| Trouble::of(&error))?;
            commit.map_err(|error| Trouble::of(&error))?;
            Ok(rows.len())
        });
        self.in_transaction = false;
        match sent {
            Ok(1) => Ok(()),
            Ok(_) => Err(changed_under_lock().into()),
            Err(Trouble::Gone(reason)) => Err(CommitFault::AnswerLost(reason)),
            Err(refused) => Err(BackendFault::from(refused).into()),
        }
    }

    /// Writes a batch and leaves the transaction open.
    fn write_open(&mut self, write: &Write<'_>) -> Answer<()> {
        let in_parts = write.rows.len() > MOST_EVENTS;
        if in_parts {
            for (rows, leaves) in
                write.rows.chunks(MOST_EVENTS).zip(write.leaves.chunks(MOST_EVENTS))
            {
                self.add_events(&EventColumns::of(rows, leaves)?)?;
            }
        }
        let columns = Columns::of(write, !in_parts)?;
        let rows = self.talk(async |session, counters| {
            counters.trip(1);
            let rows = session.client.query(&session.statements.write, &columns.params()).await;
            rows.map_err(|error| Trouble::of(&error))
        })?;
        if rows.len() == 1 { Ok(()) } else { Err(changed_under_lock()) }
    }

    /// Adds a part of the events of a batch within the open transaction.
    fn add_events(&mut self, events: &EventColumns<'_>) -> Answer<()> {
        let added = self.talk(async |session, counters| {
            counters.trip(1);
            let added = session.client.execute(&session.statements.events, &events.params()).await;
            added.map_err(|error| Trouble::of(&error))
        })?;
        match added == events.len() {
            true => Ok(()),
            false => {
                let wanted = events.len();
                Err(BackendFault::Corrupt(format!("{added} of {wanted} events were written")))
            }
        }
    }

    fn commit(&mut self) -> Result<(), CommitFault> {
        let answer = self.talk(async |session, counters| {
            counters.trip(1);
            session.client.batch_execute("COMMIT").await.map_err(|error| Trouble::of(&error))
        });
        self.in_transaction = false;
        match answer {
            Ok(()) => Ok(()),
            Err(Trouble::Gone(reason)) => Err(CommitFault::AnswerLost(reason)),
            Err(refused) => Err(BackendFault::from(refused).into()),
        }
    }

    /// Connects, ends the session whose answer was lost, and raises the generation of the head:
    /// what that session still may find in its buffer does then not pass its condition, and a
    /// transaction that it has open holds the lock that is waited for here.
    fn try_reopen(&mut self) -> Result<(), Trouble> {
        self.ready()?;
        self.talk(async |session, _| {
            let raised = session.client.execute(&session.statements.head_raise, &[]).await;
            raised.map(drop).map_err(|error| Trouble::of(&error))
        })
    }
}

/// The position of its last event.
fn last_of(write: &Write<'_>) -> i64 {
    i64::try_from(write.head.position.0).unwrap_or(i64::MAX)
}

fn stopped() -> Trouble {
    Trouble::Gone("there is no connection".to_string())
}

fn changed_under_lock() -> BackendFault {
    BackendFault::Corrupt("the head changed while its lock was held".to_string())
}

impl Backend for PostgresBackend {
    const GUARDED: bool = true;

    /// One round trip. A connection that broke while it was idle is replaced once.
    fn begin(&mut self, wanted: &Wanted<'_>) -> Answer<Snapshot> {
        Counters::one(&self.counters.slow);
        let fresh = self.ready().map_err(Trouble::before_writing)?;
        let begun = match self.try_begin(wanted) {
            Err(Trouble::Gone(_)) if !fresh => {
                self.ready().map_err(Trouble::before_writing)?;
                self.try_begin(wanted)
            }
            answer => answer,
        };
        begun.map_err(Trouble::before_writing)?
    }

    fn write(&mut self, write: &Write<'_>, ending: Ending) -> Result<(), CommitFault> {
        self.need_partitions(write).map_err(BackendFault::from)?;
        if ending == Ending::Commit && write.rows.len() <= MOST_EVENTS {
            self.write_and_commit(write)?;
        } else {
            self.write_open(write)?;
            if ending == Ending::TakeBack {
                self.rollback();
                return Ok(());
            }
            self.commit()?;
        }
        self.keep_partitions_ahead(write);
        Ok(())
    }

    /// One round trip, and one statement, which is a transaction by itself.
    fn write_guarded(&mut self, write: &Write<'_>) -> Result<bool, CommitFault> {
        if write.rows.len() > MOST_EVENTS || !self.is_open() {
            return Ok(false);
        }
        let columns = Columns::of(write, true)?;
        if self.need_partitions(write).is_err() {
            // The slow path will say why.
            return Ok(false);
        }
        let sent = self.talk(async |session, counters| {
            counters.trip(1);
            let rows = session.client.query(&session.statements.write, &columns.params()).await;
            rows.map_err(|error| Trouble::of(&error))
        });
        match sent {
            Ok(rows) if rows.len() == 1 => {
                Counters::one(&self.counters.fast);
                self.keep_partitions_ahead(write);
                Ok(true)
            }
            Ok(_) => {
                Counters::one(&self.counters.stale);
                Ok(false)
            }
            Err(taken) if taken.is_taken() => {
                Counters::one(&self.counters.stale);
                Ok(false)
            }
            Err(Trouble::Gone(reason)) => Err(CommitFault::AnswerLost(reason)),
            Err(refused) => Err(BackendFault::from(refused).into()),
        }
    }

    fn rollback(&mut self) {
        if !std::mem::take(&mut self.in_transaction) {
            return;
        }
        let answer = self.talk(async |session, counters| {
            counters.trip(1);
            session.client.batch_execute("ROLLBACK").await.map_err(|error| Trouble::of(&error))
        });
        if answer.is_err() {
            self.abandon();
        }
    }

    fn reopen(&mut self) -> Answer<()> {
        self.abandon();
        let deadline = Instant::now() + self.options.resolve_deadline;
        let mut backoff = Backoff::new(LONGEST_WAIT);
        loop {
            let Err(trouble) = self.try_reopen() else { return Ok(()) };
            let wait = backoff.next();
            if Instant::now() + wait > deadline {
                return Err(trouble.before_writing());
            }
            std::thread::sleep(wait);
        }
    }

    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>> {
        let position = signed(position.0)?;
        let row = self.talk(async |session, _| {
            let row = session.client.query_opt(&session.statements.event_hash, &[&position]).await;
            row.map_err(|error| Trouble::of(&error))
        })?;
        row.map(|row| digest(&row, 0)).transpose()
    }
}

/// What a batch touches, as the arrays by which it is asked for.
struct Asked<'a> {
    tenants: Vec<&'a str>,
    streams: [Vec<&'a str>; 2],
    keys: [Vec<&'a str>; 2],
    leases: Vec<&'a str>,
}

/// The answers, each row with the index of what it answers in its first column.
struct Rows {
    head: Vec<Row>,
    tenants: Vec<Row>,
    streams: Vec<Row>,
    keys: Vec<Row>,
    leases: Vec<Row>,
}

impl<'a> Asked<'a> {
    fn of(wanted: &Wanted<'a>) -> Self {
        let tenants: Vec<&str> = wanted.tenants.iter().map(|it| it.name.as_str()).collect();
        let of = |index: usize| tenants[index];
        Self {
            streams: [
                wanted.streams.iter().map(|it| of(it.tenant)).collect(),
                wanted.streams.iter().map(|it| it.name.as_str()).collect(),
            ],
            keys: [
                wanted.keys.iter().map(|it| of(it.tenant)).collect(),
                wanted.keys.iter().map(|it| it.text).collect(),
            ],
            leases: wanted.leases.iter().map(|it| it.name).collect(),
            tenants,
        }
    }

    /// Opens a transaction, takes the lock, and reads. The server does one after the other, so
    /// what is read is of an instant under the lock.
    async fn read(&self, session: &Session, counters: &Counters) -> Result<Rows, Trouble> {
        let (client, prepared) = (&session.client, &session.statements);
        let tenants: [&(dyn ToSql + Sync); 1] = [&self.tenants];
        let streams: [&(dyn ToSql + Sync); 2] = [&self.streams[0], &self.streams[1]];
        let keys: [&(dyn ToSql + Sync); 2] = [&self.keys[0], &self.keys[1]];
        let leases: [&(dyn ToSql + Sync); 1] = [&self.leases];
        let asks =
            [!self.tenants.is_empty(), !self.streams[1].is_empty(), !self.keys[1].is_empty()];
        let statements = 2 + asks.iter().filter(|asked| **asked).count();
        counters.trip(statements as u64 + u64::from(!self.leases.is_empty()));
        let some = |asked: bool| asked.then_some(());
        let tenants = some(asks[0]).map(|()| client.query(&prepared.tenants, &tenants));
        let streams = some(asks[1]).map(|()| client.query(&prepared.streams, &streams));
        let keys = some(asks[2]).map(|()| client.query(&prepared.keys, &keys));
        let leases =
            some(!self.leases.is_empty()).map(|()| client.query(&prepared.leases, &leases));
        // They are sent in the order in which they are polled, which is the one of their names.
        let (begun, head, tenants, streams, keys, leases) = tokio::join!(
            biased;
            client.batch_execute("BEGIN"),
            client.query(&prepared.head_lock, &[]),
            OptionFuture::from(tenants),
            OptionFuture::from(streams),
            OptionFuture::from(keys),
            OptionFuture::from(leases),
        );
        let failed = |error: tokio_postgres::Error| Trouble::of(&error);
        begun.map_err(failed)?;
        // The first that was refused says why; those behind it only that it was.
        let head = head.map_err(failed)?;
        let rows = |answer: Option<Result<Vec<Row>, _>>| match answer {
            Some(answer) => answer.map_err(failed),
            None => Ok(Vec::new()),
        };
        let (tenants, streams) = (rows(tenants)?, rows(streams)?);
        Ok(Rows { head, tenants, streams, keys: rows(keys)?, leases: rows(leases)? })
    }

    fn snapshot(&self, wanted: &Wanted<'_>, rows: &Rows) -> Answer<Snapshot> {
        let head = rows
            .head
            .first()
            .ok_or_else(|| BackendFault::Corrupt("the row of counters is missing".to_string()))?;
        let head = read_head(head)?;
        let unchanged = wanted.head == Some(head);
        Ok(Snapshot {
            freshness: if unchanged { Freshness::Unchanged } else { Freshness::Unknown },
            head,
            tenants: places(&rows.tenants, wanted.tenants.len(), read_tenant)?,
            streams: places(&rows.streams, wanted.streams.len(), |row| {
                Ok(StoredStream { reference: get(row, 1)?, size: unsigned(row, 2)? })
            })?,
            keys: {
                let found = places(&rows.keys, wanted.keys.len(), read_key)?;
                let kept = |found| match found {
                    Found::Stored(kept) => Some(kept),
                    _ => None,
                };
                found.into_iter().map(kept).collect()
            },
            leases: places(&rows.leases, wanted.leases.len(), |row| unsigned(row, 1))?,
        })
    }
}

/// Puts each row where its first column, which counts from 1, says.
fn places<T>(rows: &[Row], len: usize, read: impl Fn(&Row) -> Answer<T>) -> Answer<Vec<Found<T>>> {
    let mut found: Vec<Found<T>> = std::iter::repeat_with(|| Found::Absent).take(len).collect();
    for row in rows {
        let at = usize::try_from(get::<i64>(row, 0)? - 1).ok();
        let place = at.and_then(|at| found.get_mut(at)).ok_or_else(|| {
            BackendFault::Corrupt("an answer to nothing that was asked".to_string())
        })?;
        *place = Found::Stored(read(row)?);
    }
    Ok(found)
}

fn read_head(row: &Row) -> Answer<Head> {
    Ok(Head {
        timeline: unsigned(row, 0)?,
        position: Position(unsigned(row, 1)?),
        recorded_at: Timestamp(get(row, 2)?),
        tenants: get(row, 3)?,
        streams: get(row, 4)?,
        generation: get(row, 5)?,
    })
}

fn read_tenant(row: &Row) -> Answer<StoredTenant> {
    let (reference, size) = (get(row, 1)?, unsigned(row, 2)?);
    let log = Frontier::from_bytes(size, get(row, 3)?).map_err(|error| {
        BackendFault::Corrupt(format!("the log of tenant {reference}: {error}"))
    })?;
    Ok(StoredTenant { reference, log })
}

fn read_key(row: &Row) -> Answer<KeptKey> {
    Ok(KeptKey {
        content: digest(row, 1)?,
        first: Position(unsigned(row, 2)?),
        last: Position(unsigned(row, 3)?),
        recorded_at: Timestamp(get(row, 4)?),
    })
}

/// A column of the type that the schema gives it.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Answer<T> {
    row.try_get(column).map_err(|error| BackendFault::Corrupt(error.to_string()))
}

/// A number that must not be negative.
pub(super) fn unsigned(row: &Row, column: usize) -> Answer<u64> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| BackendFault::Corrupt(format!("{value} is below zero")))
}

pub(super) fn digest(row: &Row, column: usize) -> Answer<Sha256Digest> {
    let bytes: &[u8] = get(row, column)?;
    let bytes = bytes.try_into();
    bytes.map(Sha256Digest).map_err(|_| BackendFault::Corrupt("a hash of another length".into()))
}
