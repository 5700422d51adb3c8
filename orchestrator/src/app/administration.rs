//! What the use cases of administration work with, and what they have in common: fold a stream,
//! decide, append, and again where somebody else was faster.

use std::sync::Arc;

use dagbook_events::aggregate::{Aggregate, AggregateEvent};
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendError, AppendRequest};
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Timestamp;

use super::directory::Directory;
use super::error::AppError;
use super::sealing::Sealer;
use super::services::Services;
use super::streams;

/// How often a decision is made anew because somebody else was faster.
const ROUNDS: usize = 8;

/// What the use cases of administration work with.
#[derive(Clone)]
pub struct Administration {
    /// The usual.
    pub services: Services,
    /// Who may come in.
    pub directory: Directory,
    /// Seals the values of secrets.
    pub sealer: Arc<dyn Sealer>,
    /// The site's name, as its checkpoints and invoices have it.
    pub site: Arc<str>,
}

impl Administration {
    /// Decides over the fold of a stream and records what was decided. Answers the fold with
    /// what was recorded, when this replica's directory has seen it.
    pub(super) async fn decide<A: Aggregate>(
        &self,
        tenant: &TenantId,
        stream: &str,
        by: &Actor,
        decide: impl Fn(&A, Timestamp) -> Result<Vec<A::Event>, Refusal>,
    ) -> Result<(A, Vec<A::Event>), AppError>
    where
        A::Event: AggregateEvent,
    {
        let services = &self.services;
        let stream = StreamName::new(stream).map_err(|e| AppError::Internal(e.to_string()))?;
        for _ in 0..ROUNDS {
            let mut loaded = streams::load::<A>(services.store.as_ref(), tenant, &stream).await?;
            let now = services.clock.now();
            let events = decide(&loaded.state, now)?;
            if events.is_empty() {
                return Ok((loaded.state, events));
            }
            let expected = loaded.expected();
            let append = streams::prepare(services, &stream, expected, now, by, &events)?;
            let request = AppendRequest {
                tenant: tenant.clone(),
                key: None,
                streams: vec![append],
                fence: None,
            };
            match services.store.append(request).await {
                Ok(appended) => {
                    events.iter().for_each(|event| loaded.state.apply(now, event));
                    self.seen(appended.last).await;
                    return Ok((loaded.state, events));
                }
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Conflict("others change it all the time; try again".to_string()))
    }

    async fn seen(&self, position: Position) {
        self.directory.caught_up(position).await;
    }
}
