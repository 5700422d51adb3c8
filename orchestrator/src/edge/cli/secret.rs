//! `dagbook secret`: secrets of this installation. Values come from standard input or
//! from a prompt without echo, never from the command line, where everyone can read them.

use std::io::{IsTerminal, Read, Write};

use clap::Subcommand;
use serde::Serialize;

use super::{CliError, Context, ExitCode, output};
use crate::adapters::{SecretFileError, SecretFiles};
use crate::wiring::Layout;

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
}

#[derive(Serialize)]
struct Listing {
    secrets: Vec<String>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let data = ctx.data(None)?.root().to_path_buf();
    let secrets = SecretFiles::new(Layout { data }.secrets());
    match args.action {
        Action::Set { name } => {
            let value = read_value(&name).await?;
            secrets.set(&name, &value)?;
            ctx.tell(&format!("secret `{name}` is kept"));
        }
        Action::Remove { name } => {
            secrets.remove(&name)?;
            ctx.tell(&format!("secret `{name}` is gone"));
        }
        Action::List => {
            let names = secrets.names()?;
            if ctx.is_json() {
                output::json(&Listing { secrets: names })?;
            } else {
                output::print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?;
            }
        }
    }
    Ok(ExitCode::Success)
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
