//! Names behind short ids. They never change, so they are never stale.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pool::Readers;
use super::writer::get;
use crate::ids::{InvalidId, Position, StreamName, TenantId};
use crate::journal::backend::{BackendFault, Ref};
use crate::ports::ReadError;

/// Names that are kept.
const REMEMBERED: usize = 50_000;

type Known = HashMap<Ref, (TenantId, StreamName)>;

#[derive(Default)]
pub(super) struct Names(Mutex<Known>);

impl Names {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of streams and their tenants, of which each is looked up once. A stream that
    /// nobody knows is missing in the answer.
    pub(super) async fn of(
        &self,
        readers: &Readers,
        streams: impl Iterator<Item = Ref>,
    ) -> Result<Known, ReadError> {
        let mut found = Known::new();
        let mut missing = Vec::new();
        {
            let known = self.lock();
            for stream in streams {
                match known.get(&stream) {
                    Some(names) => drop(found.insert(stream, names.clone())),
                    None => missing.push(stream),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        missing.dedup();
        let rows = readers.rows(include_str!("sql/stream_names.sql"), &[&missing]).await?;
        for row in &rows {
            let pair = pair(get(row, 1).map_err(damaged)?, get(row, 2).map_err(damaged)?)?;
            found.insert(get(row, 0).map_err(damaged)?, pair);
        }
        let mut known = self.lock();
        if known.len() + missing.len() > REMEMBERED {
            known.clear();
        }
        let new = missing.into_iter().filter_map(|it| Some((it, found.get(&it)?.clone())));
        known.extend(new);
        Ok(found)
    }
}

fn pair(tenant: &str, stream: &str) -> Result<(TenantId, StreamName), ReadError> {
    let wrong = |error: InvalidId| corrupt(Position(0), error.to_string());
    Ok((TenantId::new(tenant).map_err(wrong)?, StreamName::new(stream).map_err(wrong)?))
}

pub(super) fn corrupt(position: Position, detail: String) -> ReadError {
    ReadError::Corrupt { position, detail }
}

pub(super) fn damaged(fault: BackendFault) -> ReadError {
    match fault {
        BackendFault::Unavailable(text) => ReadError::Unavailable(text),
        BackendFault::Corrupt(detail) => corrupt(Position(0), detail),
    }
}
