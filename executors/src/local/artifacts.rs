//! What a step leaves to keep: a file, a folder, or the files that a glob finds.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::Blobs;
use dagbook_events::step::{ArtifactRef, ArtifactRequest};
use serde::{Deserialize, Serialize};

use super::place::{contained, relative};

/// One file of a folder or glob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestEntry {
    /// Below the folder, or below the part of the glob that has no pattern in it.
    pub(crate) path: String,
    pub(crate) sha256: Sha256Digest,
    pub(crate) bytes: u64,
    /// Permissions, octal: `0644`.
    pub(crate) mode: String,
}

/// What a request found.
enum Found {
    File(PathBuf),
    Many(Vec<(String, PathBuf)>),
}

/// Keeps an artifact. It is looked for in `$DAGBOOK_ARTIFACTS` first, which holds only what
/// this attempt made, then in the working folder. The error is a sentence for the author.
pub(crate) async fn keep(
    blobs: &Arc<dyn Blobs>,
    request: &ArtifactRequest,
    places: [PathBuf; 2],
) -> Result<ArtifactRef, String> {
    let named = |error: String| format!("artifact `{}`: {error}", request.name);
    let path = request.path.clone();
    let found = tokio::task::spawn_blocking(move || find(&path, &places))
        .await
        .map_err(|error| named(error.to_string()))?
        .map_err(named)?;
    match found {
        Found::File(path) => {
            let (sha256, bytes, _) = keep_file(blobs, &path).await.map_err(named)?;
            Ok(ArtifactRef { sha256, bytes, manifest: false })
        }
        Found::Many(files) => keep_many(blobs, files).await.map_err(named),
    }
}

async fn keep_many(
    blobs: &Arc<dyn Blobs>,
    files: Vec<(String, PathBuf)>,
) -> Result<ArtifactRef, String> {
    let mut manifest = Vec::with_capacity(files.len());
    let mut total = 0;
    for (path, file) in files {
        let (sha256, bytes, mode) = keep_file(blobs, &file).await?;
        total += bytes;
        manifest.push(ManifestEntry { path, sha256, bytes, mode: format!("{mode:04o}") });
    }
    manifest.sort_by(|a, b| a.path.cmp(&b.path));
    let text = serde_json::to_vec(&manifest).map_err(|error| error.to_string())?;
    let sha256 = blobs.put(&text).await.map_err(|error| error.to_string())?;
    Ok(ArtifactRef { sha256, bytes: total, manifest: true })
}

async fn keep_file(
    blobs: &Arc<dyn Blobs>,
    path: &Path,
) -> Result<(Sha256Digest, u64, u32), String> {
    let describe = |error: std::io::Error| format!("{}: {error}", path.display());
    let bytes = tokio::fs::read(path).await.map_err(describe)?;
    let mode = tokio::fs::metadata(path).await.map_err(describe)?.permissions().mode() & 0o777;
    let sha256 = blobs.put(&bytes).await.map_err(|error| error.to_string())?;
    Ok((sha256, bytes.len() as u64, mode))
}

fn find(text: &str, places: &[PathBuf; 2]) -> Result<Found, String> {
    let path = relative(text)?;
    let mut refused = None;
    for base in places {
        let Ok(base) = base.canonicalize() else { continue };
        let found = if text.contains(['*', '?', '[']) {
            glob_below(&base, &path)
        } else {
            plain(&base, &path)
        };
        match found {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| format!("there is nothing at `{text}`")))
}

fn plain(base: &Path, path: &Path) -> Result<Option<Found>, String> {
    let at = base.join(path);
    if fs::symlink_metadata(&at).is_err() {
        return Ok(None);
    }
    let real = contained(base, &at)?;
    if real.is_file() {
        return Ok(Some(Found::File(real)));
    }
    let mut files = Vec::new();
    walk(base, &real, "", &mut files)?;
    Ok(Some(Found::Many(files)))
}

/// All files of a folder; links are followed as long as they stay inside `base` and lead to a
/// file (a link to a folder might lead round in a circle).
fn walk(
    base: &Path,
    dir: &Path,
    prefix: &str,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("{}: {e}", dir.display()))?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| format!("{}: not UTF-8", entry.path().display()))?;
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(|e| e.to_string())?;
        if kind.is_dir() {
            walk(base, &entry.path(), &path, files)?;
        } else {
            let real = contained(base, &entry.path())?;
            if !real.is_file() {
                return Err(format!("{} is not a plain file", entry.path().display()));
            }
            files.push((path, real));
        }
    }
    Ok(())
}

fn glob_below(base: &Path, path: &Path) -> Result<Option<Found>, String> {
    let has_pattern = |part: &std::ffi::OsStr| part.to_string_lossy().contains(['*', '?', '[']);
    let fixed: PathBuf = path.iter().take_while(|part| !has_pattern(part)).collect();
    let root = base.join(&fixed);
    let escaped = glob::Pattern::escape(&base.to_string_lossy());
    let pattern = format!("{escaped}/{}", path.to_string_lossy());
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let paths = glob::glob_with(&pattern, options).map_err(|e| format!("a bad pattern: {e}"))?;
    let mut files = Vec::new();
    for found in paths {
        let found = found.map_err(|error| error.to_string())?;
        let real = contained(base, &found)?;
        if real.is_file() {
            let below = found.strip_prefix(&root).map_err(|error| error.to_string())?;
            files.push((below.to_string_lossy().into_owned(), real));
        }
    }
    Ok((!files.is_empty()).then_some(Found::Many(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: Found) -> Vec<String> {
        let Found::Many(files) = found else { panic!("a single file") };
        let mut names: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn files_folders_and_globs_are_found_below_the_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let (own, work) = (dir.path().join("own"), dir.path().join("work"));
        fs::create_dir_all(work.join("out/deep")).unwrap();
        fs::create_dir(&own).unwrap();
        for file in ["out/a.csv", "out/b.csv", "out/deep/c.csv", "out/.hidden.csv", "d.txt"] {
            fs::write(work.join(file), file).unwrap();
        }
        fs::write(own.join("d.txt"), "mine").unwrap();
        let places = [own.clone(), work.clone()];
        let find = |text: &str| find(text, &places);
        assert_eq!(names(find("out/*.csv").unwrap()), ["a.csv", "b.csv"]);
        assert_eq!(names(find("out/**/*.csv").unwrap()), ["a.csv", "b.csv", "deep/c.csv"]);
        assert_eq!(names(find("out").unwrap()), [".hidden.csv", "a.csv", "b.csv", "deep/c.csv"]);
        let Found::File(path) = find("d.txt").unwrap() else { panic!("a file") };
        assert_eq!(fs::read(path).unwrap(), b"mine", "the attempt's own folder comes first");
        assert_eq!(find("gone/*.x").err().unwrap(), "there is nothing at `gone/*.x`");
        assert!(find("../secret").is_err() && find("/etc/passwd").is_err());
        std::os::unix::fs::symlink("/etc/passwd", work.join("out/link.csv")).unwrap();
        assert!(find("out").err().unwrap().contains("leads out"));
        assert!(find("out/*.csv").err().unwrap().contains("leads out"));
    }
}
