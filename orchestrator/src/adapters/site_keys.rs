//! The site's keys for secrets: a file of base64 lines, the current one first. AES-256-GCM, with
//! a fresh nonce for each value.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::Rng;

use crate::app::sealing::{SealError, SealedFor, SealedValue, Sealer};

/// What is written into sealed values.
const ALGORITHM: &str = "A256GCM";
/// Bytes of a key file that are read.
const READ_AT_MOST: u64 = 64 << 10;
/// Keys of a file.
const KEYS_MAX: usize = 64;

const HEAD: &str = "\
# Keys that seal secrets, base64 of 32 bytes a line; the first one seals, all of them open.
# Whoever has this file and the store can read every secret. Keep a copy apart from the store's.
";

/// Keys in a file.
pub struct SiteKeys {
    path: PathBuf,
    /// Whether the file is made when it is first needed.
    makes: bool,
    rng: Arc<dyn Rng>,
    keys: Mutex<Vec<Key>>,
}

struct Key {
    id: String,
    key: LessSafeKey,
}

impl std::fmt::Debug for SiteKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteKeys").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SiteKeys {
    /// Keys in this file, which is made with the first secret if it is not there.
    pub fn own(path: PathBuf, rng: Arc<dyn Rng>) -> Self {
        Self { path, makes: true, rng, keys: Mutex::default() }
    }

    /// Keys in a file that an operator provides to several servers: nobody makes it.
    pub fn shared(path: PathBuf, rng: Arc<dyn Rng>) -> Self {
        Self { path, makes: false, rng, keys: Mutex::default() }
    }

    /// Puts a new key in front of the others, which go on opening what they have sealed. Answers
    /// its id.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn add(&self) -> Result<String, SealError> {
        let mut lines = match self.path.exists() {
            true => lines(&self.path)?,
            false => Vec::new(),
        };
        if lines.len() >= KEYS_MAX {
            return Err(SealError::Keys(format!(
                "{} has {KEYS_MAX} keys already; take out those that seal nothing any more",
                self.path.display()
            )));
        }
        let fresh = self.fresh();
        lines.insert(0, fresh);
        let text = format!("{HEAD}{}\n", lines.join("\n"));
        let scratch = self.write_beside(&text)?;
        std::fs::rename(&scratch, &self.path).map_err(|e| self.unusable(&e))?;
        self.sync_folder();
        let mut keys = self.lock();
        *keys = self.read()?;
        Ok(keys[0].id.clone())
    }

    fn fresh(&self) -> String {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&self.rng.bytes());
        key[16..].copy_from_slice(&self.rng.bytes());
        STANDARD.encode(key)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> SealError {
        SealError::Keys(format!("{}: {error}", self.path.display()))
    }

    /// The keys, read when they are first needed.
    fn loaded(&self) -> Result<MutexGuard<'_, Vec<Key>>, SealError> {
        let mut keys = self.lock();
        if keys.is_empty() {
            if self.makes && !self.path.exists() {
                self.make()?;
            }
            *keys = self.read()?;
        }
        Ok(keys)
    }

    fn read(&self) -> Result<Vec<Key>, SealError> {
        let mut keys = Vec::new();
        for line in lines(&self.path)? {
            let bytes = STANDARD.decode(&line).ok().filter(|bytes| bytes.len() == 32);
            let bytes = bytes.ok_or_else(|| {
                self.unusable(&"a line is not base64 of 32 bytes (`openssl rand -base64 32`)")
            })?;
            let id = Sha256Digest::of_parts(&[b"dagbook site key\n", &bytes]).to_hex()[..16].into();
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|e| self.unusable(&e))?;
            keys.push(Key { id, key: LessSafeKey::new(key) });
        }
        match keys.is_empty() {
            true => {
                Err(self
                    .unusable(&"it has no key; put the output of `openssl rand -base64 32` in it"))
            }
            false => Ok(keys),
        }
    }

    /// Of several processes that make it together, one does.
    fn make(&self) -> Result<(), SealError> {
        let scratch = self.write_beside(&format!("{HEAD}{}\n", self.fresh()))?;
        let linked = std::fs::hard_link(&scratch, &self.path);
        let _ = std::fs::remove_file(&scratch);
        self.sync_folder();
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(self.unusable(&error))
            }
            _ => Ok(()),
        }
    }

    fn write_beside(&self, text: &str) -> Result<PathBuf, SealError> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| self.unusable(&e))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let chance = Sha256Digest::of(&self.rng.bytes()).to_hex();
        let scratch = folder.join(format!(".{name}.{}", &chance[..16]));
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().create_new(true).write(true).mode(0o600).open(&scratch)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| self.unusable(&e))?;
        Ok(scratch)
    }

    fn sync_folder(&self) {
        // What was written is whole either way; this only makes it last.
        if let Some(folder) = self.path.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
    }
}

fn lines(path: &Path) -> Result<Vec<String>, SealError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(READ_AT_MOST).read_to_string(&mut text));
    read.map_err(|error| SealError::Keys(format!("{}: {error}", path.display())))?;
    let lines = text.lines().map(str::trim);
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_string)
        .collect())
}

