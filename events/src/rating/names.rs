//! Names that come again and again, kept once, and keys that are small.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::RatingError;
use crate::billing::Meter;

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

/// An id: sixteen bytes where it is written as a UUID is, else the number of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Id {
    Uuid([u8; 16]),
    Text(u32),
}

impl Id {
    pub(super) fn of(text: &str, texts: &mut Texts) -> Self {
        let mut buffer = Uuid::encode_buffer();
        match Uuid::try_parse(text) {
            Ok(id) if id.hyphenated().encode_lower(&mut buffer) == text => {
                Self::Uuid(*id.as_bytes())
            }
            _ => Self::Text(texts.number(text)),
        }
    }

    pub(super) fn text(self, texts: &Texts) -> Arc<str> {
        match self {
            Self::Uuid(bytes) => {
                let mut buffer = Uuid::encode_buffer();
                Arc::from(&*Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut buffer))
            }
            Self::Text(number) => texts.text(number),
        }
    }
}

/// An attempt: the run and the attempt's own id.
pub(super) type Key = (Id, Id);

/// What an attempt occupied, and where: alike for many attempts.
#[derive(Debug)]
pub(super) struct Shape {
    pub executor: Arc<str>,
    pub class: Arc<str>,
    pub meters: Vec<ShapeMeter>,
}

/// How much of a meter each millisecond counts.
#[derive(Debug)]
pub(super) struct ShapeMeter {
    pub meter: Meter,
    /// Its name with what it is of, as the usage file has it.
    pub key: Arc<str>,
    /// Units each millisecond; for egress nothing.
    pub rate: u64,
    pub gpu: Option<(String, String)>,
}

/// Shapes by number.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    numbers: BTreeMap<Vec<u8>, u32>,
    shapes: Vec<Shape>,
    scratch: Vec<u8>,
}

#[derive(Deserialize)]
struct Requested {
    cpu_milli: u64,
    mem_mib: u64,
    disk_mib: u64,
    gpu: Vec<Gpu>,
}

#[derive(Deserialize)]
struct Gpu {
    count: u64,
    mode: String,
    model: String,
}

impl Shapes {
    /// The number of a shape; `requested` is its JSON text.
    pub(super) fn number(
        &mut self,
        executor: &str,
        class: &str,
        requested: &str,
    ) -> Result<u32, serde_json::Error> {
        self.scratch.clear();
        for part in [executor, class] {
            self.scratch.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.scratch.extend_from_slice(part.as_bytes());
        }
        self.scratch.extend_from_slice(requested.as_bytes());
        if let Some(number) = self.numbers.get(self.scratch.as_slice()) {
            return Ok(*number);
        }
        let meters = meters(serde_json::from_str(requested)?);
        let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        self.numbers.insert(self.scratch.clone(), number);
        self.shapes.push(Shape { executor: Arc::from(executor), class: Arc::from(class), meters });
        Ok(number)
    }

    pub(super) fn get(&self, number: u32) -> &Shape {
        &self.shapes[number as usize]
    }
}

fn meters(requested: Requested) -> Vec<ShapeMeter> {
    let plain = |meter, key: &str, rate| ShapeMeter { meter, key: Arc::from(key), rate, gpu: None };
    let mut meters = vec![
        plain(Meter::CpuMilliMs, "cpu_milli_ms", requested.cpu_milli),
        plain(Meter::MemMibMs, "mem_mib_ms", requested.mem_mib),
        plain(Meter::DiskMibMs, "disk_mib_ms", requested.disk_mib),
        plain(Meter::RunnerMs, "runner_ms", 1),
        plain(Meter::EgressBytes, "egress_bytes", 0),
    ];
    let mut devices: BTreeMap<(String, String), u64> = BTreeMap::new();
    for gpu in requested.gpu {
        let count = devices.entry((gpu.model, gpu.mode)).or_default();
        *count = count.saturating_add(gpu.count);
    }
    for ((model, mode), rate) in devices {
        let key = Arc::from(format!("gpu_ms/{model}/{mode}"));
        meters.push(ShapeMeter { meter: Meter::GpuMs, key, rate, gpu: Some((model, mode)) });
    }
    meters
}

/// A product of whole numbers, or the error that says which grew too large.
pub(super) fn times(what: &'static str, a: i128, b: i128) -> Result<i128, RatingError> {
    a.checked_mul(b).ok_or(RatingError::TooLarge { what })
}

/// A sum of whole numbers, likewise.
pub(super) fn plus(what: &'static str, a: i128, b: i128) -> Result<i128, RatingError> {
    a.checked_add(b).ok_or(RatingError::TooLarge { what })
}
