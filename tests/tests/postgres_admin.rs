//! What is done to a Postgres server beside appending and reading, against real servers:
//! encrypted connections, migrations, rights and the look that `doctor` takes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use dagbook_events::journal::store::postgres::{
    GrantError, MigrateError, PostgresUrl, check_schema, grant_reader, grant_server, health,
    migrate, pending_migrations, schema_version,
};
use dagbook_tests::servers::{Authority, Postgres, PostgresVersion};

const PATIENCE: Duration = Duration::from_secs(30);

fn url(text: &str) -> PostgresUrl {
    PostgresUrl::parse_with(text, |_| None).expect("an address")
}

/// All versions that are installed.
fn versions() -> Vec<PostgresVersion> {
    [PostgresVersion::Debian, PostgresVersion::Newest]
        .into_iter()
        .filter(|version| version.available())
        .collect()
}

fn client(address: &str) -> postgres::Client {
    let config: postgres::Config = address.parse().expect("an address");
    config.connect(postgres::NoTls).expect("a connection")
}

fn with_role(address: &str, role: &str) -> String {
    address.replace("postgres@", &format!("{role}@"))
}

// ---- migrations ----

#[test]
fn those_who_start_at_one_time_migrate_once() {
    for version in versions() {
        let server = Postgres::start(version);
        let url = url(&server.database("books"));
        let reports: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| migrate(&url, PATIENCE))).collect();
            threads.into_iter().map(|t| t.join().expect("a thread").expect("migrated")).collect()
        });
        let busy: Vec<_> = reports.iter().filter(|r| !r.applied.is_empty()).collect();
        assert_eq!(busy.len(), 1, "{reports:?}");
        assert_eq!(busy[0].before, 0);
        assert_eq!(busy[0].applied.last().map(|m| m.version), Some(busy[0].after));
        let schema = schema_version(&url).expect("a schema");
        assert_eq!(schema.database, schema.program);
        check_schema(&url).expect("up to date");
        let again = migrate(&url, PATIENCE).expect("nothing to do");
        assert_eq!((again.before, again.applied.len()), (schema.program, 0));
    }
}

#[test]
fn a_look_before_a_migration_changes_nothing() {
    let server = Postgres::start(PostgresVersion::Debian);
    let url = url(&server.database("books"));
    let planned = pending_migrations(&url).expect("a look");
    assert_eq!((planned.before, planned.applied.is_empty()), (0, false));
    assert_eq!(schema_version(&url).expect("a schema").database, 0);
    let refused = check_schema(&url).expect_err("nothing was migrated");
    assert!(matches!(refused, MigrateError::Older { database: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("dagbook migrate"), "{refused}");
    assert_eq!(migrate(&url, PATIENCE).expect("migrated").applied, planned.applied);
}

#[test]
fn a_newer_or_an_edited_schema_is_refused_and_left_alone() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    let url = url(&address);
    let program = migrate(&url, PATIENCE).expect("migrated").after;
    let mut owner = client(&address);
    owner
        .batch_execute(
            "INSERT INTO refinery_schema_history VALUES (999, 'later', '2030-01-01T00:00:00Z', '7')",
        )
        .expect("a later migration");
    let newer = MigrateError::Newer { server: url.redacted(), database: 999, program };
    assert_eq!(migrate(&url, PATIENCE), Err(newer.clone()));
    assert_eq!(check_schema(&url), Err(newer.clone()));
    assert!(newer.to_string().contains("schema 999"), "{newer}");
    assert!(newer.to_string().contains(&format!("up to {program}")), "{newer}");
    owner
        .batch_execute(
            "DELETE FROM refinery_schema_history WHERE version = 999;
             UPDATE refinery_schema_history SET checksum = '7' WHERE version = 1",
        )
        .expect("an edited migration");
    let edited = migrate(&url, PATIENCE).expect_err("edited");
    assert!(matches!(edited, MigrateError::Edited { version: 1, .. }), "{edited}");
}

#[test]
fn someone_who_migrates_for_too_long_is_named() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    let url = url(&address);
    let mut other = client(&address);
    // The number is part of what programs of all versions agree about.
    other.execute("SELECT pg_advisory_lock(x'646167626f6f6b01'::bigint)", &[]).expect("the lock");
    let refused = migrate(&url, Duration::from_millis(100)).expect_err("someone else has it");
    assert!(matches!(refused, MigrateError::Locked { .. }), "{refused}");
    // Whoever has nothing to migrate needs no lock.
    drop(other);
    migrate(&url, PATIENCE).expect("migrated");
    let mut other = client(&address);
    other.execute("SELECT pg_advisory_lock(x'646167626f6f6b01'::bigint)", &[]).expect("the lock");
    assert!(migrate(&url, Duration::from_millis(100)).expect("nothing to do").applied.is_empty());
}

