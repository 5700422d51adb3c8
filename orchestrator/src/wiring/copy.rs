//! The second copy, and the places beside it: what is reached without the store.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::journal::bus::jetstream::{
    JetStreamBus, JetStreamCopy, JetStreamNotes, Nats, NatsOptions,
};
use dagbook_events::journal::objects::{FsObjects, objects_from_url};
use dagbook_events::ports::{CopyError, EventBus, Notes, Objects, RecordCopy};

use super::{Layout, OpenError};
use crate::config::{BusLocation, Config, ObjectsLocation, StoreLocation};

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// NATS with everything that is kept there.
#[derive(Clone)]
pub struct Jet {
    /// The copy of the record, with what `doctor` asks of it.
    pub copy: Arc<JetStreamCopy>,
    /// Signed checkpoints.
    pub notes: Arc<dyn Notes>,
    /// Wake-ups.
    pub bus: Arc<dyn EventBus>,
    nats: Nats,
}

impl Jet {
    /// Begins to connect, in the background, and goes on trying.
    pub fn start(options: &NatsOptions) -> Self {
        let nats = Nats::start(options.clone());
        Self {
            copy: Arc::new(JetStreamCopy::new(nats.clone())),
            notes: Arc::new(JetStreamNotes::new(nats.clone())),
            bus: Arc::new(JetStreamBus::new(nats.clone())),
            nats,
        }
    }

    /// The one that the configuration names, if it names one.
    pub fn of(config: &Config) -> Option<Self> {
        match &config.bus {
            BusLocation::Memory => None,
            BusLocation::Nats(options) => Some(Self::start(options)),
        }
    }

    /// Waits for the connection.
    pub async fn ready(&self) -> Result<(), CopyError> {
        self.nats.ready(CONNECT).await
    }

    /// The copy as a port.
    pub fn record_copy(&self) -> Arc<dyn RecordCopy> {
        self.copy.clone()
    }

    /// Where it is, without secrets.
    pub fn shown(&self) -> String {
        self.nats.options().to_string()
    }
}

/// Where tiles are published; `None`: nowhere.
pub fn objects(config: &Config, layout: &Layout) -> Result<Option<Arc<dyn Objects>>, OpenError> {
    let failed =
        |reason: String| OpenError::Objects { place: shown_objects(config, layout), reason };
    let folder = |folder: &std::path::Path| -> Result<Arc<dyn Objects>, OpenError> {
        let opened = FsObjects::open(folder).map_err(|error| failed(error.to_string()))?;
        Ok(Arc::new(opened))
    };
    match &config.objects {
        ObjectsLocation::InDataFolder if is_shared(config) => folder(&layout.tiles()).map(Some),
        ObjectsLocation::InDataFolder => Ok(None),
        ObjectsLocation::Folder(path) => folder(path).map(Some),
        ObjectsLocation::Bucket(url) => {
            objects_from_url(url, None).map(Some).map_err(|error| failed(error.to_string()))
        }
    }
}

/// Where tiles are published, for messages.
pub fn shown_objects(config: &Config, layout: &Layout) -> String {
    match &config.objects {
        ObjectsLocation::InDataFolder => layout.tiles().display().to_string(),
        ObjectsLocation::Folder(path) => path.display().to_string(),
        ObjectsLocation::Bucket(url) => url.clone(),
    }
}

/// Whether others look at the record too, so that it is worth publishing.
fn is_shared(config: &Config) -> bool {
    config.bus != BusLocation::Memory || matches!(config.store, StoreLocation::Postgres(_))
}
