//! The second copy in JetStream, against real servers: the law books, and what only a server
//! can show.

mod identity;
mod laws;
mod server;
mod trouble;
