//! `dagbook tenant`: tenants, what they are called, and what they may use.

use clap::Subcommand;
use dagbook_events::admission::Quota;
use dagbook_events::tenant::TenantCreated;
use serde::Serialize;
use serde_json::json;

use super::administering::{Place, labels};
use super::{CliError, Context, ExitCode, output};
use crate::app::reports::TenantReport;
use crate::app::tenants::{self, TenantChange};
use crate::client::segment;

const EXAMPLES: &str = "\
Examples:
  dagbook tenant create acme --display-name \"Acme Ltd\" --timezone Europe/Berlin
  dagbook tenant set acme --attempts 50 --open-runs 200
  dagbook tenant set acme --attempts none
  dagbook tenant suspend acme --reason unpaid";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a tenant
    Create {
        /// Its name, by which everything calls it
        name: String,
        #[command(flatten)]
        words: Words,
    },
    /// List tenants
    List,
    /// Show a tenant
    Show {
        /// Its name
        name: String,
    },
    /// Change what a tenant is called, or what it may use at one time
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        quota: QuotaArgs,
    },
    /// Let nobody of a tenant do anything
    Suspend {
        /// Its name
        name: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a tenant go on
    Resume {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Words {
    /// Its name for people
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// The zone in which its days begin, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// A label; all of them are replaced by those that are given
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

/// Each is a number, or `none` for no bound.
#[derive(Debug, Default, clap::Args)]
struct QuotaArgs {
    /// Its part of what is short, against others' weights (100 is usual)
    #[arg(long, value_name = "N|none")]
    weight: Option<String>,
    /// Runs that are accepted and not over
    #[arg(long, value_name = "N|none")]
    open_runs: Option<String>,
    /// Runs that have begun and are not over
    #[arg(long, value_name = "N|none")]
    running_runs: Option<String>,
    /// Attempts at one time
    #[arg(long, value_name = "N|none")]
    attempts: Option<String>,
    /// Thousandths of a core at one time
    #[arg(long, value_name = "N|none")]
    cpu_milli: Option<String>,
    /// Bytes of memory at one time
    #[arg(long, value_name = "N|none")]
    memory_bytes: Option<String>,
    /// GPUs at one time
    #[arg(long, value_name = "N|none")]
    gpus: Option<String>,
}

fn bound<T: std::str::FromStr>(
    flag: &str,
    given: Option<&String>,
    before: Option<T>,
) -> Result<Option<T>, CliError> {
    match given.map(String::as_str) {
        None => Ok(before),
        Some("none") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            CliError::usage(format!("`--{flag}` takes a whole number or `none`, not `{text}`"))
        }),
    }
}

impl QuotaArgs {
    fn is_given(&self) -> bool {
        let all = [
            &self.weight,
            &self.open_runs,
            &self.running_runs,
            &self.attempts,
            &self.cpu_milli,
            &self.memory_bytes,
            &self.gpus,
        ];
        all.iter().any(|given| given.is_some())
    }

    fn over(&self, before: Quota) -> Result<Quota, CliError> {
        Ok(Quota {
            weight: bound("weight", self.weight.as_ref(), before.weight)?,
            open_runs: bound("open-runs", self.open_runs.as_ref(), before.open_runs)?,
            running_runs: bound("running-runs", self.running_runs.as_ref(), before.running_runs)?,
            attempts: bound("attempts", self.attempts.as_ref(), before.attempts)?,
            cpu_milli: bound("cpu-milli", self.cpu_milli.as_ref(), before.cpu_milli)?,
            memory_bytes: bound("memory-bytes", self.memory_bytes.as_ref(), before.memory_bytes)?,
            gpus: bound("gpus", self.gpus.as_ref(), before.gpus)?,
        })
    }
}

#[derive(Serialize)]
struct Listing {
    tenants: Vec<TenantReport>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let place = Place::find(ctx, None).await?;
    let report = match args.action {
        Action::List => return list(ctx, &place).await,
        Action::Show { name } => show(&place, &name).await?,
        Action::Create { name, words } => create(&place, &name, words).await?,
        Action::Set { name, words, quota } => set(&place, &name, words, &quota).await?,
        Action::Suspend { name, reason } => match &place {
            Place::Here(here) => {
                tenants::suspend(&here.administration, &here.by, &name, reason).await?
            }
            Place::There(remote) => {
                let path = format!("tenants/{}/suspend", segment(&name));
                remote.client.post(&path, &json!({ "reason": reason }), None).await?
            }
        },
        Action::Resume { name } => match &place {
            Place::Here(here) => tenants::resume(&here.administration, &here.by, &name).await?,
            Place::There(remote) => {
                let path = format!("tenants/{}/resume", segment(&name));
                remote.client.post(&path, &json!({}), None).await?
            }
        },
    };
    if let Place::Here(here) = &place {
        here.settle(ctx).await?;
    }
    print(ctx, &report)?;
    Ok(ExitCode::Success)
}

async fn list(ctx: &Context, place: &Place) -> Result<ExitCode, CliError> {
    let tenants = match place {
        Place::Here(here) => tenants::list(&here.administration, &here.by, None, usize::MAX)?,
        Place::There(remote) => {
            remote.client.pages::<TenantReport>("tenants", &[], 500).take(usize::MAX).await?
        }
    };
    if ctx.is_json() {
        output::json(&Listing { tenants })?;
        return Ok(ExitCode::Success);
    }
    let row = |it: &TenantReport| {
        vec![it.tenant.to_string(), it.status.clone(), output::clean(&it.display_name), bounds(it)]
    };
    let rows = tenants.iter().map(row).collect();
    output::print(&output::table(&["tenant", "status", "name", "quota"], rows))?;
    Ok(ExitCode::Success)
}

async fn show(place: &Place, name: &str) -> Result<TenantReport, CliError> {
    Ok(match place {
        Place::Here(here) => tenants::show(&here.administration, &here.by, name)?,
        Place::There(remote) => remote.client.get(&format!("tenants/{}", segment(name))).await?,
    })
}

async fn create(place: &Place, name: &str, words: Words) -> Result<TenantReport, CliError> {
    let labels = labels(&words.labels)?;
    let display_name = words.display_name.unwrap_or_else(|| name.to_string());
    let timezone = words.timezone.unwrap_or_else(|| "UTC".to_string());
    Ok(match place {
        Place::Here(here) => {
            let created = TenantCreated { display_name, timezone, labels };
            tenants::create(&here.administration, &here.by, name, created).await?
        }
        Place::There(remote) => {
            let body = json!({
                "tenant": name, "display_name": display_name, "timezone": timezone,
                "labels": labels,
            });
            remote.client.post("tenants", &body, None).await?
        }
    })
}

async fn set(
    place: &Place,
    name: &str,
    words: Words,
    quota: &QuotaArgs,
) -> Result<TenantReport, CliError> {
    let quota = match quota.is_given() {
        true => Some(quota.over(show(place, name).await?.quota)?),
        false => None,
    };
    let labels = (!words.labels.is_empty()).then(|| labels(&words.labels)).transpose()?;
    let (display_name, timezone) = (words.display_name, words.timezone);
    Ok(match place {
        Place::Here(here) => {
            let change = TenantChange { display_name, timezone, labels, quota };
            tenants::change(&here.administration, &here.by, name, change).await?
        }
        Place::There(remote) => {
            let body = json!({
                "display_name": display_name, "timezone": timezone, "labels": labels,
                "quota": quota,
            });
            remote.client.patch(&format!("tenants/{}", segment(name)), &body).await?
        }
    })
}

/// The quota in a few words.
fn bounds(tenant: &TenantReport) -> String {
    let quota = serde_json::to_value(tenant.quota).unwrap_or_default();
    let all = quota.as_object().cloned().unwrap_or_default();
    let words: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if words.is_empty() { "no bounds".to_string() } else { words.join(" ") }
}

fn print(ctx: &Context, tenant: &TenantReport) -> Result<(), CliError> {
    if ctx.is_json() {
        return output::json(tenant);
    }
    let mut lines = vec![
        format!("tenant    {}", tenant.tenant),
        format!("name      {}", output::clean(&tenant.display_name)),
        format!("timezone  {}", tenant.timezone),
        format!("status    {}", tenant.status),
        format!("quota     {}", bounds(tenant)),
    ];
    if let Some(reason) = &tenant.reason {
        lines.push(format!("reason    {}", output::clean(reason)));
    }
    for (key, value) in &tenant.labels {
        lines.push(format!("label     {}={}", output::clean(key), output::clean(value)));
    }
    output::print(&format!("{}\n", lines.join("\n")))
}
