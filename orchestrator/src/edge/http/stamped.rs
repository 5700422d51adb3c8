//! Where a handler gets time and chance from: the same again when the same request is repeated
//! under its idempotency key, so that what was half done is completed and nothing done twice.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::RunId;
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Api, Problem};
use crate::app::runs::Intake;

/// What ids are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// When the request came first.
    pub at: Timestamp,
    /// Its chance, as hex.
    pub seed: String,
    /// Whether it was begun before, so that what it makes may be there already.
    #[serde(skip)]
    pub again: bool,
}

impl Stamped {
    /// Of a request that comes for the first time.
    pub fn fresh(api: &Api) -> Self {
        let seed = api.services.rng.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { at: api.services.clock.now(), seed, again: false }
    }

    /// The id of the run that the request makes.
    pub fn run_id(&self) -> RunId {
        RunId(self.id("run"))
    }

    /// Under which id its run is taken in.
    pub fn intake<'a>(&self, traceparent: Option<&'a str>) -> Intake<'a> {
        Intake { run: self.run_id(), traceparent, again: self.again }
    }

    /// The id of another thing that it makes, by a name of its own.
    pub fn id(&self, of: &str) -> Uuid {
        let digest = Sha256Digest::of(format!("{}/{of}", self.seed).as_bytes());
        let mut random = [0; 10];
        random.copy_from_slice(&digest.0[..10]);
        let millis = u64::try_from(self.at.0).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

impl FromRequestParts<Api> for Stamped {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::fresh(api)))
    }
}
