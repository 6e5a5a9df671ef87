//! What can go wrong with TLS: configuration that cannot be used, a peer that cannot be trusted, a conversation that is not TLS.
//!
//! A closed family. The library's own errors are translated here and nowhere else, and nothing of a key ever gets into one.

use rustls::{CertificateError, Error, InconsistentKeys};
use std::fmt;

/// Why TLS does not work out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// Our own certificate chain is empty or cannot be read (the operator's mistake).
    Certificate,
    /// Our private key cannot be read or is of a kind we have no use for (the operator's mistake).
    Key,
    /// Our private key does not belong to our certificate (the operator's mistake).
    KeyMismatch,
    /// The certificate of an authority cannot be read; they are counted from 0 (the operator's mistake).
    Authority(usize),
    /// No authorities are configured and the system has none that can be read.
    NoSystemAuthorities,
    /// The host of a target is neither a DNS name nor an address, so no certificate could name it.
    HostName,
    /// The cryptographic library refused the settings; the text is its own.
    Settings(Box<str>),
    /// The peer's certificate is not acceptable.
    PeerCertificate(CertificateFault),
    /// The peer offers protocols by ALPN, and `postgresql` is not among them.
    NoApplicationProtocol,
    /// The peer ended the conversation with this alert (RFC 8446, chapter 6).
    Alert(Box<str>),
    /// The peer has no version, cipher or key exchange in common with us; the text says what was missed.
    Incompatible(Box<str>),
    /// The peer does not speak TLS, or breaks its rules; the text says how.
    Protocol(Box<str>),
    /// A record could not be decrypted: damaged, forged, or meant for another connection.
    Decrypt,
    /// The peer sent a larger handshake than [`super::HANDSHAKE_BYTES_MAX`].
    Oversize,
    /// Plaintext was given before the handshake was complete.
    NotEstablished,
    /// The keys of a TLS 1.2 connection have encrypted as much as they may; it must be closed.
    KeysExhausted,
    /// The connection has failed or was closed before.
    Closed,
}

/// What is wrong with a peer's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// No known authority stands behind it.
    UnknownAuthority,
    /// It does not name the host.
    WrongName,
    /// Its authority took it back.
    Revoked,
    /// A signature in it or with it is wrong.
    BadSignature,
    /// It is signed by itself, as an authority's own, and is none of those that are trusted.
    SelfSigned,
    /// It is made for another purpose, such as the other side of a connection.
    WrongPurpose,
    /// It is signed in a way that is not supported (or no longer safe).
    UnsupportedSignature,
    /// It is older than version 3 of X.509 and so lacks what verification needs.
    UnsupportedVersion,
    /// It cannot be read.
    Malformed,
    /// None was shown where one is required.
    Missing,
}

impl TlsError {
    /// Whether the operator's configuration is to blame, not the peer.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            TlsError::Certificate
                | TlsError::Key
                | TlsError::KeyMismatch
                | TlsError::Authority(_)
                | TlsError::NoSystemAuthorities
                | TlsError::HostName
                | TlsError::Settings(_)
        )
    }

    /// Translates an error of a running connection.
    pub(super) fn of_connection(error: Error) -> TlsError {
        match error {
            Error::InvalidCertificate(why) => TlsError::PeerCertificate(why.into()),
            Error::NoCertificatesPresented => TlsError::PeerCertificate(CertificateFault::Missing),
            Error::NoApplicationProtocol => TlsError::NoApplicationProtocol,
            Error::AlertReceived(alert) => TlsError::Alert(alert_name(alert)),
            Error::PeerIncompatible(why) => TlsError::Incompatible(format!("{why:?}").into()),
            Error::PeerMisbehaved(why) => TlsError::Protocol(format!("{why:?}").into()),
            Error::InvalidMessage(why) => TlsError::Protocol(format!("{why:?}").into()),
            Error::DecryptError => TlsError::Decrypt,
            Error::PeerSentOversizedRecord => TlsError::Oversize,
            other => TlsError::Protocol(other.to_string().into()),
        }
    }

    /// Translates an error of making settings from our own certificate and key.
    pub(super) fn of_settings(error: Error) -> TlsError {
        match error {
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => TlsError::Certificate,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::KeyMismatch,
            other => TlsError::Settings(other.to_string().into()),
        }
    }
}

