//! Failure drills: the record after kills, cuts, full disks, stepping clocks and quarrels about
//! who may write. After each one every acknowledged append is there exactly once, positions are
//! dense, trees agree, and a reader that only asked for more has seen each event once.

mod clock;
mod copy;
mod cut;
mod disk;
mod everything;
mod kill;
mod leaders;
mod restart;
mod site;
mod support;
