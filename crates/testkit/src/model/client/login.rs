//! How the client gets in: startup packet, authentication, greeting.
//!
//! How to answer an authentication request is the caller's: [`Authenticator`]. Clear text is here; SCRAM needs
//! cryptography and comes from outside.

use std::fmt;

use super::super::wire::{put_sized, put_str, put_u32};
use super::script::Episode;

/// Answers authentication requests.
pub trait Authenticator {
    /// The body of the PasswordMessage (or SASL message) that answers the request `code` with its `data`;
    /// `None` when the request needs no answer or cannot be answered.
    fn answer(&mut self, code: u32, data: &[u8]) -> Option<Vec<u8>>;
}

/// Answers only the clear-text request.
pub struct ClearText(String);

impl ClearText {
    /// With this password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for ClearText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClearText")
    }
}

impl Authenticator for ClearText {
    fn answer(&mut self, code: u32, _data: &[u8]) -> Option<Vec<u8>> {
        (code == 3).then(|| [self.0.as_bytes(), &[0]].concat())
    }
}

/// SSLRequest.
pub(super) fn ssl_request() -> Vec<u8> {
    let mut out = Vec::new();
    put_sized(&mut out, |b| put_u32(b, (1234 << 16) | 5679));
    out
}

/// CancelRequest for a key of any length.
pub(super) fn cancel_request(pid: u32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_sized(&mut out, |b| {
        put_u32(b, (1234 << 16) | 5678);
        put_u32(b, pid);
        b.extend_from_slice(key);
    });
    out
}

/// The startup packet of an episode.
pub(super) fn startup_packet(episode: &Episode, user: &str, database: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_sized(&mut out, |b| {
        put_u32(b, (3 << 16) | u32::from(episode.minor));
        for (name, value) in [("user", user), ("database", database)] {
            put_str(b, name);
            put_str(b, value);
        }
        for (name, value, _) in &episode.settings {
            put_str(b, name);
            put_str(b, value);
        }
        if !episode.options.is_empty() {
            put_str(b, "options");
            put_str(b, &options(&episode.options));
        }
        b.push(0);
    });
    out
}

fn options(options: &[(&'static str, &'static str, &'static str)]) -> String {
    let words: Vec<String> = options
        .iter()
        .map(|(name, value, _)| {
            format!(
                "-c {name}={}",
                value.replace('\\', "\\\\").replace(' ', "\\ ")
            )
        })
        .collect();
    words.join(" ")
}

/// What the startup packet makes of the session's settings: lower-case names, values as shown. A parameter of its
/// own wins over the same in `options`.
pub(super) fn startup_settings(episode: &Episode) -> Vec<(String, String)> {
    episode
        .options
        .iter()
        .chain(&episode.settings)
        .map(|(name, _, shown)| (name.to_ascii_lowercase(), (*shown).to_owned()))
        .collect()
}
