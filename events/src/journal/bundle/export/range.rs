//! Which leaves were recorded between two instants.

use super::ExportError;
use crate::envelope::Envelope;
use crate::ids::TenantId;
use crate::ports::EventStore;
use crate::time::Timestamp;

/// The first and the last leaf that were recorded from an instant on and before another. Instants
/// of recording do not descend within a log, so they are searched for by halves.
pub(super) async fn between(
    store: &dyn EventStore,
    tenant: &TenantId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<(u64, u64), ExportError> {
    let size = store.log_head(tenant).await?.size;
    let first = match from {
        None => 0,
        Some(from) => first_at(store, tenant, size, from).await?,
    };
    let end = match to {
        None => size,
        Some(to) => first_at(store, tenant, size, to).await?,
    };
    if first >= end {
        let what = match size {
            0 => format!("nothing was recorded for {tenant} yet"),
            _ => "nothing was recorded between these two instants".to_string(),
        };
        return Err(ExportError::Nothing(what));
    }
    Ok((first, end - 1))
}

/// The first leaf that was recorded at an instant or later; the size where there is none.
async fn first_at(
    store: &dyn EventStore,
    tenant: &TenantId,
    size: u64,
    instant: Timestamp,
) -> Result<u64, ExportError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let page = store.read_log(tenant, middle, 1).await?;
        let leaf = page
            .first()
            .ok_or_else(|| ExportError::Damaged(format!("leaf {middle} of {tenant} is missing")))?;
        let leaf = Envelope::parse(&leaf.leaf)
            .map_err(|error| ExportError::Damaged(format!("leaf {middle}: {error}")))?;
        if leaf.recorded_at < instant {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
