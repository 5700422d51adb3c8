//! From leaves to money: cases with figures computed by hand, and laws over random histories.

mod cases;
mod clocks;
mod closings;
mod contracts;
mod histories;
mod laws;
mod ledger;
mod lost;
mod orders;
mod prices;
mod published;
