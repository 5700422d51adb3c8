//! What sends requests: who asks, whom it trusts, and how long it waits in silence.

use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{ClientError, ClientOptions};

/// Longest time in which nothing comes of an answer that is on its way.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// What sends; it gives up where nothing comes for so long.
pub(super) fn http(
    options: &ClientOptions,
    silence: Duration,
) -> Result<reqwest::Client, ClientError> {
    let setup = |what: &str| ClientError::Setup(what.to_string());
    let mut headers = HeaderMap::new();
    if let Some(token) = &options.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| setup("the token cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    if let Some(tenant) = &options.tenant {
        let value =
            HeaderValue::from_str(tenant).map_err(|_| setup("the tenant's name cannot be sent"))?;
        headers.insert(HeaderName::from_static("dagbook-tenant"), value);
    }
    // A redirect could carry the token elsewhere.
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("dagbook/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(silence);
    if let Some(file) = &options.ca_file {
        let shown = file.display();
        let pem = std::fs::read(file)
            .map_err(|e| ClientError::Setup(format!("cannot read {shown}: {e}")))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or_else(|| ClientError::Setup(format!("{shown} holds no certificate (PEM)")))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder
        .build()
        .map_err(|e| ClientError::Setup(format!("no client can be made: {}", reason(&e))))
}

/// Whether a tenant's log is gone through for what is at this path.
pub(super) fn takes_long(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    ["usage", "invoices/", "periods"].iter().any(|begin| path.starts_with(begin))
}

/// The innermost cause: what a person can do something about. Never an address or a header.
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_string();
    }
    let mut at: &dyn std::error::Error = error;
    while let Some(inner) = at.source() {
        at = inner;
    }
    let text = at.to_string();
    match text.strip_suffix(|c: char| c == ')').and_then(|t| t.rsplit_once(" (os error ")) {
        Some((said, _)) => said.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rates_a_log_is_waited_for_longer() {
        for path in ["usage?by=run", "/invoices/2026-11", "periods", "periods/2026-11/close"] {
            assert!(takes_long(path), "{path}");
        }
        for path in ["invoices", "runs/1", "audit/bundle?period=2026-11", "rate-cards"] {
            assert!(!takes_long(path), "{path}");
        }
    }
}
