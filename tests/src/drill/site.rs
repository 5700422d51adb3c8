//! One site for a drill: a store, a data folder, marks of attempts, and servers beside each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dagbook::config::{Config, DataDir, Overrides};
use dagbook::runtime::record::Recorder;
use dagbook::wiring::{Installation, Purpose};
use dagbook_events::ids::{RunId, TenantId};
use tempfile::TempDir;

use super::host::Request;
use super::process::ServerProcess;

/// Three steps that each leave a mark, which only one execution of an attempt can make, and a line
/// in the log that the attempt's shim keeps.
pub const DAG: &str = r#"
dagbook: v1
name: drill
steps:
  first:
    run: |
      set -C; true > "$MARKS/$DAGBOOK_ATTEMPT_ID" || exit 97
      echo "$DAGBOOK_ATTEMPT_ID"
      sleep SLEEP
    env: { MARKS: "FOLDER" }
  second:
    needs: first
    run: |
      set -C; true > "$MARKS/$DAGBOOK_ATTEMPT_ID" || exit 97
      echo "$DAGBOOK_ATTEMPT_ID"
      sleep SLEEP
    env: { MARKS: "FOLDER" }
  third:
    needs: first
    run: |
      set -C; true > "$MARKS/$DAGBOOK_ATTEMPT_ID" || exit 97
      echo "$DAGBOOK_ATTEMPT_ID"
    env: { MARKS: "FOLDER" }
"#;

/// How long an answer to a submission is waited for.
const ANSWER: Duration = Duration::from_secs(15);

/// The site.
pub struct Site {
    folder: TempDir,
    program: PathBuf,
    variables: BTreeMap<String, String>,
    /// Runs that were accepted.
    pub accepted: BTreeMap<RunId, TenantId>,
}

impl Site {
    /// A new one. `variables` configure its servers; by default they use SQLite.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn new(program: &str, variables: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("marks")).expect("a folder");
        let mut all = BTreeMap::from([
            ("DAGBOOK_DATA".to_string(), folder.path().join("data").display().to_string()),
            ("DAGBOOK_LOG_LEVEL".to_string(), "info".to_string()),
            ("DAGBOOK_SLOTS".to_string(), "16".to_string()),
        ]);
        all.extend(variables.iter().map(|(name, value)| (name.to_string(), value.clone())));
        let program = PathBuf::from(program);
        Self { folder, program, variables: all, accepted: BTreeMap::new() }
    }

    /// Starts a server of the site.
    pub fn start(&self, name: &str) -> ServerProcess {
        self.start_with(name, &[])
    }

    /// Starts one that is configured otherwise.
    pub fn start_with(&self, name: &str, variables: &[(&str, String)]) -> ServerProcess {
        let mut all = self.variables.clone();
        all.extend(variables.iter().map(|(name, value)| (name.to_string(), value.clone())));
        ServerProcess::start(&self.program, &all, &self.log(name))
    }

    /// Where a server's log is.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// The folder of the site.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What its servers are configured with.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The logs that shims kept.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("data/logs")
    }

    /// The folders of attempts that were not let go yet.
    pub fn attempts(&self) -> PathBuf {
        self.folder.path().join("data/attempts")
    }

    /// The marks that attempts left.
    pub fn marks(&self) -> PathBuf {
        self.folder.path().join("marks")
    }

    /// The drill's DAG, whose steps sleep for so many seconds.
    pub fn dag(&self, sleep: f64) -> String {
        let marks = self.marks().display().to_string();
        DAG.replace("FOLDER", &marks).replace("SLEEP", &format!("{sleep}"))
    }

    /// Submits a run to one of the servers, again and again until it is accepted: under one id,
    /// so that it is there once however often it was asked for.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn submit(&mut self, server: &mut ServerProcess, tenant: &str, dag: &str) -> Option<RunId> {
        let run = RunId(uuid::Uuid::now_v7());
        self.submit_as(server, tenant, dag, run).then_some(run)
    }

    /// Submits a run under an id; false where the server is gone, and nobody knows.
    ///
    /// # Panics
    /// Where it is refused.
    pub fn submit_as(
        &mut self,
        server: &mut ServerProcess,
        tenant: &str,
        dag: &str,
        run: RunId,
    ) -> bool {
        let tenant = TenantId::new(tenant).expect("a slug");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let id = server.send(|id| Request::Submit {
                id,
                tenant: tenant.clone(),
                run,
                dag: dag.to_string(),
            });
            match server.answer(id, ANSWER) {
                Some(Ok(())) => break,
                // An earlier try had reached the record.
                Some(Err((reason, _))) if reason.contains("exists already") => break,
                Some(Err((reason, again))) => {
                    assert!(again && Instant::now() < deadline, "run {run} was refused: {reason}");
                }
                None if server.is_running() => {
                    assert!(Instant::now() < deadline, "no answer to the submission of {run}");
                }
                None => return false,
            }
        }
        self.accepted.insert(run, tenant);
        true
    }

    /// Opens the site's record to look, and to read its runs.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub async fn look(&self, directly: &[(&str, String)]) -> (Installation, Recorder) {
        self.open(directly, Purpose::Look).await
    }

    /// Opens the site's record for a purpose.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub async fn open(
        &self,
        directly: &[(&str, String)],
        purpose: Purpose,
    ) -> (Installation, Recorder) {
        let mut all = self.variables.clone();
        all.extend(directly.iter().map(|(name, value)| (name.to_string(), value.clone())));
        let variable = |name: &str| all.get(name).cloned();
        let config = Config::load(&Overrides::default(), variable, None).expect("it is valid");
        let data = DataDir::find(&config, None, variable).expect("a data folder");
        let installation = Installation::open(&config, &data, purpose).await;
        let installation = installation.expect("the record opens");
        let recorder = Recorder::new(&installation.deps);
        (installation, recorder)
    }

    /// Waits until every accepted run is over.
    ///
    /// # Panics
    /// Where one is not, after the deadline.
    pub async fn all_over(&self, recorder: &Recorder, within: Duration) {
        let deadline = Instant::now() + within;
        loop {
            let open = recorder.store().open_streams("run/", None, 1_000).await;
            let open = open.expect("the record answers");
            if open.is_empty() {
                return;
            }
            let names: Vec<String> =
                open.iter().take(5).map(|(_, name)| name.to_string()).collect();
            assert!(Instant::now() < deadline, "{} runs are not over: {names:?}", open.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Attempts that have a folder here. An empty one that is kept for the next attempt is none.
pub fn folders(attempts: &Path) -> usize {
    let entries = std::fs::read_dir(attempts).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).count()
}
