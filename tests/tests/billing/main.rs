//! From a run to an invoice and a credit note, with the real programs: on a data folder here, and
//! on a server; and what is read of a long log for it.

mod files;
mod folds;
mod here;
mod served;
mod support;
