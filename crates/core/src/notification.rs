//! What a database tells those who asked to hear of it, apart from answers: PostgreSQL's notifications.
//!
//! One connection of each database listens for all clients (`Purpose::Listener`). A session asks for channels by
//! [`crate::orders::Order::Subscribe`] and is handed what is told on them. An engine without such a thing never asks.

use std::sync::Arc;

/// What clients listen on, named as the database names it.
pub type Channel = Arc<[u8]>;

/// Something that was told on a channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// On which channel.
    pub channel: Channel,
    /// The number that the database gave to the connection which told it.
    pub process: u32,
    /// What was told, as it came.
    pub payload: Box<[u8]>,
}

impl std::fmt::Debug for Notification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What clients tell each other is for no log.
        f.debug_struct("Notification")
            .field("process", &self.process)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// What a listening connection is to do next. When it is done, whatever was told before it was asked has been handed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Channels to listen on from now on.
    pub begin: Vec<Channel>,
    /// Channels that nobody listens on any more.
    pub end: Vec<Channel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_payload_is_printed() {
        let told = Notification {
            channel: b"orders".as_slice().into(),
            process: 7,
            payload: b"secret".as_slice().into(),
        };
        assert_eq!(
            format!("{told:?}"),
            "Notification { process: 7, payload_bytes: 6, .. }"
        );
    }
}
