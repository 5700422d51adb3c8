//! TLS towards NATS: rustls with aws-lc-rs, never the process's default provider.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::options::NatsOptions;

/// What the client believes and shows. Reads files; the text of an error names the file. Where
/// neither TLS nor an authority is asked for, those of the system are read when a server wants
/// TLS after all, which is not often: they are hundreds of files.
pub(super) fn config(options: &NatsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match (&options.ca, options.require_tls) {
        (None, false) => {
            let verifier = BySystem { provider, verifier: OnceLock::new() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        _ => builder.with_root_certificates(roots(options)?),
    };
    let (Some(certificate), Some(key)) = (&options.certificate, &options.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    // The parser's own words could repeat a part of the key.
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| format!("{} cannot be read as a PEM private key", key.display()))?;
    builder.with_client_auth_cert(chain, private).map_err(|_| {
        format!("{} and {} do not belong together", certificate.display(), key.display())
    })
}

fn roots(options: &NatsOptions) -> Result<RootCertStore, String> {
    let Some(path) = &options.ca else { return of_system() };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Some systems have certificates that nobody can parse beside good ones.
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err("the system has no certificates of authorities; name one with `?ca=PATH`".into()),
        _ => Ok(roots),
    }
}

/// Believes what the system believes, and finds out what that is when it is first asked.
#[derive(Debug)]
struct BySystem {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
}

impl BySystem {
    fn verifier(&self) -> Result<&WebPkiServerVerifier, rustls::Error> {
        let made = self.verifier.get_or_init(|| {
            let (roots, provider) = (Arc::new(of_system()?), Arc::clone(&self.provider));
            let made = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            made.map_err(|error| error.to_string())
        });
        made.as_deref().map_err(|why| rustls::Error::General(why.clone()))
    }
}

impl ServerCertVerifier for BySystem {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    // The parser's own words repeat the line that it stopped at; the file may be a key by mistake.
    let failed = |error| match error {
        pem::Error::Io(error) => format!("{}: {error}", path.display()),
        _ => format!("{} cannot be read as PEM certificates; are its lines whole?", path.display()),
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    match read.map_err(failed)? {
        none if none.is_empty() => Err(format!("{} holds no certificate", path.display())),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As from a variable whose line feeds were lost, and named as the certificate by mistake.
    #[test]
    fn what_is_said_of_a_damaged_file_shows_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("client.key");
        let damaged = "-----BEGIN PRIVATE KEY----- MIGHAgEAMBMG AwEHBG0w -----END PRIVATE KEY-----";
        std::fs::write(&path, damaged).expect("written");
        let text = certificates(&path).expect_err("no certificate");
        assert!(text.contains("client.key"), "{text}");
        let bytes = format!("{:?}", damaged.as_bytes());
        let shown = ["MIGH", "AwEH", &bytes[1..40]].iter().any(|it| text.contains(it));
        assert!(!shown, "{text}");
    }
}
