//! Which minor version of protocol 3 a database and we speak.
//!
//! 3.2 is asked for, because its cancel keys cannot be guessed. A database that does not know it says which one it knows, in
//! NegotiateProtocolVersion; one that refuses it altogether is asked for 3.0 on its next connection. Nothing else differs between them.
//! Source: PostgreSQL documentation, "Protocol Versions" and "NegotiateProtocolVersion"; `pqGetNegotiateProtocolVersion3`
//! (fe-protocol3.c).

use crate::wire::read::Fields;
use crate::wire::startup::{VERSION_3_0, VERSION_3_2};

/// Names of protocol options begin so.
const OPTION_PREFIX: &[u8] = b"_pq_.";

/// The version asked for and, if the database had to say, the one agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    asked: u32,
    agreed: Option<u32>,
}

impl Version {
    /// To be asked for.
    pub(super) fn to_ask(oldest: bool) -> Version {
        let asked = if oldest { VERSION_3_0 } else { VERSION_3_2 };
        Version {
            asked,
            agreed: None,
        }
    }

    /// What stands in the startup message.
    pub(super) fn asked(self) -> u32 {
        self.asked
    }

    /// What is spoken.
    pub(super) fn spoken(self) -> u32 {
        self.agreed.unwrap_or(self.asked)
    }

    /// Whether a database could refuse this version and take an older one.
    pub(super) fn is_refusable(self) -> bool {
        self.asked > VERSION_3_0 && self.agreed.is_none()
    }

    /// NegotiateProtocolVersion: the newest version that the database knows, and the options that it does not know. The version is the
    /// whole one, 3 in the upper half, as every PostgreSQL sends it; its documentation promises the minor one alone.
    pub(super) fn on_negotiation(self, body: &[u8]) -> Result<Version, &'static str> {
        if self.agreed.is_some() {
            return Err("the database negotiates the protocol version twice");
        }
        let mut fields = Fields(body);
        let offered = fields.u32().map_err(|error| error.as_str())?;
        let offered = if offered >> 16 == 0 {
            VERSION_3_0 | offered
        } else {
            offered
        };
        // 3.1 was never made.
        if offered > self.asked || !matches!(offered, VERSION_3_0 | VERSION_3_2) {
            return Err("the database offers a protocol version that was not asked for");
        }
        check_options(fields)?;
        Ok(Version {
            agreed: Some(offered),
            ..self
        })
    }
}

/// Options were not asked for, so it does not matter which ones the database does not know; but the list must be one.
fn check_options(mut fields: Fields<'_>) -> Result<(), &'static str> {
    const MALFORMED: &str = "the database sent a malformed list of protocol options";
    let count = fields.u32().map_err(|error| error.as_str())?;
    for _ in 0..count {
        // Ends with the body, however large the count: a name has at least its zero.
        let name = fields.string().map_err(|_| MALFORMED)?;
        if !name.starts_with(OPTION_PREFIX) {
            return Err(MALFORMED);
        }
    }
    if fields.0.is_empty() {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(version: u32, count: u32, names: &[u8]) -> Vec<u8> {
        [&version.to_be_bytes()[..], &count.to_be_bytes(), names].concat()
    }

    #[test]
    fn an_older_version_is_agreed_on_once() {
        let asked = Version::to_ask(false);
        assert_eq!((asked.asked(), asked.spoken()), (VERSION_3_2, VERSION_3_2));
        for offered in [VERSION_3_0, 0] {
            let agreed = asked.on_negotiation(&body(offered, 0, b"")).expect("older");
            assert_eq!(
                (agreed.spoken(), agreed.is_refusable()),
                (VERSION_3_0, false)
            );
            assert!(agreed.on_negotiation(&body(VERSION_3_0, 0, b"")).is_err());
        }
        let options = body(VERSION_3_2, 2, b"_pq_.a\0_pq_.\0");
        let agreed = asked.on_negotiation(&options).expect("only options differ");
        assert_eq!(agreed.spoken(), VERSION_3_2);
    }

    #[test]
    fn only_the_newer_version_can_be_refused() {
        assert!(Version::to_ask(false).is_refusable());
        assert!(!Version::to_ask(true).is_refusable());
    }

    #[test]
    fn what_is_no_answer_to_the_version_asked_for_is_refused() {
        let newer = body(VERSION_3_2, 0, b"");
        assert!(Version::to_ask(true).on_negotiation(&newer).is_err());
        for body in [
            body(3 << 16 | 3, 0, b""),
            body(3 << 16 | 1, 0, b""),
            body(2 << 16, 0, b""),
            body(4 << 16, 0, b""),
            body(1, 0, b""),
            body(VERSION_3_0, 1, b""),
            body(VERSION_3_0, 1, b"_pq_.a"),
            body(VERSION_3_0, 1, b"user\0"),
            body(VERSION_3_0, u32::MAX, b"_pq_.a\0"),
            body(VERSION_3_0, 0, b"_pq_.a\0"),
            VERSION_3_0.to_be_bytes().to_vec(),
            Vec::new(),
        ] {
            let read = Version::to_ask(false).on_negotiation(&body);
            assert!(read.is_err(), "{body:?}");
        }
    }
}
