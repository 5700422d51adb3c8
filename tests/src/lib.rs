//! What proves the rest: harnesses, the simulation, the fuzzer and the benchmarks of dagbook.

pub mod books;
pub mod bundles;
pub mod drill;
pub mod executor_host;
pub mod fuzz_dag;
pub mod harness;
pub mod month;
pub mod project;
pub mod served;
pub mod servers;
pub mod sim;
pub mod stores;
pub mod workload;
