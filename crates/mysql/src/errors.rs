//! How a refusal reads on the wire: error number, SQLSTATE and text for every [`Refusal`], and the error packet made of them; and what a
//! database means by the numbers with which it refuses us.
//!
//! Where RDS Proxy has a number and a text for the occasion they are used, less the product's name (ledger: `docs/ledger/errors.md`); where
//! a direct connection would show MySQL's own, those are. (Numbers: MySQL's and MariaDB's "Server Error Message Reference".) What only the
//! log may know, such as why a target cannot be reached, is left out.

use crate::wire::reply::ErrorPacket;
use forebay_core::{Refusal, TargetRefusal};
use std::sync::Arc;

/// What a client reads about a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The error's number.
    pub number: u16,
    /// SQLSTATE.
    pub state: [u8; 5],
    /// The message.
    pub text: String,
}

/// What the database said that refuses the proxy's own login.
pub fn target_refused(number: u16, message: Arc<str>) -> Refusal {
    Refusal::TargetRefused {
        means: meaning(number),
        code: number.to_string().into(),
        message,
    }
}

fn meaning(number: u16) -> TargetRefusal {
    match number {
        // ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
        1040 | 1203 | 1226 => TargetRefusal::Full,
        // ER_DBACCESS_DENIED_ERROR, ER_BAD_DB_ERROR
        1044 | 1049 => TargetRefusal::Database,
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR, ER_MUST_CHANGE_PASSWORD_LOGIN, ER_ACCOUNT_HAS_BEEN_LOCKED,
        // MariaDB's ER_ACCOUNT_HAS_BEEN_LOCKED
        1045 | 1698 | 1862 | 3118 | 4151 => TargetRefusal::Credentials,
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_SERVER_OFFLINE_MODE
        1053 | 1077 | 3032 => TargetRefusal::Unavailable,
        // ER_WRONG_VALUE_FOR_VAR, ER_UNKNOWN_SYSTEM_VARIABLE
        1231 | 1193 => TargetRefusal::Settings,
        _ => TargetRefusal::Other,
    }
}

/// The SQLSTATE of what refuses a login.
fn state(number: u16) -> &'static [u8; 5] {
    match number {
        // ER_CON_COUNT_ERROR
        1040 => b"08004",
        // ER_DBACCESS_DENIED_ERROR, ER_BAD_DB_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED, ER_WRONG_VALUE_FOR_VAR
        1044 | 1049 | 1203 | 1226 | 1231 => b"42000",
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN
        1053 | 1077 => b"08S01",
        _ => b"HY000",
    }
}

/// The words for a refusal.
pub fn words(refusal: &Refusal) -> Words {
    match refusal {
        Refusal::BorrowTimeout => say(
            9501,
            b"HY000",
            "Timed-out waiting to acquire database connection",
        ),
        Refusal::QueueFull { max } => crowded(format!(
            "The number of clients waiting for a database connection exceeded {max}"
        )),
        Refusal::TooManyClients { max } => {
            crowded(format!("Number simultaneous connections exceeded ({max})"))
        }
        Refusal::ConnectRate { max } => crowded(format!("Connections rate limit exceeded ({max})")),
        Refusal::TooManyLogins => {
            crowded("The proxy is busy with other logins. Try again in a moment.")
        }
        Refusal::TlsRequired => say(3159, b"HY000", "This proxy requires TLS connections."),
        Refusal::CertificateRequired => {
            denied("Access denied: this proxy requires a valid client certificate")
        }
        Refusal::NoCredentials { user } | Refusal::WrongPassword { user } => denied(format!(
            "Access denied for user '{user}'@'%' (using password: YES)"
        )),
        Refusal::MissingUser => denied("Access denied for user ''@'%' (using password: NO)"),
        Refusal::UnsupportedAuth => say(
            1251,
            b"08004",
            "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
        ),
        Refusal::ClearTextNeedsTls { user } => denied(format!(
            "Access denied for user '{user}'@'%': this proxy asks for a password in clear text only over TLS"
        )),
        Refusal::ChannelBinding(text) => denied(*text),
        Refusal::FeatureNotSupported(text) => say(1235, b"42000", *text),
        Refusal::LoginTimeout => say(1159, b"08S01", "Got timeout reading communication packets"),
        Refusal::ProtocolVersion { .. } => say(1043, b"08S01", "Bad handshake"),
        Refusal::ProtocolViolation(text) => say(
            1835,
            b"HY000",
            format!("Malformed communication packet ({text})"),
        ),
        Refusal::CompressionLevel => say(
            3923,
            b"HY000",
            "Invalid zstd compression level for algorithm 'zstd'.",
        ),
        Refusal::BrokenFrame => say(1157, b"08S01", "Couldn't uncompress communication packet"),
        Refusal::FrameOutOfOrder => say(1156, b"08S01", "Got packets out of order"),
        Refusal::MessageTooLarge { .. } => say(
            1153,
            b"08S01",
            "Got a packet bigger than 'max_allowed_packet' bytes",
        ),
        Refusal::IdleClientTimeout | Refusal::IdleSessionTimeout => say(
            4031,
            b"HY000",
            "The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior.",
        ),
        Refusal::TlsKeysWorn => say(
            4031,
            b"HY000",
            "The client was disconnected because its TLS keys are used up; connect again, or with TLS 1.3",
        ),
        Refusal::ShuttingDown => say(1053, b"08S01", "Server shutdown in progress"),
        Refusal::Cancelled => say(1317, b"70100", "Query execution was interrupted"),
        Refusal::TargetUnreachable { detail: _ } | Refusal::TargetAuthentication { detail: _ } => {
            say(9502, b"08S01", "The proxy cannot connect to the database")
        }
        // The client has proven itself; that the database does not take our secret is not its fault.
        Refusal::TargetRefused {
            means: TargetRefusal::Credentials,
            ..
        } => say(
            9502,
            b"08S01",
            "The database refused the credentials that the proxy has for this user",
        ),
        Refusal::TargetRefused { code, message, .. }
        | Refusal::SettingRefused { code, message } => {
            let number = code.parse().unwrap_or(1105);
            say(number, state(number), &**message)
        }
        Refusal::BackendLost | Refusal::ListenerLost => {
            say(9503, b"08S01", "The connection to the database was lost")
        }
        Refusal::TooFarBehind { max } => say(
            1105,
            b"HY000",
            format!("More than {max} bytes wait for this client"),
        ),
        Refusal::NotificationEncoding => say(1105, b"HY000", "Unknown error"),
        Refusal::Bug { incident } => say(
            1105,
            b"HY000",
            format!("Internal error of the proxy, incident {incident}"),
        ),
    }
}

