//! Where the programs of the servers are.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names the folder of what `./ops/test` fetched from PyPI, where the default does not suit.
const VARIABLE: &str = "DAGBOOK_TEST_TOOLS";

/// That folder. It must be readable by everyone: Postgres does not run as root.
pub fn folder() -> PathBuf {
    match std::env::var_os(VARIABLE) {
        Some(path) => path.into(),
        None => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("dagbook-test-tools-{user}"))
        }
    }
}

/// A program that a pinned package brought into the folder's `venv/bin`.
pub fn script(name: &str) -> Option<PathBuf> {
    existing(trusted()?.join("venv/bin").join(name))
}

/// The folder of an installed Python package.
pub fn package(name: &str) -> Option<PathBuf> {
    let libraries = std::fs::read_dir(trusted()?.join("venv/lib")).ok()?;
    let mut found = libraries.flatten().map(|entry| entry.path().join("site-packages").join(name));
    found.find(|path| path.is_dir())
}

/// A program of the system.
pub fn system(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find_map(existing)
}

/// The Python of the pinned packages.
///
/// # Panics
/// Where it is not installed.
pub fn python() -> PathBuf {
    need(package("pymerkle").and_then(|_| script("python")), "pymerkle (`pymerkle`)")
}

/// The program that holds descriptions against servers. The deep suite alone installs it.
///
/// # Panics
/// Where it is not installed.
pub fn schemathesis() -> PathBuf {
    let found = trusted().and_then(|folder| existing(folder.join("schemathesis/bin/schemathesis")));
    found.unwrap_or_else(|| {
        let folder = folder().join("schemathesis");
        panic!("schemathesis is not installed in {}; `./ops/test deep` does it", folder.display())
    })
}

/// The validator of FOCUS files, and its folder, where it looks for its rules. The deep suite alone
/// installs it, where there is a Python that it works with.
pub fn focus_validator() -> Option<(PathBuf, PathBuf)> {
    let venv = trusted()?.join("focus");
    let libraries = std::fs::read_dir(venv.join("lib")).ok()?;
    let mut found = libraries.flatten().map(|entry| entry.path().join("site-packages"));
    let library = found.find(|path| path.join("focus_validator").is_dir())?;
    Some((existing(venv.join("bin/focus-validator"))?, library))
}

/// A program of the system.
///
/// # Panics
/// Where it is not installed.
pub fn system_program(name: &str) -> PathBuf {
    need(system(name), &format!("`{name}`"))
}

/// The program, or a failure that says how to get it.
pub fn need(found: Option<PathBuf>, what: &str) -> PathBuf {
    found.unwrap_or_else(|| {
        panic!(
            "{what} is not installed; `./ops/test` installs it (from PyPI into {}, or as a system package)",
            folder().display()
        )
    })
}

/// The folder, unless somebody else could have put programs there.
fn trusted() -> Option<PathBuf> {
    let folder = folder();
    let metadata = std::fs::metadata(&folder).ok()?;
    let ours = metadata.uid() == rustix::process::getuid().as_raw();
    (ours && metadata.mode() & 0o022 == 0).then_some(folder)
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    Path::is_file(&path).then_some(path)
}
