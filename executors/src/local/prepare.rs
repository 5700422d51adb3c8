//! Everything that must be in place before a step's shim is started.
//!
//! The attempt's folder is put together under another name and then renamed. The rename is the
//! fence: of all who might prepare the same attempt, one succeeds.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::step::{AttemptSpec, Program, StartErrorKind, Workspace};
use dagbook_events::time::Timestamp;

use super::cgroup::Trees;
use super::config::LocalConfig;
use super::environment::{self, Secret};
use super::inputs::{self, Fetched};
use super::paths::AttemptDir;
use super::place::relative;
use super::process::Identity;
use super::records::{self, Launch, Limits, Record, boot_ms};
use super::recover;
use super::shim::Nursery;
use super::shim::launch::{self, Spawned};
use super::source;
use super::spare::Spares;
use super::{log_path, shim};
use crate::port::StartError;
use crate::secrets::SecretError;

/// What has to be fetched before anything is written.
pub(crate) struct Fetch {
    secrets: Vec<Secret>,
    inputs: Vec<Fetched>,
}

/// Fetches secrets and inputs, having looked at the request.
pub(crate) async fn fetch(config: &LocalConfig, spec: &AttemptSpec) -> Result<Fetch, StartError> {
    if let Workspace::Folder { path } = &spec.workspace {
        let folder = Path::new(path);
        if !folder.is_absolute() || !folder.is_dir() {
            return Err(invalid(format!("the working folder {path} does not exist")));
        }
    }
    if let Workspace::Source { path, .. } = &spec.workspace
        && !path.is_empty()
    {
        relative(path).map_err(invalid)?;
    }
    let argv_empty = match &spec.program {
        Program::Command { argv } => argv.first().is_none_or(String::is_empty),
        Program::Script { interpreter, .. } => interpreter.is_empty(),
    };
    if argv_empty {
        return Err(invalid("the command is empty".to_string()));
    }
    let mut secrets = Vec::with_capacity(spec.secrets.len());
    for request in &spec.secrets {
        let value = config.secrets.get(&spec.tenant, &request.secret).await;
        let value = value.map_err(|error| StartError::Invalid {
            kind: match error {
                SecretError::Missing(_) => StartErrorKind::Config,
                SecretError::Unavailable(_) => StartErrorKind::Io,
            },
            message: error.to_string(),
        })?;
        secrets.push(Secret { request: request.clone(), value });
    }
    let inputs = inputs::fetch(config.blobs.as_ref(), &spec.inputs).await?;
    Ok(Fetch { secrets, inputs })
}

/// An attempt whose folder is in place.
pub(crate) struct Prepared {
    pub(crate) record: Record,
    launch: Launch,
    dir: AttemptDir,
}

/// Why there is no folder.
pub(crate) enum Refused {
    /// There is one already.
    Taken,
    /// It cannot be made.
    Error(StartError),
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        Self::Error(error)
    }
}

/// What an attempt was given.
#[derive(Clone, Copy)]
pub(crate) struct Allotted {
    /// Of what was asked.
    pub(crate) hash: Sha256Digest,
    /// When its resources were taken.
    pub(crate) at: Timestamp,
}

/// Writes the attempt's folder. Blocks.
pub(crate) fn prepare(
    config: &LocalConfig,
    trees: &Trees,
    spares: &Spares,
    spec: &AttemptSpec,
    allotted: Allotted,
    fetched: &Fetch,
) -> Result<Prepared, Refused> {
    let Allotted { hash, at: allocated } = allotted;
    let allocated_boot_ms = boot_ms();
    let dir = AttemptDir::new(&config.root, spec.attempt);
    let draft = AttemptDir::preparing(&config.root, spec.attempt);
    let work = match &spec.workspace {
        Workspace::Folder { path } => PathBuf::from(path),
        Workspace::Empty => dir.work(),
        Workspace::Source { path, .. } => dir.work().join(path),
    };
    let log = log_path(&config.logs, spec.run, spec.attempt);
    let record = Record {
        hash,
        spec: spec.clone(),
        allocated,
        launcher: Identity::own().to_line(),
        work,
        log_index: log.with_extension("json"),
        log,
        cgroup: trees.leaf(&spec.attempt.to_string()),
    };
    let launch = Launch {
        argv: argv(&spec.program, &dir),
        env: environment::build(spec, &dir, &config.passthrough, &fetched.secrets)?,
        work: record.work.clone(),
        log: record.log.clone(),
        log_index: record.log_index.clone(),
        cgroup: record.cgroup.clone(),
        limits: limits(spec),
        masks: fetched.secrets.iter().flat_map(|s| shim::patterns(&s.value)).collect(),
        allocated,
        allocated_boot_ms,
        measure_ms: u64::try_from(config.measure_every.as_millis()).unwrap_or(u64::MAX),
    };
    let written = write_draft(config, spares, &draft, &record, fetched)
        .and_then(|()| commit(&draft, &dir))
        .and_then(|()| never_ran(&dir, &record, spec));
    if written.is_err() {
        let _ = fs::remove_dir_all(draft.path());
    }
    written.map(|()| Prepared { record, launch, dir })
}

