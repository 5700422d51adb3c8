//! Objects as files below one folder, which any web server can hand out.
//!
//! A file is written under another name, synced, and renamed into place; then its folder is
//! synced, and each folder above it that is new. So a file under its final name is whole, and
//! it is still there after the power was cut. (The `object_store` crate's local files sync
//! puts on demand, but not removals.)

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::super::scratch::Scratch;
use super::{check_folder, check_path};
use crate::ports::{ObjectError, Objects};

/// Where files are written before they get their names.
const TEMPORARY: &str = ".new";

/// How often a put makes a folder again that a removal took away at the same moment.
const ATTEMPTS: usize = 5;

/// Keeps objects as files.
#[derive(Debug, Clone)]
pub struct FsObjects {
    root: Arc<Path>,
}

impl FsObjects {
    /// Uses the folder, and makes it if need be.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, ObjectError> {
        let root = root.as_ref();
        fs::create_dir_all(root.join(TEMPORARY)).map_err(|error| unavailable(root, &error))?;
        Ok(Self { root: Arc::from(root) })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (temporary, mut file) = Scratch::create(&self.root.join(TEMPORARY))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        let target = self.root.join(path);
        let folder = target.parent().unwrap_or(&self.root);
        for attempt in 1.. {
            self.make_folder(folder)?;
            match fs::rename(temporary.path(), &target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                other => {
                    other?;
                    break;
                }
            }
        }
        sync_folder(folder)
    }

    /// Makes the folder and those above it, each of them durable.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder == &*self.root || folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(&self.root);
        self.make_folder(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        sync_folder(above)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let target = self.root.join(path);
        let folder = target.parent().unwrap_or(&self.root);
        match fs::remove_file(&target) {
            Ok(()) => {}
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        sync_folder(folder)?;
        // An empty folder is not an object; others may be adding to it at this moment.
        if folder != &*self.root && fs::remove_dir(folder).is_ok() {
            sync_folder(folder.parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }

    fn walk(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_string()];
        while let Some(folder) = open.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Ok(entries) => entries,
                Err(error) if is_absence(&error) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                // What is not a path of an object was not put by us.
                if check_path(&path).is_err() {
                    continue;
                }
                match entry.file_type()?.is_dir() {
                    true => open.push(path),
                    false => found.push(path),
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

/// No object is there: nothing, a folder, or something else that stands in the way.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(file) => file.sync_all(),
        // It was empty, and a removal took it away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn unavailable(root: &Path, error: &io::Error) -> ObjectError {
    ObjectError::Unavailable(format!("{}: {error}", root.display()))
}

impl FsObjects {
    async fn blocking<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Self, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ObjectError> {
        let (this, path) = (self.clone(), path.to_string());
        let done = tokio::task::spawn_blocking(move || {
            work(&this, &path).map_err(|error| unavailable(&this.root.join(&path), &error))
        });
        done.await
            .map_err(|error| ObjectError::Unavailable(format!("the work stopped: {error}")))?
    }
}

#[async_trait]
impl Objects for FsObjects {
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        check_path(path)?;
        self.blocking(path, move |this, path| this.write(path, &bytes)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        check_path(path)?;
        self.blocking(path, |this, path| match fs::read(this.root.join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        check_folder(folder)?;
        self.blocking(folder, |this, folder| this.walk(folder)).await
    }

    async fn remove(&self, path: &str) -> Result<(), ObjectError> {
        check_path(path)?;
        self.blocking(path, |this, path| this.unlink(path)).await
    }
}