#[tokio::test]
async fn migrations_can_be_called_where_a_runtime_is_driven() {
    let server = Postgres::start(PostgresVersion::Debian);
    let url = url(&server.database("books"));
    assert!(!migrate(&url, PATIENCE).expect("migrated").applied.is_empty());
}

#[test]
fn who_may_not_make_tables_hears_who_may() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    server.execute("CREATE ROLE nobody_much LOGIN");
    let refused = migrate(&url(&with_role(&address, "nobody_much")), PATIENCE).expect_err("no");
    assert!(matches!(refused, MigrateError::Failed { .. }), "{refused:?}");
    assert!(refused.to_string().contains("owner"), "{refused}");
}

// ---- rights ----

#[test]
fn a_server_may_append_and_read_and_change_nothing() {
    for version in versions() {
        let server = Postgres::start(version);
        let address = server.database("books");
        let owner = url(&address);
        migrate(&owner, PATIENCE).expect("migrated");
        server.execute("CREATE ROLE \"site's\" LOGIN");
        let rights = grant_server(&owner, "site's").expect("granted");
        assert!(rights.may_change.is_empty() && rights.may_append, "{rights:?}");
        // Once more, as a later version would.
        assert_eq!(grant_server(&owner, "site's"), Ok(rights.clone()));

        let mut role = client(&with_role(&address, "site%27s"));
        role.batch_execute(
            "SELECT event_partitions_ahead(1000, 1);
             BEGIN;
             UPDATE head SET position = 1, recorded_at = 1, tenants = 1, streams = 1;
             INSERT INTO tenant (id, name, size, frontier) VALUES (1, 'acme', 1, '');
             INSERT INTO stream (id, tenant, name, size, first_position, last_position)
                 VALUES (1, 1, 'run/1', 1, 1, 1);
             INSERT INTO event VALUES (1, 1, 0, 1, 0, decode(repeat('00', 32), 'hex'), 'leaf');
             INSERT INTO append_key VALUES (1, 'k', decode(repeat('00', 32), 'hex'), 1, 1, 1);
             INSERT INTO lease VALUES ('engine', 1, 'me', 1);
             UPDATE lease SET epoch = 2;
             COMMIT",
        )
        .expect("an append");
        let events = role.query_one("SELECT count(*) FROM event", &[]).expect("a read");
        assert_eq!(events.get::<_, i64>(0), 1);
        for forbidden in [
            "UPDATE event SET leaf = 'other'",
            "DELETE FROM event",
            "TRUNCATE event",
            "ALTER TABLE event DISABLE TRIGGER ALL",
            "DROP TRIGGER event_is_never_updated ON event",
            "DROP TABLE event_from_1",
            "DELETE FROM event_from_1",
            "TRUNCATE event_from_1",
            "DELETE FROM head",
            "DELETE FROM append_key",
            "UPDATE append_key SET last_position = 9",
            "DELETE FROM stream",
            "DELETE FROM tenant",
            "UPDATE refinery_schema_history SET checksum = '7'",
            "UPDATE event_partition SET end_position = 9",
            "CREATE TABLE mine (x integer)",
        ] {
            let error = role.batch_execute(forbidden).expect_err(forbidden);
            let code = error.code().map(|code| code.code().to_string());
            assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {error:?}");
        }
        // The second fence: even the owner is stopped by the triggers.
        let mut owner = client(&address);
        for forbidden in
            ["UPDATE event SET leaf = 'other'", "DELETE FROM event", "TRUNCATE event_from_1"]
        {
            let error = owner.batch_execute(forbidden).expect_err(forbidden);
            let said = error.as_db_error().map(|said| said.message().to_string());
            assert!(said.is_some_and(|said| said.contains("never")), "{forbidden}: {error:?}");
        }
    }
}

#[test]
fn a_reader_may_only_read() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    migrate(&url(&address), PATIENCE).expect("migrated");
    server.execute("CREATE ROLE auditor LOGIN");
    let rights = grant_reader(&url(&address), "auditor").expect("granted");
    assert!(rights.may_change.is_empty() && !rights.may_append, "{rights:?}");
    let reader = url(&with_role(&address, "auditor"));
    let seen = health(&reader).expect("a look");
    assert_eq!(seen.record.expect("a record").position, 0);
    let mut client = client(&with_role(&address, "auditor"));
    for forbidden in ["UPDATE head SET position = 1", "SELECT event_partitions_ahead(10, 1)"] {
        let error = client.batch_execute(forbidden).expect_err(forbidden);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{error:?}");
    }
}

