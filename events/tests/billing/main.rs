//! Rate cards, contracts, periods and budgets: the files, the calendar, the deciders, and the
//! recorded shape of each event.

mod calendar;
mod deciders;
mod files;
mod periods;
mod recorded;
mod support;
