//! `dagbook token`: who may come in. The value of a token goes to standard output, once.

use clap::Subcommand;
use dagbook_events::access::{Permission, Role};
use dagbook_events::tenant::Scopes;
use dagbook_events::time::{Millis, Timestamp};
use serde::Serialize;
use serde_json::json;

use super::administering::{Here, Place, span};
use super::{CliError, Context, ExitCode, output};
use crate::app::principal::SITE_TENANT;
use crate::app::reports::{IssuedToken, TokenReport};
use crate::app::stamp;
use crate::app::tokens::{self, WantedToken};
use crate::client::{query, segment};

const EXAMPLES: &str = "\
Examples:
  dagbook token issue ci --role developer --expires 90d > token.txt
  dagbook token issue nightly --role developer --pipeline nightly --permission submit_runs
  dagbook token issue spare --role admin          of the site; here it needs no other token
  dagbook token rotate ci --overlap 1d            old and new work together for a day
  dagbook token revoke ci --reason leaked

Roles: admin (the site), owner, maintainer, developer, viewer, auditor.";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Issue a token, and print it
    Issue {
        /// What people will call it
        name: String,
        /// What whoever shows it will be
        #[arg(long)]
        role: Role,
        /// Only this, as far as the role may
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<Permission>,
        /// Only this registered pipeline and its runs
        #[arg(long = "pipeline", value_name = "NAME")]
        pipelines: Vec<String>,
        /// How long it works, such as 90d; for good where it is left out
        #[arg(long, value_name = "SPAN", value_parser = span)]
        expires: Option<Millis>,
    },
    /// List tokens, without what they are
    List,
    /// Give a token a new value, and print it
    Rotate {
        /// Its id or its name
        token: String,
        /// How long the old value works beside the new one
        #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1d")]
        overlap: Millis,
        /// How long it works from now on; as before where it is left out
        #[arg(long, value_name = "SPAN", value_parser = span)]
        expires: Option<Millis>,
    },
    /// Let a token work no more
    Revoke {
        /// Its id or its name
        token: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Serialize)]