fn bound(of: SealedFor<'_>) -> Aad<Vec<u8>> {
    let text = format!("dagbook secret v1\n{}\n{}\n{}", of.tenant, of.name, of.version);
    Aad::from(text.into_bytes())
}

impl Sealer for SiteKeys {
    fn seal(&self, of: SealedFor<'_>, value: &[u8]) -> Result<SealedValue, SealError> {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&self.rng.bytes()[..NONCE_LEN]);
        let keys = self.loaded()?;
        let key = keys.first().ok_or_else(|| self.unusable(&"it has no key"))?;
        let mut sealed = value.to_vec();
        let counted = Nonce::assume_unique_for_key(nonce);
        key.key
            .seal_in_place_append_tag(counted, bound(of), &mut sealed)
            .map_err(|error| self.unusable(&error))?;
        Ok(SealedValue {
            alg: ALGORITHM.to_string(),
            key: key.id.clone(),
            version: of.version,
            nonce: STANDARD.encode(nonce),
            sealed: STANDARD.encode(sealed),
        })
    }

    fn open(&self, of: SealedFor<'_>, sealed: &SealedValue) -> Result<Vec<u8>, SealError> {
        let damaged = || SealError::Damaged(of.name.to_string());
        let mut keys = self.loaded()?;
        if !keys.iter().any(|key| key.id == sealed.key) {
            // Somebody may have added it since.
            *keys = self.read()?;
        }
        let unknown = || SealError::UnknownKey(sealed.key.clone());
        let key = keys.iter().find(|key| key.id == sealed.key).ok_or_else(unknown)?;
        let nonce = STANDARD.decode(&sealed.nonce).map_err(|_| damaged())?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
        let mut value = STANDARD.decode(&sealed.sealed).map_err(|_| damaged())?;
        if sealed.alg != ALGORITHM {
            return Err(damaged());
        }
        let opened = key.key.open_in_place(nonce, bound(of), &mut value).map_err(|_| damaged())?;
        let length = opened.len();
        value.truncate(length);
        Ok(value)
    }

    fn current(&self) -> Result<String, SealError> {
        let keys = self.loaded()?;
        let first = keys.first().ok_or_else(|| self.unusable(&"it has no key"))?;
        Ok(first.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use dagbook_events::ids::TenantId;
    use dagbook_events::journal::clock::SystemRng;

    use super::*;

    fn acme() -> TenantId {
        TenantId::new("acme").expect("a slug")
    }

    fn keys(path: &Path) -> SiteKeys {
        SiteKeys::own(path.to_path_buf(), Arc::new(SystemRng))
    }

    #[test]
    fn a_value_opens_for_its_own_tenant_name_and_version_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys/site.key");
        let (keys, tenant) = (keys(&path), acme());
        let of = SealedFor { tenant: &tenant, name: "db", version: 3 };
        let sealed = keys.seal(of, b"hunter2").expect("sealed");
        assert_eq!(keys.open(of, &sealed).expect("opened"), b"hunter2");
        assert_ne!(sealed.nonce, keys.seal(of, b"hunter2").expect("sealed").nonce);
        let other = TenantId::new("evil").expect("a slug");
        for of in [
            SealedFor { tenant: &other, ..of },
            SealedFor { name: "dc", ..of },
            SealedFor { version: 4, ..of },
        ] {
            assert_eq!(keys.open(of, &sealed), Err(SealError::Damaged(of.name.to_string())));
        }
        let mut changed = STANDARD.decode(&sealed.sealed).expect("base64");
        changed[0] ^= 1;
        let changed = SealedValue { sealed: STANDARD.encode(changed), ..sealed.clone() };
        assert!(keys.open(of, &changed).is_err());
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{keys:?} {sealed:?}").contains("hunter2"));
    }

    #[test]
    fn old_keys_open_and_the_new_one_seals_also_in_other_processes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.key");
        let (here, there, tenant) = (keys(&path), keys(&path), acme());
        let of = SealedFor { tenant: &tenant, name: "db", version: 1 };
        let old = here.seal(of, b"x").expect("sealed");
        assert_eq!(there.current().expect("a key"), old.key, "one file, one key");
        let id = here.add().expect("added");
        let new = here.seal(of, b"x").expect("sealed");
        assert_eq!((&new.key, new.key == old.key), (&id, false));
        for sealed in [&old, &new] {
            assert_eq!(there.open(of, sealed).expect("opened"), b"x");
        }
        std::fs::write(&path, STANDARD.encode([7; 32])).expect("replaced");
        let other = keys(&path);
        assert_eq!(other.open(of, &old), Err(SealError::UnknownKey(old.key.clone())));
    }

    #[test]
    fn a_shared_file_is_made_by_nobody_and_nonsense_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("site.key");
        let shared = SiteKeys::shared(path.clone(), Arc::new(SystemRng));
        assert!(shared.current().expect_err("missing").to_string().contains("site.key"));
        assert!(!path.exists());
        for text in ["", "# none\n", "hunter2\n"] {
            std::fs::write(&path, text).expect("written");
            let error = shared.current().expect_err(text).to_string();
            assert!(error.contains("openssl rand") && !error.contains("hunter2"), "{error}");
        }
    }
}
