//! TLS to Postgres, with the meaning that libpq gives to `sslmode`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{PostgresUrl, PostgresUrlError, Roots, SslMode};

/// The protocol name of Postgres; servers insist on it where TLS begins at once
/// (`sslnegotiation=direct`) and overlook it elsewhere.
const PROTOCOL: &[u8] = b"postgresql";

impl PostgresUrl {
    /// What makes connections to this address encrypted. Reads certificates and keys; for a
    /// mode without TLS it reads nothing and is not used by the driver.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub fn tls(&self) -> Result<MakeRustlsConnect, PostgresUrlError> {
        let config = self.client_config().map_err(PostgresUrlError::Tls)?;
        Ok(MakeRustlsConnect::new(config))
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) if self.mode != SslMode::Disable => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(|error| format!("the certificate {}: {error}", certificate.display()))?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }

    fn verifier(&self, provider: &CryptoProvider) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let algorithms = provider.signature_verification_algorithms;
        let by_anyone = Arc::new(FromAnyone { algorithms });
        match (self.mode, &self.roots) {
            (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Ok(by_anyone),
            (SslMode::Require | SslMode::VerifyCa, roots) => {
                let roots = root_store(roots.as_ref())?;
                Ok(Arc::new(FromTrusted { roots, algorithms }))
            }
            (SslMode::VerifyFull, roots) => {
                let roots = Arc::new(root_store(roots.as_ref())?);
                let provider = Arc::new(provider.clone());
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
                verifier.build().map(|full| full as _).map_err(|error| error.to_string())
            }
        }
    }
}

fn root_store(roots: Option<&Roots>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(Roots::File(path)) = roots else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!(
                "this machine trusts no certificate authority{why}; name one with \
                 `sslrootcert=FILE`"
            ));
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| {
            format!("{} has a certificate that cannot be trusted: {error}", path.display())
        })?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| unreadable(path, "certificates", &error);
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    match found.is_empty() {
        true => Err(format!("{} holds no certificate in PEM form", path.display())),
        false => Ok(found),
    }
}

/// As libpq: nobody else may read it, but a key that belongs to root may be shared with a group.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(format!("others may read the key {shown}; run `chmod 600 {shown}`"));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "a private key", &error))
}

/// What the system has against reading it. The parser's own words are dropped: they repeat the
/// line that it stopped at, which in a damaged file may be the whole key.
fn unreadable(path: &Path, what: &str, error: &pem::Error) -> String {
    let shown = path.display();
    match error {
        pem::Error::Io(error) => format!("{shown}: {error}"),
        _ => format!("{shown} cannot be read as {what} in PEM form; are its lines whole?"),
    }
}

/// Takes every certificate whose key the server has: encrypted, and nobody is checked.
#[derive(Debug)]
struct FromAnyone {
    algorithms: WebPkiSupportedAlgorithms,
}

/// Takes certificates that somebody trusted signed, whomever they are for.
#[derive(Debug)]
struct FromTrusted {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

macro_rules! signatures_are_checked {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for FromAnyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_are_checked!();
}

impl ServerCertVerifier for FromTrusted {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_are_checked!();
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// As from a variable whose line feeds were lost.
    #[test]
    fn what_is_said_of_a_damaged_key_shows_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("client.key");
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAwEHBG0wawIBAQQg\n\
                   -----END PRIVATE KEY-----\n";
        for damaged in [key.replace('\n', " "), key.replace("MIGH", "%%%%"), key[..60].to_string()]
        {
            std::fs::write(&path, &damaged).expect("written");
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private).expect("made private");
            let said = [private_key(&path).map(drop), certificates(&path).map(drop)]
                .map(|result| result.expect_err("neither a key nor a certificate"));
            for text in said {
                assert!(text.contains("client.key"), "{text}");
                let bytes = format!("{:?}", damaged.as_bytes());
                let bytes = &bytes[1..40];
                let shown = ["MIGH", "AgEAMBMG", "AwEH", bytes].iter().any(|it| text.contains(it));
                assert!(!shown, "{text}");
            }
        }
    }
}
