//! The relay: what it copies, what it refuses, and that no order of misfortunes makes it lose,
//! double or falsify an event.

mod carriers;
mod relaying;
mod simulation;
mod world;
