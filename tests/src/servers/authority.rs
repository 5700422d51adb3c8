//! Certificates for encrypted connections, made by `openssl`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An authority and what it signed, in a folder that servers of other users can read: `ca.pem`,
/// and `NAME.pem` with `NAME.key` for each that was signed.
pub struct Authority(TempDir);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one, that nobody knows.
    ///
    /// # Panics
    /// Where `openssl` is missing, as everywhere here.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dagbook-tls-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder");
        let this = Self(folder);
        // No two have one name: a stranger is to be found unknown, not his signature wrong.
        let name = this.0.path().file_name().unwrap_or_default().display().to_string();
        this.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN={name} -keyout ca.key -out ca.pem \
             -addext basicConstraints=critical,CA:TRUE"
        ));
        this
    }

    /// Signs a certificate for a common name, with extensions such as
    /// `subjectAltName=IP:127.0.0.1`.
    ///
    /// # Panics
    /// Where openssl refuses.
    pub fn sign(&self, name: &str, common_name: &str, extensions: &str) {
        std::fs::write(self.path("extensions"), extensions).expect("a file");
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -subj /CN={common_name} -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}.pem"
        ));
    }

    /// Where a file of it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    pub fn name_of(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .expect("`openssl` is installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "openssl {arguments}: {said}");
    }
}
