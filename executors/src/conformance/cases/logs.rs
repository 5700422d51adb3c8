//! Logs, byte by byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::AttemptId;
use dagbook_events::step::{EnvVar, SecretRequest};

use super::ensure;
use crate::conformance::watch::BOUND;
use crate::conformance::{Act, Factory, Setup, Watch, World};
use crate::port::LogQuery;

pub(in super::super) const OFFSETS_TEXT: &[u8] = b"zero\none\n\ntwo \xff\xfe three\0four\nend";

/// The whole log, read to its end.
pub(super) async fn read_all(world: &dyn World, attempt: AttemptId) -> Result<Vec<u8>, String> {
    read_from(world, attempt, 0, 8 << 20).await
}

async fn read_from(
    world: &dyn World,
    attempt: AttemptId,
    offset: u64,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let executor = world.executor();
    let mut query = LogQuery { attempt, offset, limit, wait: Duration::from_secs(5) };
    let mut bytes = Vec::new();
    let until = Instant::now() + BOUND;
    loop {
        let chunk = match executor.logs(query).await {
            Ok(chunk) => chunk,
            // Cancelled before anything ran: nothing was ever written.
            Err(crate::port::LogError::Missing(_)) => return Ok(bytes),
            Err(error) => return Err(error.to_string()),
        };
        ensure!(chunk.offset == query.offset, "a gap at {}", query.offset);
        ensure!(chunk.bytes.len() <= limit, "more than was asked for");
        bytes.extend_from_slice(&chunk.bytes);
        if chunk.is_end() {
            return Ok(bytes);
        }
        query.offset = chunk.next_offset();
        ensure!(Instant::now() < until, "the log has no end");
    }
}

/// Waits until the log has something in it.
pub(super) async fn first_bytes(world: &dyn World, attempt: AttemptId) -> Result<(), String> {
    let query = LogQuery { attempt, offset: 0, limit: 1, wait: BOUND };
    let chunk = world.executor().logs(query).await.map_err(|error| error.to_string())?;
    ensure!(!chunk.bytes.is_empty(), "nothing was printed within {BOUND:?}");
    Ok(())
}

pub(super) async fn flood(factory: Arc<dyn Factory>) -> Result<(), String> {
    const CAP: u64 = 1 << 20;
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let flood = |n: u64| Act::Tool(vec!["bytes".to_string(), n.to_string(), "7".to_string()]);
    for n in [100_000_000, 3_000_000, CAP] {
        let mut spec = world.spec(flood(n)).await?;
        spec.limits.log_bytes = if n == 3_000_000 { 64 << 20 } else { CAP };
        let kept = n.min(spec.limits.log_bytes);
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let exit = watch.exit(spec.attempt).await?;
        ensure!(exit.outcome.name() == "succeeded", "{n}: {:?}", exit.outcome);
        ensure!(exit.log.bytes == kept, "{n}: {} bytes are kept", exit.log.bytes);
        ensure!(exit.log.dropped_bytes == n - kept, "{n}: {:?}", exit.log);
        let log = read_all(world.as_ref(), spec.attempt).await?;
        ensure!(log.len() as u64 == kept, "{n}: {} bytes are read", log.len());
        ensure!(crc32fast::hash(&log) == exit.log.crc32, "{n}: another checksum");
        ensure!(log == noise(kept, 7), "{n}: other bytes");
        let query = LogQuery { attempt: spec.attempt, offset: kept, limit: 1, wait: BOUND };
        let end = executor.logs(query).await.map_err(|e| e.to_string())?;
        ensure!(end.dropped_bytes == n - kept && end.is_end(), "{n}: not marked: {end:?}");
    }
    Ok(())
}

/// The bytes that the test tool prints for `bytes <n> <seed>`: every value, no pattern.
pub(in super::super) fn noise(n: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(usize::try_from(n).unwrap_or(0));
    for _ in 0..n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push((state >> 32) as u8);
    }
    bytes
}

pub(super) async fn binary(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let mut bytes = noise(200_000, 3);
    bytes.extend(std::iter::repeat_n(b'x', 1 << 20));
    bytes.extend(b"\0\xc3\x28\xff\n\r\n\0");
    let spec = world.spec(Act::Print(bytes.clone())).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    let log = read_all(world.as_ref(), spec.attempt).await?;
    ensure!(log == bytes, "{} bytes became {}", bytes.len(), log.len());
    ensure!(exit.log.crc32 == crc32fast::hash(&bytes), "another checksum");
    Ok(())
}

pub(super) async fn offsets(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Print(OFFSETS_TEXT.to_vec())).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.exit(spec.attempt).await?;
    for offset in 0..=OFFSETS_TEXT.len() {
        for limit in [1, 7, 1_000] {
            let read = read_from(world.as_ref(), spec.attempt, offset as u64, limit).await?;
            ensure!(read == OFFSETS_TEXT[offset..], "from {offset} by {limit}: {read:?}");
        }
    }
    Ok(())
}

pub(super) async fn no_newline(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Print(b"first\nno newline".to_vec())).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.exit(spec.attempt).await?;
    let log = read_all(world.as_ref(), spec.attempt).await?;
    ensure!(log == b"first\nno newline", "{log:?}");
    Ok(())
}

pub(super) async fn secrets(factory: Arc<dyn Factory>) -> Result<(), String> {
    let value = b"s3cr3t-value-0123456789".to_vec();
    let lines = b"-----KEY-----\nfirst-key-line\nsecond-key-line\n-----END-----\n".to_vec();
    let secrets =
        BTreeMap::from([("token".to_string(), value.clone()), ("key".to_string(), lines.clone())]);
    let world = factory.world(Setup { secrets, ..Setup::default() }).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    // One write for each byte, so that every border is met.
    let script = "printf '<'; i=1; while [ $i -le ${#TOKEN} ]; do \
        printf %s \"$TOKEN\" | cut -c$i | tr -d '\\n'; i=$((i+1)); done; printf '>\\n'\n\
        printf %s \"$TOKEN\" | base64\ncat \"$KEY\"\nenv | grep KEY\n\
        stat -c %a \"$KEY\"; [ \"$(wc -c < \"$KEY\")\" = \"$KEY_BYTES\" ]";
    let mut spec = world.spec(Act::Shell(script.to_string())).await?;
    spec.env.push(EnvVar { name: "KEY_BYTES".to_string(), value: lines.len().to_string() });
    spec.secrets = [("TOKEN", "token", false), ("KEY", "key", true)]
        .map(|(variable, secret, as_file)| SecretRequest {
            variable: variable.to_string(),
            secret: secret.to_string(),
            as_file,
        })
        .to_vec();
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    let log = read_all(world.as_ref(), spec.attempt).await?;
    let text = String::from_utf8_lossy(&log).into_owned();
    ensure!(exit.outcome.name() == "succeeded", "{:?}: {text}", exit.outcome);
    ensure!(text.starts_with("<***>\n"), "the value shows: {text}");
    for hidden in ["s3cr3t", "0123456789", "czNjcjN0", "first-key", "second-key"] {
        ensure!(!text.contains(hidden), "`{hidden}` shows: {text}");
    }
    ensure!(text.contains("\n600\n"), "the file's mode: {text}");
    if let Some(dir) = world.attempt_dir(spec.attempt) {
        let kept = std::fs::read(dir.join("attempt.json")).map_err(|e| e.to_string())?;
        ensure!(!String::from_utf8_lossy(&kept).contains("s3cr3t"), "a value was written down");
        ensure!(!dir.join("secrets").exists(), "the secret's file outlived the step");
    }
    Ok(())
}
