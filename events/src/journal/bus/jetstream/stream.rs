//! The streams as they must be: made where they are missing, refused where they are not ours.

use serde_json::{Map, Value, json};

use super::api::{self, ApiFault, NAME_IN_USE, SUBJECTS_OVERLAP, StreamInfo};
use super::connect::Nats;
use crate::ports::CopyError;

/// A stream that we need.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) description: &'static str,
    /// Keeps only so many messages of each subject; all of them where there is none.
    pub(super) per_subject: Option<u64>,
    /// Takes atomic batches, where the server can.
    pub(super) batches: bool,
    pub(super) replicas: usize,
}

/// Says whether the server's own words promise atomic batches.
pub(super) fn takes_batches(config: &Value) -> bool {
    config.get("allow_atomic").and_then(Value::as_bool) == Some(true)
}

impl Wanted {
    fn config(&self) -> Value {
        let mut config = json!({
            "name": self.name,
            "description": self.description,
            "subjects": self.subjects,
            "retention": "limits",
            "storage": "file",
            "num_replicas": self.replicas,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msg_size": -1,
            "max_msgs_per_subject": self.per_subject.map_or(json!(-1), |n| json!(n)),
            // Where an account's room ends, a record must not lose its beginning.
            "discard": if self.per_subject.is_some() { "old" } else { "new" },
            "deny_delete": true,
            "deny_purge": true,
        });
        if self.batches {
            config["allow_atomic"] = json!(true);
        }
        config
    }

    /// What of an existing stream would let it lose or change what it was given.
    pub(super) fn differences(&self, config: &Value) -> Vec<String> {
        let wanted = self.config();
        let mut found = Vec::new();
        let mut must_be = |name: &str, fits: bool| {
            if !fits {
                let is = config.get(name).unwrap_or(&Value::Null);
                let must = wanted.get(name).unwrap_or(&Value::Null);
                found.push(format!("{name} is {is} and must be {must}"));
            }
        };
        for name in ["subjects", "retention", "storage", "discard", "deny_delete", "deny_purge"] {
            must_be(name, config.get(name) == wanted.get(name));
        }
        let number = |name: &str| config.get(name).and_then(Value::as_i64).unwrap_or(-1);
        for name in ["max_msgs", "max_bytes", "max_age", "max_msg_size"] {
            must_be(name, number(name) <= 0);
        }
        let kept = self.per_subject.and_then(|n| i64::try_from(n).ok());
        let per_subject = number("max_msgs_per_subject");
        must_be("max_msgs_per_subject", kept.map_or(per_subject <= 0, |n| per_subject == n));
        for name in ["sealed", "no_ack", "allow_rollup_hdrs", "allow_msg_ttl", "mirror_direct"] {
            must_be(name, config.get(name).and_then(Value::as_bool) != Some(true));
        }
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        for name in ["mirror", "sources", "subject_transform"] {
            must_be(name, config.get(name).is_none_or(empty));
        }
        must_be("first_seq", number("first_seq") <= 1);
        let mode = config.get("persist_mode").and_then(Value::as_str).unwrap_or("default");
        must_be("persist_mode", mode == "default" || mode.is_empty());
        found
    }

    /// # Errors
    /// [`CopyError::Unusable`] where it is somebody else's, with what differs.
    pub(super) fn check(&self, info: &StreamInfo) -> Result<(), CopyError> {
        let differences = self.differences(&info.config);
        if differences.is_empty() {
            return Ok(());
        }
        Err(CopyError::Unusable(format!(
            "the stream {} exists with another configuration: {}. Give it these settings, or \
             move it away if it is not ours",
            self.name,
            differences.join("; ")
        )))
    }

    /// The stream, made if need be, with batches and replicas as wanted where the server can.
    pub(super) async fn ensure(&self, nats: &Nats) -> Result<StreamInfo, CopyError> {
        let Some(info) = api::stream_info(nats, &self.name).await? else {
            return self.create(nats).await;
        };
        self.check(&info)?;
        let replicas = info.config.get("num_replicas").and_then(Value::as_u64);
        let grown = replicas.is_some_and(|n| n != self.replicas as u64);
        let lacking = self.batches && !takes_batches(&info.config);
        if !(grown || lacking) {
            return Ok(info);
        }
        let mut config = info.config.as_object().cloned().unwrap_or_else(Map::new);
        config.insert("num_replicas".to_string(), json!(self.replicas));
        if self.batches {
            config.insert("allow_atomic".to_string(), json!(true));
        }
        let call = format!("STREAM.UPDATE.{}", self.name);
        match api::ask::<StreamInfo>(nats, &call, &Value::Object(config)).await {
            Ok(updated) => Ok(updated),
            // It goes without: an older server, or one that has no company. `facts` tells.
            Err(ApiFault::Refused(_)) => Ok(info),
            Err(ApiFault::Copy(error)) => Err(error),
        }
    }

    async fn create(&self, nats: &Nats) -> Result<StreamInfo, CopyError> {
        let call = format!("STREAM.CREATE.{}", self.name);
        let info: StreamInfo = match api::ask(nats, &call, &self.config()).await {
            Ok(info) => info,
            Err(ApiFault::Copy(error)) => return Err(error),
            Err(ApiFault::Refused(error)) if error.err_code == SUBJECTS_OVERLAP => {
                return Err(CopyError::Unusable(format!(
                    "another stream takes {}; let only {} have these subjects: {}",
                    self.subjects.join(", "),
                    self.name,
                    error.text()
                )));
            }
            // Somebody made it in the meantime: then it is as good as found.
            Err(ApiFault::Refused(error)) if error.err_code == NAME_IN_USE => {
                return Err(CopyError::OutOfStep(format!("the stream {} appeared", self.name)));
            }
            Err(ApiFault::Refused(error)) => {
                return Err(CopyError::Unavailable(format!(
                    "the stream {} with {} replicas cannot be made: {}",
                    self.name,
                    self.replicas,
                    error.text()
                )));
            }
        };
        self.check(&info)?;
        Ok(info)
    }
}