/// `UnknownCA` and not `AlertDescription(48)`: the names of RFC 8446.
fn alert_name(alert: rustls::AlertDescription) -> Box<str> {
    format!("{alert:?}").into()
}

impl CertificateFault {
    /// What webpki has an own name for and rustls has not comes by that name alone.
    fn of_webpki(name: &str) -> CertificateFault {
        match name {
            "CaUsedAsEndEntity" => CertificateFault::SelfSigned,
            "EndEntityUsedAsCa" => CertificateFault::WrongPurpose,
            "UnsupportedCertVersion" => CertificateFault::UnsupportedVersion,
            _ => CertificateFault::Malformed,
        }
    }
}

impl From<CertificateError> for CertificateFault {
    fn from(error: CertificateError) -> CertificateFault {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                CertificateFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFault::NotYetValid
            }
            CertificateError::UnknownIssuer => CertificateFault::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFault::WrongName
            }
            CertificateError::Revoked => CertificateFault::Revoked,
            CertificateError::BadSignature => CertificateFault::BadSignature,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                CertificateFault::WrongPurpose
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                CertificateFault::UnsupportedSignature
            }
            CertificateError::Other(why) => CertificateFault::of_webpki(&why.to_string()),
            _ => CertificateFault::Malformed,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Certificate => f.write_str("the certificate cannot be read"),
            TlsError::Key => f.write_str("the private key cannot be read"),
            TlsError::KeyMismatch => {
                f.write_str("the private key does not belong to the certificate")
            }
            TlsError::Authority(index) => {
                write!(
                    f,
                    "the certificate of authority {index} (counted from 0) cannot be read"
                )
            }
            TlsError::NoSystemAuthorities => {
                f.write_str("no authorities are configured and the system has none")
            }
            TlsError::HostName => f.write_str(
                "the host is neither a DNS name nor an address that a certificate could name",
            ),
            TlsError::Settings(why) => write!(f, "these TLS settings cannot be used: {why}"),
            TlsError::PeerCertificate(fault) => write!(f, "the peer's certificate {fault}"),
            TlsError::NoApplicationProtocol => {
                f.write_str("the peer does not offer the protocol `postgresql` (ALPN)")
            }
            TlsError::Alert(alert) => write!(f, "the peer refused: alert {alert}"),
            TlsError::Incompatible(why) => write!(f, "nothing in common with the peer: {why}"),
            TlsError::Protocol(why) => write!(f, "the peer does not speak TLS properly: {why}"),
            TlsError::Decrypt => f.write_str("a record cannot be decrypted"),
            TlsError::Oversize => f.write_str("the peer's handshake or record is too large"),
            TlsError::NotEstablished => f.write_str("the TLS handshake is not complete"),
            TlsError::KeysExhausted => f.write_str("the keys of this connection are used up"),
            TlsError::Closed => f.write_str("the TLS connection is closed"),
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateFault::Expired => "has expired",
            CertificateFault::NotYetValid => "is not valid yet",
            CertificateFault::UnknownAuthority => "does not come from a known authority",
            CertificateFault::WrongName => "does not name the host",
            CertificateFault::Revoked => "was revoked",
            CertificateFault::BadSignature => "has a wrong signature",
            CertificateFault::SelfSigned => "is self-signed and not among the trusted authorities",
            CertificateFault::WrongPurpose => "is made for another purpose",
            CertificateFault::UnsupportedSignature => "is signed in an unsupported way",
            CertificateFault::UnsupportedVersion => "is not of version 3",
            CertificateFault::Malformed => "cannot be read",
            CertificateFault::Missing => "is missing",
        })
    }
}

impl std::error::Error for TlsError {}
