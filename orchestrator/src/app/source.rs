//! Reading a DAG file and the sub-DAG files that it reaches, from disk.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use dagbook_events::dag::{self, SourceBundle};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::run::event::Source;

/// The largest DAG file (`dag-format.md`, Limits).
pub(super) const LARGEST: u64 = 1 << 20;
/// Files of one bundle.
pub(super) const FILES_MAX: usize = 256;

/// Why a DAG file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file is too large.
    #[error("{path} is larger than 1 MiB, the most that a DAG file may have")]
    TooLarge {
        /// Which.
        path: String,
    },
    /// It is not text.
    #[error("{path} is not UTF-8 text (byte {offset})")]
    NotText {
        /// Which.
        path: String,
        /// The first byte that is wrong.
        offset: usize,
    },
    /// Sub-DAGs without end.
    #[error("more than {FILES_MAX} files are reached from {path}")]
    TooMany {
        /// The file it began with.
        path: String,
    },
}

/// A DAG file with everything that it reaches.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The files and their folder.
    pub source: Source,
    /// SHA-256 of the entry file.
    pub hash: Sha256Digest,
    /// The entry file on disk.
    pub path: PathBuf,
}

/// Reads the file and the sub-DAGs below its folder.
pub fn load(file: &Path) -> Result<Loaded, SourceError> {
    let unreadable = |path: &Path, e: std::io::Error| SourceError::Unreadable {
        path: path.display().to_string(),
        reason: match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_string(),
            _ => e.to_string(),
        },
    };
    let path = file.canonicalize().map_err(|e| unreadable(file, e))?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let entry = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = BTreeMap::new();
    let text = read(&path, file)?;
    let hash = Sha256Digest::of(text.as_bytes());
    let mut wanted = vec![(entry.clone(), text)];
    while let Some((name, text)) = wanted.pop() {
        for reached in reached_by(&name, &text) {
            let known = files.contains_key(&reached) || wanted.iter().any(|(n, _)| *n == reached);
            if known || reached == name {
                continue;
            }
            // A file that is missing is a finding of the check, which knows where it is named.
            if let Ok(text) = read(&folder.join(&reached), Path::new(&reached)) {
                wanted.push((reached, text));
            }
        }
        files.insert(name, text);
        if files.len() > FILES_MAX {
            return Err(SourceError::TooMany { path: file.display().to_string() });
        }
    }
    let bundle = SourceBundle { entry, files };
    let folder = folder.to_str().map(str::to_string);
    Ok(Loaded {
        source: Source { bundle, folder, archive: None, pipelines: BTreeMap::new() },
        hash,
        path,
    })
}

/// Sub-DAG files that a DAG file names, those below the bundle's root.
pub(super) fn reached_by(name: &str, text: &str) -> impl Iterator<Item = String> {
    dag::sub_dag_paths(name, text).into_iter().filter(|path| stays_below(path))
}

fn stays_below(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn read(path: &Path, shown: &Path) -> Result<String, SourceError> {
    let name = || shown.display().to_string();
    let unreadable =
        |e: std::io::Error| SourceError::Unreadable { path: name(), reason: e.to_string() };
    let size = std::fs::metadata(path).map_err(unreadable)?;
    if size.is_dir() {
        let reason = "it is a folder; name the DAG file in it".to_string();
        return Err(SourceError::Unreadable { path: name(), reason });
    }
    if size.len() > LARGEST {
        return Err(SourceError::TooLarge { path: name() });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes)
        .map_err(|e| SourceError::NotText { path: name(), offset: e.utf8_error().valid_up_to() })
}
