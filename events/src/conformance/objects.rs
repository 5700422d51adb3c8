//! Laws of [`Objects`](crate::ports::Objects).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Report, Trial, Verdict, try_law};
use crate::ports::{ObjectError, Objects};

/// Makes object stores to be tried.
#[async_trait]
pub trait ObjectsFactory: Send + Sync {
    /// A fresh, empty store.
    async fn fresh(&self) -> Arc<dyn ObjectsUnderTest>;
}

/// An object store, and what the laws want to do to it.
#[async_trait]
pub trait ObjectsUnderTest: Send + Sync {
    /// The store.
    fn objects(&self) -> Arc<dyn Objects>;
    /// A handle on the same objects that shares no memory with the first; `None` where they do
    /// not outlive it.
    async fn second_handle(&self) -> Option<Arc<dyn Objects>>;
}

type Subject = Arc<dyn ObjectsUnderTest>;
type Law = fn(Subject) -> Trial;

const LAWS: &[(&str, Law)] = &[
    ("what_is_put_is_got", |subject| Box::pin(put_is_got(subject))),
    ("a_later_put_replaces_an_earlier_one", |subject| Box::pin(replaced(subject))),
    ("what_was_never_put_is_nothing", |subject| Box::pin(nothing(subject))),
    ("a_folder_is_listed_in_order_and_whole", |subject| Box::pin(listed(subject))),
    ("a_folder_does_not_hold_its_neighbours", |subject| Box::pin(neighbours(subject))),
    ("what_is_removed_is_gone_and_its_folder_with_it", |subject| Box::pin(removed(subject))),
    ("paths_that_lead_elsewhere_are_refused", |subject| Box::pin(refused(subject))),
    ("a_reader_sees_the_old_or_the_new_bytes", |subject| Box::pin(atomic(subject))),
    ("puts_and_removals_at_once_do_not_fail", |subject| Box::pin(at_once(subject))),
    ("another_handle_sees_the_same", |subject| Box::pin(second_handle(subject))),
];

/// Tries all laws, each on a fresh store.
pub async fn run_all(factory: &dyn ObjectsFactory) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        results.push((*name, try_law(law(factory.fresh().await)).await));
    }
    Report(results)
}

async fn put(objects: &dyn Objects, path: &str, bytes: &[u8]) {
    objects.put(path, bytes.to_vec()).await.expect("kept");
}

async fn get(objects: &dyn Objects, path: &str) -> Option<Vec<u8>> {
    objects.get(path).await.expect("readable")
}

async fn list(objects: &dyn Objects, folder: &str) -> Vec<String> {
    objects.list(folder).await.expect("readable")
}

async fn put_is_got(subject: Subject) -> Verdict {
    let objects = subject.objects();
    let large: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    for (path, bytes) in [
        ("empty", b"".as_slice()),
        ("t/acme/1/checkpoint", b"a\n1\n"),
        ("t/acme/1/tile/entries/x001/x234/067.p/255", &large),
    ] {
        put(&*objects, path, bytes).await;
        assert_eq!(get(&*objects, path).await.as_deref(), Some(bytes), "{path}");
    }
    Verdict::Kept
}

async fn replaced(subject: Subject) -> Verdict {
    let objects = subject.objects();
    put(&*objects, "a/b", b"the longer first").await;
    put(&*objects, "a/b", b"second").await;
    assert_eq!(get(&*objects, "a/b").await.as_deref(), Some(b"second".as_slice()));
    assert_eq!(list(&*objects, "a").await, ["a/b"]);
    Verdict::Kept
}

async fn nothing(subject: Subject) -> Verdict {
    let objects = subject.objects();
    put(&*objects, "a/b/c", b"c").await;
    for path in ["b", "a", "a/b", "a/b/d", "a/b/c/d"] {
        assert_eq!(get(&*objects, path).await, None, "{path}");
        objects.remove(path).await.expect("nothing to remove");
    }
    assert_eq!(get(&*objects, "a/b/c").await.as_deref(), Some(b"c".as_slice()));
    assert!(list(&*objects, "z").await.is_empty());
    Verdict::Kept
}

