//! Paths that strangers wrote: they stay below the folder they are meant for.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A path from a DAG file, a manifest or a glob, as a relative path without `..`.
pub(crate) fn relative(text: &str) -> Result<PathBuf, String> {
    let refuse = |why: &str| Err(format!("the path `{text}` {why}"));
    if text.contains('\0') {
        return refuse("contains a NUL byte");
    }
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return refuse("must not contain `..`"),
            Component::RootDir | Component::Prefix(_) => return refuse("must be relative"),
        }
    }
    if path.as_os_str().is_empty() { refuse("is empty") } else { Ok(path) }
}

/// Makes the folders above `path` below `base`, following no link that leads out of it, and
/// returns the whole path.
pub(crate) fn make_parents(base: &Path, path: &Path) -> Result<PathBuf, String> {
    let inside = base.canonicalize().map_err(|e| format!("{}: {e}", base.display()))?;
    let mut at = inside.clone();
    let parents = path.parent().unwrap_or(Path::new(""));
    for part in parents.components() {
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                at = contained(&inside, &at)?;
                if !at.is_dir() {
                    return Err(format!("{} is not a folder", at.display()));
                }
            }
            Err(error) => return Err(format!("{}: {error}", at.display())),
        }
    }
    at.push(path.file_name().unwrap_or_default());
    Ok(at)
}

/// The path with every link followed, which must still be below `base` (canonical).
pub(crate) fn contained(base: &Path, path: &Path) -> Result<PathBuf, String> {
    let real = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    if real.starts_with(base) {
        Ok(real)
    } else {
        Err(format!("{} leads out of {}", path.display(), base.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_pass() {
        assert_eq!(relative("./a//b.txt").unwrap(), Path::new("a/b.txt"));
        assert_eq!(relative("ünï/…").unwrap(), Path::new("ünï/…"));
        for bad in ["", ".", "..", "a/../../b", "/etc/passwd", "a\0b"] {
            assert!(relative(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("work");
        fs::create_dir(&base).unwrap();
        std::os::unix::fs::symlink(dir.path(), base.join("out")).unwrap();
        assert!(make_parents(&base, Path::new("out/x/file")).unwrap_err().contains("leads out"));
        assert!(!dir.path().join("x").exists());
        fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink("real", base.join("link")).unwrap();
        let path = make_parents(&base, Path::new("link/new/file")).unwrap();
        assert!(path.ends_with("work/real/new/file"));
    }
}
