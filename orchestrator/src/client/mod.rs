//! Speaking to a server: typed requests, pages, streams of events and logs. It knows HTTP and
//! the shapes of `app::reports`, and nothing of the command line.

mod bundle;
mod error;
mod events;
mod logs;
mod options;
mod pages;
mod request;
mod sender;
mod upload;

pub use bundle::Unpacked;
pub use error::{ClientError, Problem};
pub use events::{EventStream, StreamedEvent};
pub use logs::{LogBytes, LogReader};
pub use options::{ClientOptions, Token};
pub use pages::{Page, Pages};
pub use request::{Client, fresh_key, query, segment};
pub use upload::Uploaded;