/// More of them than one page of any service holds.
async fn listed(subject: Subject) -> Verdict {
    let objects = subject.objects();
    assert!(list(&*objects, "").await.is_empty());
    let mut paths: Vec<String> = (0..1_100).map(|i| format!("many/{i}")).collect();
    paths.extend(["many.p/1", "many/x001/000", "many/x001/000.p/7", "other"].map(String::from));
    for chunk in paths.chunks(64) {
        let puts = chunk.iter().map(|path| {
            let (objects, path) = (Arc::clone(&objects), path.clone());
            tokio::spawn(async move { put(&*objects, &path, b"x").await })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.expect("no panic");
        }
    }
    paths.sort();
    assert_eq!(list(&*objects, "").await, paths);
    paths.retain(|path| path.starts_with("many/"));
    assert_eq!(list(&*objects, "many").await, paths);
    Verdict::Kept
}

async fn neighbours(subject: Subject) -> Verdict {
    let objects = subject.objects();
    for path in ["t/a/1", "t/ab/1", "t/a-b/1", "t/a.p/1"] {
        put(&*objects, path, b"x").await;
    }
    assert_eq!(list(&*objects, "t/a").await, ["t/a/1"]);
    Verdict::Kept
}

async fn removed(subject: Subject) -> Verdict {
    let objects = subject.objects();
    for path in ["tile/0/000.p/1", "tile/0/000.p/2", "tile/0/000"] {
        put(&*objects, path, b"x").await;
    }
    objects.remove("tile/0/000.p/1").await.expect("removed");
    objects.remove("tile/0/000.p/1").await.expect("gone already");
    assert_eq!(list(&*objects, "tile").await, ["tile/0/000", "tile/0/000.p/2"]);
    objects.remove("tile/0/000.p/2").await.expect("removed");
    assert_eq!(get(&*objects, "tile/0/000.p/2").await, None);
    put(&*objects, "tile/0/000.p/3", b"again").await;
    assert_eq!(list(&*objects, "tile").await, ["tile/0/000", "tile/0/000.p/3"]);
    Verdict::Kept
}

async fn refused(subject: Subject) -> Verdict {
    let objects = subject.objects();
    let long = "a/".repeat(600);
    let wide = "a".repeat(300);
    for path in
        ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", ".hidden", "a/.b", "a\0b", "ü", "a b"]
            .into_iter()
            .chain([long.as_str(), wide.as_str()])
    {
        let refusals = [
            objects.put(path, vec![1]).await.err(),
            objects.get(path).await.err(),
            objects.remove(path).await.err(),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Some(ObjectError::Path(_))), "{path:?}: {refusal:?}");
        }
    }
    assert!(matches!(objects.list("../x").await, Err(ObjectError::Path(_))));
    assert!(list(&*objects, "").await.is_empty());
    Verdict::Kept
}

async fn atomic(subject: Subject) -> Verdict {
    let bytes = |fill: u8| vec![fill; 200_000];
    let objects = subject.objects();
    objects.put("a/checkpoint", bytes(0)).await.expect("kept");
    let writer = {
        let objects = subject.objects();
        tokio::spawn(async move {
            for fill in 1..=20 {
                objects.put("a/checkpoint", bytes(fill)).await.expect("kept");
            }
        })
    };
    let mut seen = 0;
    loop {
        let last = writer.is_finished();
        let read = get(&*objects, "a/checkpoint").await.expect("always there");
        assert_eq!(read.len(), 200_000);
        assert!(read.iter().all(|byte| *byte == read[0]), "a mixture was read");
        assert!(read[0] >= seen, "an older state came back");
        seen = read[0];
        if last {
            break;
        }
        // A store that never waits would keep the writer from its turn.
        tokio::task::yield_now().await;
    }
    writer.await.expect("no panic");
    assert_eq!(seen, 20);
    Verdict::Kept
}

async fn at_once(subject: Subject) -> Verdict {
    let tasks: Vec<_> = (0..8u8)
        .map(|who| {
            let objects = subject.objects();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let path = format!("tile/0/000.p/{who}");
                    objects.put(&path, vec![who]).await.expect("kept");
                    objects.remove(&path).await.expect("removed");
                }
                objects.put(&format!("tile/0/000.p/{who}"), vec![who]).await.expect("kept");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(list(&*subject.objects(), "tile").await.len(), 8);
    Verdict::Kept
}

async fn second_handle(subject: Subject) -> Verdict {
    let first = subject.objects();
    put(&*first, "a/b", b"kept").await;
    let Some(second) = subject.second_handle().await else {
        return Verdict::NotApplicable("its objects do not outlive it");
    };
    assert_eq!(get(&*second, "a/b").await.as_deref(), Some(b"kept".as_slice()));
    put(&*second, "a/c", b"too").await;
    assert_eq!(list(&*first, "").await, ["a/b", "a/c"]);
    Verdict::Kept
}
