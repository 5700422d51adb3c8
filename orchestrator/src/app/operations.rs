//! What the machine room is told: whether the server can work, and its figures.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a server can work now, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether requests should come here.
    pub ready: bool,
    /// Each part, by name.
    pub parts: Vec<ReadyPart>,
}

/// One part of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyPart {
    /// `store`, `bus`, `engine`, ….
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// A sentence for people; nothing secret is in it.
    pub detail: String,
}

/// Tells how the server is.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Whether it can work now. Answers quickly, from what is known.
    async fn readiness(&self) -> Readiness;
    /// Figures in the text form that Prometheus reads.
    fn metrics(&self) -> String;
}
