//! What an OK packet tells of its session besides its status: an alarm, and what of it the client has asked to be told.
//!
//! Backends are asked to report whatever changes in their sessions (`session_track_state_change`), so that changes are noticed that no text
//! tells of: in routines, in triggers. Clients are told what a server would tell them: nothing, where they did not ask to be told
//! (`CLIENT_SESSION_TRACK`), and of such changes only where they have set that variable themselves. The report says that something has
//! changed and rarely what: where the text explains it, the text counts.
//! (MySQL's documentation, "Server Tracking of Client Session State"; MariaDB's, "Session Trackers".)

use crate::wire::DecodeError;
use crate::wire::capability::Capabilities;
use crate::wire::reply::{EOF, OkPacket};
use crate::wire::tracker::Change;

/// The variable by which backends are asked.
pub const STATE_CHANGE: &str = "session_track_state_change";

/// What was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Something of the session has changed.
    pub changed: bool,
    /// It has no database any more.
    pub leaves_database: bool,
    /// The packet is not as the client is to have it.
    pub differs: bool,
}

/// Who hears it.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// What the client agreed on.
    pub capabilities: Capabilities,
    /// It has asked to be told that something has changed.
    pub wants_state_changes: bool,
}

impl Listener {
    fn wants(&self, change: &Change<'_>) -> bool {
        self.capabilities.has(Capabilities::SESSION_TRACK)
            && (self.wants_state_changes || !matches!(change, Change::StateChange(_)))
    }
}

/// What an OK packet tells, of a backend of these capabilities.
///
/// # Errors
/// Whatever is no OK packet.
pub fn heard(
    payload: &[u8],
    capabilities: Capabilities,
    listener: &Listener,
) -> Result<Heard, DecodeError> {
    let ok = OkPacket::read(payload, capabilities)?;
    let mut heard = Heard::default();
    for change in ok.changes() {
        let change = change?;
        // A GTID is no state of the session's, and what belongs to a transaction ends with it.
        heard.changed |= matches!(
            change,
            Change::SystemVariable { .. } | Change::Schema(_) | Change::StateChange(_)
        );
        heard.leaves_database |= matches!(change, Change::Schema(b""));
        heard.differs |= !listener.wants(&change);
    }
    heard.differs |= !listener.capabilities.has(Capabilities::SESSION_TRACK);
    Ok(heard)
}

/// Appends the packet as the client is to have it.
///
/// # Errors
/// Whatever is no OK packet.
pub fn retell(
    payload: &[u8],
    capabilities: Capabilities,
    listener: &Listener,
    sequence: u8,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let ok = OkPacket::read(payload, capabilities)?;
    let mut block = Vec::new();
    for change in ok.changes() {
        let change = change?;
        if listener.wants(&change) {
            change.write(&mut block);
        }
    }
    let ok = ok.with_changes(&block);
    match payload.first() {
        Some(&EOF) => ok.write_end_of_rows(out, sequence, listener.capabilities),
        _ => ok.write(out, sequence, listener.capabilities),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use crate::wire::status::Status;

    const BACKEND: Capabilities =
        Capabilities(Capabilities::SESSION_TRACK.0 | Capabilities::DEPRECATE_EOF.0);

    fn packet(changes: &[Change<'_>]) -> Vec<u8> {
        let mut block = Vec::new();
        changes.iter().for_each(|change| change.write(&mut block));
        let ok = OkPacket {
            status: Status::AUTOCOMMIT,
            ..OkPacket::default()
        };
        let mut out = Vec::new();
        ok.with_changes(&block).write(&mut out, 1, BACKEND);
        out.split_off(HEADER_BYTES)
    }

    fn told(payload: &[u8], capabilities: Capabilities, wants: bool) -> (Heard, Vec<u8>) {
        let listener = Listener {
            capabilities,
            wants_state_changes: wants,
        };
        let mut out = Vec::new();
        retell(payload, BACKEND, &listener, 1, &mut out).expect("an OK packet");
        let heard = heard(payload, BACKEND, &listener).expect("an OK packet");
        (heard, out.split_off(HEADER_BYTES))
    }

    #[test]
    fn clients_are_told_what_they_asked_for_and_no_more() {
        let both = [Change::Schema(b"shop"), Change::StateChange(b"1")];
        let payload = packet(&both);
        let changed = Heard {
            changed: true,
            differs: true,
            leaves_database: false,
        };
        let (heard, shown) = told(&payload, Capabilities::NONE, false);
        assert_eq!((heard, shown), (changed, packet(&[])));
        let (heard, shown) = told(&payload, BACKEND, false);
        assert_eq!((heard, shown), (changed, packet(&both[..1])));
        let (heard, shown) = told(&payload, BACKEND, true);
        assert!(heard.changed && !heard.differs);
        assert_eq!(shown, payload);
    }

    #[test]
    fn what_was_committed_is_no_change_of_the_session() {
        let payload = packet(&[Change::gtids(b"a:1")]);
        let (heard, shown) = told(&payload, BACKEND, false);
        assert_eq!(heard, Heard::default());
        assert_eq!(shown, payload);
    }
}
