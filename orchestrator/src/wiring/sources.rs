//! The keepings of the record: what can be compared, and from where a run can be replayed.

use std::sync::Arc;

use dagbook_events::journal::reconcile::{
    CopySource, LeafSource, SourceError, StoreSource, TileSource,
};
use dagbook_events::journal::verify::AuditSource;
use dagbook_events::ports::{CopyError, Objects, RecordCopy};
use dagbook_events::tlog::VerifierKey;

use super::{Jet, Layout, OpenError, copy};
use crate::config::{Config, StoreLocation};

/// A keeping of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SourceName {
    /// The store of the configuration, whichever it is
    Store,
    /// The store, which must be Postgres
    Postgres,
    /// The store, which must be SQLite
    Sqlite,
    /// The second copy in NATS JetStream
    Jetstream,
    /// The published tiles, up to their signed head
    Tiles,
}

impl SourceName {
    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::Jetstream => "jetstream",
            Self::Tiles => "tiles",
        }
    }

    /// Whether it is the store.
    pub fn is_store(self) -> bool {
        matches!(self, Self::Store | Self::Postgres | Self::Sqlite)
    }

    /// Refuses a store of another kind than the configured one.
    ///
    /// # Errors
    /// Says which one it is.
    pub fn check_kind(self, config: &Config) -> Result<(), SourceUnknown> {
        let is_postgres = matches!(config.store, StoreLocation::Postgres(_));
        match self {
            Self::Postgres if !is_postgres => Err(SourceUnknown(
                "the record is not kept in Postgres: the configuration names a SQLite file".into(),
            )),
            Self::Sqlite if is_postgres => Err(SourceUnknown(
                "the record is not kept in SQLite: the configuration names a Postgres database"
                    .into(),
            )),
            _ => Ok(()),
        }
    }
}

/// What was asked for is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceUnknown(pub String);

/// Why a keeping cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// It is not configured.
    #[error(transparent)]
    Unknown(#[from] SourceUnknown),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be reached.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] SourceError),
}

/// Gives out the keepings beside the store; each is opened when it is asked for.
pub struct Sources<'a> {
    config: &'a Config,
    layout: Layout,
    /// The key of the site, where it was named.
    log_key: Option<VerifierKey>,
    /// The timeline, where it was named or asked of the store.
    timeline: Option<u64>,
}

impl<'a> Sources<'a> {
    /// Those of a configuration.
    pub fn new(
        config: &'a Config,
        layout: Layout,
        log_key: Option<VerifierKey>,
        timeline: Option<u64>,
    ) -> Self {
        Self { config, layout, log_key, timeline }
    }

    /// The store as a side.
    pub fn store(&self, name: SourceName, audit: Arc<dyn AuditSource>) -> Box<dyn LeafSource> {
        Box::new(StoreSource::new(name.as_str(), audit))
    }

    /// The second copy as a side.
    pub async fn jetstream(&self) -> Result<Box<dyn LeafSource>, SourcesError> {
        let jet = Jet::of(self.config).ok_or_else(|| {
            SourceUnknown("there is no second copy: the configuration names no `bus`".to_string())
        })?;
        jet.ready().await?;
        let copy = jet.record_copy();
        let timeline = match self.timeline {
            Some(timeline) => timeline,
            None => newest_timeline(copy.as_ref()).await?,
        };
        Ok(Box::new(CopySource::new(SourceName::Jetstream.as_str(), copy, timeline)))
    }

    /// The published tiles as a side.
    pub async fn tiles(&self) -> Result<Box<dyn LeafSource>, SourcesError> {
        let source = self.tile_source().await?;
        Ok(Box::new(source))
    }

    /// One tenant's published tiles.
    pub async fn tiles_of_tenant(&self) -> Result<Box<dyn LeafSource>, SourcesError> {
        let source = self.tile_source().await?;
        Ok(Box::new(source.of_tenant(self.config.tenant.clone())))
    }

    async fn tile_source(&self) -> Result<TileSource, SourcesError> {
        let objects = copy::objects(self.config, &self.layout)?.ok_or_else(|| {
            SourceUnknown("no tiles are published: the configuration names no `objects`".into())
        })?;
        let key = self.site_key()?;
        let timeline = match self.timeline {
            Some(timeline) => timeline,
            None => self.newest_published(objects.as_ref()).await?,
        };
        Ok(TileSource::new(SourceName::Tiles.as_str(), objects, key, timeline))
    }

    async fn newest_published(&self, objects: &dyn Objects) -> Result<u64, SourcesError> {
        TileSource::newest_timeline(objects).await.map_err(|error| {
            let name = SourceName::Tiles.as_str().to_string();
            SourceError { name, reason: error.to_string(), is_damage: false }.into()
        })
    }

    /// The key that heads were signed with: the one that was named, else the site's own.
    pub fn site_key(&self) -> Result<VerifierKey, SourceUnknown> {
        if let Some(key) = &self.log_key {
            return Ok(key.clone());
        }
        site_key(&self.layout)
    }
}

/// The site's verifier key, which stands beside its signing key.
///
/// # Errors
/// Where there is none here.
pub fn site_key(layout: &Layout) -> Result<VerifierKey, SourceUnknown> {
    let path = layout.keys().join("signing.key.vkey");
    let missing = |reason: String| {
        SourceUnknown(format!(
            "the site's key is not here ({}: {reason}); name it with `--log-key`",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| missing(error.to_string()))?;
    VerifierKey::parse(text.trim()).map_err(|error| missing(error.to_string()))
}

/// The newest timeline that was copied; 1 where nothing was.
async fn newest_timeline(copy: &dyn RecordCopy) -> Result<u64, CopyError> {
    let mut newest = 1;
    // Timelines are made by hand after a restore: they are few.
    for timeline in 2..1_000 {
        if copy.last(timeline).await?.0 == 0 {
            break;
        }
        newest = timeline;
    }
    Ok(newest)
}
