//! How a refusal reads on the wire: severity, SQLSTATE and text for every [`Refusal`], and the `ErrorResponse` made of them.
//!
//! Where RDS Proxy has a text for the occasion it is used word for word, less the product's name (ledger: `docs/ledger/errors.md`);
//! where a direct connection would show PostgreSQL's own text, that one is used. What only the log may know, such as why a target
//! cannot be reached, is left out.

use crate::wire::write;
use forebay_core::{Refusal, TargetRefusal};
use std::borrow::Cow;
use std::sync::Arc;

/// What a client reads about a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `FATAL` when the session ends with it, else `ERROR`.
    pub severity: &'static str,
    /// SQLSTATE (PostgreSQL documentation, appendix "Error Codes").
    pub code: Cow<'static, str>,
    /// Primary message.
    pub text: String,
    /// The server's routine that reports it, where drivers tell by that what helps.
    pub routine: Option<&'static str>,
}

/// What PostgreSQL says of a statement whose columns have become others.
pub fn cached_plan_changed() -> Words {
    Words {
        severity: "ERROR",
        code: "0A000".into(),
        text: "cached plan must not change result type".to_owned(),
        routine: Some("RevalidateCachedQuery"),
    }
}

/// Writes an error of a session that goes on.
pub fn write_error(words: &Words, out: &mut Vec<u8>) {
    write::error_of(out, "ERROR", &words.code, &words.text, words.routine);
}

/// What the database said that refuses the proxy's own login.
pub fn target_refused(code: Arc<str>, message: Arc<str>) -> Refusal {
    Refusal::TargetRefused {
        means: meaning(&code),
        code,
        message,
    }
}

/// By SQLSTATE (PostgreSQL documentation, appendix "Error Codes").
fn meaning(code: &str) -> TargetRefusal {
    match code {
        // too_many_connections
        "53300" => TargetRefusal::Full,
        // invalid_catalog_name
        "3D000" => TargetRefusal::Database,
        // admin_shutdown, crash_shutdown, cannot_connect_now
        "57P01" | "57P02" | "57P03" => TargetRefusal::Unavailable,
        _ => match code.get(..2) {
            Some("28") => TargetRefusal::Credentials,
            // A wrong value, a lack of rights, a setting of another kind, a library that is not there.
            Some("22" | "42" | "55" | "58") => TargetRefusal::Settings,
            _ => TargetRefusal::Other,
        },
    }
}

