//! An append request made ready on its caller's thread: checked, and rendered but for numbers.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::digest::Sha256Digest;
use crate::envelope::Draft;
use crate::ids::{StreamName, TenantId};
use crate::ports::{AppendError, AppendRequest, Expected, Fence, StreamAppend};

/// The largest append, in bytes of leaves.
const MAX_APPEND_BYTES: usize = 32 * 1024 * 1024;

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 512;

/// The longest name of a lease, and of its holder, in bytes.
pub(super) const MAX_LEASE_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) tenant: TenantId,
    pub(super) key: Option<PreparedKey>,
    pub(super) streams: Vec<PreparedStream>,
    pub(super) fence: Option<Fence>,
    /// Events in all streams; at least one.
    pub(super) events: usize,
    /// Bytes of all drafts.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct PreparedKey {
    pub(super) text: Arc<str>,
    /// Digest of streams, types and data.
    pub(super) content: Sha256Digest,
}

#[derive(Debug)]
pub(super) struct PreparedStream {
    pub(super) name: StreamName,
    pub(super) expected: Expected,
    pub(super) drafts: Vec<Draft>,
}

impl Prepared {
    pub(super) fn new(request: AppendRequest) -> Result<Self, AppendError> {
        check_shape(&request)?;
        let key = request.key.map(|text| {
            let content = content_digest(&request.streams);
            PreparedKey { text: Arc::from(text), content }
        });
        let tenant = request.tenant;
        let mut this = Self {
            tenant,
            key,
            streams: Vec::with_capacity(request.streams.len()),
            fence: request.fence,
            events: 0,
            bytes: 0,
        };
        for stream in request.streams {
            this.add(stream)?;
        }
        if this.bytes > MAX_APPEND_BYTES {
            let message = format!(
                "it has {} bytes, at most {MAX_APPEND_BYTES} fit in one append: split it",
                this.bytes
            );
            return Err(AppendError::Invalid(message));
        }
        Ok(this)
    }

    /// A request for one event that is rendered already.
    pub(super) fn of_draft(
        tenant: TenantId,
        name: StreamName,
        expected: Expected,
        draft: Draft,
    ) -> Self {
        let bytes = draft.len();
        let streams = vec![PreparedStream { name, expected, drafts: vec![draft] }];
        Self { tenant, key: None, streams, fence: None, events: 1, bytes }
    }

    fn add(&mut self, stream: StreamAppend) -> Result<(), AppendError> {
        let mut drafts = Vec::with_capacity(stream.events.len());
        for event in stream.events {
            let draft = Draft::new(event, &self.tenant, &stream.stream)
                .map_err(|error| AppendError::Invalid(error.to_string()))?;
            self.events += 1;
            self.bytes += draft.len();
            drafts.push(draft);
        }
        self.streams.push(PreparedStream {
            name: stream.stream,
            expected: stream.expected,
            drafts,
        });
        Ok(())
    }
}

fn check_shape(request: &AppendRequest) -> Result<(), AppendError> {
    let invalid = |message: String| Err(AppendError::Invalid(message));
    if request.streams.iter().all(|stream| stream.events.is_empty()) {
        return invalid("it has no events".to_string());
    }
    if request.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
        return invalid(format!("its key must have 1 to {MAX_KEY_BYTES} bytes"));
    }
    if request.key.as_ref().is_some_and(|key| key.contains('\0')) {
        return invalid("its key has a character that not every database can keep".to_string());
    }
    if request.fence.as_ref().is_some_and(|fence| !is_lease_name(&fence.lease)) {
        return invalid(format!("the name of its lease must have 1 to {MAX_LEASE_BYTES} bytes"));
    }
    let mut seen = BTreeSet::new();
    match request.streams.iter().find(|stream| !seen.insert(&stream.stream)) {
        Some(twice) => invalid(format!("the stream {} occurs twice", twice.stream)),
        None => Ok(()),
    }
}

/// Whether a lease, or its holder, can have this name.
pub(super) fn is_lease_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LEASE_BYTES && !text.contains('\0')
}

/// Digest of what makes two requests the same: streams, types and data, in order. Ids and
/// instants are left out, because a caller that asks again may have minted new ones.
fn content_digest(streams: &[StreamAppend]) -> Sha256Digest {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    for stream in streams {
        part(stream.stream.as_str().as_bytes());
        part(&(stream.events.len() as u64).to_be_bytes());
        for event in &stream.events {
            part(event.kind.as_bytes());
            part(&event.data);
        }
    }
    Sha256Digest(hasher.finalize().into())
}
