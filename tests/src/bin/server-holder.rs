//! Starts two servers, says the numbers of their processes, and stays until it is killed.

use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion};

fn main() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let version = match NatsVersion::Current.available() {
        true => NatsVersion::Current,
        false => NatsVersion::Debian,
    };
    let nats = Nats::start(version);
    println!("{}\n{}", postgres.id().unwrap_or_default(), nats.id().unwrap_or_default());
    loop {
        std::thread::park();
    }
}
