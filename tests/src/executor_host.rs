//! A process that holds a local executor and nothing else, to be killed by tests.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use dagbook_executors::conformance::MemoryBlobs;
use dagbook_executors::local::{LocalConfig, LocalExecutor};
use dagbook_executors::request::AttemptSpec;
use dagbook_executors::{Executor as _, NoSecrets};

/// Starts the attempts of the specs in a file (a JSON list) on the folder `data`, says `ready`
/// on standard output, and stays until it is killed.
pub fn run(data: &str, specs: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let blobs = Arc::new(MemoryBlobs::default());
            let config = LocalConfig::new(Path::new(data), blobs, Arc::new(NoSecrets))?;
            let executor = LocalExecutor::new(config)?;
            let specs: Vec<AttemptSpec> = serde_json::from_slice(&std::fs::read(specs)?)?;
            for spec in specs {
                executor.start(spec).await?;
            }
            println!("ready");
            std::future::pending::<anyhow::Result<()>>().await
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