/// The words for a refusal.
pub fn words(refusal: &Refusal) -> Words {
    match refusal {
        Refusal::BorrowTimeout => {
            fatal("08000", "Timed-out waiting to acquire database connection.")
        }
        Refusal::QueueFull { max } => fatal(
            "53300",
            format!("The number of clients waiting for a database connection exceeded {max}."),
        ),
        Refusal::TooManyClients { max } => fatal(
            "53300",
            format!("The maximum number of client connections to the proxy exceeded {max}."),
        ),
        Refusal::ConnectRate { max } => fatal(
            "53300",
            format!("Rate of connection to proxy exceeded {max}."),
        ),
        Refusal::TooManyLogins => fatal(
            "53300",
            "The proxy is busy with other logins. Try again in a moment.",
        ),
        // PostgreSQL's words (`src/backend/libpq/auth.c`).
        Refusal::CertificateRequired => {
            fatal("28000", "connection requires a valid client certificate")
        }
        Refusal::TlsRequired => fatal("28000", "This proxy requires TLS connections."),
        Refusal::NoCredentials { user } => {
            let advice = "Check the credentials for this role and try again.";
            fatal(
                "28000",
                format!("This proxy has no credentials for the role {user}. {advice}"),
            )
        }
        Refusal::WrongPassword { user } => fatal(
            "28P01",
            format!("The password that was provided for the role {user} is wrong."),
        ),
        Refusal::MissingUser => fatal(
            "28000",
            "A user name is missing from the connection startup packet. Provide a user name for this connection.",
        ),
        Refusal::UnsupportedAuth => fatal(
            "28000",
            "This proxy supports only IAM, MD5, or SCRAM authentication.",
        ),
        Refusal::ClearTextNeedsTls { user } => {
            let advice = "Connect with TLS (sslmode=require or stronger).";
            fatal(
                "28000",
                format!(
                    "This proxy asks the role {user} for its password in clear text, and only over TLS. {advice}"
                ),
            )
        }
        Refusal::ChannelBinding(text) => fatal("28000", *text),
        Refusal::FeatureNotSupported(text) => fatal("0A000", *text),
        Refusal::LoginTimeout => fatal("08006", "canceling authentication due to timeout"),
        Refusal::ProtocolVersion { major, minor } => {
            let served = "server supports 3.0 to 3.2";
            fatal(
                "0A000",
                format!("unsupported frontend protocol {major}.{minor}: {served}"),
            )
        }
        Refusal::ProtocolViolation(text) => fatal("08P01", *text),
        Refusal::CompressionLevel | Refusal::BrokenFrame | Refusal::FrameOutOfOrder => {
            fatal("08P01", "This protocol has no frames.")
        }
        Refusal::MessageTooLarge { max } => fatal(
            "08P01",
            format!("A message is longer than the {max} bytes that are allowed here."),
        ),
        Refusal::IdleClientTimeout | Refusal::IdleSessionTimeout => fatal(
            "57P05",
            "terminating connection due to idle-session timeout",
        ),
        Refusal::TlsKeysWorn => fatal(
            "57P05",
            "terminating connection because its TLS keys are used up; connect again, or with TLS 1.3",
        ),
        Refusal::ShuttingDown => fatal(
            "57P01",
            "terminating connection due to administrator command",
        ),
        Refusal::Cancelled => Words {
            severity: "ERROR",
            ..fatal("57014", "canceling statement due to user request")
        },
        Refusal::TargetUnreachable {
            detail: _for_the_log,
        }
        | Refusal::TargetAuthentication {
            detail: _for_the_log,
        } => fatal("08001", "The proxy cannot connect to the database."),
        // The client has proven itself; that the database does not take our secret is not its fault.
        Refusal::TargetRefused { code, .. } if matches!(&**code, "28P01" | "28000") => fatal(
            "28000",
            "The database refused the credentials that the proxy has for this role.",
        ),
        Refusal::TargetRefused { code, message, .. }
        | Refusal::SettingRefused { code, message } => fatal(sqlstate(code), &**message),
        Refusal::ListenerLost => fatal(
            "08006",
            "The connection to the database that listens for this client was lost. Notifications may have been missed: connect and LISTEN again.",
        ),
        Refusal::TooFarBehind { max } => fatal(
            "54000",
            format!("More than {max} bytes of notifications wait for this client."),
        ),
        Refusal::NotificationEncoding => fatal(
            "0A000",
            "A notification is not ASCII, and this client's client_encoding is not the database's: the proxy does not convert it.",
        ),
        Refusal::BackendLost => fatal("08006", "The connection to the database was lost."),
        Refusal::Bug { incident } => fatal(
            "XX000",
            format!("Internal error of the proxy, incident {incident}."),
        ),
    }
}

/// Appends the `ErrorResponse` for a refusal.
pub fn write(refusal: &Refusal, out: &mut Vec<u8>) {
    let Words {
        severity,
        code,
        text,
        routine,
    } = words(refusal);
    write::error_of(out, severity, &code, &text, routine);
}

