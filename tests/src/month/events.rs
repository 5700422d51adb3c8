//! The data of the events, as the engine writes them.

use dagbook_events::canonical;
use serde_json::{Value, json};
use uuid::Uuid;

use super::attempts::{Attempt, End, Record};

/// Executor, price class and model of the devices.
const PLACES: [(&str, &str, &str); 4] = [
    ("local", "standard", "L4"),
    ("kubernetes", "standard", "H200"),
    ("kubernetes", "spot", "H200"),
    ("gitlab", "shared", "L4"),
];

/// An id like those that the shell mints, but by number.
pub(super) fn id(family: u128, number: u64) -> Uuid {
    Uuid::from_u128(
        (0x0199_a000_0000_u128 << 80)
            | (0x7 << 76)
            | (0x2 << 62)
            | (family << 48)
            | u128::from(number),
    )
}

impl Attempt {
    pub(super) fn run_id(&self) -> String {
        id(1, self.run).to_string()
    }

    /// Type and data of what is recorded.
    pub(super) fn event(&self, record: Record, heard_at: i64) -> (&'static str, Vec<u8>) {
        let attempt = id(2, self.number).to_string();
        let step = format!("step-{}", self.step);
        let epoch = self.number + 1;
        let named = json!({"attempt": attempt, "epoch": epoch, "step": step});
        let with = |more: Value| {
            let mut data = named.clone();
            if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
                data.extend(more);
            }
            data
        };
        let (executor, class, _) = PLACES[self.place];
        let heard = json!({
            "planned": self.planned, "started": self.started + 20, "exited": heard_at,
        });
        let (kind, data) = match record {
            Record::Planned => {
                ("attempt.planned", with(json!({"class": class, "executor": executor})))
            }
            Record::Started => {
                ("attempt.started", with(json!({"node": "n1", "started_at": self.started})))
            }
            Record::Checkpoint(at) => {
                let usage = self.usage(at, "running", "none");
                ("usage.checkpoint", with(json!({"heard": heard, "usage": usage})))
            }
            Record::Exited => ("attempt.exited", with(self.exit(heard))),
            Record::Truth => {
                let usage = self.usage(self.released, "failed", "user");
                let said = "exited";
                ("report.stale", with(json!({"heard": heard, "said": said, "usage": usage})))
            }
            Record::Story => {
                let usage = self.usage(self.released + 500, "failed", "user");
                ("report.stale", with(json!({"said": "exited", "usage": usage})))
            }
        };
        (kind, canonical::to_vec(&data).unwrap_or_default())
    }

    fn exit(&self, heard: Value) -> Value {
        let (outcome, word, fault, verdict) = match self.end {
            End::Succeeded => (json!("succeeded"), "succeeded", "none", json!("succeeded")),
            End::Failed => {
                let failed = json!({"failed": {"exit_code": 1}});
                (failed, "failed", "user", json!({"failed": {"reason": "exit status 1"}}))
            }
            End::TimedOut => {
                let outcome = json!({"timed_out": {"kind": "run"}});
                (outcome, "timed_out", "policy", json!({"failed": {"reason": "too long"}}))
            }
            End::Evicted => {
                let outcome = json!({"evicted": {"reason": "disk pressure"}});
                (outcome, "evicted", "infra", json!({"failed": {"reason": "evicted"}}))
            }
            End::Lost => {
                let outcome = json!({"lost": {"detail": "no sign of life"}});
                (outcome, "lost", "infra", json!({"failed": {"reason": "lost"}}))
            }
        };
        let released = match self.end {
            // Nobody knows when.
            End::Lost => self.allocated,
            _ => self.released,
        };
        json!({
            "exited_at": released, "heard": heard, "outcome": outcome,
            "log": {"bytes": 1_200, "crc32": 77, "dropped_bytes": 0},
            "usage": self.usage(released, word, fault), "verdict": verdict,
        })
    }

    fn usage(&self, released: i64, outcome: &str, fault: &str) -> Value {
        let (executor, class, model) = PLACES[self.place];
        let mut gpu = Vec::new();
        if self.gpus > 0 {
            gpu.push(json!({"count": self.gpus, "mode": "exclusive", "model": model}));
        }
        let mut used = json!({"cpu_ms": 1_000, "mem_mib_ms": 0, "mem_peak_mib": self.mem_mib});
        if self.egress > 0 {
            used["egress_bytes"] = json!(self.egress);
        }
        json!({
            "executor": executor, "class": class, "node": "n1", "allocated_ms": self.allocated,
            "started_ms": self.started, "released_ms": released,
            "requested": {
                "cpu_milli": self.cpu_milli, "mem_mib": self.mem_mib, "disk_mib": 0, "gpu": gpu,
            },
            "used": used, "source": "cgroup2", "quality": "exact", "outcome": outcome,
            "fault": fault,
        })
    }
}
