//! Objects in a bucket that speaks S3, over the `object_store` crate.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};

use super::{check_folder, check_path};
use crate::ports::{ObjectError, Objects};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request is repeated where the service is not there or says that it is busy.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Access keys; never shown.
#[derive(Clone, Default)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token, where the keys are temporary.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(hidden)")
    }
}

/// Where the bucket is and how it is reached.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Name of the bucket.
    pub bucket: String,
    /// Folder in it below which everything is kept; empty for the whole bucket.
    pub prefix: String,
    /// Address of the service, such as `https://s3.example.com`; `None`: Amazon's.
    pub endpoint: Option<String>,
    /// Region; `None`: `AWS_REGION` or `us-east-1`.
    pub region: Option<String>,
    /// The bucket's name stands in the path rather than in the host's name.
    pub path_style: bool,
    /// `http://` endpoints are allowed.
    pub allow_http: bool,
    /// Requests are not signed: for public buckets.
    pub anonymous: bool,
    /// Keys; `None`: the standard `AWS_…` variables, or what the machine's provider gives it.
    pub credentials: Option<S3Credentials>,
}

/// Keeps objects in a bucket. A put is durable when the service says so.
pub struct S3Objects {
    store: AmazonS3,
    prefix: String,
    /// What errors call it: bucket and endpoint.
    shown: String,
}

impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Objects({})", self.shown)
    }
}

impl S3Objects {
    /// Prepares the client; nothing is asked of the service yet.
    pub fn open(options: S3Options) -> Result<Self, ObjectError> {
        check_folder(&options.prefix)?;
        let at = options.endpoint.as_deref().unwrap_or("Amazon S3");
        let shown = format!("bucket {} at {at}", options.bucket);
        let timeouts = ClientOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(Duration::from_secs(5))
            .with_allow_http(options.allow_http);
        let retry =
            RetryConfig { max_retries: 5, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder = match options.credentials {
            None => AmazonS3Builder::from_env(),
            Some(_) => AmazonS3Builder::new(),
        };
        builder = builder
            .with_bucket_name(&options.bucket)
            .with_virtual_hosted_style_request(!options.path_style)
            .with_skip_signature(options.anonymous)
            .with_client_options(timeouts)
            .with_allow_http(options.allow_http)
            .with_retry(retry);
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &options.region {
            builder = builder.with_region(region);
        }
        if let Some(keys) = &options.credentials {
            builder = builder
                .with_access_key_id(&keys.access_key_id)
                .with_secret_access_key(&keys.secret_access_key);
            if let Some(token) = &keys.session_token {
                builder = builder.with_token(token);
            }
        }
        let store = builder
            .build()
            .map_err(|error| ObjectError::Unavailable(format!("{shown}: {error}")))?;
        Ok(Self { store, prefix: options.prefix, shown })
    }

    fn path(&self, path: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(path),
            false => Path::from(format!("{}/{path}", self.prefix)),
        }
    }

    fn unavailable(&self, error: &object_store::Error) -> ObjectError {
        ObjectError::Unavailable(format!("{}: {error}", self.shown))
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        check_path(path)?;
        let put = self.store.put(&self.path(path), bytes.into()).await;
        put.map(|_| ()).map_err(|error| self.unavailable(&error))
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        check_path(path)?;
        let got = match self.store.get(&self.path(path)).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        check_folder(folder)?;
        let below = match (self.prefix.is_empty(), folder.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Path::from(self.prefix.as_str())),
            (_, false) => Some(self.path(folder)),
        };
        let mut listed = self.store.list(below.as_ref());
        let mut paths = Vec::new();
        while let Some(object) =
            listed.try_next().await.map_err(|error| self.unavailable(&error))?
        {
            let path = object.location.as_ref();
            let path = match self.prefix.is_empty() {
                true => Some(path),
                false => path.strip_prefix(&self.prefix).and_then(|path| path.strip_prefix('/')),
            };
            // What is not a path of an object was not put by us.
            paths.extend(path.filter(|path| check_path(path).is_ok()).map(str::to_string));
        }
        paths.sort();
        Ok(paths)
    }

    async fn remove(&self, path: &str) -> Result<(), ObjectError> {
        check_path(path)?;
        match self.store.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}
