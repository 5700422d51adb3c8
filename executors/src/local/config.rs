//! What a local executor is made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ports::{Blobs, Clock};

use crate::clock::SystemClock;
use crate::secrets::SecretSource;

/// Everything a local executor needs. All paths must be absolute and UTF-8.
#[derive(Clone)]
pub struct LocalConfig {
    /// The executor's name, as steps ask for it.
    pub name: String,
    /// Price class in usage records.
    pub class: String,
    /// The machine's name in reports.
    pub node: String,
    /// Where attempts live, such as `.dagbook/attempts`. Made when missing, mode 0700.
    pub root: PathBuf,
    /// Where logs are kept, such as `.dagbook/logs`. Made when missing.
    pub logs: PathBuf,
    /// The program that becomes the shim.
    pub shim: ShimProgram,
    /// Keeps artifacts and gives inputs.
    pub blobs: Arc<dyn Blobs>,
    /// Gives secrets.
    pub secrets: Arc<dyn SecretSource>,
    /// Variables of the orchestrator's own environment that steps may see, beside `PATH`;
    /// `dagbook run` passes `HOME` and `USER`.
    pub passthrough: Vec<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Attempts at one time; one more is `Busy`.
    pub slots: Option<u32>,
    /// Whether to use control groups.
    pub cgroups: Cgroups,
    /// How often what an attempt uses is told while it runs.
    pub measure_every: Duration,
}

/// How often what an attempt uses is told while it runs, unless something else is said.
pub const MEASURE_EVERY: Duration = Duration::from_secs(60);

/// The program that becomes the shim: it must call [`super::shim_main`] with its last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimProgram {
    /// The program's path.
    pub program: PathBuf,
    /// What stands before the attempt's folder.
    pub args: Vec<String>,
}

/// Whether to use control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cgroups {
    /// Whatever this machine allows.
    #[default]
    Auto,
    /// None: limits by rlimit, figures by `wait4`.
    Off,
}

impl LocalConfig {
    /// With folders below `data` (`attempts`, `logs`), this program's `shim` subcommand, and
    /// defaults for the rest.
    pub fn new(
        data: &std::path::Path,
        blobs: Arc<dyn Blobs>,
        secrets: Arc<dyn SecretSource>,
    ) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self {
            name: "local".to_string(),
            class: "local".to_string(),
            node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            root: data.join("attempts"),
            logs: data.join("logs"),
            shim: ShimProgram { program, args: vec!["shim".to_string()] },
            blobs,
            secrets,
            passthrough: Vec::new(),
            clock: Arc::new(SystemClock),
            slots: None,
            cgroups: Cgroups::Auto,
            measure_every: MEASURE_EVERY,
        })
    }
}
