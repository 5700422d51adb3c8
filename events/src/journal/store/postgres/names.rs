//! Names behind short ids. They never change while the record only grows. Where it goes back, a
//! short name that is gone is given to another stream; so they are forgotten with every era: see
//! [`Reading`](super::read::Reading).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pool::Readers;
use super::writer::get;
use crate::ids::{InvalidId, Position, StreamName, TenantId};
use crate::journal::backend::{BackendFault, Ref};
use crate::ports::ReadError;

/// Names that are kept.
const REMEMBERED: usize = 50_000;

pub(super) type Known = HashMap<Ref, (TenantId, StreamName)>;

#[derive(Default)]
pub(super) struct Names(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// When they were learned.
    era: u64,
    names: Known,
}

impl Names {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of this era; nothing where another one has begun already.
    fn of_era(&self, era: u64) -> Option<MutexGuard<'_, Remembered>> {
        let mut remembered = self.lock();
        if remembered.era < era {
            *remembered = Remembered { era, names: Known::new() };
        }
        Some(remembered).filter(|remembered| remembered.era == era)
    }

    /// The names of streams and their tenants, of which each is looked up once. A stream that
    /// nobody knows is missing in the answer.
    pub(super) async fn of(
        &self,
        readers: &Readers,
        era: u64,
        streams: impl Iterator<Item = Ref>,
    ) -> Result<Known, ReadError> {
        let mut found = Known::new();
        let mut missing = Vec::new();
        {
            let remembered = self.of_era(era);
            for stream in streams {
                match remembered.as_ref().and_then(|it| it.names.get(&stream)) {
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
        if let Some(mut remembered) = self.of_era(era) {
            let known = &mut remembered.names;
            if known.len() + missing.len() > REMEMBERED {
                known.clear();
            }
            let new = missing.into_iter().filter_map(|it| Some((it, found.get(&it)?.clone())));
            known.extend(new);
        }
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
        BackendFault::Unavailable(text) | BackendFault::Unreachable(text) => {
            ReadError::Unavailable(text)
        }
        BackendFault::Corrupt(detail) => corrupt(Position(0), detail),
    }
}
