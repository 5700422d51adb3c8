//! `resources`.

use crate::dag::codes;
use crate::dag::source::{Entry, Kind};
use crate::step::{GpuRequest, Resources};

use super::fields::shorten;
use super::{Reader, units};

/// Keys of `resources`.
pub(crate) const RESOURCE_KEYS: [&str; 4] = ["cpu", "memory", "disk", "gpu"];
/// Keys of `gpu`.
pub(crate) const GPU_KEYS: [&str; 4] = ["count", "model", "memory", "mode"];

impl Reader<'_, '_> {
    pub fn resources(&mut self, entry: &Entry) -> Resources {
        let mut resources = Resources::default();
        let Some(fields) = self.fields(entry, "`resources`", &RESOURCE_KEYS) else {
            return resources;
        };
        if let Some(cpu) = fields.get("cpu").and_then(|e| self.cpu(e)) {
            resources.cpu_milli = cpu;
        }
        if let Some(memory) = fields.get("memory").and_then(|e| self.size(e)) {
            resources.memory_bytes = memory;
        }
        if let Some(disk) = fields.get("disk").and_then(|e| self.size(e)) {
            resources.disk_bytes = disk;
        }
        resources.gpu = fields.get("gpu").and_then(|e| self.gpu(e));
        resources
    }

    fn cpu(&mut self, entry: &Entry) -> Option<u64> {
        let scalar = self.scalar(entry, "an amount such as `2` or `500m`")?;
        units::cpu(&scalar.text)
            .map_err(|reason| {
                let message = format!("`cpu`: `{}` {reason}", shorten(&scalar.text));
                self.report
                    .add(&codes::BAD_SIZE, entry.at(), message)
                    .hint("write cores (`2`, `0.5`) or thousandths of one (`500m`)");
            })
            .ok()
    }

    fn gpu(&mut self, entry: &Entry) -> Option<GpuRequest> {
        let request = |count| GpuRequest { count, model: None, memory_bytes: None, mode: None };
        if let Kind::Scalar(_) = entry.node.kind {
            return self.count(entry, 1, 1_024).map(request);
        }
        let fields = self.fields(entry, "`gpu`", &GPU_KEYS)?;
        let count = fields.get("count").map_or(Some(1), |e| self.count(e, 1, 1_024));
        let mut gpu = request(count.unwrap_or(1));
        gpu.model = fields.get("model").and_then(|e| self.word(e));
        gpu.memory_bytes = fields.get("memory").and_then(|e| self.size(e));
        gpu.mode = fields.get("mode").and_then(|e| self.gpu_mode(e));
        Some(gpu)
    }

    fn gpu_mode(&mut self, entry: &Entry) -> Option<String> {
        let mode = self.word(entry)?;
        if mode == "exclusive"
            || mode.strip_prefix("mig:").is_some_and(|profile| !profile.is_empty())
        {
            return Some(mode);
        }
        let message = format!("`mode` must be exclusive or mig:PROFILE, not `{}`", shorten(&mode));
        self.report.add(&codes::NOT_A_CHOICE, entry.at(), message);
        None
    }
}
