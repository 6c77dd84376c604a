//! The connection: made, and told of when it is made anew.

use super::stream::Options;
use super::{Error, Names, refusal};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event};
use std::time::Duration;
use tokio::sync::watch;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for two of these is given up.
const PING: Duration = Duration::from_secs(5);

/// Counts the connections. What lived in the server's memory, as readers do, may be gone with the one before.
pub(super) type Connected = watch::Receiver<u64>;

/// Connects to a server that has what the log needs.
pub(super) async fn connect(
    names: &Names,
    options: &Options,
    connection: ConnectOptions,
) -> Result<(Client, Context, Connected), Error> {
    let (count, connected) = watch::channel(0);
    let connection = connection.name(names.stream()).ping_interval(PING).request_timeout(Some(TIMEOUT)).event_callback(
        move |event| {
            match &event {
                Event::Connected => count.send_modify(|count| {
                    if *count > 0 {
                        tracing::info!("connected to NATS again");
                    }
                    *count += 1;
                }),
                Event::Disconnected => tracing::warn!("the connection to NATS is lost; it is made anew"),
                other => tracing::debug!("NATS: {other}"),
            }
            async {}
        },
    );
    let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
    let client = connection.connect(servers).await;
    let client = client.map_err(|error| refusal::connection(&error, shown(&options.url)))?;
    let server = client.server_info();
    if !client.is_server_compatible(2, 12, 0) {
        return Err(Error::TooOld(server.version));
    }
    let context = context(&client);
    context.query_account().await.map_err(|error| refusal::account(&error, server.jetstream))?;
    Ok((client, context, connected))
}

/// JetStream over this client.
pub(crate) fn context(client: &Client) -> Context {
    ContextBuilder::new().timeout(TIMEOUT).build(client.clone())
}

/// Addresses without user and password.
pub(crate) fn shown(url: &str) -> String {
    let one = |url: &str| match url.rsplit_once('@') {
        Some((before, host)) => {
            format!("{}{host}", before.split_inclusive("://").next().filter(|s| s.ends_with("://")).unwrap_or(""))
        }
        None => url.to_owned(),
    };
    url.split(',').map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_password_is_shown() {
        assert_eq!(super::shown("nats://a:b@h:1,tls://h2:2,t@h3"), "nats://h:1,tls://h2:2,h3");
    }
}
