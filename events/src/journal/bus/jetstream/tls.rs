//! TLS towards NATS: rustls with aws-lc-rs, never the process's default provider.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::options::NatsOptions;

/// What the client believes and shows. Reads files; the text of an error names the file.
pub(super) fn config(options: &NatsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots(options)?);
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
    let mut roots = RootCertStore::empty();
    match &options.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // Some systems have certificates that nobody can parse beside good ones.
            let (added, _) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 && options.require_tls {
                return Err("the system has no certificates of authorities; name one with \
                            `?ca=PATH`"
                    .to_string());
            }
        }
    }
    Ok(roots)
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
