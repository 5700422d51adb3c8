//! A batch as the arrays that its one statement takes.

use tokio_postgres::types::ToSql;

use crate::journal::backend::{BackendFault, Row, Write};

type Answer<T> = Result<T, BackendFault>;

/// Numbers of the statement's condition and of the head that it leaves.
#[derive(Default)]
struct Heads {
    before: [i64; 3],
    after: [i64; 5],
}

/// Events, and the parameters of `sql/events_insert.sql`.
#[derive(Default)]
pub(super) struct EventColumns<'a> {
    position: Vec<i64>,
    tenant: Vec<i64>,
    tenant_sequence: Vec<i64>,
    stream: Vec<i64>,
    version: Vec<i64>,
    hash: Vec<&'a [u8]>,
    leaf: &'a [&'a [u8]],
}

#[derive(Default)]
struct Tenants<'a> {
    id: Vec<i64>,
    name: Vec<&'a str>,
    size: Vec<i64>,
    frontier: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Streams<'a> {
    id: Vec<i64>,
    tenant: Vec<i64>,
    name: Vec<&'a str>,
    size: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
    closes: Vec<bool>,
}

#[derive(Default)]
struct Keys<'a> {
    tenant: Vec<i64>,
    text: Vec<&'a str>,
    content: Vec<&'a [u8]>,
    first: Vec<i64>,
    last: Vec<i64>,
    recorded_at: Vec<i64>,
}

/// The parameters of `sql/batch_write.sql`.
#[derive(Default)]
pub(super) struct Columns<'a> {
    heads: Heads,
    events: EventColumns<'a>,
    new_tenants: Tenants<'a>,
    tenants: Tenants<'a>,
    new_streams: Streams<'a>,
    streams: Streams<'a>,
    keys: Keys<'a>,
}

impl<'a> Columns<'a> {
    /// `with_events`: not where they are written in another way.
    pub(super) fn of(write: &'a Write<'a>, with_events: bool) -> Answer<Self> {
        let mut this = Self { heads: heads(write)?, ..Self::default() };
        if with_events {
            this.events = EventColumns::of(write.rows, &write.leaves)?;
        }
        for tenant in &write.tenants {
            let into = if tenant.created { &mut this.new_tenants } else { &mut this.tenants };
            into.id.push(tenant.reference);
            into.name.push(tenant.name.as_str());
            into.size.push(signed(tenant.log.size())?);
            into.frontier.push(tenant.log.to_bytes());
        }
        for stream in &write.streams {
            let into = if stream.created { &mut this.new_streams } else { &mut this.streams };
            into.id.push(stream.reference);
            into.size.push(signed(stream.size)?);
            into.last.push(signed(stream.last.0)?);
            into.closes.push(stream.closes);
            if stream.created {
                into.tenant.push(stream.tenant);
                into.name.push(stream.name.as_str());
                into.first.push(signed(stream.first.0)?);
            }
        }
        for key in &write.keys {
            this.keys.tenant.push(key.tenant);
            this.keys.text.push(key.text);
            this.keys.content.push(&key.kept.content.0);
            this.keys.first.push(signed(key.kept.first.0)?);
            this.keys.last.push(signed(key.kept.last.0)?);
            this.keys.recorded_at.push(key.kept.recorded_at.0);
        }
        Ok(this)
    }

    /// In the order of the statement.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 39] {
        let Self { heads: Heads { before, after }, events: e, .. } = self;
        let (n, t, m, s, k) =
            (&self.new_tenants, &self.tenants, &self.new_streams, &self.streams, &self.keys);
        [
            &before[0],
            &before[1],
            &before[2],
            &after[0],
            &after[1],
            &after[2],
            &after[3],
            &after[4],
            &e.position,
            &e.tenant,
            &e.tenant_sequence,
            &e.stream,
            &e.version,
            &e.hash,
            &e.leaf,
            &n.id,
            &n.name,
            &n.size,
            &n.frontier,
            &t.id,
            &t.size,
            &t.frontier,
            &m.id,
            &m.tenant,
            &m.name,
            &m.size,
            &m.first,
            &m.last,
            &m.closes,
            &s.id,
            &s.size,
            &s.last,
            &s.closes,
            &k.tenant,
            &k.text,
            &k.content,
            &k.first,
            &k.last,
            &k.recorded_at,
        ]
    }
}

fn heads(write: &Write<'_>) -> Answer<Heads> {
    let (before, head) = (&write.before, &write.head);
    Ok(Heads {
        before: [signed(before.position.0)?, before.generation, signed(before.timeline)?],
        after: [
            signed(head.timeline)?,
            signed(head.position.0)?,
            head.recorded_at.0,
            head.tenants,
            head.streams,
        ],
    })
}

impl<'a> EventColumns<'a> {
    pub(super) fn of(rows: &'a [Row], leaf: &'a [&'a [u8]]) -> Answer<Self> {
        let numbers = || Vec::with_capacity(rows.len());
        let mut events = Self {
            position: numbers(),
            tenant: numbers(),
            tenant_sequence: numbers(),
            stream: numbers(),
            version: numbers(),
            hash: Vec::with_capacity(rows.len()),
            leaf,
        };
        for row in rows {
            events.position.push(signed(row.position.0)?);
            events.tenant.push(row.tenant);
            events.tenant_sequence.push(signed(row.tenant_sequence)?);
            events.stream.push(row.stream);
            events.version.push(signed(row.version)?);
            events.hash.push(&row.leaf_hash.0);
        }
        Ok(events)
    }

    pub(super) fn len(&self) -> u64 {
        self.position.len() as u64
    }

    /// In the order of both statements.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 7] {
        [
            &self.position,
            &self.tenant,
            &self.tenant_sequence,
            &self.stream,
            &self.version,
            &self.hash,
            &self.leaf,
        ]
    }
}

/// A number as Postgres keeps it.
pub(super) fn signed(value: u64) -> Answer<i64> {
    i64::try_from(value).map_err(|_| BackendFault::Corrupt(format!("{value} is out of range")))
}
