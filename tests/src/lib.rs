//! What proves the rest: the simulation and other harnesses that tests and programs share.

pub mod sim;
