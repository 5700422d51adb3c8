//! Every executor passes the law book of the port.

use std::path::PathBuf;
use std::sync::Arc;

use dagbook_executors::conformance::{
    Declared, Factory, LocalFactory, ScriptedFactory, Verdict, run_all,
};
use dagbook_executors::local::Cgroups;

fn judge(factory: Arc<dyn Factory>, declared: &[Declared], least: usize) -> Verdict {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let verdict = runtime.block_on(run_all(&factory, declared));
    println!("{verdict}");
    assert!(verdict.failed().is_empty(), "{verdict}");
    assert!(verdict.passed() >= least, "too few cases apply:\n{verdict}");
    assert_eq!(verdict.entries.len(), 58, "every case is accounted for:\n{verdict}");
    verdict
}

fn local(cgroups: Cgroups) -> (tempfile::TempDir, Arc<dyn Factory>) {
    let dir = tempfile::tempdir().expect("a folder");
    let tool = PathBuf::from(env!("CARGO_BIN_EXE_executor-tool"));
    let factory = LocalFactory::new(dir.path().to_path_buf(), tool, cgroups);
    (dir, Arc::new(factory))
}

#[test]
fn scripted() {
    const NO_PROGRAMS: &str = "it runs no programs";
    let declared = [
        Declared { case: 9, reason: "nothing stands between it and its steps" },
        Declared { case: 11, reason: NO_PROGRAMS },
        Declared { case: 12, reason: "timeouts are scripted outcomes" },
        Declared { case: 21, reason: NO_PROGRAMS },
        Declared { case: 22, reason: NO_PROGRAMS },
        Declared { case: 23, reason: NO_PROGRAMS },
        Declared { case: 24, reason: NO_PROGRAMS },
        Declared { case: 28, reason: "it is given no secrets" },
        Declared { case: 29, reason: NO_PROGRAMS },
        Declared { case: 30, reason: NO_PROGRAMS },
        Declared { case: 39, reason: "its figures are scripted" },
        Declared { case: 40, reason: "its figures are scripted" },
        Declared { case: 47, reason: "it writes to no disk" },
        Declared { case: 48, reason: "its clock is the given one, so that simulations can set it" },
    ];
    judge(Arc::new(ScriptedFactory), &declared, 18);
}

#[test]
fn local_with_control_groups() {
    let (_dir, factory) = local(Cgroups::Auto);
    let trees = dagbook_executors::local::cgroup::Trees::detect();
    let declared = [Declared { case: 11, reason: "no memory controller is delegated here" }];
    let declared = if trees.has_memory() { &[][..] } else { &declared[..] };
    judge(factory, declared, 31);
}

#[test]
fn local_without_control_groups() {
    let (_dir, factory) = local(Cgroups::Off);
    let declared = [
        Declared { case: 11, reason: "without a group the kernel tells no cause of a kill" },
        Declared { case: 22, reason: "RLIMIT_NPROC counts a user's processes and spares root" },
    ];
    judge(factory, &declared, 30);
}
