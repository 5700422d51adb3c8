//! What stands behind the ports of the embedded installation, beside the journal's stores.

mod cache_files;
mod run_locks;
mod scanned_runs;
mod secret_files;

pub use cache_files::CacheFiles;
pub use run_locks::RunLocks;
pub use scanned_runs::{ScanError, ScannedRuns, Wanted};
pub use secret_files::{SecretFileError, SecretFiles};
