//! A witness: the second copy, a key and a folder of its own, and nothing of the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::keys::FileCosigner;
use dagbook_events::journal::witness::{Witness, WitnessError, WitnessOptions, WitnessParts};
use dagbook_events::ports::CopyError;
use dagbook_events::tlog::VerifierKey;

use super::{Jet, SourceUnknown};
use crate::config::Config;

/// Where a witness keeps what is its own.
#[derive(Debug, Clone)]
pub struct WitnessPlace {
    /// Its key, made on first use.
    pub key: PathBuf,
    /// The name of a key that is made.
    pub name: Option<String>,
    /// What it knows.
    pub state: PathBuf,
    /// The key of the site; pinned on first use.
    pub log_key: Option<VerifierKey>,
    /// The name of the site, where it is not that of its key.
    pub site: Option<String>,
    /// End at the first refusal.
    pub stop_at_refusal: bool,
}

/// Why a witness cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum WitnessOpenError {
    /// No copy is configured.
    #[error(transparent)]
    Unknown(#[from] SourceUnknown),
    /// The copy cannot be reached.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// Its key, its folder or its options.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

/// Opens a witness over the copy that the configuration names.
///
/// # Errors
/// Where there is no copy, or it cannot be reached, or the witness's own things are not usable.
pub async fn open_witness(
    config: &Config,
    place: WitnessPlace,
) -> Result<Witness, WitnessOpenError> {
    let jet = Jet::of(config).ok_or_else(|| {
        SourceUnknown("a witness reads the second copy: name it with `--bus nats://HOST`".into())
    })?;
    if place.log_key.is_none() && !place.state.exists() {
        // Said before a key is made that nobody would use.
        let text = "the key with which the site signs must be given at the first start";
        return Err(WitnessError::Options(text.to_string()).into());
    }
    let name = place.name.or_else(|| name_of(&place.key)).unwrap_or_else(usual_name);
    let cosigner = FileCosigner::open(&place.key, &name).map_err(WitnessError::from)?;
    jet.ready().await?;
    let parts = WitnessParts {
        copy: jet.record_copy(),
        notes: jet.notes.clone(),
        cosigner,
        clock: Arc::new(SystemClock),
        folder: place.state,
    };
    let options = WitnessOptions {
        log_key: place.log_key,
        site: place.site,
        stop_at_refusal: place.stop_at_refusal,
        ..WitnessOptions::default()
    };
    Ok(Witness::open(parts, options)?)
}

/// The name of a key that is there, from the verifier key beside it.
fn name_of(key: &Path) -> Option<String> {
    let mut beside = key.as_os_str().to_os_string();
    beside.push(".vkey");
    let text = std::fs::read_to_string(beside).ok()?;
    Some(VerifierKey::parse(text.trim()).ok()?.name().to_string())
}

fn usual_name() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-.".contains(*c);
    format!("witness.{}", machine.chars().filter(plain).collect::<String>())
}
