//! The versions of a rate card of the site: the fold of `rate-card/<name>`, and publishing.

use super::file::CardFile;
use super::{CardPublished, CardStreamEvent, Contract, RATE_CARD_STREAMS, RateCard, is_name};
use crate::aggregate::{Aggregate, AggregateEvent};
use crate::canonical;
use crate::digest::Sha256Digest;
use crate::envelope::MAX_LEAF_BYTES;
use crate::ids::{InvalidId, StreamName, TenantId};
use crate::tenant::Refusal;
use crate::time::Timestamp;

/// What is kept free for the envelope around the data of an event.
const ENVELOPE: usize = 4 * 1024;

/// All versions of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardVersions {
    /// In order, from version 1.
    pub versions: Vec<CardPublished>,
}

/// The stream of a card, in the log of the site.
///
/// # Errors
/// Where the name cannot be that of a card.
pub fn card_stream(name: &str) -> Result<StreamName, InvalidId> {
    if !is_name(name) {
        TenantId::new(name).map_err(|error| InvalidId { kind: "rate card", ..error })?;
    }
    StreamName::new(&format!("{RATE_CARD_STREAMS}{name}"))
}

/// The digest of a card's canonical bytes.
pub fn sha256_of_card(card: &RateCard) -> Sha256Digest {
    // Plain data of texts and whole numbers is always canonical.
    Sha256Digest::of(&canonical::to_vec(card).unwrap_or_default())
}

/// The digest of a contract's canonical bytes.
pub fn sha256_of_contract(contract: &Contract) -> Sha256Digest {
    Sha256Digest::of(&canonical::to_vec(contract).unwrap_or_default())
}

/// Refuses what would not fit into the record: a file within its bounds can still become larger
/// there.
pub(super) fn fits<E: AggregateEvent>(event: E, what: &str) -> Result<E, Refusal> {
    let data = canonical::to_vec(&event.to_data()).map_err(|e| Refusal::Invalid(e.to_string()))?;
    match data.len() <= MAX_LEAF_BYTES - ENVELOPE {
        true => Ok(event),
        false => Err(Refusal::Invalid(format!(
            "{what} would take {} bytes in the record, at most {} are allowed: give it fewer \
             prices or shorter names, and remove comments",
            data.len(),
            MAX_LEAF_BYTES - ENVELOPE
        ))),
    }
}

/// The version that a new one gets.
pub(super) fn next_version(
    what: &str,
    named: Option<u32>,
    last: Option<u32>,
) -> Result<u32, Refusal> {
    let next = last.unwrap_or(0) + 1;
    match named {
        Some(named) if named < next => Err(Refusal::Conflict(format!(
            "version {named} of {what} is published and never changes; publish version {next}"
        ))),
        Some(named) if named > next => Err(Refusal::Conflict(format!(
            "the next version of {what} is {next}, not {named}: versions have no gaps"
        ))),
        _ => Ok(next),
    }
}

impl Aggregate for CardVersions {
    type Event = CardStreamEvent;

    fn apply(&mut self, _: Timestamp, event: &CardStreamEvent) {
        let CardStreamEvent::Published(published) = event;
        self.versions.push(published.clone());
    }
}

impl CardVersions {
    /// The newest.
    pub fn last(&self) -> Option<&CardPublished> {
        self.versions.last()
    }

    /// One of them.
    pub fn version(&self, version: u32) -> Option<&CardPublished> {
        self.versions.iter().find(|published| published.card.version == version)
    }

    /// Publishes a version; the same file as the newest again is nothing. `effective` is what was
    /// said beside the file.
    ///
    /// # Errors
    /// Where the version, the currency or the instant does not go with what was published.
    pub fn publish(
        &self,
        file: &CardFile,
        effective: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<CardStreamEvent>, Refusal> {
        let last = self.last();
        if let Some(last) = last
            && last.source == file.source
            && effective.is_none_or(|at| at == last.effective_from)
        {
            return Ok(Vec::new());
        }
        let name = &file.what.name;
        let what = format!("the rate card `{name}`");
        let version = next_version(&what, file.version, last.map(|last| last.card.version))?;
        if let Some(last) = last {
            let (before, after) = (&last.card.currency, &file.what.currency);
            if before != after {
                return Err(Refusal::Conflict(format!(
                    "{what} is in {before}; a card in {after} needs a name of its own"
                )));
            }
        }
        let effective_from = effective.or(file.effective_from).unwrap_or(now);
        if let Some(last) = last {
            if effective_from < last.effective_from {
                return Err(Refusal::Conflict(format!(
                    "version {} of {what} holds from {} on: version {version} cannot hold from {} \
                     on, or that one would follow it",
                    last.card.version, last.effective_from, effective_from
                )));
            }
            if effective.is_none() && effective_from < now {
                return Err(Refusal::Conflict(format!(
                    "{effective_from} is past: usage since then may be known already; say \
                     `--effective {effective_from}` if you mean it, or a later instant"
                )));
            }
        }
        let card = RateCard { version, ..file.what.clone() };
        let sha256 = sha256_of_card(&card);
        let source = file.source.clone();
        let published = CardPublished { card, effective_from, sha256, source };
        Ok(vec![fits(CardStreamEvent::Published(published), &what)?])
    }
}
