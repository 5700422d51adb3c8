//! What stands behind the ports of the embedded installation, beside the journal's stores.

mod cache_files;
mod kept_files;
mod log_files;
mod oidc;
mod run_locks;
mod scanned_runs;
mod sealed_secrets;
mod secret_files;
mod site_keys;

pub use cache_files::CacheFiles;
pub use kept_files::KeptFiles;
pub use log_files::LogFiles;
pub use oidc::{Oidc, OidcOptions};
pub use run_locks::RunLocks;
pub use scanned_runs::{ScanError, ScannedRuns, Wanted};
pub use sealed_secrets::SealedSecrets;
pub use secret_files::{SecretFileError, SecretFiles};
pub use site_keys::SiteKeys;
