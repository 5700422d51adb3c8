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

pub fn bench(data: &str, n: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let blobs = Arc::new(MemoryBlobs::default());
        let config = LocalConfig::new(Path::new(data), blobs, Arc::new(NoSecrets)).unwrap();
        let executor = LocalExecutor::new(config).unwrap();
        let mut watch = executor.watch();
        let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
        for _ in 0..n {
            let spec = dagbook_executors::conformance::command(&["true"]);
            let t = std::time::Instant::now();
            executor.start(spec.clone()).await.unwrap();
            let t1 = t.elapsed();
            watch.recv().await;
            let t2 = t.elapsed();
            watch.recv().await;
            let t3 = t.elapsed();
            executor.release(spec.attempt).await;
            a.push(t1);
            b.push(t2);
            c.push(t3);
        }
        for v in [&mut a, &mut b, &mut c] {
            v.sort();
        }
        let m = a.len() / 2;
        println!(
            "start {:?} started {:?} exit {:?} p90 {:?}",
            a[m],
            b[m],
            c[m],
            c[a.len() * 9 / 10]
        );
    });
}