impl Prepared {
    /// Starts the shim. Blocks until it has been told what to run.
    pub(crate) fn launch(&self, nursery: &Nursery) -> io::Result<Spawned> {
        let errors = records::create(&self.dir.shim_errors())?;
        let text = serde_json::to_vec(&self.launch).map_err(io::Error::other)?;
        launch::spawn(nursery, self.dir.path(), &errors, &text)
    }
}

fn write_draft(
    config: &LocalConfig,
    spares: &Spares,
    draft: &AttemptDir,
    record: &Record,
    fetched: &Fetch,
) -> Result<(), Refused> {
    let io = |error: io::Error| Refused::Error(io_problem(draft.path(), &error));
    let make = |path: PathBuf| fs::DirBuilder::new().mode(0o700).create(path);
    let spec = &record.spec;
    let _ = fs::remove_dir_all(draft.path());
    let is_spare = spares.take(draft);
    if !is_spare {
        make(draft.path().to_path_buf()).map_err(io)?;
    }
    for folder in [draft.artifacts(), draft.scratch()] {
        match make(folder) {
            Err(error) if is_spare && error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(io)?,
        }
    }
    match &spec.workspace {
        Workspace::Folder { .. } => {}
        Workspace::Empty => make(draft.work()).map_err(io)?,
        Workspace::Source { archive, path } => {
            make(draft.work()).map_err(io)?;
            source::put(config, archive, path, &draft.work())?;
        }
    }
    for file in [draft.lock(), draft.output()] {
        records::create(&file).map_err(io)?;
    }
    if let Program::Script { text, .. } = &spec.program {
        records::create(&draft.script())
            .and_then(|mut f| f.write_all(text.as_bytes()))
            .map_err(io)?;
    }
    for (n, secret) in fetched.secrets.iter().enumerate().filter(|(_, s)| s.request.as_file) {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(draft.secrets()).map_err(io)?;
        let file = draft.secrets().join(n.to_string());
        records::create(&file).and_then(|mut f| f.write_all(&secret.value)).map_err(io)?;
    }
    let work = match &spec.workspace {
        Workspace::Empty | Workspace::Source { .. } => draft.work(),
        Workspace::Folder { .. } => record.work.clone(),
    };
    inputs::put(&fetched.inputs, &draft.inputs(), &spec.workspace, &work)?;
    if let Some(parent) = record.log.parent() {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(parent).map_err(io)?;
    }
    let text = serde_json::to_vec(record).map_err(|error| io(error.into()))?;
    records::create(&draft.record()).and_then(|mut f| f.write_all(&text)).map_err(io)
}

/// Gives the folder its name: from here on the attempt may have run.
///
/// Nothing is synced. Every process of this machine sees the folder at once, whoever is killed,
/// and a machine that loses its power loses the step with it: what is decided then follows from
/// the recorded start of the attempt, which comes a moment later, and not from this folder. One
/// that is found torn is cleared away.
fn commit(draft: &AttemptDir, dir: &AttemptDir) -> Result<(), Refused> {
    match fs::rename(draft.path(), dir.path()) {
        Ok(()) => Ok(()),
        // A folder with something in it cannot be renamed over.
        Err(error) if dir.path().exists() => {
            tracing::debug!(dir = %dir.path().display(), %error, "the attempt is taken");
            Err(Refused::Taken)
        }
        Err(error) => Err(Refused::Error(io_problem(dir.path(), &error))),
    }
}

/// The name is free again once an attempt that ran was let go; its log stays, and tells. Looked
/// at behind the fence, so that a process that slept anywhere before it comes too late.
fn never_ran(dir: &AttemptDir, record: &Record, spec: &AttemptSpec) -> Result<(), Refused> {
    // A shim makes a plain file; anything else was put there by somebody, for reasons of theirs.
    if !fs::symlink_metadata(&record.log).is_ok_and(|log| log.is_file()) {
        return Ok(());
    }
    recover::remove(dir).map_err(|error| Refused::Error(io_problem(dir.path(), &error)))?;
    Err(Refused::Error(StartError::Spent { attempt: spec.attempt }))
}

fn argv(program: &Program, dir: &AttemptDir) -> Vec<String> {
    match program {
        Program::Command { argv } => argv.clone(),
        Program::Script { interpreter, .. } => {
            let script = dir.script().to_string_lossy().into_owned();
            let named = interpreter.iter().any(|arg| arg.contains("{script}"));
            let mut argv: Vec<String> =
                interpreter.iter().map(|arg| arg.replace("{script}", &script)).collect();
            if !named {
                argv.push(script);
            }
            argv
        }
    }
}

fn limits(spec: &AttemptSpec) -> Limits {
    Limits {
        run_ms: spec.limits.run.0,
        heartbeat_ms: spec.limits.heartbeat.map(|span| span.0),
        grace_ms: spec.limits.grace.0,
        log_bytes: spec.limits.log_bytes,
        pids: spec.limits.pids,
        cpu_milli: spec.resources.cpu_milli,
        memory_bytes: spec.resources.memory_bytes,
    }
}

fn invalid(message: String) -> StartError {
    StartError::Invalid { kind: StartErrorKind::Config, message }
}

pub(crate) fn io_problem(path: &Path, error: &io::Error) -> StartError {
    let message = format!("{}: {error}", path.display());
    StartError::Invalid { kind: StartErrorKind::Io, message }
}
