//! dagbook: asks, performs and answers. The engine decides, the runtime performs, the edges
//! hold the words.

pub mod adapters;
pub mod app;
pub mod config;
pub mod edge;
pub mod engine;
pub mod runtime;
pub mod wiring;
