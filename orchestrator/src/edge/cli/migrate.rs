//! `dagbook migrate`: bring the store's schema up to date, and give its roles their rights.

use dagbook_events::journal::store::postgres::{
    self, GrantError, MigrateError, MigrationName, MigrationReport, PostgresError, PostgresUrl,
    Rights,
};
use dagbook_events::journal::store::sqlite_schema;
use serde::Serialize;

use super::{CliError, Context, ExitCode, output};
use crate::config::{DataDir, StoreLocation};
use crate::wiring::{Installation, MIGRATION_PATIENCE, Purpose};

const EXAMPLES: &str = "\
Examples:
  dagbook migrate                         bring the schema up to date
  dagbook migrate --dry-run               say what would be done
  dagbook migrate --grant dagbook_server --grant-reader auditor

It is run as the owner of the tables. Servers then connect as the role of `--grant`, which may
append and read and can change nothing; set `migrate = \"never\"` in their configuration.";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with_all = ["grant", "grant_reader"])]
    dry_run: bool,
    /// Let this role append and read: the one that servers connect as
    #[arg(long, value_name = "ROLE")]
    grant: Vec<String>,
    /// Let this role read: auditors, reports
    #[arg(long, value_name = "ROLE")]
    grant_reader: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    store: String,
    dry_run: bool,
    schema_before: u32,
    schema: u32,
    migrations: Vec<MigrationRow>,
    grants: Vec<GrantRow>,
}

#[derive(Serialize)]
struct MigrationRow {
    version: u32,
    name: String,
}

#[derive(Serialize)]
struct GrantRow {
    role: String,
    may_append: bool,
    may_change: Vec<&'static str>,
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let data = ctx.data(None)?;
    let report = match &ctx.config().store {
        StoreLocation::Postgres(url) => {
            let url = PostgresUrl::clone(url);
            let work = tokio::task::spawn_blocking(move || in_postgres(&url, &args));
            work.await.map_err(|error| CliError::unavailable(error.to_string()))??
        }
        StoreLocation::InDataFolder | StoreLocation::Sqlite(_) => {
            in_sqlite(ctx, &data, &args).await?
        }
    };
    let is_safe = report.grants.iter().all(|grant| grant.may_change.is_empty());
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&report.to_text())?;
    }
    Ok(if is_safe { ExitCode::Success } else { ExitCode::Failed })
}

fn in_postgres(url: &PostgresUrl, args: &Args) -> Result<Report, CliError> {
    let done = match args.dry_run {
        true => postgres::pending_migrations(url)?,
        false => postgres::migrate(url, MIGRATION_PATIENCE)?,
    };
    let mut grants = Vec::new();
    for role in &args.grant {
        grants.push(GrantRow::of(role, postgres::grant_server(url, role)?));
    }
    for role in &args.grant_reader {
        grants.push(GrantRow::of(role, postgres::grant_reader(url, role)?));
    }
    Ok(Report::of(url.redacted(), args.dry_run, done, grants))
}

async fn in_sqlite(ctx: &Context, data: &DataDir, args: &Args) -> Result<Report, CliError> {
    if !args.grant.is_empty() || !args.grant_reader.is_empty() {
        return Err(CliError::usage("SQLite has no roles: whoever may write the file may do all")
            .hint("keep the data folder to one user"));
    }
    let path = data.record().to_path_buf();
    let look = move || sqlite_schema(&path);
    let before = tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| CliError::unavailable(error.to_string()))??;
    if !args.dry_run {
        drop(Installation::open(ctx.config(), data, Purpose::Migrate).await?);
    }
    let done = MigrationReport {
        before: before.database,
        after: before.program,
        applied: before
            .pending
            .into_iter()
            .map(|(version, name)| MigrationName { version, name })
            .collect(),
    };
    Ok(Report::of(data.record().display().to_string(), args.dry_run, done, Vec::new()))
}

impl GrantRow {
    fn of(role: &str, rights: Rights) -> Self {
        let Rights { may_change, may_append } = rights;
        Self { role: role.to_string(), may_append, may_change }
    }
}

impl Report {
    fn of(store: String, dry_run: bool, done: MigrationReport, grants: Vec<GrantRow>) -> Self {
        let row = |m: MigrationName| MigrationRow { version: m.version, name: m.name };
        let migrations = done.applied.into_iter().map(row).collect();
        let (schema_before, schema) = (done.before, done.after);
        Self { store, dry_run, schema_before, schema, migrations, grants }
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let sign = if self.dry_run { "would run" } else { "ran" };
        for migration in &self.migrations {
            text.push_str(&format!("{sign} {}: {}\n", migration.version, migration.name));
        }
        let (store, schema) = (output::clean(&self.store), self.schema);
        text.push_str(&match (self.migrations.is_empty(), self.dry_run) {
            (true, _) => format!("{store} has schema {schema}: nothing to do\n"),
            (false, true) => {
                format!("{store} has schema {}, and would have {schema}\n", self.schema_before)
            }
            (false, false) => format!("{store} has schema {schema} now\n"),
        });
        for grant in &self.grants {
            let role = output::clean(&grant.role);
            let may = if grant.may_append { "append and read" } else { "read" };
            text.push_str(&match grant.may_change.is_empty() {
                true => format!("role {role} may {may}, and change nothing\n"),
                false => format!(
                    "role {role} may {may}, but also {} events: it is the owner, a superuser, or \
                     a member of such a role; make one that is not\n",
                    grant.may_change.join(", ")
                ),
            });
        }
        text
    }
}

impl From<MigrateError> for CliError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Server(error) => error.into(),
            other => Self::unavailable(other.to_string()),
        }
    }
}

impl From<PostgresError> for CliError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Url(_) => Self::usage(error.to_string()),
            PostgresError::Unreachable { .. } | PostgresError::Refused { .. } => {
                Self::unavailable(error.to_string())
            }
        }
    }
}

impl From<GrantError> for CliError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Server(error) => error.into(),
            GrantError::Name(_) | GrantError::Missing { .. } => Self::usage(error.to_string()),
        }
    }
}
