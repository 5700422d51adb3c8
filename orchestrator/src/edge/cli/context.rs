//! What every subcommand gets: options, configuration, and where the data are.

use std::path::Path;

use super::args::{GlobalArgs, OutputFormat};
use super::{CliError, OpenRecord};
use crate::config::{Config, DataDir, Overrides, project_root};

/// What every subcommand gets.
#[derive(Debug, Clone)]
pub struct Context {
    global: GlobalArgs,
    config: Config,
}

impl Context {
    /// Reads the configuration that goes with the options.
    pub fn new(global: GlobalArgs) -> Result<Self, CliError> {
        let overrides = Overrides { file: global.config.clone(), data: global.data.clone() };
        let here = std::env::current_dir().ok();
        let root = here.as_deref().map(|here| project_root(here).unwrap_or(here.to_path_buf()));
        let config = Config::load(&overrides, variable, root.as_deref())?;
        Ok(Self { global, config })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether results are for programs.
    pub fn is_json(&self) -> bool {
        self.global.output == OutputFormat::Json
    }

    /// Whether only what was asked for shall be said.
    pub fn is_quiet(&self) -> bool {
        self.global.quiet
    }

    /// The data folder: the configured one, or that of the project of the DAG file (or of the
    /// current folder).
    pub fn data(&self, beside: Option<&Path>) -> Result<DataDir, CliError> {
        DataDir::find(&self.config, beside, variable).ok_or_else(|| {
            CliError::usage("there is no place for the data: no repository and no home folder")
                .hint("name a folder with `--data DIR` or `DAGBOOK_DATA`")
        })
    }

    /// The record of the current folder's project, which must be there.
    pub async fn record(&self) -> Result<OpenRecord, CliError> {
        OpenRecord::open(&self.config, self.data(None)?).await
    }

    /// Tells a person something beside the result: on standard error, and not when quiet.
    pub fn tell(&self, text: &str) {
        use std::io::Write;
        if !self.is_quiet() {
            // Talk that nobody can hear is no reason to fail.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
