//! How a refusal reads on the wire: severity, SQLSTATE and text for every [`Refusal`], and the `ErrorResponse` made of them.
//!
//! Where RDS Proxy has a text for the occasion it is used word for word, less the product's name (ledger: `docs/ledger/errors.md`);
//! where a direct connection would show PostgreSQL's own text, that one is used. What only the log may know, such as why a target
//! cannot be reached, is left out.

use crate::wire::write::error;
use forebay_core::Refusal;
use std::borrow::Cow;

/// What a client reads about a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `FATAL` when the session ends with it, else `ERROR`.
    pub severity: &'static str,
    /// SQLSTATE (PostgreSQL documentation, appendix "Error Codes").
    pub code: Cow<'static, str>,
    /// Primary message.
    pub text: String,
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
        Refusal::LoginTimeout => fatal("08006", "canceling authentication due to timeout"),
        Refusal::ProtocolVersion { major, minor } => {
            let served = "server supports 3.0 to 3.2";
            fatal(
                "0A000",
                format!("unsupported frontend protocol {major}.{minor}: {served}"),
            )
        }
        Refusal::ProtocolViolation(text) => fatal("08P01", *text),
        Refusal::MessageTooLarge { max } => fatal(
            "08P01",
            format!("A message is longer than the {max} bytes that are allowed here."),
        ),
        Refusal::IdleClientTimeout => fatal(
            "57P05",
            "terminating connection due to idle-session timeout",
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
        } => fatal("08001", "The proxy cannot connect to the database."),
        // The client has proven itself; that the database does not take our secret is not its fault.
        Refusal::TargetRefused { code, message: _ } if matches!(&**code, "28P01" | "28000") => {
            fatal(
                "28000",
                "The database refused the credentials that the proxy has for this role.",
            )
        }
        Refusal::TargetRefused { code, message } | Refusal::SettingRefused { code, message } => {
            fatal(sqlstate(code), &**message)
        }
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
    } = words(refusal);
    error(out, severity, &code, &text);
}

fn fatal(code: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Words {
    Words {
        severity: "FATAL",
        code: code.into(),
        text: text.into(),
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
