//! What the same machine does in the same minute without any of us.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use dagbook_events::journal::store::postgres::PostgresUrl;

use super::client::Client;
use super::percentile;
use super::served::Site;
use crate::record::postgres_ceilings::connect;
use crate::report::Report;

pub const COMMITS: &str = "ceiling: four one-row commits";
pub const REQUESTS: &str = "ceiling: two requests of nothing (healthz)";
pub const SPAWNS: &str = "ceiling: three bare spawns";

/// How often each is done.
const TIMES: usize = 100;

/// Four durable one-row commits in the store that the server uses: what the record of a flow of
/// three steps costs at the least.
pub async fn commits(report: &mut Report, site: &Site) -> Result<()> {
    let mut times = match site.postgres() {
        None => tokio::task::block_in_place(|| in_a_file(site))?,
        Some(postgres) => {
            let name = format!("bare_{}", report.rounds_of(COMMITS));
            let url = tokio::task::block_in_place(|| postgres.database(&name));
            in_postgres(&url).await?
        }
    };
    report.sample(COMMITS, "ms", percentile(&mut times, 50));
    Ok(())
}

fn in_a_file(site: &Site) -> Result<Vec<f64>> {
    let base = rusqlite::Connection::open(site.folder().join("bare.sqlite"))?;
    base.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(a INTEGER, b BLOB);",
    )?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        for number in 0..4 {
            base.execute("INSERT INTO t VALUES (?1, zeroblob(700))", [number])?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

async fn in_postgres(url: &str) -> Result<Vec<f64>> {
    let client = connect(&PostgresUrl::parse(url)?.config()).await?;
    client.batch_execute("CREATE TABLE t (a bigint PRIMARY KEY, b bytea)").await?;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await?;
    let (body, mut next, mut times) = ([b'x'; 700], 0_i64, Vec::new());
    for _ in 0..TIMES {
        let begun = Instant::now();
        for _ in 0..4 {
            next += 1;
            client.execute(&insert, &[&next, &&body[..]]).await?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Two requests that are answered with nothing: a flow is submitted by one and followed by
/// another.
pub async fn requests(report: &mut Report, client: &Client) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        client.health().await?;
        client.health().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    report.sample(REQUESTS, "ms", percentile(&mut times, 50));
    Ok(())
}

/// Three bare processes, one after the other.
pub fn three_spawns(report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..TIMES / 5 {
        let begun = Instant::now();
        for _ in 0..3 {
            ensure!(Command::new("true").status()?.success(), "`true` failed");
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    report.sample(SPAWNS, "ms", percentile(&mut times, 50));
    Ok(())
}
