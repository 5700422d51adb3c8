//! The folder of a DAG file, sent unless the server has it.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use dagbook_executors::archive::ArchiveLimits;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Remote;
use crate::app::bundle::{BundleError, IGNORE_FILE, pack};
use crate::edge::cli::output;
use crate::edge::cli::{CliError, Context};

/// Sends the folder; gives its hash.
pub async fn send(
    ctx: &Context,
    remote: &Remote,
    folder: &Path,
    entry: &str,
    most: Option<u64>,
) -> Result<String, CliError> {
    let mut limits = ArchiveLimits::default();
    if let Some(most) = most {
        limits.bytes = most;
    }
    let (from, name) = (folder.to_path_buf(), entry.to_string());
    let packed = tokio::task::spawn_blocking(move || pack(&from, &name, &limits))
        .await
        .map_err(|error| CliError::failed(error.to_string()))?
        .map_err(of_bundle)?;
    for note in &packed.notes {
        ctx.tell(&format!("note: {}", output::clean(note)));
    }
    let hash = packed.hash.to_hex();
    let (files, size) = (output::count(packed.files as usize, "file"), output::bytes(packed.bytes));
    if remote.client.has_source(&hash).await? {
        ctx.tell(&format!("source: {files}, {size}; the server has them"));
        return Ok(hash);
    }
    let length = packed.file.as_file().metadata()?.len();
    let bar = bar(ctx, length);
    let progress = |sent: u64| bar.set_position(sent);
    let sent = remote.client.put_source(&hash, packed.file.path(), &progress).await;
    bar.finish_and_clear();
    let sent = sent?;
    if sent.sha256 != hash {
        return Err(CliError::unavailable("the server kept the source under another hash"));
    }
    ctx.tell(&format!("source: {files}, {size} ({} sent)", output::bytes(length)));
    Ok(hash)
}

fn of_bundle(error: BundleError) -> CliError {
    let said = CliError::usage(error.to_string());
    match error {
        BundleError::TooLarge { .. } => said.hint(format!(
            "name what steps do not need in `.gitignore` or `{IGNORE_FILE}`, or send no folder \
             with `--no-source`"
        )),
        BundleError::Changed(_) => said.hint("try again when nothing writes there"),
        BundleError::Unreadable { .. } => said,
    }
}

fn bar(ctx: &Context, length: u64) -> ProgressBar {
    // A source that is gone in a moment needs no bar.
    if ctx.is_quiet() || !std::io::stderr().is_terminal() || length < 256 << 10 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(12));
    let shape = "sending the source {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}";
    bar.set_style(
        ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