fn fatal(code: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Words {
    Words {
        severity: "FATAL",
        code: code.into(),
        text: text.into(),
        routine: None,
    }
}

/// The database's code as it is, if it is one: a client may rely on five characters.
fn sqlstate(code: &str) -> Cow<'static, str> {
    let is_one = code.len() == 5
        && code
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if is_one {
        code.to_owned().into()
    } else {
        "XX000".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use crate::wire::read::ErrorFields;

    fn target(code: &str) -> Refusal {
        target_refused(code.into(), "no".into())
    }

    fn user() -> String {
        "R".to_owned()
    }

    #[test]
    fn what_a_database_refuses_is_read_from_its_code() {
        for (code, means) in [
            ("28P01", TargetRefusal::Credentials),
            ("28000", TargetRefusal::Credentials),
            ("53300", TargetRefusal::Full),
            ("3D000", TargetRefusal::Database),
            ("57P03", TargetRefusal::Unavailable),
            ("42501", TargetRefusal::Settings),
            ("22023", TargetRefusal::Settings),
            ("XX000", TargetRefusal::Other),
            ("", TargetRefusal::Other),
        ] {
            assert_eq!(meaning(code), means, "{code}");
        }
    }

    /// Texts that are compared by tools: RDS Proxy's (ledger: `docs/ledger/errors.md`) and PostgreSQL's.
    #[test]
    fn every_refusal_has_its_words() {
        let setting = Refusal::SettingRefused {
            code: "22023".into(),
            message: "no".into(),
        };
        let table = [
            (
                Refusal::BorrowTimeout,
                "08000",
                "Timed-out waiting to acquire database connection.",
            ),
            (
                Refusal::QueueFull { max: 7 },
                "53300",
                "The number of clients waiting for a database connection exceeded 7.",
            ),
            (
                Refusal::TooManyClients { max: 7 },
                "53300",
                "The maximum number of client connections to the proxy exceeded 7.",
            ),
            (
                Refusal::ConnectRate { max: 7 },
                "53300",
                "Rate of connection to proxy exceeded 7.",
            ),
            (
                Refusal::TooManyLogins,
                "53300",
                "The proxy is busy with other logins. Try again in a moment.",
            ),
            (
                Refusal::TlsRequired,
                "28000",
                "This proxy requires TLS connections.",
            ),
            (
                Refusal::CertificateRequired,
                "28000",
                "connection requires a valid client certificate",
            ),
            (
                Refusal::NoCredentials { user: user() },
                "28000",
                "This proxy has no credentials for the role R. Check the credentials for this role and try again.",
            ),
            (
                Refusal::WrongPassword { user: user() },
                "28P01",
                "The password that was provided for the role R is wrong.",
            ),
            (
                Refusal::MissingUser,
                "28000",
                "A user name is missing from the connection startup packet. Provide a user name for this connection.",
            ),
            (
                Refusal::UnsupportedAuth,
                "28000",
                "This proxy supports only IAM, MD5, or SCRAM authentication.",
            ),
            (
                Refusal::ClearTextNeedsTls { user: user() },
                "28000",
                "This proxy asks the role R for its password in clear text, and only over TLS. Connect with TLS (sslmode=require or stronger).",
            ),
            (Refusal::ChannelBinding("so"), "28000", "so"),
            (Refusal::FeatureNotSupported("so"), "0A000", "so"),
            (
                Refusal::LoginTimeout,
                "08006",
                "canceling authentication due to timeout",
            ),
            (
                Refusal::ProtocolVersion { major: 2, minor: 0 },
                "0A000",
                "unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
            ),
            (Refusal::ProtocolViolation("so"), "08P01", "so"),
            (
                Refusal::MessageTooLarge { max: 7 },
                "08P01",
                "A message is longer than the 7 bytes that are allowed here.",
            ),
            (
                Refusal::IdleClientTimeout,
                "57P05",
                "terminating connection due to idle-session timeout",
            ),
            (
                Refusal::TlsKeysWorn,
                "57P05",
                "terminating connection because its TLS keys are used up; connect again, or with TLS 1.3",
            ),
            (
                Refusal::ShuttingDown,
                "57P01",
                "terminating connection due to administrator command",
            ),
            (
                Refusal::Cancelled,
                "57014",
                "canceling statement due to user request",
            ),
            (
                Refusal::TargetUnreachable {
                    detail: "10.0.0.1".into(),
                },
                "08001",
                "The proxy cannot connect to the database.",
            ),
            (
                Refusal::TargetAuthentication {
                    detail: "its certificate has expired".into(),
                },
                "08001",
                "The proxy cannot connect to the database.",
            ),
            (target("3D000"), "3D000", "no"),
            (
                target("28P01"),
                "28000",
                "The database refused the credentials that the proxy has for this role.",
            ),
            (
                target("28000"),
                "28000",
                "The database refused the credentials that the proxy has for this role.",
            ),
            (target(""), "XX000", "no"),
            (target("3d000"), "XX000", "no"),
            (
                Refusal::BackendLost,
                "08006",
                "The connection to the database was lost.",
            ),
            (
                Refusal::ListenerLost,
                "08006",
                "The connection to the database that listens for this client was lost. Notifications may have been missed: connect and LISTEN again.",
            ),
            (
                Refusal::TooFarBehind { max: 7 },
                "54000",
                "More than 7 bytes of notifications wait for this client.",
            ),
            (
                Refusal::NotificationEncoding,
                "0A000",
                "A notification is not ASCII, and this client's client_encoding is not the database's: the proxy does not convert it.",
            ),
            (setting, "22023", "no"),
            (
                Refusal::Bug { incident: 7 },
                "XX000",
                "Internal error of the proxy, incident 7.",
            ),
        ];
        for (refusal, code, text) in table {
            let words = words(&refusal);
            assert_eq!(
                (&*words.code, words.text.as_str()),
                (code, text),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn only_a_cancelled_wait_leaves_the_session_alive() {
        for (refusal, is_fatal) in [
            (Refusal::Cancelled, false),
            (Refusal::BorrowTimeout, true),
            (target("3D000"), true),
        ] {
            let mut out = Vec::new();
            write(&refusal, &mut out);
            assert_eq!(ErrorFields::read(&out[HEADER_BYTES..]).is_fatal(), is_fatal);
        }
    }
}
