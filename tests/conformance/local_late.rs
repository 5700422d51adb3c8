//! Who comes late: a process that slept while another one ran the attempt to its end.

use dagbook_events::step::Outcome;
use dagbook_executors::conformance::{LocalWorld, World as _, shell};
use dagbook_executors::local::LocalExecutor;
use dagbook_executors::{Executor as _, StartError};

use super::{log, run, world};

/// A second one on the same folder, which knows nothing of what the first one did.
fn another(world: &LocalWorld) -> LocalExecutor {
    LocalExecutor::new(world.config.clone()).expect("an executor")
}

#[tokio::test]
async fn an_attempt_that_ran_and_was_let_go_is_never_run_again() {
    let (_dir, world) = world();
    let executor = world.executor();
    let spec = shell("echo once");
    assert_eq!(run(executor.as_ref(), spec.clone()).await.outcome, Outcome::Succeeded);
    executor.release(spec.attempt).await;
    assert_eq!(world.remains(spec.attempt), Vec::<String>::new());
    let late = another(&world);
    let refused = late.start(spec.clone()).await.expect_err("it ran already");
    assert_eq!(refused, StartError::Spent { attempt: spec.attempt });
    assert!(matches!(refused.outcome(), Some(Outcome::Lost { .. })), "{refused:?}");
    assert_eq!(log(executor.as_ref(), &spec).await, "once\n", "it ran once");
    assert_eq!(world.remains(spec.attempt), Vec::<String>::new(), "the refusal left nothing");
}

#[tokio::test]
async fn an_executor_that_was_shut_down_starts_nothing_more() {
    let (_dir, world) = world();
    let executor = another(&world);
    executor.shutdown().await;
    let spec = shell("echo never");
    let refused = executor.start(spec.clone()).await.expect_err("it is over");
    assert!(matches!(refused, StartError::Busy { .. }), "{refused:?}");
    assert_eq!(world.remains(spec.attempt), Vec::<String>::new());
}
