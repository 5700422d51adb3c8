//! What the references to registered pipelines in a source mean. It is decided once, when a
//! version is registered or a run submitted, and becomes part of the source: replay looks nothing
//! up.

use std::collections::BTreeMap;

use dagbook_events::dag::{self, Action, SourceBundle, SubDagSource};
use dagbook_events::ids::TenantId;
use dagbook_events::run::event::{PinnedPipeline, Source};

use super::{chosen, load, pin, shorten};
use crate::app::error::AppError;
use crate::app::services::Services;

/// Pipelines that one source may call, directly or through others.
const PINNED_MAX: usize = 64;

/// Adds every registered pipeline that the source calls, each pinned to one version. What a
/// pipeline calls itself was decided when it was registered.
pub async fn resolve(
    services: &Services,
    tenant: &TenantId,
    mut source: Source,
) -> Result<Source, AppError> {
    source.pipelines = BTreeMap::new();
    for reference in references(&source.bundle) {
        if source.pipelines.contains_key(&reference) {
            continue;
        }
        let (name, wanted) = reference.split_once('@').unwrap_or((&reference, "latest"));
        let missing = || {
            let shown = shorten(&reference);
            AppError::Invalid(format!(
                "the DAG file calls the registered pipeline `{shown}`, which is not there; \
                 register it first, or call another version"
            ))
        };
        let number = match wanted {
            "latest" => None,
            number => Some(number.parse::<u32>().map_err(|_| missing())?),
        };
        let loaded = load(services, tenant, name).await?.state;
        if loaded.archived.is_some() {
            return Err(AppError::Conflict(format!("the pipeline `{name}` is archived")));
        }
        let version = chosen(&loaded, name, number).map_err(|_| missing())?;
        let called = super::source(services, &version.registered.hash).await?;
        let pinned = PinnedPipeline {
            version: pin(name, version),
            bundle: called.bundle,
            archive: called.archive,
        };
        for (inner, below) in called.pipelines {
            let before = source.pipelines.insert(inner.clone(), below.clone());
            if before.is_some_and(|before| before != below) {
                return Err(AppError::Conflict(format!(
                    "`{inner}` means two versions in what is called; name the version that is \
                     meant in each file"
                )));
            }
        }
        source.pipelines.insert(reference.clone(), pinned);
        if source.pipelines.len() > PINNED_MAX {
            let reason = format!("more than {PINNED_MAX} registered pipelines are called");
            return Err(AppError::TooLarge(reason));
        }
    }
    Ok(source)
}

/// Whether a file may have the key of a reference, which only escapes could hide. Most have none,
/// and need not be parsed for it.
fn may_refer(text: &str) -> bool {
    text.contains("pipeline") || text.contains('\\')
}

/// References in all files of the bundle, each once.
fn references(bundle: &SourceBundle) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in bundle.files.iter().filter(|(_, text)| may_refer(text)) {
        let Some(spec) = dag::parse(text.as_bytes(), path).spec else { continue };
        for step in &spec.steps {
            if let Action::SubDag(sub) = &step.action
                && let SubDagSource::Pipeline(reference) = &sub.source
            {
                found.push(reference.clone());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_found_however_its_key_is_written() {
        let of = |step: &str| {
            let text = format!("dagbook: v1\nname: n\nsteps:\n  a: {step}\n");
            let files = BTreeMap::from([("dag.yaml".to_string(), text)]);
            references(&SourceBundle { entry: "dag.yaml".to_string(), files })
        };
        for step in [
            "{ dag: { pipeline: clean@2 } }",
            r#"{ "dag": { "pipeline": "clean@2" } }"#,
            r#"{ dag: { "p\u0069peline": "clean@2" } }"#,
            r#"{ dag: { "\x70ipeline": clean@2 } }"#,
        ] {
            assert_eq!(of(step), ["clean@2"], "{step}");
        }
        assert!(of("{ run: exit 0 }").is_empty());
    }
}
