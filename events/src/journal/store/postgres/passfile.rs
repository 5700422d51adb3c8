//! Passwords that are not in the address: `PGPASSWORD` and libpq's password file.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio_postgres::config::Host;

/// A larger file is not a list of passwords.
const LARGEST: u64 = 1 << 20;

/// The password for what `config` names, where one is kept for it.
///
/// # Errors
/// Where a file has one that may not be used, because others can read it.
pub(super) fn password(
    config: &tokio_postgres::Config,
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(password) = given("PGPASSWORD") {
        return Ok(Some(password));
    }
    let path = named.map(PathBuf::from).or_else(|| given("PGPASSFILE").map(PathBuf::from));
    let path = path.or_else(|| given("HOME").map(|home| Path::new(&home).join(".pgpass")));
    let Some(path) = path else { return Ok(None) };
    let (text, mode) = match read(&path) {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the password file {}: {error}", path.display())),
    };
    let user = config.get_user().map(str::to_string).or_else(|| given("USER")).unwrap_or_default();
    let database = config.get_dbname().unwrap_or(&user);
    let found = servers(config)
        .into_iter()
        .find_map(|(host, port)| find(&text, [&host, &port, database, &user]));
    if found.is_some() && mode & 0o077 != 0 {
        let path = path.display();
        return Err(format!("others may read the password file {path}; run `chmod 600 {path}`"));
    }
    Ok(found)
}

fn read(path: &Path) -> std::io::Result<(String, u32)> {
    let metadata = std::fs::metadata(path)?;
    // As libpq: only a plain file counts, so that `PGPASSFILE=/dev/null` means none.
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(std::io::Error::from(ErrorKind::NotFound));
    }
    Ok((std::fs::read_to_string(path)?, metadata.mode()))
}

/// Hosts and ports under which an entry may stand.
fn servers(config: &tokio_postgres::Config) -> Vec<(String, String)> {
    let ports = config.get_ports();
    let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432).to_string();
    if config.get_hosts().is_empty() {
        let each = config.get_hostaddrs().iter().enumerate();
        return each.map(|(i, address)| (address.to_string(), port(i))).collect();
    }
    let mut servers = Vec::new();
    for (i, host) in config.get_hosts().iter().enumerate() {
        match host {
            Host::Tcp(name) => servers.push((name.clone(), port(i))),
            Host::Unix(folder) => {
                servers.push((folder.display().to_string(), port(i)));
                servers.push(("localhost".to_string(), port(i)));
            }
        }
    }
    servers
}

fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let held = [host, port, database, user];
        let fits = held.into_iter().zip(wanted).all(|(has, wants)| has == "*" || has == wants);
        fits.then(|| password.clone())
    })
}

/// The five fields of a line; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let field = fields.len() - 1;
        match character {
            '\\' => fields[field].extend(characters.next()),
            // Colons in the last field belong to the password.
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields[field].push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ask(address: &str, passwords: &str, mode: u32) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pgpass");
        std::fs::write(&path, passwords).expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
        let config = address.parse().expect("an address");
        let path = path.display().to_string();
        password(&config, None, |name| (name == "PGPASSFILE").then(|| path.clone()))
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file =
            "# mine\nother:*:*:*:no\ndb:5433:*:ada:no\ndb:*:bo\\:oks:ada:a:b\\\\c\n*:*:*:*:last\n";
        let ask = |address| ask(address, file, 0o600);
        assert_eq!(ask("postgres://ada@db/bo%3Aoks"), Ok(Some("a:b\\c".to_string())));
        assert_eq!(ask("postgres://ada@db/x"), Ok(Some("last".to_string())));
        assert_eq!(ask("postgres://ada@db:5433/x"), Ok(Some("no".to_string())));
    }

    #[test]
    fn a_socket_is_localhost_too() {
        let address = "postgres://ada@%2Frun%2Fpostgresql/x";
        let file = "localhost:5432:x:ada:secret\n";
        assert_eq!(ask(address, file, 0o600), Ok(Some("secret".to_string())));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_where_it_would_count() {
        let refused = ask("postgres://ada@db/x", "db:*:*:*:secret\n", 0o644).expect_err("refused");
        assert!(refused.contains("chmod 600") && !refused.contains("secret"), "{refused}");
        assert_eq!(ask("postgres://ada@db/x", "elsewhere:*:*:*:secret\n", 0o644), Ok(None));
    }

    #[test]
    fn the_variable_comes_first_and_nothing_is_no_error() {
        let config = "postgres://ada@db/x".parse().expect("an address");
        let given = |name: &str| (name == "PGPASSWORD").then(|| "p".to_string());
        assert_eq!(password(&config, None, given), Ok(Some("p".to_string())));
        let nowhere = |name: &str| (name == "PGPASSFILE").then(|| "/nowhere/at/all".to_string());
        assert_eq!(password(&config, None, nowhere), Ok(None));
        assert_eq!(password(&config, Some("/dev/null"), |_| None), Ok(None));
    }
}
