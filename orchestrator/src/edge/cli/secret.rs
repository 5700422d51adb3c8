//! `dagbook secret`: secrets of a tenant, sealed with the site's key. Values come from standard input or
//! from a prompt without echo, never from the command line, where everyone can read them.

use std::io::{IsTerminal, Read, Write};

use clap::Subcommand;
use serde::Serialize;

use super::administering::{Here, Place};
use super::{CliError, Context, ExitCode, output};
use crate::adapters::SecretFileError;
use crate::app::error::AppError;
use crate::app::reports::SecretReport;
use crate::app::secrets::{self, RekeyReport};
use crate::client::segment;

/// Bytes read from standard input.
const READ_AT_MOST: u64 = (64 << 10) + 3;

const EXAMPLES: &str = "\
Examples:
  dagbook secret set huggingface            asks for the value, without echo
  dagbook secret set huggingface < token    takes it from a file
  dagbook secret list

A step asks for it with `secrets: { HF_TOKEN: huggingface }`.";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keep a value, replacing an earlier one
    Set {
        /// The secret's name
        name: String,
    },
    /// List the names
    List,
    /// Forget a secret
    Remove {
        /// The secret's name
        name: String,
    },
    /// Seal all secrets of the site with the current site key
    Rekey {
        /// Make a new site key first (in this data folder)
        #[arg(long)]
        new_key: bool,
    },
}

#[derive(Serialize)]
struct Listing {
    secrets: Vec<String>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    match args.action {
        Action::Set { name } => {
            let value = read_value(&name).await?;
            set(ctx, &name, &value).await?;
            ctx.tell(&format!("secret `{name}` is kept"));
        }
        Action::Remove { name } => {
            remove(ctx, &name).await?;
            ctx.tell(&format!("secret `{name}` is gone"));
        }
        Action::List => {
            let names = names(ctx).await?;
            if ctx.is_json() {
                output::json(&Listing { secrets: names })?;
            } else {
                output::print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
            }
        }
        Action::Rekey { new_key } => rekey(ctx, new_key).await?,
    }
    Ok(ExitCode::Success)
}

async fn set(ctx: &Context, name: &str, value: &[u8]) -> Result<(), CliError> {
    match Place::find(ctx, None).await? {
        Place::Here(here) => {
            secrets::set(&here.administration, &here.by, name, value).await?;
            forget_file(&here, name)?;
            here.settle(ctx).await
        }
        Place::There(remote) => {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(value);
            let body = serde_json::json!({ "value_base64": text });
            let path = format!("secrets/{}", segment(name));
            remote.client.put::<SecretReport>(&path, &body).await?;
            Ok(())
        }
    }
}

/// A file that an earlier program kept gives way to what is sealed. Says whether there was one.
fn forget_file(here: &Here, name: &str) -> Result<bool, CliError> {
    if here.by.tenant != here.installation().deps.tenant {
        return Ok(false);
    }
    match here.installation().secrets.remove(name) {
        Ok(()) => Ok(true),
        Err(SecretFileError::Missing(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn remove(ctx: &Context, name: &str) -> Result<(), CliError> {
    match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let had_file = forget_file(&here, name)?;
            match secrets::remove(&here.administration, &here.by, name).await {
                Err(AppError::NotFound { .. }) if had_file => return Ok(()),
                Err(error @ AppError::NotFound { .. }) => {
                    return Err(CliError::from(error).hint("`dagbook secret list` lists the names"));
                }
                done => done?,
            }
            here.settle(ctx).await
        }
        Place::There(remote) => {
            Ok(remote.client.delete(&format!("secrets/{}", segment(name))).await?)
        }
    }
}

async fn names(ctx: &Context) -> Result<Vec<String>, CliError> {
    let (reports, mut names) = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            let files = match here.by.tenant == here.installation().deps.tenant {
                true => here.installation().secrets.names()?,
                false => Vec::new(),
            };
            let (admin, by) = (&here.administration, &here.by);
            (secrets::list(admin, by, None, usize::MAX).await?, files)
        }
        Place::There(remote) => {
            let pages = remote.client.pages::<SecretReport>("secrets", &[], 500);
            (pages.take(usize::MAX).await?, Vec::new())
        }
    };
    names.extend(reports.into_iter().map(|report| report.name));
    names.sort();
    names.dedup();
    Ok(names)
}

async fn rekey(ctx: &Context, new_key: bool) -> Result<(), CliError> {
    let report: RekeyReport = match Place::find(ctx, None).await? {
        Place::Here(here) => {
            if new_key {
                let id = here.installation().site_keys.add().map_err(AppError::from)?;
                ctx.tell(&format!("the new site key is {id}; old ones go on opening"));
            }
            secrets::rekey(&here.administration, &here.by).await?
        }
        Place::There(_) if new_key => {
            return Err(CliError::usage("a new site key is made on the server's machine")
                .hint("run `dagbook secret rekey --new-key` there, with its data folder"));
        }
        Place::There(remote) => {
            remote.client.post("site/rekey", &serde_json::json!({}), None).await?
        }
    };
    if ctx.is_json() {
        return output::json(&report);
    }
    let RekeyReport { sealed, current, lost } = report;
    output::print(&format!("{sealed} sealed anew, {current} were already, {lost} lost\n"))?;
    match lost {
        0 => Ok(()),
        _ => Err(CliError::failed("some values cannot be opened; set those secrets again")),
    }
}

impl From<SecretFileError> for CliError {
    fn from(error: SecretFileError) -> Self {
        match error {
            SecretFileError::Io(_) => Self::unavailable(error.to_string()),
            SecretFileError::Missing(_) => {
                Self::usage(error.to_string()).hint("`dagbook secret list` lists the names")
            }
            _ => Self::usage(error.to_string()),
        }
    }
}

/// The value: one line typed without echo, or all of standard input less one line end.
async fn read_value(name: &str) -> Result<Vec<u8>, CliError> {
    let mut value = match std::io::stdin().is_terminal() {
        true => prompt(name).await?,
        false => {
            let mut value = Vec::new();
            // Somewhat more than is allowed, so that too much is noticed and not cut.
            std::io::stdin().lock().take(READ_AT_MOST).read_to_end(&mut value)?;
            value
        }
    };
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(CliError::usage("the value is empty; nothing was changed"));
    }
    Ok(value)
}

/// Asks for one line. The terminal shows what is typed again afterwards, whatever happens.
async fn prompt(name: &str) -> Result<Vec<u8>, CliError> {
    let quiet = WithoutEcho::start()?;
    eprint!("value of `{name}` (it is not shown): ");
    std::io::stderr().flush()?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        line = typed => line.map_err(|e| CliError::unavailable(e.to_string()))?,
        _ = tokio::signal::ctrl_c() => {
            drop(quiet);
            eprintln!();
            return Err(CliError::new(ExitCode::Canceled, "cancelled; nothing was changed"));
        }
    };
    drop(quiet);
    eprintln!();
    Ok(line?.into_bytes())
}

/// The terminal does not show what is typed, until this is dropped.
struct WithoutEcho(rustix::termios::Termios);

impl WithoutEcho {
    fn start() -> Result<Self, CliError> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let failed = |e: rustix::io::Errno| {
            CliError::unavailable(format!("the terminal cannot be kept from showing it: {e}"))
        };
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for WithoutEcho {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        // If this fails the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
