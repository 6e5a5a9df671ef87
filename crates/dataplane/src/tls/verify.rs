//! Whether a target's certificate will do, by the meaning of libpq's `sslmode`.
//!
//! `prefer` and `require` protect against listeners, not against impostors: any certificate will do, if only the peer has its key.
//! `verify-ca` wants a known authority behind it, `verify-full` also the host's name in it. A certificate that is itself among the
//! authorities is believed without a chain, because that is how self-signed servers are configured everywhere.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// How much is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The peer has the key of the certificate it shows.
    Key,
    /// And an authority stands behind the certificate.
    Chain,
    /// And it names the host.
    ChainAndName,
}

/// Verifies certificates of one target.
#[derive(Debug)]
pub(super) struct TargetVerifier {
    depth: Depth,
    roots: RootCertStore,
    /// The authorities as configured, to find a server's own certificate among them.
    pinned: Vec<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TargetVerifier {
    /// Verifies no more than that the peer has the key of its certificate.
    pub(super) fn none(algorithms: WebPkiSupportedAlgorithms) -> TargetVerifier {
        TargetVerifier::new(Depth::Key, RootCertStore::empty(), Vec::new(), algorithms)
    }

    pub(super) fn new(
        depth: Depth,
        roots: RootCertStore,
        pinned: Vec<Vec<u8>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> TargetVerifier {
        TargetVerifier {
            depth,
            roots,
            pinned,
            algorithms,
        }
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.pinned.iter().any(|der| der == leaf.as_ref()) {
            return verify_validity(leaf, now);
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

impl ServerCertVerifier for TargetVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.depth >= Depth::Chain {
            self.verify_chain(leaf, intermediates, now)?;
        }
        if self.depth >= Depth::ChainAndName {
            verify_name(leaf, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.depth {
            Depth::Key => verify_any_signature(message, leaf, signed, &self.algorithms),
            _ => verify_tls12_signature(message, leaf, signed, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.depth {
            // RFC 8446, 4.2.3: PKCS#1 signatures are for certificates only.
            Depth::Key if is_pkcs1(signed.scheme) => {
                Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
            }
            Depth::Key => verify_any_signature(message, leaf, signed, &self.algorithms),
            _ => verify_tls13_signature(message, leaf, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// By the alternative names, and only where there are none of a host by the subject, which libpq still honours.
fn verify_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let parsed = parse(leaf)?;
    if names_hosts(&parsed)? {
        return verify_server_name(&ParsedCertificate::try_from(leaf)?, name);
    }
    let subject = parsed
        .subject()
        .iter_common_name()
        .next()
        .and_then(|attribute| attribute.as_str().ok())
        .ok_or(CertificateError::NotValidForName)?;
    match subject_matches(subject, name) {
        true => Ok(()),
        false => Err(CertificateError::NotValidForName.into()),
    }
}

/// Whether the certificate has alternative names that are DNS names or addresses.
fn names_hosts(parsed: &X509Certificate<'_>) -> Result<bool, Error> {
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| CertificateError::BadEncoding)?;
    Ok(names.is_some_and(|extension| {
        extension.value.general_names.iter().any(|name| {
            // What cannot be read might be one: the subject counts only where there certainly is none.
            matches!(
                name,
                GeneralName::DNSName(_) | GeneralName::IPAddress(_) | GeneralName::Invalid(..)
            )
        })
    }))
}

/// The rule of libpq: the same but for case, or `*.` in the place of the host's first label.
fn subject_matches(subject: &str, name: &ServerName<'_>) -> bool {
    let host = name.to_str();
    if subject.eq_ignore_ascii_case(&host) {
        return true;
    }
    let is_address = matches!(name, ServerName::IpAddress(_));
    match (subject.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) if !is_address => {
            !label.is_empty() && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

fn is_pkcs1(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    )
}

fn verify_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = parse(certificate)?;
    let now = i64::try_from(now.as_secs())
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok())
        .ok_or(Error::FailedToGetCurrentTime)?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// Verifies a handshake's signature with the key of any certificate, also of version 1, which webpki does not read.
///
/// Only for where nothing but the key is verified.
fn verify_any_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let parsed = parse(certificate)?;
    let public = parsed.public_key();
    let identifier = algorithm_identifier(public.raw).ok_or(CertificateError::BadEncoding)?;
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    candidates
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == identifier)
        .any(|algorithm| {
            algorithm
                .verify_signature(&public.subject_public_key.data, message, signed.signature())
                .is_ok()
        })
        .then(HandshakeSignatureValid::assertion)
        .ok_or_else(|| CertificateError::BadSignature.into())
}

/// What stands inside the `AlgorithmIdentifier` that opens a `SubjectPublicKeyInfo` (RFC 5280, 4.1).
fn algorithm_identifier(public: &[u8]) -> Option<&[u8]> {
    let (_, outer) = Any::from_der(public).ok()?;
    let (_, identifier) = Any::from_der(outer.data).ok()?;
    Some(identifier.data)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|_| CertificateError::BadEncoding.into())
}
