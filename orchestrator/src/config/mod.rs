//! Configuration as values: `dagbook.toml`, overridden by `DAGBOOK_…` variables, overridden by
//! flags. All problems are reported together; inner code receives plain values.

mod data_dir;
mod file;
mod http;
mod limits;
mod location;
mod oidc;
mod places;
mod suggest;

use std::path::PathBuf;
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::tlog::VerifierKey;

use file::Surroundings;

use crate::telemetry::logs::LogFormat;
pub use data_dir::DataDir;
pub use http::{HttpConfig, HttpLimits};
pub use limits::Limits;
pub use location::{project_root, user_data_folder};
pub use oidc::{GroupRole, OidcConfig};
pub use places::{BusLocation, Migrate, ObjectsLocation, StoreLocation};
pub use suggest::nearest;

/// What can be configured. Nothing of it shows a secret, in any form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where events are kept.
    pub store: StoreLocation,
    /// Who carries wake-ups and keeps the second copy.
    pub bus: BusLocation,
    /// Where tiles and checkpoints are published.
    pub objects: ObjectsLocation,
    /// The name of the site, which begins the names of its logs and is that of its key.
    pub site: String,
    /// Whose runs these are.
    pub tenant: TenantId,
    /// Keys of the witnesses whose co-signatures are awaited.
    pub witnesses: Vec<VerifierKey>,
    /// Who may change the schema of the store.
    pub migrate: Migrate,
    /// The data folder, when it is named.
    pub data: Option<PathBuf>,
    /// Attempts that the local executor runs at one time; none: four for each core.
    pub slots: Option<u32>,
    /// Bounds of the whole site, and what executors have to give.
    pub limits: Limits,
    /// What is told on standard error, in the syntax of `tracing`.
    pub log_level: String,
    /// How that looks.
    pub log_format: LogFormat,
    /// The keys that seal secrets, where several servers share them; none: in the data folder.
    pub site_key_file: Option<PathBuf>,
    /// How people come in by an identity provider.
    pub oidc: OidcConfig,
    /// How a server is reached.
    pub http: HttpConfig,
    /// The pause between two turns of retention in the server that leads.
    pub retention_every: Duration,
    /// How often what an attempt uses is recorded while it runs.
    pub usage_every: Duration,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreLocation::default(),
            bus: BusLocation::default(),
            objects: ObjectsLocation::default(),
            site: "dagbook.local".to_string(),
            tenant: TenantId::new("local").expect("a slug"),
            witnesses: Vec::new(),
            migrate: Migrate::default(),
            data: None,
            slots: None,
            limits: Limits::default(),
            log_level: "warn".to_string(),
            log_format: LogFormat::default(),
            site_key_file: None,
            oidc: OidcConfig::default(),
            http: HttpConfig::default(),
            retention_every: Duration::from_secs(600),
            usage_every: dagbook_executors::local::MEASURE_EVERY,
            file: None,
        }
    }
}