/// Appends the error packet for a refusal, with this sequence number.
pub fn write(refusal: &Refusal, sequence: u8, out: &mut Vec<u8>) {
    let words = words(refusal);
    ErrorPacket {
        code: words.number,
        state: Some(words.state),
        message: words.text.as_bytes(),
    }
    .write(out, sequence);
}

fn say(number: u16, state: &[u8; 5], text: impl Into<String>) -> Words {
    Words {
        number,
        state: *state,
        text: text.into(),
    }
}

fn denied(text: impl Into<String>) -> Words {
    say(1045, b"28000", text)
}

fn crowded(text: impl Into<String>) -> Words {
    say(1040, b"HY000", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_refuses_is_read_from_its_number() {
        for (number, means) in [
            (1040, TargetRefusal::Full),
            (1203, TargetRefusal::Full),
            (1045, TargetRefusal::Credentials),
            (1049, TargetRefusal::Database),
            (1053, TargetRefusal::Unavailable),
            (1231, TargetRefusal::Settings),
            (1064, TargetRefusal::Other),
        ] {
            assert_eq!(meaning(number), means, "{number}");
        }
    }

    #[test]
    fn refusals_have_the_numbers_states_and_texts_of_rds() {
        let user = || "U".to_owned();
        let denied = "Access denied for user 'U'@'%' (using password: YES)";
        let table = [
            (
                Refusal::BorrowTimeout,
                (9501, b"HY000"),
                "Timed-out waiting to acquire database connection",
            ),
            (
                Refusal::TooManyClients { max: 7 },
                (1040, b"HY000"),
                "Number simultaneous connections exceeded (7)",
            ),
            (
                Refusal::ConnectRate { max: 7 },
                (1040, b"HY000"),
                "Connections rate limit exceeded (7)",
            ),
            (
                Refusal::TlsRequired,
                (3159, b"HY000"),
                "This proxy requires TLS connections.",
            ),
            (
                Refusal::WrongPassword { user: user() },
                (1045, b"28000"),
                denied,
            ),
            (
                Refusal::NoCredentials { user: user() },
                (1045, b"28000"),
                denied,
            ),
            (
                target_refused(1231, "no such character set".into()),
                (1231, b"42000"),
                "no such character set",
            ),
            (
                Refusal::Bug { incident: 7 },
                (1105, b"HY000"),
                "Internal error of the proxy, incident 7",
            ),
        ];
        for (refusal, (number, state), text) in table {
            let wanted = Words {
                number,
                state: *state,
                text: text.to_owned(),
            };
            assert_eq!(words(&refusal), wanted, "{refusal:?}");
        }
    }

    #[test]
    fn a_refusal_is_an_error_packet_with_its_number_and_state() {
        let mut out = Vec::new();
        write(&Refusal::TlsRequired, 2, &mut out);
        assert_eq!(out[3], 2);
        assert_eq!(&out[4..13], b"\xff\x57\x0c#HY000");
        assert!(out.ends_with(b"This proxy requires TLS connections."));
    }

    /// As MySQL 9.7 says them.
    #[test]
    fn what_is_wrong_with_frames_reads_as_from_a_server() {
        for (refusal, number, text) in [
            (
                Refusal::CompressionLevel,
                3923,
                "Invalid zstd compression level for algorithm 'zstd'.",
            ),
            (
                Refusal::BrokenFrame,
                1157,
                "Couldn't uncompress communication packet",
            ),
            (Refusal::FrameOutOfOrder, 1156, "Got packets out of order"),
        ] {
            let words = words(&refusal);
            assert_eq!((words.number, &*words.text), (number, text));
        }
    }

    #[test]
    fn what_the_database_says_of_a_database_is_passed_on_and_of_a_password_not() {
        let unknown = words(&target_refused(1049, "Unknown database 'x'".into()));
        assert_eq!(
            (unknown.number, &*unknown.text),
            (1049, "Unknown database 'x'")
        );
        let denied = words(&target_refused(
            1045,
            "Access denied for user 'secret'".into(),
        ));
        assert_eq!(denied.number, 9502);
        assert!(!denied.text.contains("secret"));
    }
}