#[test]
fn rights_that_cannot_be_given_are_named() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    let owner = url(&address);
    server.execute("CREATE ROLE boss SUPERUSER LOGIN; CREATE ROLE plain LOGIN");
    let early = grant_server(&owner, "plain").expect_err("no tables yet").to_string();
    assert!(early.contains("dagbook migrate"), "{early}");
    migrate(&owner, PATIENCE).expect("migrated");
    let missing = grant_server(&owner, "nobody").expect_err("no such role");
    assert_eq!(missing, GrantError::Missing { role: "nobody".to_string() });
    assert!(missing.to_string().contains("CREATE ROLE"), "{missing}");
    // A superuser stays one, and that is said.
    let rights = grant_server(&owner, "boss").expect("granted");
    assert_eq!(rights.may_change, ["UPDATE", "DELETE", "TRUNCATE", "ALTER"]);
    let denied = grant_server(&url(&with_role(&address, "plain")), "plain").expect_err("no owner");
    assert!(denied.to_string().contains("owner"), "{denied}");
}

// ---- a look ----

#[test]
fn what_makes_a_server_unsafe_is_seen() {
    for version in versions() {
        let safe = Postgres::start(version);
        let seen = health(&url(&safe.url())).expect("a look");
        assert!(seen.fsync && seen.full_page_writes && !seen.is_standby && !seen.encrypted);
        assert!((15..=18).contains(&seen.major), "{}", seen.version);
        assert_eq!((seen.schema.database, seen.record), (0, None));
        let unsafe_settings =
            [("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")];
        let server = Postgres::start_with(version, &unsafe_settings);
        let url = url(&server.database("books"));
        migrate(&url, PATIENCE).expect("migrated");
        let seen = health(&url).expect("a look");
        assert!(!seen.fsync && !seen.full_page_writes);
        assert_eq!(seen.synchronous_commit, "off");
        assert_eq!(seen.role, "postgres");
        let record = seen.record.expect("a record");
        assert_eq!((record.timeline, record.position), (1, 0));
        assert!(record.rights.may_change.contains(&"DELETE"), "a superuser may do anything");
    }
}

// ---- TLS ----

/// An authority that signed a server's certificate for two names, and a client's.
fn certificates() -> Authority {
    let authority = Authority::new();
    let names = "subjectAltName=DNS:books.example,DNS:localhost";
    authority.sign("server", "books", names);
    authority.sign("ada", "ada", "extendedKeyUsage=clientAuth");
    authority
}

/// Postgres takes a key of its own user that nobody else reads, or of root that its group reads.
fn give_key_to_server(key: &Path, data_owner: &Path) {
    use std::os::unix::fs::MetadataExt;
    let (us, owner) = (
        std::fs::metadata(key).expect("a key").uid(),
        std::fs::metadata(data_owner).expect("a folder"),
    );
    let mode = if us == owner.uid() { 0o600 } else { 0o640 };
    if us != owner.uid() {
        std::os::unix::fs::chown(key, None, Some(owner.gid())).expect("another group");
    }
    std::fs::set_permissions(key, Permissions::from_mode(mode)).expect("a mode");
}

/// In the clear only the harness may come, to its own database.
const RULES: &str = "\
local     all      all                    trust
hostnossl postgres postgres 127.0.0.1/32  trust
hostssl   secret   ada      127.0.0.1/32  scram-sha-256
hostssl   known    ada      127.0.0.1/32  cert
hostssl   all      all      127.0.0.1/32  trust
";

fn encrypted_server(version: PostgresVersion, certificates: &Authority) -> Postgres {
    // The owner of a data folder is known only once there is one.
    let owner = Postgres::start(version);
    give_key_to_server(&certificates.path("server.key"), &owner.data());
    drop(owner);
    let rules = certificates.path("pg_hba.conf");
    std::fs::write(&rules, RULES).expect("a file");
    let path = |name: &str| certificates.name_of(name);
    Postgres::start_with(
        version,
        &[
            ("ssl", "on"),
            ("ssl_cert_file", &path("server.pem")),
            ("ssl_key_file", &path("server.key")),
            ("ssl_ca_file", &path("ca.pem")),
            ("hba_file", &path("pg_hba.conf")),
        ],
    )
}

