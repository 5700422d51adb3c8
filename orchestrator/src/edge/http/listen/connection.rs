//! A connection whose other end must take what it is sent: one that takes nothing for too long
//! is closed, so that nobody can hold answers in memory for good.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream with a bound on how long a write may stand still.
pub(super) struct Bounded<S> {
    stream: S,
    most: Duration,
    still: Pin<Box<Sleep>>,
    is_still: bool,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, most: Duration) -> Self {
        Self { stream, most, still: Box::pin(sleep(most)), is_still: false }
    }

    /// Counts how long nothing could be written.
    fn bound<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.is_still = false;
            return poll;
        }
        if !self.is_still {
            self.is_still = true;
            let until = Instant::now() + self.most;
            self.still.as_mut().reset(until);
        }
        match self.still.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bound(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.bound(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bound(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.bound(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_cut_off_and_one_that_is_slow_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut bounded = Bounded::new(ours, Duration::from_secs(10));
        let reading = tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                let mut piece = [0; 16];
                tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut piece).await.expect("bytes");
            }
            theirs
        });
        bounded.write_all(&[1; 128]).await.expect("a slow end");
        let _theirs = reading.await.expect("the reader");
        let error = bounded.write_all(&[1; 128]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
