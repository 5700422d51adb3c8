//! Harness of the tests, and the benchmark program.

pub mod executor_host;