struct Listing {
    tokens: Vec<TokenReport>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    // An admin is of the site, whoever else was meant.
    let is_admin = matches!(&args.action, Action::Issue { role: Role::Admin, .. });
    let place = Place::find(ctx, is_admin.then_some(SITE_TENANT)).await?;
    match args.action {
        Action::Issue { name, role, permissions, pipelines, expires } => {
            let scopes = Scopes {
                permissions: (!permissions.is_empty()).then(|| permissions.into_iter().collect()),
                pipelines: (!pipelines.is_empty()).then(|| pipelines.into_iter().collect()),
            };
            let expires_at = expires.map(|span| now() + span);
            issue(ctx, &place, WantedToken { name, role, scopes, expires_at }).await
        }
        Action::List => list(ctx, &place).await,
        Action::Rotate { token, overlap, expires } => {
            rotate(ctx, &place, &token, overlap, expires.map(|span| now() + span)).await
        }
        Action::Revoke { token, reason } => revoke(ctx, &place, &token, reason).await,
    }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

async fn issue(ctx: &Context, place: &Place, wanted: WantedToken) -> Result<ExitCode, CliError> {
    let issued = match place {
        Place::Here(here) => {
            let services = &here.administration.services;
            let id = stamp::event_id(services.clock.as_ref(), services.rng.as_ref()).0;
            tokens::issue(&here.administration, &here.by, id, wanted).await?
        }
        Place::There(remote) => {
            let body = json!({
                "name": wanted.name,
                "role": wanted.role.as_str(),
                "permissions": wanted.scopes.permissions,
                "pipelines": wanted.scopes.pipelines,
                "expires_at": wanted.expires_at.map(Timestamp::to_rfc3339),
            });
            remote.client.post("tokens", &body, None).await?
        }
    };
    shown_once(ctx, place, &issued, "keep this token: it is shown once").await
}

async fn rotate(
    ctx: &Context,
    place: &Place,
    wanted: &str,
    overlap: Millis,
    expires_at: Option<Timestamp>,
) -> Result<ExitCode, CliError> {
    let token = select(place, wanted).await?;
    let issued = match place {
        Place::Here(here) => {
            let (admin, by) = (&here.administration, &here.by);
            tokens::rotate(admin, by, &token, overlap, expires_at).await?
        }
        Place::There(remote) => {
            let path = format!("tokens/{}/rotate", segment(&token));
            let expires_at = expires_at.map(Timestamp::to_rfc3339);
            let body = json!({ "overlap_ms": overlap.0, "expires_at": expires_at });
            remote.client.post(&path, &body, None).await?
        }
    };
    let until = issued.about.old_value_until.as_deref().unwrap_or("now");
    let said = format!("keep this token: it is shown once; the old one works until {until}");
    shown_once(ctx, place, &issued, &said).await
}

async fn shown_once(
    ctx: &Context,
    place: &Place,
    issued: &IssuedToken,
    said: &str,
) -> Result<ExitCode, CliError> {
    // Before anything else can go wrong: nobody can show it again.
    match ctx.is_json() {
        true => output::json(issued)?,
        false => output::print(&format!("{}\n", issued.value))?,
    }
    ctx.tell(&format!("token `{}` ({}), {said}", issued.about.name, issued.about.role));
    if let Place::Here(here) = place {
        here.settle(ctx).await?;
    }
    Ok(ExitCode::Success)
}

async fn revoke(
    ctx: &Context,
    place: &Place,
    wanted: &str,
    reason: Option<String>,
) -> Result<ExitCode, CliError> {
    let token = select(place, wanted).await?;
    let revoked: TokenReport = match place {
        Place::Here(here) => {
            let done = tokens::revoke(&here.administration, &here.by, &token, reason).await?;
            here.settle(ctx).await?;
            done
        }
        Place::There(remote) => {
            let query = query(&[("reason", reason)]);
            remote.client.delete(&format!("tokens/{}{query}", segment(&token))).await?
        }
    };
    if ctx.is_json() {
        output::json(&revoked)?;
    }
    ctx.tell(&format!("token `{}` works no more", revoked.name));
    Ok(ExitCode::Success)
}

async fn all(place: &Place) -> Result<Vec<TokenReport>, CliError> {
    match place {
        Place::Here(here) => all_here(here).await,
        Place::There(remote) => {
            Ok(remote.client.pages::<TokenReport>("tokens", &[], 500).take(usize::MAX).await?)
        }
    }
}

async fn all_here(here: &Here) -> Result<Vec<TokenReport>, CliError> {
    Ok(tokens::list(&here.administration, &here.by, None, usize::MAX).await?)
}

/// The id of the token that a person means.
async fn select(place: &Place, wanted: &str) -> Result<String, CliError> {
    let all = all(place).await?;
    let is_meant =
        |it: &&TokenReport| it.token == wanted || (it.name == wanted && it.status == "active");
    let found: Vec<&TokenReport> = all.iter().filter(is_meant).collect();
    match found.as_slice() {
        [one] => Ok(one.token.clone()),
        [] => Err(CliError::usage(format!("there is no token `{wanted}`"))
            .hint("`dagbook token list` lists them; those of the site need `--tenant site`")),
        _ => Err(CliError::usage(format!("several tokens are named `{wanted}`; use the id"))),
    }
}

async fn list(ctx: &Context, place: &Place) -> Result<ExitCode, CliError> {
    let tokens = all(place).await?;
    if ctx.is_json() {
        output::json(&Listing { tokens })?;
        return Ok(ExitCode::Success);
    }
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_string());
    let row = |it: &TokenReport| {
        vec![
            it.token.clone(),
            output::clean(&it.name),
            it.role.clone(),
            it.status.clone(),
            or_dash(&it.expires_at),
            or_dash(&it.last_used_at),
        ]
    };
    let headings = ["token", "name", "role", "status", "expires", "last used"];
    output::print(&output::table(&headings, tokens.iter().map(row).collect()))?;
    Ok(ExitCode::Success)
}
