//! Simulation, conformance, scenarios, faults and the benchmark program.

pub mod fuzz_dag;
pub mod sim;
