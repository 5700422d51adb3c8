//! Very large batches: their events by binary COPY, which costs the server less for each row
//! and this side no arrays, but a round trip or two more.

use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Statement};

use super::columns::signed;
use super::fault::Trouble;
use crate::journal::backend::{BackendFault, Write};

const TYPES: [Type; 7] =
    [Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::BYTEA, Type::BYTEA];

/// Adds the events within the open transaction.
pub(super) async fn copy_events(
    client: &Client,
    statement: &Statement,
    write: &Write<'_>,
) -> Result<Result<(), BackendFault>, Trouble> {
    let failed = |error: Error| Trouble::of(&error);
    let sink = client.copy_in(statement).await.map_err(failed)?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for (row, leaf) in write.rows.iter().zip(&write.leaves) {
        let numbers = (signed(row.position.0), signed(row.tenant_sequence), signed(row.version));
        let (Ok(position), Ok(tenant_sequence), Ok(version)) = numbers else {
            let message = format!("position {} is out of range", row.position);
            return Ok(Err(BackendFault::Corrupt(message)));
        };
        let hash = row.leaf_hash.0.as_slice();
        let values: [&(dyn ToSql + Sync); 7] =
            [&position, &row.tenant, &tenant_sequence, &row.stream, &version, &hash, leaf];
        writer.as_mut().write(&values).await.map_err(failed)?;
    }
    let written = writer.finish().await.map_err(failed)?;
    match written == write.rows.len() as u64 {
        true => Ok(Ok(())),
        false => Ok(Err(BackendFault::Corrupt(format!(
            "{written} of {} events were written",
            write.rows.len()
        )))),
    }
}
