//! dagbook: asks, performs and answers. The engine decides, the runtime performs, the edges
//! hold the words.

pub mod engine;
