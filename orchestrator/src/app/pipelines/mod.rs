//! Registered pipelines: versions are kept as content by hash, runs are pinned to one of them.

mod resolve;
mod runs;
mod versions;

pub use resolve::resolve;
pub use runs::{Order, difference, latest_of, run, submission};
pub use versions::{archive, list, register, restore, show, versions};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::pipeline::{Pipeline, PipelineVersion, Version};
use dagbook_events::ports::Actor;
use dagbook_events::run::event::Source;

use super::error::AppError;
use super::services::Services;
use super::streams::{self, Loaded};

/// Largest content of a version.
pub const CONTENT_MAX: usize = 8 << 20;

/// Who did it, in one word.
pub(super) fn word(by: &Actor) -> String {
    format!("{}:{}", by.kind, by.id)
}

/// The stream of a pipeline. A name that cannot be one is a name of nothing.
fn stream(name: &str) -> Result<StreamName, AppError> {
    Pipeline::stream(name).map_err(|_| AppError::not_found("pipeline", shorten(name)))
}

/// What a stranger sent, short enough to be said again.
pub(super) fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// The fold of a pipeline; empty if nothing is registered.
pub async fn load(
    services: &Services,
    tenant: &TenantId,
    name: &str,
) -> Result<Loaded<Pipeline>, AppError> {
    streams::load(services.store.as_ref(), tenant, &stream(name)?).await
}

/// The fold of a pipeline that is there.
pub(super) async fn existing(
    services: &Services,
    tenant: &TenantId,
    name: &str,
) -> Result<Loaded<Pipeline>, AppError> {
    let loaded = load(services, tenant, name).await?;
    match loaded.state.versions.is_empty() {
        true => Err(AppError::not_found("pipeline", shorten(name))),
        false => Ok(loaded),
    }
}

/// A version by its number, or the newest.
pub(super) fn chosen<'p>(
    pipeline: &'p Pipeline,
    name: &str,
    version: Option<u32>,
) -> Result<&'p Version, AppError> {
    let found = match version {
        None => pipeline.latest(),
        Some(number) => pipeline.version(number),
    };
    found.ok_or_else(|| match version {
        None => AppError::not_found("pipeline", shorten(name)),
        Some(number) => AppError::not_found("pipeline version", format!("{name}@{number}")),
    })
}

/// What a run is pinned to.
pub(super) fn pin(name: &str, version: &Version) -> PipelineVersion {
    let (version, hash) = (version.registered.version, version.registered.hash);
    PipelineVersion { name: name.to_string(), version, hash }
}

/// The content of a version.
pub async fn source(services: &Services, hash: &Sha256Digest) -> Result<Source, AppError> {
    let bytes = services.blobs.get(hash).await?;
    serde_json::from_slice(&bytes).map_err(|error| AppError::Damaged(format!("{hash}: {error}")))
}
