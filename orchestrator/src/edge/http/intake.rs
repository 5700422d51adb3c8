//! Bodies as they come: one that must be whole in time, and uploads, which may take long but must
//! come at some speed. Nobody holds a place by sending a byte now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use futures_util::{Stream, StreamExt as _};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes a second that an upload must bring on the whole.
const SPEED: u64 = 64 << 10;

const OPEN: u8 = 0;
const WHOLE: u8 = 1;
const CUT: u8 = 2;

/// What became of a body: it came whole or it was cut off, never both.
#[derive(Clone)]
pub(super) struct Fate {
    state: Arc<AtomicU8>,
    over: CancellationToken,
}

impl Fate {
    /// Cuts the body off; false where it had come whole before.
    pub(super) fn cut(&self) -> bool {
        let ours = self.settle(CUT);
        self.over.cancel();
        ours
    }

    fn settle(&self, state: u8) -> bool {
        let (before, order) = (OPEN, Ordering::AcqRel);
        self.state.compare_exchange(before, state, order, Ordering::Acquire).is_ok()
    }
}

/// The request with a body that can be cut off.
pub(super) fn bounded(request: Request) -> (Request, Fate) {
    let fate = Fate { state: Arc::new(AtomicU8::new(OPEN)), over: CancellationToken::new() };
    if request.body().is_end_stream() {
        fate.settle(WHOLE);
        return (request, fate);
    }
    let (parts, body) = request.into_parts();
    let over = Box::pin(fate.over.clone().cancelled_owned());
    let body = Body::new(Bounded { body, over, fate: fate.clone() });
    (Request::from_parts(parts, body), fate)
}

struct Bounded {
    body: Body,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    fate: Fate,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let late = || Poll::Ready(Some(Err(slow())));
        if self.over.as_mut().poll(cx).is_ready() {
            return late();
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_whole = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        // Whoever was told that it came too late is not told otherwise afterwards.
        let is_first = is_whole && self.fate.settle(WHOLE);
        match is_whole && !is_first && self.fate.state.load(Ordering::Acquire) == CUT {
            true => late(),
            false => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn slow() -> axum::Error {
    axum::Error::new(io::Error::new(io::ErrorKind::TimedOut, "it came too slowly"))
}

/// The pieces of an upload, as long as none takes longer than `patience` and all of them together
/// come at some speed. `was_slow` says afterwards whether that is why they ended.
pub(super) fn steady(
    body: Body,
    patience: Duration,
    was_slow: Arc<AtomicBool>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send {
    let (pieces, began) = (body.into_data_stream(), Instant::now());
    futures_util::stream::unfold(Some((pieces, 0)), move |state| {
        let was_slow = was_slow.clone();
        async move {
            let (mut pieces, came) = state?;
            let earned = Duration::from_secs(came / SPEED);
            let most = (began + patience + earned).min(Instant::now() + patience);
            match timeout_at(most, pieces.next()).await {
                Ok(Some(Ok(bytes))) => {
                    let came = came + bytes.len() as u64;
                    Some((Ok(bytes), Some((pieces, came))))
                }
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(None) => None,
                Err(_) => {
                    was_slow.store(true, Ordering::Release);
                    Some((Err(slow()), None))
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of that many bytes, each so long after the one before.
    fn dripping(bytes: usize, every: Duration, count: usize) -> Body {
        let pieces = futures_util::stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; bytes]))
        });
        Body::from_stream(pieces)
    }

    async fn taken(body: Body) -> (usize, bool) {
        let was_slow = Arc::new(AtomicBool::new(false));
        let pieces = steady(body, Duration::from_secs(30), was_slow.clone());
        let pieces: Vec<_> = pieces.collect().await;
        let came = pieces.iter().flatten().map(Bytes::len).sum();
        (came, was_slow.load(Ordering::Acquire))
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_may_take_long_but_not_for_ever() {
        let minute = 60;
        let steadily = dripping(SPEED as usize, Duration::from_secs(1), 10 * minute);
        assert_eq!(taken(steadily).await, (SPEED as usize * 10 * minute, false));
        let (came, was_slow) = taken(dripping(1, Duration::from_secs(1), 10 * minute)).await;
        assert!(was_slow && came <= 30, "{came} bytes, one each second");
        let (came, was_slow) = taken(dripping(64 << 20, Duration::from_secs(31), 2)).await;
        assert!(was_slow && came == 0, "a piece that does not come");
    }

    #[tokio::test]
    async fn a_body_that_was_cut_off_never_comes_whole() {
        let (request, fate) = bounded(Request::new(Body::from("whole")));
        assert!(fate.cut(), "it had not come yet");
        assert!(axum::body::to_bytes(request.into_body(), 100).await.is_err());
        let (request, fate) = bounded(Request::new(Body::from("whole")));
        let bytes = axum::body::to_bytes(request.into_body(), 100).await.expect("whole");
        assert_eq!((&bytes[..], fate.cut()), (&b"whole"[..], false));
        assert!(!bounded(Request::new(Body::empty())).1.cut(), "there was nothing to wait for");
    }
}
