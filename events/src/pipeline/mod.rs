//! A registered pipeline: a name and its versions. The stream is `pipeline/<name>`; what a
//! version consists of is a blob whose hash is the version's.

mod event;

use serde::{Deserialize, Serialize};

pub use event::{Archived, PipelineEvent, Registered, Restored};

use crate::aggregate::Aggregate;
use crate::canonical::{self, CanonicalError};
use crate::digest::Sha256Digest;
use crate::ids::{InvalidId, StreamName, TenantId};
use crate::run::event::Source;
use crate::time::Timestamp;

/// Versions that one pipeline may have.
pub const VERSIONS_MAX: u32 = 100_000;
/// Characters of the words that go with a version.
pub const MESSAGE_MAX: usize = 1_000;

/// One version of a registered pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipelineVersion {
    /// The pipeline's name.
    pub name: String,
    /// The version, from 1, without gaps.
    pub version: u32,
    /// Hash of everything that it consists of.
    pub hash: Sha256Digest,
}

impl std::fmt::Display for PipelineVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A version as it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When.
    pub at: Timestamp,
    /// What.
    pub registered: Registered,
}

/// A fold of `pipeline/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// All versions; the first is version 1.
    pub versions: Vec<Version>,
    /// Since when it takes no runs and no versions, and why.
    pub archived: Option<(Timestamp, Archived)>,
}

/// Why something cannot be done with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineRefusal {
    /// Nothing was ever registered under the name.
    #[error("nothing is registered under that name")]
    Unborn,
    /// It is archived.
    #[error("the pipeline is archived; restore it first")]
    Archived,
    /// It is not archived.
    #[error("the pipeline is not archived")]
    NotArchived,
    /// There are too many versions.
    #[error("the pipeline has {VERSIONS_MAX} versions, the most that there may be")]
    Full,
    /// The words are too long.
    #[error("the message is longer than {MESSAGE_MAX} characters")]
    Message,
}

/// What is registered: everything of [`Registered`] but its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Hash of the content.
    pub hash: Sha256Digest,
    /// Bytes of the content.
    pub bytes: u64,
    /// Path of the DAG file.
    pub entry: String,
    /// Files.
    pub files: u32,
    /// Steps of the DAG file.
    pub steps: u32,
    /// Entries of its `on: schedule`.
    pub schedules: u32,
    /// What they say about it.
    pub message: String,
    /// Who.
    pub by: String,
}

impl Pipeline {
    /// The stream of a pipeline.
    pub fn stream(name: &str) -> Result<StreamName, InvalidId> {
        TenantId::new(name)?;
        StreamName::new(&format!("pipeline/{name}"))
    }

    /// The newest version.
    pub fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// A version by its number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Registers content. `Ok(None)`: the newest version has the same content, so that nothing
    /// is to be recorded. Content of an older version is a version again: that is how one goes
    /// back.
    pub fn register(&self, it: Candidate) -> Result<Option<Registered>, PipelineRefusal> {
        if self.archived.is_some() {
            return Err(PipelineRefusal::Archived);
        }
        if it.message.chars().count() > MESSAGE_MAX {
            return Err(PipelineRefusal::Message);
        }
        if self.latest().is_some_and(|latest| latest.registered.hash == it.hash) {
            return Ok(None);
        }
        let version = u32::try_from(self.versions.len()).unwrap_or(u32::MAX).saturating_add(1);
        if version > VERSIONS_MAX {
            return Err(PipelineRefusal::Full);
        }
        let Candidate { hash, bytes, entry, files, steps, schedules, message, by } = it;
        Ok(Some(Registered { version, hash, bytes, entry, files, steps, schedules, message, by }))
    }

    /// Takes it out of use.
    pub fn archive(&self, reason: String, by: String) -> Result<Archived, PipelineRefusal> {
        match (&self.archived, self.versions.is_empty()) {
            (_, true) => Err(PipelineRefusal::Unborn),
            (Some(_), _) => Err(PipelineRefusal::Archived),
            (None, _) if reason.chars().count() > MESSAGE_MAX => Err(PipelineRefusal::Message),
            (None, _) => Ok(Archived { reason, by }),
        }
    }

    /// Brings it back into use.
    pub fn restore(&self, by: String) -> Result<Restored, PipelineRefusal> {
        match (&self.archived, self.versions.is_empty()) {
            (_, true) => Err(PipelineRefusal::Unborn),
            (None, _) => Err(PipelineRefusal::NotArchived),
            (Some(_), _) => Ok(Restored { by }),
        }
    }
}

impl Aggregate for Pipeline {
    type Event = PipelineEvent;

    fn apply(&mut self, at: Timestamp, event: &PipelineEvent) {
        match event {
            PipelineEvent::Registered(registered) => {
                self.versions.push(Version { at, registered: registered.clone() });
            }
            PipelineEvent::Archived(archived) => self.archived = Some((at, archived.clone())),
            PipelineEvent::Restored(_) => self.archived = None,
        }
    }
}

/// The bytes that a version is kept as. The folder on somebody's machine is no part of it.
pub fn content(source: &Source) -> Result<Vec<u8>, CanonicalError> {
    canonical::to_vec(&Source { folder: None, ..source.clone() })
}
