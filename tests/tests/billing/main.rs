//! From a run to an invoice and a credit note, with the real programs: on a data folder here, and
//! on a server.

mod files;
mod here;
mod served;
mod support;
