//! TLS by certificate files, which are read again when they change: a renewed certificate is
//! served without a restart, and one that cannot be used changes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it must be.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why. Nothing of a key is in it.
        reason: String,
    },
    /// They do not fit together.
    #[error("{certificate} and {key} cannot be used together: {reason}")]
    Pair {
        /// The certificates.
        certificate: String,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// The certificate that is served now. Clones share it.
#[derive(Clone)]
pub struct Certificate {
    now: Arc<RwLock<Arc<ServerConfig>>>,
    _watch: Arc<Watch>,
}

struct Watch(tokio::task::JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What tells whether a file changed.
type Marks = [Option<(SystemTime, u64, u64)>; 2];

impl Certificate {
    /// Reads the files, and reads them again whenever they change. Must be called on a tokio
    /// runtime.
    pub fn watch(certificates: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let seen = marks(&certificates, &key);
        let now = Arc::new(RwLock::new(Arc::new(read(&certificates, &key)?)));
        let task = tokio::spawn(follow(now.clone(), certificates, key, seen));
        Ok(Self { now, _watch: Arc::new(Watch(task)) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

async fn follow(
    now: Arc<RwLock<Arc<ServerConfig>>>,
    certificates: PathBuf,
    key: PathBuf,
    mut seen: Marks,
) {
    loop {
        tokio::time::sleep(LOOK).await;
        let found = marks(&certificates, &key);
        if found == seen {
            continue;
        }
        match read(&certificates, &key) {
            Ok(config) => {
                seen = found;
                *now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(file = %certificates.display(), "the certificate was read again");
            }
            // One of the two may still be on its way: it is looked at again.
            Err(error) => tracing::warn!(%error, "the changed certificate is not used"),
        }
    }
}

fn marks(certificates: &Path, key: &Path) -> Marks {
    use std::os::unix::fs::MetadataExt as _;
    [certificates, key].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len(), meta.ino()))
    })
}

fn read(certificates: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let wrong =
        |path: &Path, reason: String| TlsError::File { path: path.display().to_string(), reason };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(certificates, error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong(certificates, "it holds no certificate in PEM form".to_string()));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| wrong(key, format!("it holds no private key in PEM form: {error}")))?;
    let pair = |error: rustls::Error| TlsError::Pair {
        certificate: certificates.display().to_string(),
        key: key.display().to_string(),
        reason: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
