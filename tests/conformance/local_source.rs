//! A source archive as the working folder of an attempt.

use std::sync::Arc;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::Blobs;
use dagbook_events::step::{Outcome, SourceArchive, Workspace};
use dagbook_executors::archive::ChunkIndex;
use dagbook_executors::conformance::{World as _, shell};

use super::{log, run, world};

/// A tar of these files, kept as an archive is.
async fn archive(blobs: &Arc<dyn Blobs>, files: &[(&str, u32, &str)]) -> SourceArchive {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let mut chunks = Vec::new();
    // Pieces of an odd size: nothing may depend on where they are cut.
    for piece in bytes.chunks(700) {
        chunks.push(blobs.put(piece).await.unwrap());
    }
    let hash = Sha256Digest::of(&bytes);
    let index = ChunkIndex { bytes: bytes.len() as u64, chunks, sha256: hash };
    let index = blobs.put(&serde_json::to_vec(&index).unwrap()).await.unwrap();
    SourceArchive { hash, bytes: bytes.len() as u64, index }
}

#[tokio::test]
async fn each_attempt_works_in_its_own_copy_of_a_source() {
    let (_dir, world) = world();
    let executor = world.executor();
    let blobs: Arc<dyn Blobs> = world.blobs.clone();
    let files = [("run.sh", 0o755, "#!/bin/sh\ncat data/in\n"), ("data/in", 0o644, "from home\n")];
    let archive = archive(&blobs, &files).await;
    let spec_for = |text: &str, path: &str| {
        let mut spec = shell(text);
        spec.workspace = Workspace::Source { archive, path: path.to_string() };
        spec
    };
    // One changes everything it can reach, and leaves things that are hard to remove.
    let spoils = "./run.sh; echo spoiled > data/in; rm run.sh; mkdir -p x/y; touch x/y/z; \
        chmod 500 x/y; pwd";
    let first = spec_for(spoils, "");
    let exit = run(executor.as_ref(), first.clone()).await;
    assert_eq!(exit.outcome, Outcome::Succeeded, "{}", log(executor.as_ref(), &first).await);
    let said = log(executor.as_ref(), &first).await;
    let (home, folder) = said.split_once('\n').expect("two lines");
    assert_eq!(home, "from home");
    let second = spec_for("./run.sh; ls", "");
    run(executor.as_ref(), second.clone()).await;
    assert_eq!(log(executor.as_ref(), &second).await, "from home\ndata\nrun.sh\n");
    let below = spec_for("cat in", "data");
    run(executor.as_ref(), below.clone()).await;
    assert_eq!(log(executor.as_ref(), &below).await, "from home\n");
    executor.release(first.attempt).await;
    assert!(!std::path::Path::new(folder.trim()).exists(), "{folder} is still there");
}

#[tokio::test]
async fn a_source_that_cannot_be_put_in_place_refuses_the_start() {
    let (_dir, world) = world();
    let executor = world.executor();
    let blobs: Arc<dyn Blobs> = world.blobs.clone();
    let good = archive(&blobs, &[("a", 0o644, "x"), ("d/b", 0o644, "y")]).await;
    let nothing = Sha256Digest::of(b"nothing");
    let cases = [
        (good, "nowhere", "has no folder `nowhere`"),
        (good, "a", "is no folder"),
        (good, "../d", "must not contain `..`"),
        (SourceArchive { index: nothing, ..good }, "", "no blob"),
        (SourceArchive { hash: nothing, ..good }, "", "another archive"),
    ];
    for (archive, path, word) in cases {
        let mut spec = shell("true");
        spec.workspace = Workspace::Source { archive, path: path.to_string() };
        let refused = executor.start(spec).await.expect_err("it cannot start");
        let Some(Outcome::StartError { message, .. }) = refused.outcome() else {
            panic!("{refused:?}")
        };
        assert!(message.contains(word), "{message}");
    }
    assert!(executor.list().await.unwrap().is_empty(), "what was refused left something");
}
