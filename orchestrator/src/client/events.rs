//! A stream of server-sent events that outlives its connections: after a cut it goes on behind
//! the last event that was handed out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};

use super::request::{Body, Client, pause};
use super::{ClientError, Problem};

/// The longest event that is taken.
const EVENT_MAX: usize = 64 << 20;
/// A stream on which nothing happens says that it is there; one that does not is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// A connection that held so long was a good one.
const LASTING: Duration = Duration::from_secs(5);
/// Connections in a row that brought nothing, before a person is told.
const FRUITLESS: u32 = 8;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamedEvent {
    /// Where the stream goes on behind it.
    pub id: String,
    /// Its type; empty: an ordinary one.
    pub event: String,
    /// What it says.
    pub data: String,
}

/// A stream.
pub struct EventStream {
    client: Client,
    path: String,
    last: Option<String>,
    open: Option<Response>,
    parser: Parser,
    ready: VecDeque<StreamedEvent>,
    fruitless: u32,
    connected: bool,
    since: Instant,
}

impl Client {
    /// The stream at a path, from its beginning, or from behind the event of this id.
    pub fn stream(&self, path: &str, behind: Option<String>) -> EventStream {
        EventStream {
            client: self.clone(),
            path: path.to_string(),
            last: behind,
            open: None,
            parser: Parser::default(),
            ready: VecDeque::new(),
            fruitless: 0,
            connected: false,
            since: Instant::now(),
        }
    }
}

impl EventStream {
    /// The next event, whenever it comes; none: the server says that no more will. Connections
    /// that break are made anew. Dropping the future between events loses nothing.
    pub async fn next(&mut self) -> Result<Option<StreamedEvent>, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                match (event.event.as_str(), event.problem()) {
                    // It ends here and may go on: the next connection says so.
                    ("end", _) => {
                        self.broken().await?;
                        continue;
                    }
                    (_, Some(error)) if error.may_pass() => {
                        self.broken().await?;
                        continue;
                    }
                    (_, Some(error)) => return Err(error),
                    (_, None) => {}
                }
                self.fruitless = 0;
                if !event.id.is_empty() {
                    self.last = Some(event.id.clone());
                }
                return Ok(Some(event));
            }
            if self.open.is_none() && !self.connect().await? {
                return Ok(None);
            }
            let Some(response) = self.open.as_mut() else { continue };
            match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    if !self.parser.feed(&bytes, &mut self.ready) {
                        return Err(self.client.strange("one of its events is far too long"));
                    }
                }
                // Ended, cut or silent: what was not whole comes again.
                Ok(Ok(None)) | Ok(Err(_)) | Err(_) => self.broken().await?,
            }
        }
    }

    async fn broken(&mut self) -> Result<(), ClientError> {
        self.open = None;
        self.parser = Parser::default();
        if self.since.elapsed() > LASTING {
            // It held for a while: something on the way cuts what is quiet.
            self.fruitless = 0;
        }
        self.fruitless += 1;
        if self.fruitless > FRUITLESS {
            return Err(ClientError::Unreachable {
                server: self.client.server().to_string(),
                reason: "its stream of events breaks off again and again".to_string(),
            });
        }
        tokio::time::sleep(pause(self.fruitless.saturating_sub(1), None)).await;
        Ok(())
    }

    /// False where the server says that nothing more will come.
    async fn connect(&mut self) -> Result<bool, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = &self.last {
            let value = HeaderValue::from_str(last)
                .map_err(|_| self.client.strange("an event's id cannot be sent back"))?;
            headers.insert(HeaderName::from_static("last-event-id"), value);
        }
        let mut tries = self.client.tries(self.connected);
        let response = loop {
            let (headers, body) = (headers.clone(), Body::default());
            match self.client.once(Method::GET, &self.path, headers, body, None).await {
                Ok(response) => break response,
                Err(error) => tries.again(error).await?,
            }
        };
        if response.status() == reqwest::StatusCode::NO_CONTENT {
            return Ok(false);
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_stream = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if !is_stream {
            return Err(self.client.strange("it sends no stream of events"));
        }
        self.open = Some(response);
        self.connected = true;
        self.since = Instant::now();
        Ok(true)
    }
}

/// A problem that a stream tells of, where the answer had begun before it was known.
pub(super) fn told(data: &str) -> ClientError {
    ClientError::Problem(Box::new(serde_json::from_str::<Problem>(data).unwrap_or_default()))
}

impl StreamedEvent {
    /// The problem that ends the stream, if that is what this is.
    fn problem(&self) -> Option<ClientError> {
        (self.event == "problem").then(|| told(&self.data))
    }
}

/// The lines of the format, put together.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    was_return: bool,
    event: StreamedEvent,
    has_data: bool,
}

impl Parser {
    /// Takes bytes; false where an event is too long.
    fn feed(&mut self, bytes: &[u8], ready: &mut VecDeque<StreamedEvent>) -> bool {
        for byte in bytes {
            match byte {
                b'\n' if self.was_return => self.was_return = false,
                b'\n' | b'\r' => {
                    self.was_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.end_of_line(&line, ready);
                }
                byte => {
                    self.was_return = false;
                    self.line.push(*byte);
                }
            }
        }
        self.line.len() + self.event.data.len() <= EVENT_MAX
    }

    fn end_of_line(&mut self, line: &[u8], ready: &mut VecDeque<StreamedEvent>) {
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                if event.data.ends_with('\n') {
                    event.data.pop();
                }
                ready.push_back(event);
            }
            return;
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.has_data = true;
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" if !value.contains('\0') => self.event.id = value.to_string(),
            "event" => self.event.event = value.to_string(),
            // Comments, `retry`, and what later versions may say.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pieces: &[&[u8]]) -> Vec<StreamedEvent> {
        let (mut parser, mut ready) = (Parser::default(), VecDeque::new());
        for piece in pieces {
            assert!(parser.feed(piece, &mut ready));
        }
        ready.into()
    }

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        let text =
            ": hello\r\n\r\nid: 7\r\nevent: note\r\ndata: a\r\ndata:b\r\n\r\ndata: ü\n\nid: 8\n";
        let whole = parsed(&[text.as_bytes()]);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(parsed(&bytes), whole);
        assert_eq!(whole.len(), 2);
        let first = &whole[0];
        assert_eq!((first.id.as_str(), first.event.as_str()), ("7", "note"));
        assert_eq!(first.data, "a\nb");
        assert_eq!(whole[1].data, "ü");
    }

    #[test]
    fn an_event_that_was_cut_off_is_not_handed_out() {
        assert_eq!(parsed(&[b"id: 1\ndata: half"]), []);
    }
}
