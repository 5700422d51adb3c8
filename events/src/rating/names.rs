//! Names that come again and again, kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RatingError;
use super::attempt::Record;
use super::usage::{Figures, needed};
use crate::billing::Meter;
use crate::canonical::Node;

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    numbers: BTreeMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Texts {
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    pub(super) fn text(&self, number: u32) -> Arc<str> {
        Arc::clone(&self.texts[number as usize])
    }
}

/// What an attempt occupied, and where: alike for many attempts.
#[derive(Debug)]
pub(super) struct Shape {
    pub executor: Arc<str>,
    pub class: Arc<str>,
    pub meters: Vec<ShapeMeter>,
}

/// A meter of a shape.
#[derive(Debug)]
pub(super) struct ShapeMeter {
    pub meter: Meter,
    /// Its name with what it is of, as the usage file has it.
    pub key: Arc<str>,
    /// Which devices, and how many.
    pub gpu: Option<Devices>,
}

/// Devices of one kind.
#[derive(Debug)]
pub(super) struct Devices {
    pub model: String,
    pub mode: String,
    pub count: u64,
}

impl ShapeMeter {
    /// Units each millisecond; of egress nothing.
    pub(super) fn rate(&self, record: &Record) -> u64 {
        match self.meter {
            Meter::CpuMilliMs => record.rates.cpu_milli,
            Meter::MemMibMs => record.rates.mem_mib,
            Meter::DiskMibMs => record.rates.disk_mib,
            Meter::RunnerMs => 1,
            Meter::EgressBytes => 0,
            Meter::GpuMs => self.gpu.as_ref().map_or(0, |devices| devices.count),
        }
    }
}

/// Shapes by number.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    numbers: BTreeMap<Vec<u8>, u32>,
    shapes: Vec<Shape>,
    scratch: Vec<u8>,
}

impl Shapes {
    /// The number of the shape of an attempt.
    pub(super) fn number(&mut self, figures: &Figures<'_>) -> Result<u32, String> {
        let (executor, class) = (&*figures.executor, &*figures.class);
        let gpu = figures.requested.gpu;
        self.scratch.clear();
        for part in [executor, class] {
            self.scratch.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.scratch.extend_from_slice(part.as_bytes());
        }
        self.scratch.extend_from_slice(gpu.raw().as_bytes());
        if let Some(number) = self.numbers.get(self.scratch.as_slice()) {
            return Ok(*number);
        }
        let meters = meters(gpu)?;
        let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        self.numbers.insert(self.scratch.clone(), number);
        self.shapes.push(Shape { executor: Arc::from(executor), class: Arc::from(class), meters });
        Ok(number)
    }

    pub(super) fn get(&self, number: u32) -> &Shape {
        &self.shapes[number as usize]
    }
}

fn meters(gpu: Node<'_>) -> Result<Vec<ShapeMeter>, String> {
    let plain = |meter, key: &str| ShapeMeter { meter, key: Arc::from(key), gpu: None };
    let mut meters = vec![
        plain(Meter::CpuMilliMs, "cpu_milli_ms"),
        plain(Meter::MemMibMs, "mem_mib_ms"),
        plain(Meter::DiskMibMs, "disk_mib_ms"),
        plain(Meter::RunnerMs, "runner_ms"),
        plain(Meter::EgressBytes, "egress_bytes"),
    ];
    let mut devices: BTreeMap<(String, String), u64> = BTreeMap::new();
    let items = gpu.items().ok_or("`d.usage.requested.gpu` is no array")?;
    for one in items {
        let text = |name: &str| {
            needed(one.member(name), name, Node::text).map(std::borrow::Cow::into_owned)
        };
        let added = needed(one.member("count"), "count", Node::natural)?;
        let count = devices.entry((text("model")?, text("mode")?)).or_default();
        *count = count.saturating_add(added);
    }
    for ((model, mode), count) in devices {
        let key = Arc::from(format!("gpu_ms/{model}/{mode}"));
        let gpu = Some(Devices { model, mode, count });
        meters.push(ShapeMeter { meter: Meter::GpuMs, key, gpu });
    }
    Ok(meters)
}

/// A product of whole numbers, or the error that says which grew too large.
pub(super) fn times(what: &'static str, a: i128, b: i128) -> Result<i128, RatingError> {
    a.checked_mul(b).ok_or(RatingError::TooLarge { what })
}

/// A sum of whole numbers, likewise.
pub(super) fn plus(what: &'static str, a: i128, b: i128) -> Result<i128, RatingError> {
    a.checked_add(b).ok_or(RatingError::TooLarge { what })
}
