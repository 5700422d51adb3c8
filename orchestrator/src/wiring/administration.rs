//! Administration of an installation that no server runs: what the command line does to it.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::run::Ask;
use dagbook_events::run::event::Submitted;
use dagbook_events::time::Timestamp;

use super::Installation;
use crate::adapters::{Oidc, OidcOptions};
use crate::app::administration::Administration;
use crate::app::directory::{Directory, DirectoryParts};
use crate::app::error::AppError;
use crate::app::login::{Grant, Logins};
use crate::app::ports::WaitFigures;
use crate::app::services::{EngineDoor, Services};
use crate::config::OidcConfig;
use crate::runtime::record::Recorder;

/// Runs nothing.
struct NoEngine;

fn nothing() -> AppError {
    AppError::unavailable("no engine runs here")
}

#[async_trait]
impl EngineDoor for NoEngine {
    async fn submit(
        &self,
        _submitted: Submitted,
        _by: &Actor,
        _traceparent: Option<&str>,
    ) -> Result<Timestamp, AppError> {
        Err(nothing())
    }

    async fn ask(
        &self,
        _tenant: &TenantId,
        _run: RunId,
        _ask: Ask,
        _by: &Actor,
    ) -> Result<(), AppError> {
        Err(nothing())
    }

    async fn waits(
        &self,
        _tenant: &TenantId,
        _run: RunId,
        _step: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError> {
        Ok(None)
    }
}

impl Installation {
    /// Logs people in, where an identity provider is configured.
    ///
    /// # Errors
    /// Where the client's secret cannot be read.
    pub fn logins(
        &self,
        config: &OidcConfig,
        directory: &Directory,
    ) -> Result<Option<Logins>, AppError> {
        let (Some(issuer), Some(client_id), Some(redirect_url)) =
            (&config.issuer, &config.client_id, &config.redirect_url)
        else {
            return Ok(None);
        };
        let client_secret = match &config.client_secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    AppError::Invalid(format!(
                        "`oidc_client_secret_file` {}: {error}",
                        path.display()
                    ))
                })?;
                Some(secrecy::SecretString::from(text.trim().to_string()))
            }
        };
        let groups_claim = config.groups_claim.clone().unwrap_or_else(|| "groups".to_string());
        let provider = Oidc::new(OidcOptions {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            client_secret,
            redirect_url: redirect_url.clone(),
            groups_claim,
        })?;
        let grants = config.roles.iter().map(|it| Grant {
            group: it.group.clone(),
            tenant: it.tenant.clone(),
            role: it.role,
        });
        Ok(Some(Logins {
            provider: Arc::new(provider),
            grants: grants.collect(),
            directory: directory.clone(),
            shelf: self.shelf.clone(),
            clock: self.deps.clock.clone(),
            rng: self.deps.rng.clone(),
            is_secure: redirect_url.starts_with("https://"),
        }))
    }

    /// What use cases of administration work with, where no server runs.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn administration(&self) -> Result<Administration, AppError> {
        let deps = &self.deps;
        let services = Services {
            store: deps.store.clone(),
            news: deps.news.clone(),
            blobs: deps.blobs.clone(),
            shelf: self.shelf.clone(),
            clock: deps.clock.clone(),
            rng: deps.rng.clone(),
            recorder: Recorder::new(deps),
            engine: Arc::new(NoEngine),
            numbers: Default::default(),
        };
        let directory = Directory::open(self.directory_parts()).await?;
        let (sealer, site) = (self.site_keys.clone(), self.site());
        Ok(Administration { services, directory, sealer, site })
    }

    /// What a directory of this installation is made of.
    pub fn directory_parts(&self) -> DirectoryParts {
        DirectoryParts {
            store: self.deps.store.clone(),
            news: self.deps.news.clone(),
            shelf: self.shelf.clone(),
            clock: self.deps.clock.clone(),
            home: self.deps.tenant.clone(),
        }
    }
}
