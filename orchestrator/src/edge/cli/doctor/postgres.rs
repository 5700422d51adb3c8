//! Postgres: reachable, of a known version, and set so that what is acknowledged is kept.

use dagbook_events::journal::store::postgres::{
    PostgresHealth, PostgresUrl, RecordHealth, SslMode, health,
};

use super::Check;
use crate::edge::cli::output;

/// Versions that the store was tried on.
const OLDEST: u32 = 15;
const NEWEST: u32 = 18;

/// Fewer free connections than this are a warning.
const CONNECTIONS_WANTED: u64 = 20;

/// Fewer positions than this in partitions that exist are a warning.
const ROOM_WANTED: u64 = 1_000_000;

pub(super) async fn checks(url: &PostgresUrl) -> (Vec<Check>, Option<PostgresHealth>) {
    let place = url.clone();
    let health = match tokio::task::spawn_blocking(move || health(&place)).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => {
            let check = Check::broken("postgres", error.to_string())
                .hint("see ops/runbooks/store-unavailable.md");
            return (vec![check], None);
        }
        Err(error) => return (vec![Check::broken("postgres", error.to_string())], None),
    };
    let mut checks = vec![server(url, &health), durability(&health), protection(url, &health)];
    checks.push(schema(&health));
    if let Some(record) = &health.record {
        checks.push(role(&health, record));
        checks.push(partitions(record));
    }
    checks.push(archive(&health));
    (checks, Some(health))
}

fn server(url: &PostgresUrl, health: &PostgresHealth) -> Check {
    let size = output::bytes(health.bytes);
    let detail = format!("{url}: version {}, {size}", health.version);
    if health.is_standby {
        return Check::broken("postgres", format!("{detail}; it is a standby"))
            .hint("name the primary, or add `target_session_attrs=read-write` to the address");
    }
    if health.major < OLDEST {
        return Check::broken("postgres", detail)
            .hint(format!("versions from {OLDEST} on are supported"));
    }
    let free = u64::from(health.max_connections).saturating_sub(health.connections);
    if free < CONNECTIONS_WANTED {
        return Check::warning("postgres", format!("{detail}; {free} connections are free"))
            .hint("raise max_connections");
    }
    match health.major > NEWEST {
        true => {
            Check::warning("postgres", detail).hint(format!("it was tried up to version {NEWEST}"))
        }
        false => Check::ok("postgres", detail),
    }
}

fn durability(health: &PostgresHealth) -> Check {
    let off = |is_on: bool, name: &'static str| (!is_on).then_some(name);
    let unsafe_settings: Vec<&str> =
        [off(health.fsync, "fsync"), off(health.full_page_writes, "full_page_writes")]
            .into_iter()
            .flatten()
            .collect();
    if !unsafe_settings.is_empty() {
        return Check::broken("durability", format!("{} off", unsafe_settings.join(" and "))).hint(
            "what was acknowledged is lost with the power: turn them on and restart Postgres",
        );
    }
    let detail = format!(
        "fsync on, synchronous_commit {}, checksums {}",
        health.synchronous_commit,
        if health.data_checksums { "on" } else { "off" }
    );
    if health.synchronous_commit == "off" {
        return Check::warning("durability", detail).hint(
            "the store turns it on for its own appends; turn it on for all with \
             `ALTER SYSTEM SET synchronous_commit = on`",
        );
    }
    match health.data_checksums {
        true => Check::ok("durability", detail),
        false => Check::ok("durability", detail)
            .hint("`pg_checksums --enable` lets Postgres notice a page that the disk has changed"),
    }
}

fn protection(url: &PostgresUrl, health: &PostgresHealth) -> Check {
    match (health.encrypted, url.ssl_mode()) {
        (true, SslMode::VerifyFull | SslMode::VerifyCa) => {
            Check::ok("protection", "the connection is encrypted, the server is checked")
        }
        (true, mode) => Check::warning(
            "protection",
            format!(
                "the connection is encrypted, but with sslmode={} nobody is checked",
                mode.as_str()
            ),
        )
        .hint("use `sslmode=verify-full`, with `sslrootcert=FILE` for an authority of your own"),
        (false, _) if url.is_local() => {
            Check::ok("protection", "the connection does not leave this machine")
        }
        (false, _) => Check::warning("protection", "the connection is not encrypted")
            .hint("turn on `ssl` in Postgres and use `sslmode=verify-full`"),
    }
}

fn schema(health: &PostgresHealth) -> Check {
    let (database, program) = (health.schema.database, health.schema.program);
    match database.cmp(&program) {
        std::cmp::Ordering::Equal => Check::ok("schema", format!("version {database}")),
        std::cmp::Ordering::Less if database == 0 => {
            Check::warning("schema", "there is none yet").hint("`dagbook migrate` makes it")
        }
        std::cmp::Ordering::Less => {
            Check::broken("schema", format!("version {database}, this program needs {program}"))
                .hint("`dagbook migrate` brings it up to date")
        }
        std::cmp::Ordering::Greater => Check::broken(
            "schema",
            format!("version {database}, this program knows versions up to {program}"),
        )
        .hint("a newer program has migrated it: use that one"),
    }
}

fn role(health: &PostgresHealth, record: &RecordHealth) -> Check {
    let role = output::clean(&health.role);
    match record.rights.may_change.as_slice() {
        [] if record.rights.may_append => {
            Check::ok("role", format!("{role} may append and read, and change nothing"))
        }
        [] => Check::warning("role", format!("{role} may only read"))
            .hint("`dagbook migrate --grant ROLE` as the owner lets it append"),
        rights => Check::warning("role", format!("{role} may {} events", rights.join(", "))).hint(
            "connect as a role of its own: `CREATE ROLE dagbook_server LOGIN`, then `dagbook \
                 migrate --grant dagbook_server` as the owner",
        ),
    }
}

fn partitions(record: &RecordHealth) -> Check {
    if record.room_until == 0 {
        let detail = "none so far: the first process that opens the store makes them";
        return Check::ok("partitions", detail);
    }
    let left = record.room_until.saturating_sub(record.position);
    let detail = format!("room for {left} more events");
    match left < ROOM_WANTED {
        true => Check::warning("partitions", detail)
            .hint("a process that appends makes more; see that its role may (`--grant`)"),
        false => Check::ok("partitions", detail),
    }
}

fn archive(health: &PostgresHealth) -> Check {
    let receivers = output::count(health.receivers as usize, "receiver");
    let standbys = match health.synchronous_standbys.as_str() {
        "" => String::new(),
        names => format!(", commits wait for {}", output::clean(names)),
    };
    let detail = format!(
        "wal_level {}, archiving {}, {receivers}{standbys}",
        health.wal_level,
        if health.archives { "on" } else { "off" }
    );
    if health.archive_fails {
        return Check::warning("backup", format!("{detail}; the last attempt to archive failed"))
            .hint("the write-ahead log piles up until it succeeds: look into Postgres's log");
    }
    match health.wal_level.as_str() {
        "minimal" => Check::warning("backup", detail)
            .hint("with wal_level minimal there is no base backup: set it to replica"),
        _ => Check::ok("backup", detail),
    }
}
