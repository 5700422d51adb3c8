//! `dagbook budget`: money that a tenant may spend in each period.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::accounts;
use crate::app::billing;
use crate::app::reports::BudgetReport;
use crate::client::segment;
use crate::edge::cli::administering::Place;
use crate::edge::cli::{CliError, Context, ExitCode, output};
use crate::edge::http::{NewBudget, OnExceed};

const EXAMPLES: &str = "\
Examples:
  dagbook budget set month 500.00 --currency EUR --on-exceed hold-new --tenant acme
  dagbook budget list --tenant acme
  dagbook budget remove month --tenant acme";

/// Set what a tenant may spend in each period.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set or change a budget
    Set {
        /// What it is called
        name: String,
        /// Money for each period
        amount: String,
        /// ISO 4217
        #[arg(long, value_name = "CODE")]
        currency: String,
        /// What happens when it would be exceeded
        #[arg(long, value_enum, default_value = "warn")]
        on_exceed: When,
    },
    /// List budgets
    List,
    /// Remove a budget
    Remove {
        /// What it is called
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// It is said
    Warn,
    /// Nothing that would exceed it is started; what runs goes on
    HoldNew,
    /// Nothing is started, and what runs is cancelled
    Stop,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let place = Place::find(ctx, None).await?;
    let report = match args.action {
        Action::List => return list(ctx, &place).await,
        Action::Set { name, amount, currency, on_exceed } => {
            let on_exceed = match on_exceed {
                When::Warn => OnExceed::Warn,
                When::HoldNew => OnExceed::HoldNew,
                When::Stop => OnExceed::Stop,
            };
            let new = NewBudget { amount, currency, on_exceed };
            match &place {
                Place::Here(here) => {
                    let (accounts, budget) = (accounts(ctx, here), new.named(name)?);
                    billing::set_budget(&accounts, &here.by, &budget).await?
                }
                Place::There(remote) => {
                    remote.client.put(&format!("budgets/{}", segment(&name)), &new).await?
                }
            }
        }
        Action::Remove { name } => match &place {
            Place::Here(here) => {
                billing::remove_budget(&accounts(ctx, here), &here.by, &name).await?
            }
            Place::There(remote) => {
                remote.client.delete(&format!("budgets/{}", segment(&name))).await?
            }
        },
    };
    if let Place::Here(here) = &place {
        here.settle(ctx).await?;
    }
    if ctx.is_json() {
        return output::json(&report).map(|()| ExitCode::Success);
    }
    ctx.tell("recorded");
    Ok(ExitCode::Success)
}

async fn list(ctx: &Context, place: &Place) -> Result<ExitCode, CliError> {
    let budgets: Vec<BudgetReport> = match place {
        Place::Here(here) => billing::budgets(&accounts(ctx, here), &here.by).await?,
        Place::There(remote) => remote.client.pages("budgets", &[], 500).take(usize::MAX).await?,
    };
    if ctx.is_json() {
        return output::json(&json!({ "budgets": budgets })).map(|()| ExitCode::Success);
    }
    let row = |it: &BudgetReport| {
        vec![it.name.clone(), format!("{} {}", it.amount, it.currency), it.on_exceed.clone()]
    };
    let rows = budgets.iter().map(row).collect();
    output::print(&output::table(&["budget", "each period", "on exceed"], rows))?;
    Ok(ExitCode::Success)
}
