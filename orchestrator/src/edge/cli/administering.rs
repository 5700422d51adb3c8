//! What administration acts on: a server that was named, or the record here, as whoever may use
//! its folder: that is who runs the site.

use std::collections::BTreeMap;

use dagbook_events::access::Role;
use dagbook_events::ids::TenantId;
use dagbook_events::time::Millis;

use super::remote::Remote;
use super::{CliError, Context, ExitCode, keeping};
use crate::app::administration::Administration;
use crate::app::error::AppError;
use crate::app::principal::Principal;
use crate::client::Client;
use crate::wiring::{Installation, Purpose};

/// Where administration takes place.
pub(super) enum Place {
    /// On the record here.
    Here(Box<Here>),
    /// On a server.
    There(Remote),
}

/// The record here.
pub(super) struct Here {
    installation: Installation,
    pub(super) administration: Administration,
    pub(super) by: Principal,
}

impl Place {
    /// The server that was named, else the record here, acting on the tenant that was named.
    pub(super) async fn find(ctx: &Context, tenant: Option<&str>) -> Result<Self, CliError> {
        let Some(remote) = ctx.remote()? else {
            return Ok(Self::Here(Box::new(Here::open(ctx, tenant).await?)));
        };
        let (Some(tenant), Some(mut options)) = (tenant, ctx.server_options()?) else {
            return Ok(Self::There(remote));
        };
        options.tenant = Some(tenant.to_string());
        Ok(Self::There(Remote { client: Client::new(&options)? }))
    }
}

impl Here {
    async fn open(ctx: &Context, tenant: Option<&str>) -> Result<Self, CliError> {
        let data = ctx.data(None)?;
        let installation = Installation::open(ctx.config(), &data, Purpose::Append).await?;
        let administration = installation.administration().await?;
        let named = tenant.map(str::to_string).or_else(|| ctx.tenant());
        let tenant = match named {
            None => installation.deps.tenant.clone(),
            Some(name) => {
                let missing = || CliError::from(AppError::not_found("tenant", &name));
                let tenant = TenantId::new(&name).map_err(|_| missing())?;
                if !administration.directory.exists(&tenant) {
                    return Err(missing().hint("`dagbook tenant list` lists them"));
                }
                tenant
            }
        };
        let by = Principal::whole(installation.deps.person.clone(), tenant, Role::Admin, true);
        Ok(Self { installation, administration, by })
    }

    /// The installation.
    pub(super) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// What was recorded here is also in the copy, and signed.
    pub(super) async fn settle(&self, ctx: &Context) -> Result<(), CliError> {
        keeping::settle(ctx, &self.installation).await
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        let text = error.to_string();
        match error {
            AppError::Unauthenticated { .. } | AppError::Forbidden { .. } => {
                Self::new(ExitCode::Refused, text)
            }
            AppError::Exhausted { .. } => Self::new(ExitCode::Refused, text),
            AppError::Unavailable { .. } => Self::unavailable(text),
            AppError::Damaged(_) => Self::damaged(text),
            AppError::Internal(_) => Self::failed(text),
            AppError::NotFound { what: "period", .. } => Self::usage(text)
                .hint("`dagbook period list` shows the periods, `dagbook period open` opens one"),
            AppError::NotFound { .. }
            | AppError::Invalid(_)
            | AppError::Findings(_)
            | AppError::Conflict(_)
            | AppError::TooLarge(_) => Self::usage(text),
        }
    }
}

/// `90d`, `12h`, `30m`, `45s`.
pub(super) fn span(text: &str) -> Result<Millis, String> {
    let wrong = || format!("`{text}` is no length of time, such as `90d`, `12h` or `30m`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 24 * 3_600,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds * 1_000).map(Millis).ok_or_else(wrong)
}

/// `KEY=VALUE`, each.
pub(super) fn labels(pairs: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => Err(CliError::usage(format!("`{text}` is not `KEY=VALUE`"))),
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(span("90d"), Ok(Millis::seconds(90 * 24 * 3_600)));
        assert_eq!(span("0s"), Ok(Millis(0)));
        for bad in ["", "d", "5", "-1d", "1w", "99999999999999999999d", "1ä"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
