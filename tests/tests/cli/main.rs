//! The command line as a person and a program meet it: the real binary, its output and its
//! exit codes.

mod cost;
mod errors;
mod help;
mod looking;
mod reading;
mod run;
mod servers;
mod shapes;
mod waiting;
