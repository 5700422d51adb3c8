//! dagbook: asks, performs and answers. The engine decides, the runtime performs, the edges
//! hold the words.

pub mod adapters;
pub mod app;
pub mod client;
pub mod config;
pub mod edge;
pub mod engine;
pub mod runtime;
pub mod server;
pub mod telemetry;
pub mod wiring;
