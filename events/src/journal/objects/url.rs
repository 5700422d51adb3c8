//! Where objects are kept, as one address: `file:///folder`, or
//! `s3://bucket/prefix?endpoint=…&region=…&path_style=…&allow_http=…&anonymous=…`.

use std::sync::Arc;

use super::{FsObjects, S3Credentials, S3Objects, S3Options};
use crate::ports::{ObjectError, Objects};

/// Why an address does not lead to objects. Never holds the address itself, which may hold
/// secrets by mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectsUrlError {
    /// It is not `file://` or `s3://`.
    #[error("an address of objects is file:///folder or s3://bucket/prefix")]
    Scheme,
    /// A file's address is not absolute.
    #[error("the folder in file://… must be absolute: file:///folder")]
    Folder,
    /// Credentials stand in it.
    #[error(
        "credentials do not belong into the address: put them into the configuration or into \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials,
    /// The bucket is missing or not a name.
    #[error("the bucket in s3://bucket/prefix is missing or not a name")]
    Bucket,
    /// A parameter is not known.
    #[error(
        "the parameter `{0}` is not known: endpoint, region, path_style, allow_http and \
         anonymous are"
    )]
    Parameter(String),
    /// A parameter's value is not true or false, or not text.
    #[error("the value of the parameter `{0}` is not usable")]
    Value(String),
    /// What it leads to cannot be opened.
    #[error(transparent)]
    Open(#[from] ObjectError),
}

/// Opens what the address leads to. `credentials` are for buckets; without them the standard
/// `AWS_…` variables count. An endpoint makes `path_style` true unless the address says no.
pub fn objects_from_url(
    url: &str,
    credentials: Option<S3Credentials>,
) -> Result<Arc<dyn Objects>, ObjectsUrlError> {
    if let Some(folder) = url.strip_prefix("file://") {
        return match folder.starts_with('/') {
            true => Ok(Arc::new(FsObjects::open(folder)?)),
            false => Err(ObjectsUrlError::Folder),
        };
    }
    let rest = url.strip_prefix("s3://").ok_or(ObjectsUrlError::Scheme)?;
    Ok(Arc::new(S3Objects::open(bucket(rest, credentials)?)?))
}

fn bucket(rest: &str, credentials: Option<S3Credentials>) -> Result<S3Options, ObjectsUrlError> {
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if place.contains('@') {
        return Err(ObjectsUrlError::Credentials);
    }
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || bucket.len() > 63 || !bucket.bytes().all(plain) {
        return Err(ObjectsUrlError::Bucket);
    }
    let mut options = S3Options {
        bucket: bucket.to_string(),
        prefix: prefix.trim_end_matches('/').to_string(),
        endpoint: None,
        region: None,
        path_style: false,
        allow_http: false,
        anonymous: false,
        credentials,
    };
    let mut path_style = None;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let unusable = || ObjectsUrlError::Value(name.chars().take(40).collect());
        let text = || percent_decoded(value).filter(|value| !value.is_empty());
        let flag = || value.parse::<bool>().map_err(|_| unusable());
        match name {
            "endpoint" => options.endpoint = Some(text().ok_or_else(unusable)?),
            "region" => options.region = Some(text().ok_or_else(unusable)?),
            "path_style" => path_style = Some(flag()?),
            "allow_http" => options.allow_http = flag()?,
            "anonymous" => options.anonymous = flag()?,
            other => return Err(ObjectsUrlError::Parameter(other.chars().take(40).collect())),
        }
    }
    if options.endpoint.as_ref().is_some_and(|endpoint| endpoint.contains('@')) {
        return Err(ObjectsUrlError::Credentials);
    }
    options.path_style = path_style.unwrap_or(options.endpoint.is_some());
    Ok(options)
}

/// Undoes `%3A` and the like.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}
