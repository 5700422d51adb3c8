//! A log of a server, read in a task of its own so that slow ones hold up no others.

use std::collections::VecDeque;

use dagbook_events::ids::{RunId, StepKey};
use tokio::sync::mpsc;

use crate::client::{Client, ClientError, LogBytes, segment};

/// Pieces that wait to be printed.
const WAITING: usize = 16;
/// Most lines that `--tail` remembers the beginnings of.
const TAIL_MAX: u64 = 1_000_000;

/// What came.
pub enum Piece {
    /// Bytes.
    Bytes(LogBytes),
    /// Nothing yet.
    Nothing,
    /// It was read to its end.
    End,
}

/// A log that is being read.
pub struct LogStream(mpsc::Receiver<Result<LogBytes, ClientError>>);

impl LogStream {
    /// Begins to read.
    pub fn open(
        client: &Client,
        run: RunId,
        step: &StepKey,
        number: u32,
        follow: bool,
        tail: Option<u64>,
    ) -> Self {
        let path = format!("runs/{run}/steps/{}/attempts/{number}/log", segment(step.as_str()));
        let (sender, receiver) = mpsc::channel(WAITING);
        let client = client.clone();
        tokio::spawn(async move {
            if let Err(error) = read(&client, &path, follow, tail, &sender).await {
                // Nobody listens any longer: then nobody misses it.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self(receiver)
    }

    /// What came since.
    pub fn take(&mut self) -> Result<Piece, ClientError> {
        match self.0.try_recv() {
            Ok(bytes) => Ok(Piece::Bytes(bytes?)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(Piece::Nothing),
            Err(mpsc::error::TryRecvError::Disconnected) => Ok(Piece::End),
        }
    }
}

async fn read(
    client: &Client,
    path: &str,
    follow: bool,
    tail: Option<u64>,
    sender: &mpsc::Sender<Result<LogBytes, ClientError>>,
) -> Result<(), ClientError> {
    let from = match tail {
        Some(lines) => start(client, path, lines).await?,
        None => 0,
    };
    let mut log = client.log(path, from, follow);
    while let Some(bytes) = log.next().await? {
        if sender.send(Ok(bytes)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The offset of the last lines of what is there now.
async fn start(client: &Client, path: &str, lines: u64) -> Result<u64, ClientError> {
    let most = usize::try_from(lines.min(TAIL_MAX)).unwrap_or(usize::MAX);
    let mut log = client.log(path, 0, false);
    let mut starts = VecDeque::from([0]);
    while let Some(piece) = log.next().await? {
        for (at, byte) in piece.bytes.iter().enumerate() {
            if *byte == b'\n' {
                starts.push_back(piece.offset + at as u64 + 1);
                if starts.len() > most + 1 {
                    starts.pop_front();
                }
            }
        }
    }
    let end = log.offset();
    // A line end at the very end closes the last line and begins none.
    if starts.back() == Some(&end) {
        starts.pop_back();
    }
    let skipped = starts.len().saturating_sub(most);
    Ok(starts.get(skipped).copied().unwrap_or(end))
}
