//! What every subcommand gets: options, configuration, and where the data are.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dagbook_events::trace::TraceContext;

use super::args::{GlobalArgs, OutputFormat};
use super::{CliError, OpenRecord};
use crate::client::{ClientOptions, Token};
use crate::config::{Config, DataDir, Overrides, project_root};
use crate::telemetry::{Metrics, OtlpSettings, RunningTelemetry, Telemetry, logs};

/// What every subcommand gets.
#[derive(Debug, Clone)]
pub struct Context {
    global: GlobalArgs,
    config: Config,
    metrics: Metrics,
    telemetry: Arc<Mutex<Option<RunningTelemetry>>>,
}

impl Context {
    /// Reads the configuration that goes with the options.
    pub fn new(global: GlobalArgs) -> Result<Self, CliError> {
        let overrides = Overrides { file: global.config.clone(), data: global.data.clone() };
        let here = std::env::current_dir().ok();
        let root = here.as_deref().map(|here| project_root(here).unwrap_or(here.to_path_buf()));
        let config = Config::load(&overrides, variable, root.as_deref())?;
        let (metrics, telemetry) = (Metrics::new(), Arc::default());
        Ok(Self { global, config, metrics, telemetry })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the parts say on their own account goes to standard error, where a person asked for
    /// it.
    pub fn begin_log(&self) {
        logs::begin(&self.config.log_level, self.config.log_format, &self.metrics);
    }

    /// Metrics and traces of this process. What exports them begins with the first use.
    pub fn telemetry(&self) -> Telemetry {
        let mut running = self.telemetry.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || RunningTelemetry::start(OtlpSettings::read(variable), self.metrics.clone());
        running.get_or_insert_with(start).handles().clone()
    }

    /// Exports what is left. Blocks for a moment: for the end of the process, outside async code.
    pub fn finish_telemetry(&self) {
        let running = self.telemetry.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.finish();
        }
    }

    /// The span within which this program was started, if `TRACEPARENT` names one.
    pub fn started_within(&self) -> Option<TraceContext> {
        variable("TRACEPARENT")?.parse().ok()
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

    /// The server that was named, with the token for it.
    pub(super) fn server_options(&self) -> Result<Option<ClientOptions>, CliError> {
        let given = self.global.server.as_deref().map(str::trim);
        let Some(server) = given.filter(|server| !server.is_empty()) else { return Ok(None) };
        let mut options = ClientOptions::new(server)?;
        options.token = self.token()?;
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        options.tenant = self.global.tenant.clone().or_else(|| set("DAGBOOK_TENANT"));
        options.ca_file = self.global.ca_file.clone();
        Ok(Some(options))
    }

    /// The tenant that was named, if one was.
    pub(super) fn tenant(&self) -> Option<String> {
        let set = variable("DAGBOOK_TENANT").filter(|value| !value.trim().is_empty());
        self.global.tenant.clone().or(set)
    }

    /// The token: as typed, else from the file that was named, else from the environment.
    fn token(&self) -> Result<Option<Token>, CliError> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let read = |path: &Path| {
            let shown = path.display();
            std::fs::read_to_string(path)
                .map_err(|error| CliError::usage(format!("cannot read {shown}: {error}")))
        };
        let text = match (&self.global.token, &self.global.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => match (set("DAGBOOK_TOKEN"), set("DAGBOOK_TOKEN_FILE")) {
                (Some(token), _) => Some(token),
                (None, Some(file)) => Some(read(Path::new(&file))?),
                (None, None) => None,
            },
        };
        Ok(text.map(|text| Token::new(&text)).transpose()?)
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
