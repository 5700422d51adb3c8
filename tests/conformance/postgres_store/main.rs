//! The store in Postgres, against real servers: the whole law book, the same bytes as the other
//! stores, and what only a server can show.

mod archive;
mod back;
mod damage;
mod laws;
mod lost;
mod many;
mod open;
mod partitions;
mod subject;
mod trips;
