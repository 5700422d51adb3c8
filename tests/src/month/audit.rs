//! From leaves, wherever they are kept, to invoices.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, ensure};
use dagbook_events::billing::{BILLING_STREAM, PeriodClosed};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::TenantId;
use dagbook_events::rating::{Ledger, Options, Roots, Rows, Statement, USAGE_HEADER};
use dagbook_events::tlog::{Frontier, leaf_hash};

use super::SITE;

/// A closed period with its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoiced {
    /// The tenant.
    pub tenant: TenantId,
    /// The event of the closing.
    pub event: PeriodClosed,
    /// `lines.csv`.
    pub lines_csv: String,
    /// `invoice.json`.
    pub invoice_json: String,
}

pub(super) fn ledger(tenant: &TenantId) -> Result<Ledger> {
    Ok(Ledger::new(Options {
        tenant: tenant.as_str().to_string(),
        origin: format!("{SITE}/t/{}/1", tenant.as_str()),
        ..Options::default()
    })?)
}

/// Rates a period with all leaves that the ledger was given.
pub(super) fn close(
    tenant: &TenantId,
    ledger: &mut Ledger,
    period: &str,
    (size, root): (u64, Sha256Digest),
) -> Result<(Invoiced, Statement)> {
    let mut rows = Rows::new();
    let draft = ledger.draft(period, size, &mut rows)?;
    rows.sort();
    let (mut roots, mut usage) = (Roots::new(), USAGE_HEADER.as_bytes().to_vec());
    for row in rows.iter() {
        usage.extend_from_slice(row.csv());
        roots.push(row)?;
    }
    let statement = draft.finish(&roots)?;
    let closed = statement.closing(root, Sha256Digest::of(&usage))?;
    let invoiced = Invoiced {
        tenant: tenant.clone(),
        event: closed.event,
        lines_csv: String::from_utf8(closed.lines_csv)?,
        invoice_json: String::from_utf8(closed.invoice_json)?,
    };
    Ok((invoiced, statement))
}

/// Rates leaves as they come: first it is shown those of the stream `billing`, then all.
#[derive(Default)]
pub struct Auditor {
    logs: BTreeMap<TenantId, Log>,
}

struct Log {
    ledger: Ledger,
    frontier: Frontier,
    closings: VecDeque<PeriodClosed>,
    invoiced: Vec<Invoiced>,
}

impl Auditor {
    /// Looks at a leaf for the first time.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn foresee(&mut self, leaf: &[u8]) -> Result<()> {
        let envelope = Envelope::parse(leaf)?;
        let log = match self.logs.entry(envelope.tenant.clone()) {
            std::collections::btree_map::Entry::Occupied(log) => log.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(Log {
                ledger: ledger(&envelope.tenant)?,
                frontier: Frontier::new(),
                closings: VecDeque::new(),
                invoiced: Vec::new(),
            }),
        };
        if envelope.stream.as_str() == BILLING_STREAM {
            log.ledger.foresee(envelope.tenant_sequence, leaf)?;
            if envelope.kind == "period.closed" {
                log.closings.push_back(serde_json::from_str(&envelope.data)?);
            }
        }
        Ok(())
    }

    /// Takes the leaf.
    ///
    /// # Errors
    /// Where a closing is not what follows from the leaves.
    pub fn push(&mut self, leaf: &[u8]) -> Result<()> {
        let envelope = Envelope::parse(leaf)?;
        let log = self.logs.get_mut(&envelope.tenant).context("a log that was not foreseen")?;
        let index = envelope.tenant_sequence;
        ensure!(log.frontier.size() == index, "leaf {index} comes out of its turn");
        while let Some(closing) = log.closings.front().filter(|closing| closing.size == index) {
            let head = (index, log.frontier.root());
            let (found, _) = close(&envelope.tenant, &mut log.ledger, &closing.period, head)?;
            ensure!(found.event == *closing, "{}: {found:?}", closing.period);
            log.invoiced.push(found);
            log.closings.pop_front();
        }
        log.ledger.push(index, leaf)?;
        log.frontier.push(leaf_hash(leaf));
        Ok(())
    }

    /// All invoices.
    pub fn invoiced(self) -> Vec<Invoiced> {
        self.logs.into_values().flat_map(|log| log.invoiced).collect()
    }
}
