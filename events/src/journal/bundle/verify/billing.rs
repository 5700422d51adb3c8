//! What leaves of the stream `billing` say, seen before all others: closings stand behind the
//! usage that they count.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::layout;
use super::super::manifest::PeriodPart;
use super::super::{Failure, Reason};
use super::leaves::shown;
use crate::billing::{
    BILLING_STREAM, CardAdopted, Contract, ContractPublished, CreditNoteIssued, PeriodClosed,
    RateCard, Tiers, Whole,
};
use crate::digest::Sha256Digest;
use crate::envelope::type_of;
use crate::rating::{Ledger, Options};

/// The most decimal digits that the minor unit of a currency has.
const MAX_EXPONENT: u8 = 9;

/// A rate card or contract as it was recorded.
pub(super) struct Published {
    /// Where.
    pub index: u64,
    /// Of which the leaf says that it is the digest of `json`.
    pub sha256: Sha256Digest,
    /// Its files: paths and bytes.
    pub files: [(String, Vec<u8>); 2],
}

/// All that the stream says.
pub(super) struct Billing {
    /// Prices and periods, as the fold knows them.
    pub ledger: Ledger,
    /// Rate cards and contracts.
    pub published: Vec<Published>,
    /// Closings with the indexes of their leaves.
    pub closings: Vec<(u64, PeriodClosed)>,
    /// The timeline of each closing's leaf, by its index.
    timelines: BTreeMap<u64, u64>,
    origin: String,
    /// Credit notes, likewise.
    pub notes: Vec<(u64, CreditNoteIssued)>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(borrow)]
    st: Cow<'a, str>,
    tl: u64,
    #[serde(borrow)]
    ty: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    card: Option<&'a RawValue>,
    #[serde(borrow, default)]
    contract: Option<&'a RawValue>,
}

impl Billing {
    /// Nothing was said yet in this log.
    pub fn new(tenant: &str, origin: &str) -> Result<Self, Failure> {
        let options = Options {
            tenant: tenant.to_string(),
            origin: origin.to_string(),
            ..Options::default()
        };
        let ledger = Ledger::new(options).map_err(|error| wrong(error.to_string()))?;
        let (published, closings, notes) = (Vec::new(), Vec::new(), Vec::new());
        let (timelines, origin) = (BTreeMap::new(), origin.to_string());
        Ok(Self { ledger, published, closings, timelines, origin, notes })
    }

    /// Whether a leaf may be one of the stream that says something, by its type alone.
    pub fn may_be(leaf: &[u8]) -> bool {
        let kinds: [&[u8]; 5] = [
            b"rate_card.adopted",
            b"contract.published",
            b"period.opened",
            b"period.closed",
            b"credit_note.issued",
        ];
        type_of(leaf).is_none_or(|kind| kinds.contains(&kind))
    }

    /// A leaf that may be of the stream.
    pub fn take(&mut self, index: u64, leaf: &[u8]) -> Result<(), Failure> {
        // What is no event at all is said where leaves are checked.
        let Ok(wire) = serde_json::from_slice::<Wire<'_>>(leaf) else { return Ok(()) };
        if wire.st != BILLING_STREAM {
            return Ok(());
        }
        self.ledger.foresee(index, leaf).map_err(|error| wrong(error.to_string()))?;
        if wire.ty == "period.closed" {
            self.timelines.insert(index, wire.tl);
        }
        self.keep(index, &wire.ty, wire.d)
            .map_err(|what| wrong(format!("leaf {index}, {}: {what}", shown(&wire.ty))))
    }

    fn keep(&mut self, index: u64, kind: &str, data: &RawValue) -> Result<(), String> {
        let data = data.get();
        match kind {
            "rate_card.adopted" => {
                let event: CardAdopted = read(data)?;
                check_card(&event.card)?;
                let json = read::<Raw<'_>>(data)?.card.map_or("", RawValue::get);
                let paths = layout::rate_card(&event.card.name, event.card.version);
                self.publish(index, event.sha256, paths, json, event.source);
            }
            "contract.published" => {
                let event: ContractPublished = read(data)?;
                check_contract(&event.contract)?;
                let json = read::<Raw<'_>>(data)?.contract.map_or("", RawValue::get);
                let paths = layout::contract(&event.contract.name, event.contract.version);
                self.publish(index, event.sha256, paths, json, event.source);
            }
            "period.closed" => self.closings.push((index, read(data)?)),
            "credit_note.issued" => self.notes.push((index, read(data)?)),
            _ => {}
        }
        Ok(())
    }

    fn publish(
        &mut self,
        index: u64,
        sha256: Sha256Digest,
        [json_path, yaml_path]: [String; 2],
        json: &str,
        source: String,
    ) {
        let json = format!("{json}\n").into_bytes();
        let files = [(json_path, json), (yaml_path, source.into_bytes())];
        self.published.push(Published { index, sha256, files });
    }

    /// The closing of a period that was opened with these instants.
    pub fn closing(&mut self, wanted: &PeriodPart) -> Result<(u64, PeriodClosed), Failure> {
        let found = self.closings.iter().find(|(_, closing)| closing.period == wanted.name);
        let name = shown(&wanted.name);
        let (index, closing) =
            found.ok_or_else(|| wrong(format!("there is no closing of the period {name}")))?;
        let opened = self.ledger.periods().find(|period| *period.name == *wanted.name);
        let is_so = opened.is_some_and(|opened| {
            (opened.start, opened.end, &*opened.zone)
                == (wanted.start.0, wanted.end.0, wanted.zone.as_str())
        });
        if !is_so {
            return Err(wrong(format!("the period {name} of the manifest was not opened so")));
        }
        let found = (*index, closing.clone());
        // The log may have gone over to another timeline since it was closed.
        let timeline = self.timelines.get(&found.0).copied().unwrap_or_default();
        let log = self.origin.rsplit_once('/').map_or(self.origin.as_str(), |(log, _)| log);
        self.ledger.set_origin(format!("{log}/{timeline}"));
        Ok(found)
    }
}

fn read<'a, D: Deserialize<'a>>(data: &'a str) -> Result<D, String> {
    serde_json::from_str(data).map_err(|error| error.to_string())
}

fn check_card(card: &RateCard) -> Result<(), String> {
    if card.exponent > MAX_EXPONENT || card.increment_ms.0 == 0 {
        return Err("the exponent or the increment is out of range".to_string());
    }
    card.prices.iter().try_for_each(|price| check_price(price.per, &price.tiers))
}

fn check_contract(contract: &Contract) -> Result<(), String> {
    if contract.exponent > MAX_EXPONENT {
        return Err("the exponent is out of range".to_string());
    }
    contract.overrides.iter().try_for_each(|own| check_price(own.per, &own.tiers))?;
    let parts = contract.discounts.iter().map(|discount| discount.parts_per_billion);
    let amounts = contract.credits.iter().map(|credit| credit.amount_minor);
    match parts.chain(amounts).any(|Whole(number)| number < 0) {
        true => Err("a discount or credit is negative".to_string()),
        false => Ok(()),
    }
}

fn check_price(Whole(per): Whole, tiers: &Tiers) -> Result<(), String> {
    let numbers = tiers.steps.iter().flat_map(|step| [Some(step.price_nanos), step.up_to]);
    match per < 1 || numbers.flatten().any(|Whole(number)| number < 0) {
        true => Err("a price is out of range".to_string()),
        false => Ok(()),
    }
}

fn wrong(what: String) -> Failure {
    Failure::new(Reason::Usage, what)
}
