//! Harness of the tests, the simulation, the fuzzer and the benchmarks of dagbook.

pub mod executor_host;
pub mod fuzz_dag;
pub mod sim;