#[test]
fn sslmode_means_what_libpq_says() {
    let certificates = certificates();
    // The build from PyPI has no TLS.
    let server = encrypted_server(PostgresVersion::Debian, &certificates);
    server.execute("CREATE DATABASE books");
    let port = server.port();
    let ca = certificates.name_of("ca.pem");
    let other_authority = Authority::new();
    let stranger = other_authority.name_of("ca.pem");
    let look = |host: &str, settings: &str| {
        let address =
            format!("postgres://postgres@{host}:{port}/books?hostaddr=127.0.0.1&{settings}");
        health(&url(&address)).map(|seen| seen.encrypted).map_err(|error| error.to_string())
    };
    let (named, other) = ("books.example", "shelves.example");
    for (host, settings) in [
        (named, format!("sslmode=verify-full&sslrootcert={ca}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
        (other, format!("sslmode=verify-ca&sslrootcert={ca}")),
        (other, format!("sslmode=require&sslrootcert={ca}")),
        (other, "sslmode=require".to_string()),
        (other, "sslmode=prefer".to_string()),
        (other, String::new()),
    ] {
        assert_eq!(look(host, &settings), Ok(true), "{host} {settings}");
    }
    for (host, settings, sign) in [
        (other, format!("sslmode=verify-full&sslrootcert={ca}"), "other names"),
        (named, format!("sslmode=verify-full&sslrootcert={stranger}"), "sslrootcert"),
        (named, format!("sslmode=verify-ca&sslrootcert={stranger}"), "sslrootcert"),
        (named, format!("sslmode=require&sslrootcert={stranger}"), "sslrootcert"),
        (named, "sslmode=verify-full&sslrootcert=/nowhere.pem".to_string(), "/nowhere.pem"),
        (named, "sslmode=disable".to_string(), "encrypted connections only"),
    ] {
        let refused = look(host, &settings).expect_err("refused");
        assert!(refused.contains(sign), "{host} {settings}: {refused}");
    }
    // The authorities of this machine did not sign it.
    let refused = look(named, "sslmode=verify-full").expect_err("refused");
    assert!(refused.contains("sslrootcert=FILE"), "{refused}");
    let plain = Postgres::start(PostgresVersion::Debian);
    let refused = health(&url(&format!("{}?sslmode=require", plain.url()))).expect_err("no TLS");
    assert!(refused.to_string().contains("does not support TLS"), "{refused}");
}

#[test]
fn people_are_let_in_by_password_or_by_certificate() {
    let certificates = certificates();
    let server = encrypted_server(PostgresVersion::Debian, &certificates);
    server.execute("CREATE ROLE ada LOGIN PASSWORD 'hunter2'");
    server.execute("CREATE DATABASE secret");
    server.execute("CREATE DATABASE known");
    let place = format!("ada@localhost:{}", server.port());
    let root = format!("sslmode=verify-full&sslrootcert={}", certificates.name_of("ca.pem"));

    let (who, rest) = place.split_once('@').expect("two parts");
    let given = format!("postgres://{who}:hunter2@{rest}/secret?{root}");
    health(&url(&given)).expect("the password is right");
    // Bound to the connection, so that nobody in between could have passed it on.
    health(&url(&format!("{given}&channel_binding=require"))).expect("the channel is bound");
    let from_variable =
        PostgresUrl::parse_with(&format!("postgres://{place}/secret?{root}"), |name| {
            (name == "PGPASSWORD").then(|| "hunter2".to_string())
        });
    health(&from_variable.expect("an address")).expect("the variable counts");
    let wrong = given.replace("hunter2", "hunter3");
    let refused = health(&url(&wrong)).expect_err("another password").to_string();
    assert!(refused.contains("28P01") && refused.contains("PGPASSWORD"), "{refused}");
    assert!(!refused.contains("hunter"), "{refused}");

    let (certificate, key) = (certificates.path("ada.pem"), certificates.path("ada.key"));
    let with_certificate = format!(
        "postgres://{place}/known?{root}&sslcert={}&sslkey={}",
        certificate.display(),
        key.display()
    );
    health(&url(&with_certificate)).expect("the certificate is ada's");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
    let refused = health(&url(&with_certificate)).expect_err("a key for everyone").to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
    assert!(health(&url(&format!("postgres://{place}/known?{root}"))).is_err(), "no certificate");
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let mut server = Postgres::start(PostgresVersion::Debian);
    let address = server.url().replace("postgres@", "postgres:hunter2@");
    server.stop();
    let refused = health(&url(&address)).expect_err("nobody is there").to_string();
    assert!(refused.contains(&format!("127.0.0.1:{}", server.port())), "{refused}");
    assert!(refused.contains("is the server running") && !refused.contains("hunter2"), "{refused}");
}