/// Values given on the command line; they win over everything.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads file, variables and flags, in this order. `variable` looks up an environment
    /// variable; `root` is the project's folder, whose `dagbook.toml` is read when no file is
    /// named.
    pub fn load(
        overrides: &Overrides,
        variable: impl Fn(&str) -> Option<String>,
        root: Option<&std::path::Path>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut problems = Vec::new();
        let named = overrides.file.clone().or_else(|| variable("DAGBOOK_CONFIG").map(Into::into));
        let found = root.map(|root| root.join("dagbook.toml")).filter(|path| path.is_file());
        if let Some(path) = named.or(found) {
            file::read(&mut config, &path, &variable, &mut problems);
            config.file = Some(path);
        }
        for key in file::KEYS {
            let name = format!("DAGBOOK_{}", key.to_uppercase());
            if let Some(text) = variable(&name).filter(|text| !text.is_empty())
                && let Err(problem) = file::set_text(
                    &mut config,
                    key,
                    &text,
                    &Surroundings { base: None, variable: &variable },
                )
            {
                problems.push(format!("{name}: {problem}"));
            }
        }
        if let Some(data) = &overrides.data {
            config.data = Some(data.clone());
        }
        problems.extend(config.oidc.problem());
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("dagbook.toml"), toml).expect("a file");
        let variables: BTreeMap<String, String> =
            variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut config = Config::load(
            &Overrides::default(),
            |name| variables.get(name).cloned(),
            Some(folder.path()),
        )
        .map_err(|e| e.0)?;
        // Paths in the file are relative to it.
        if let StoreLocation::Sqlite(path) = &mut config.store
            && let Ok(inside) = path.strip_prefix(folder.path())
        {
            *path = inside.to_path_buf();
        }
        config.file = None;
        Ok(config)
    }

    #[test]
    fn variables_win_over_the_file() {
        let file = "slots = 3\nlog_level = \"info\"\nstore = \"sqlite:books/record.sqlite\"\n";
        let config = load(file, &[("DAGBOOK_SLOTS", "5"), ("DAGBOOK_DATA", "/var/x")]);
        assert_eq!(
            config,
            Ok(Config {
                store: StoreLocation::Sqlite("books/record.sqlite".into()),
                data: Some("/var/x".into()),
                slots: Some(5),
                log_level: "info".to_string(),
                ..Config::default()
            })
        );
    }

    #[test]
    fn servers_are_named_by_their_addresses() {
        let witness = VerifierKey::cosigner("keeper.example", [7; 32]).expect("a key");
        let file = format!(
            "store = \"postgres://ada@db/books\"\nbus = \"nats://bus:4333\"\n\
             objects = \"s3://tiles/books?region=x\"\nsite = \"books.example\"\n\
             tenant = \"acme\"\nmigrate = \"never\"\nwitnesses = [\"{}\"]\n",
            witness.to_text()
        );
        let config = load(&file, &[("PGPASSWORD", "hunter2")]).expect("a configuration");
        let StoreLocation::Postgres(url) = &config.store else { panic!("{config:?}") };
        assert_eq!(url.redacted(), "postgres://ada@db:5432/books?sslmode=prefer");
        assert_eq!(url.config().get_password(), Some(b"hunter2".as_slice()));
        assert!(
            matches!(&config.bus, BusLocation::Nats(nats) if nats.servers == ["nats://bus:4333"])
        );
        assert_eq!(
            config.objects,
            ObjectsLocation::Bucket("s3://tiles/books?region=x".to_string())
        );
        assert_eq!((config.site.as_str(), config.tenant.as_str()), ("books.example", "acme"));
        assert_eq!((config.migrate, &config.witnesses), (Migrate::Never, &vec![witness]));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_are_in_no_message() {
        for (name, text) in [
            ("DAGBOOK_STORE", "postgres://ada:hunter2@db/books?ssl=hunter2"),
            ("DAGBOOK_STORE", "ada:hunter2@db"),
            ("DAGBOOK_BUS", "nats://ada:hunter2@bus:none"),
            ("DAGBOOK_BUS", "ada:hunter2@bus"),
            ("DAGBOOK_OBJECTS", "s3://key:hunter2@bucket/x"),
            ("DAGBOOK_OBJECTS", "key:hunter2@bucket/x"),
        ] {
            let problems = load("", &[(name, text)]).expect_err(text);
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].starts_with(name), "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn flags_win_over_variables() {
        let overrides = Overrides { data: Some("/flag".into()), file: None };
        let only_data = |name: &str| (name == "DAGBOOK_DATA").then(|| "/variable".to_string());
        let config = Config::load(&overrides, only_data, None).expect("a configuration");
        assert_eq!(config.data, Some(PathBuf::from("/flag")));
    }

    #[test]
    fn all_problems_are_reported_together() {
        let file = "slot = 3\ndata = 4\nbus = \"http://x\"\nwitnesses = [\"k\"]\n\
                    site = \"a b\"\ntenant = \"A\"\nobjects = \"ftp://x\"\nmigrate = \"maybe\"\n";
        let problems = load(file, &[("DAGBOOK_STORE", "mysql://x")]).expect_err("nine problems");
        let parts = [
            "unknown key `slot`; did you mean `slots`?",
            "`data` must be text",
            "`nats://HOST`",
            "`witnesses`",
            "name of a site",
            "`tenant`",
            "`s3://BUCKET/PREFIX`",
            "`auto` or `never`",
            "`sqlite:PATH` or `postgres://",
        ];
        assert_eq!(problems.len(), parts.len(), "{problems:?}");
        for (problem, part) in problems.iter().zip(parts) {
            assert!(problem.contains(part), "{part}: {problems:?}");
        }
    }

    #[test]
    fn the_key_of_a_log_is_not_that_of_a_witness() {
        let key = VerifierKey::new("books.example", [7; 32]).expect("a key").to_text();
        let problems = load("", &[("DAGBOOK_WITNESSES", &key)]).expect_err("a log's key");
        assert!(problems[0].contains("a witness"), "{problems:?}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_a_problem_with_its_line() {
        let problems = load("slots = \n", &[]).expect_err("a syntax error");
        assert!(problems[0].contains("line 1"), "{problems:?}");
    }
}
