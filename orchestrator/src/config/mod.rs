//! Configuration as values: `dagbook.toml`, overridden by `DAGBOOK_…` variables, overridden by
//! flags. All problems are reported together; inner code receives plain values.

mod data_dir;
mod file;
mod location;
mod suggest;

use std::path::PathBuf;

pub use data_dir::DataDir;
pub use location::{project_root, user_data_folder};
pub use suggest::nearest;

/// What can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where events are kept.
    pub store: StoreLocation,
    /// The data folder, when it is named.
    pub data: Option<PathBuf>,
    /// Attempts that the local executor runs at one time; none: as many as there are cores.
    pub slots: Option<u32>,
    /// What is told on standard error, in the syntax of `tracing`.
    pub log_level: String,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreLocation {
    /// `record.sqlite` in the data folder.
    #[default]
    InDataFolder,
    /// Another SQLite file.
    Sqlite(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreLocation::default(),
            data: None,
            slots: None,
            log_level: "warn".to_string(),
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
            file::read(&mut config, &path, &mut problems);
            config.file = Some(path);
        }
        for key in file::KEYS {
            let name = format!("DAGBOOK_{}", key.to_uppercase());
            if let Some(text) = variable(&name).filter(|text| !text.is_empty())
                && let Err(problem) = file::set_text(&mut config, key, &text, None)
            {
                problems.push(format!("{name}: {problem}"));
            }
        }
        if let Some(data) = &overrides.data {
            config.data = Some(data.clone());
        }
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
                file: None,
            })
        );
    }

    #[test]
    fn flags_win_over_variables() {
        let overrides = Overrides { data: Some("/flag".into()), file: None };
        let config = Config::load(&overrides, |_| Some("9".to_string()), None);
        // The same text for every variable: the store and the bus refuse it, `data` takes it.
        let problems = config.expect_err("a store named 9").0;
        assert_eq!(problems.len(), 3, "{problems:?}");
        let only_data = |name: &str| (name == "DAGBOOK_DATA").then(|| "/variable".to_string());
        let config = Config::load(&overrides, only_data, None).expect("a configuration");
        assert_eq!(config.data, Some(PathBuf::from("/flag")));
    }

    #[test]
    fn all_problems_are_reported_together() {
        let problems =
            load("slot = 3\ndata = 4\nbus = \"nats://x\"\n", &[("DAGBOOK_STORE", "postgres://x")])
                .expect_err("four problems");
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].contains("unknown key `slot`; did you mean `slots`?"), "{problems:?}");
        assert!(problems[1].contains("`data` must be text"), "{problems:?}");
        assert!(problems[2].contains("embedded"), "{problems:?}");
        assert!(problems[3].starts_with("DAGBOOK_STORE: ") && problems[3].contains("embedded"));
    }

    #[test]
    fn a_file_that_is_not_toml_is_a_problem_with_its_line() {
        let problems = load("slots = \n", &[]).expect_err("a syntax error");
        assert!(problems[0].contains("line 1"), "{problems:?}");
    }
}
