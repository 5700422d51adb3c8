//! What the commands that read other keepings of the record have in common.

use dagbook_events::journal::reconcile::SourceError;
use dagbook_events::tlog::{KeyKind, VerifierKey};

use super::{CliError, Context};
use crate::adapters::ScanError;
use crate::config::BusLocation;
use crate::wiring::{Layout, SourceUnknown, SourcesError};

/// The key of a site, given by hand.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct LogKey {
    /// The site's verifier key, or a file with it [default: that of the data folder]
    #[arg(long, value_name = "VKEY|FILE")]
    log_key: Option<String>,
}

impl LogKey {
    /// The key that was given.
    pub(super) fn read(&self) -> Result<Option<VerifierKey>, CliError> {
        let Some(given) = &self.log_key else { return Ok(None) };
        // A key's text has two plus signs; names of files that do are told apart by `./`.
        let is_text = given.matches('+').count() >= 2 && !given.starts_with(['.', '/']);
        let text = match is_text {
            true => given.clone(),
            false => std::fs::read_to_string(given)
                .map_err(|error| CliError::usage(format!("cannot read {given}: {error}")))?,
        };
        let key = VerifierKey::parse(text.trim())
            .map_err(|error| CliError::usage(format!("`--log-key` is no verifier key: {error}")))?;
        match key.kind() {
            KeyKind::Log => Ok(Some(key)),
            KeyKind::Cosigner => Err(CliError::usage("`--log-key` is the key of a witness")
                .hint("the site's key is in `keys/signing.key.vkey` of its data folder")),
        }
    }
}

/// Whether there is a second copy.
pub(super) fn has_bus(ctx: &Context) -> bool {
    ctx.config().bus != BusLocation::Memory
}

/// Where the parts of the data folder are.
pub(super) fn layout(ctx: &Context) -> Result<Layout, CliError> {
    Ok(Layout { data: ctx.data(None)?.root().to_path_buf() })
}

impl From<SourceUnknown> for CliError {
    fn from(error: SourceUnknown) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        match error.is_damage {
            true => Self::damaged(error.to_string()).hint("see ops/runbooks/copy-diverged.md"),
            false => Self::unavailable(error.to_string()),
        }
    }
}

impl From<SourcesError> for CliError {
    fn from(error: SourcesError) -> Self {
        match error {
            SourcesError::Unknown(error) => error.into(),
            SourcesError::Open(error) => error.into(),
            SourcesError::Read(error) => error.into(),
            SourcesError::Copy(_) => {
                Self::unavailable(error.to_string()).hint("`dagbook doctor` says more")
            }
        }
    }
}

impl From<ScanError> for CliError {
    fn from(error: ScanError) -> Self {
        match error.is_damage() {
            true => Self::damaged(error.to_string()).hint("see ops/runbooks/copy-diverged.md"),
            false => Self::unavailable(error.to_string()),
        }
    }
}
