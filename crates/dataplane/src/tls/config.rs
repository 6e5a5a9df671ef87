//! Settings for TLS connections, made from the snapshot: what we show, whom we believe, what we offer.
//!
//! Making settings reads certificates and keys and may read the system's authorities from disk, so it is done once per snapshot,
//! never per connection; a [`super::Filter`] takes a counted reference. Session tickets are sealed with a key of their settings, so
//! connections resume only with the settings that admitted them, and a reload ends what was granted before.

use super::verify::{Depth, TargetVerifier};
use super::{ALPN_POSTGRESQL, TlsError, server_end_point};
use ::aws_lc_rs::digest::{SHA256, digest};
use forebay_core::snapshot::{Identity, ServerTls, TargetTls, TlsMode};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the connections of all clients of one proxy have in common.
#[derive(Clone)]
pub struct ServerSettings {
    pub(super) config: Arc<ServerConfig>,
    pub(super) end_point: Option<Arc<[u8]>>,
    /// SHA-256 of our certificate.
    pub(super) fingerprint: Option<Arc<[u8; 32]>>,
}

/// What all connections to one target have in common.
#[derive(Clone)]
pub struct ClientSettings {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl ServerSettings {
    /// Reads a proxy's certificate, key and authorities.
    ///
    /// With authorities, clients may show a certificate, and one that is shown must come from them. Without, none is asked for.
    pub fn new(tls: &ServerTls) -> Result<ServerSettings, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identity = certified_key(&tls.identity, &provider)?;
        let end_point = server_end_point(&tls.identity.chain[0]).map(Arc::from);
        let fingerprint = digest(&SHA256, &tls.identity.chain[0]);
        let fingerprint = fingerprint.as_ref().try_into().ok().map(Arc::new);
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::of_settings)?
            .with_client_cert_verifier(client_verifier(&tls.client_authorities, provider)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![ALPN_POSTGRESQL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // A resumed session would bring back a client certificate that nobody verifies again.
        if tls.client_authorities.is_empty() {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::of_settings)?;
            config.send_tls13_tickets = 1;
        }
        Ok(ServerSettings {
            config: Arc::new(config),
            end_point,
            fingerprint,
        })
    }
}

impl ClientSettings {
    /// Reads what is needed to connect to `host`, a DNS name or an address.
    pub fn new(tls: &TargetTls, host: &str) -> Result<ClientSettings, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = target_verifier(tls, &provider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::of_settings)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                certified_key(identity, &provider)?,
            ))),
        };
        config.alpn_protocols = vec![ALPN_POSTGRESQL.to_vec()];
        // PostgreSQL grants no sessions, and each new backend is to be verified by today's authorities.
        config.resumption = Resumption::disabled();
        let name = match (server_name(host), tls.mode) {
            (Some(name), _) => name,
            (None, TlsMode::VerifyFull) => return Err(TlsError::HostName),
            // Nothing compares the name, and without a proper one there is nothing to send as SNI.
            (None, _) => {
                config.enable_sni = false;
                ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into())
            }
        };
        Ok(ClientSettings {
            config: Arc::new(config),
            name,
        })
    }
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings").finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    // A name may end with the root's dot (RFC 1034); neither certificates nor SNI do.
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host).ok().map(|name| name.to_owned())
}

fn target_verifier(tls: &TargetTls, provider: &CryptoProvider) -> Result<TargetVerifier, TlsError> {
    let algorithms = provider.signature_verification_algorithms;
    let depth = match tls.mode {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => {
            return Ok(TargetVerifier::none(algorithms));
        }
        TlsMode::VerifyCa => Depth::Chain,
        TlsMode::VerifyFull => Depth::ChainAndName,
    };
    let roots = match tls.authorities.as_slice() {
        [] => system_authorities()?,
        given => authorities(given)?,
    };
    Ok(TargetVerifier::new(
        depth,
        roots,
        tls.authorities.clone(),
        algorithms,
    ))
}

fn client_verifier(
    given: &[Vec<u8>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if given.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(given)?), provider)
        // As PostgreSQL does it: who shows none is not refused here, who shows a wrong one is.
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Settings(error.to_string().into()))
}

fn authorities(given: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, der) in given.iter().enumerate() {
        roots
            .add(CertificateDer::from_slice(der))
            .map_err(|_| TlsError::Authority(index))?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system's collection may hold a few that are unreadable; what remains counts.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(TlsError::NoSystemAuthorities),
        false => Ok(roots),
    }
}

/// Reads a chain and its key, and checks that they belong together.
///
/// Not by `CertifiedKey::from_der`: that needs version 3 certificates, and many a PostgreSQL server has one of version 1, because
/// `openssl x509 -req` long made no other without extensions.
fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let leaf = identity.chain.first().ok_or(TlsError::Certificate)?;
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| TlsError::Certificate)?;
    let key = PrivateKeyDer::try_from(identity.key.as_slice()).map_err(|_| TlsError::Key)?;
    let key = provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_| TlsError::Key)?;
    match key.public_key() {
        Some(public) if public.as_ref() != parsed.public_key().raw => Err(TlsError::KeyMismatch),
        _ => {
            let chain = identity.chain.iter().cloned().map(CertificateDer::from);
            Ok(CertifiedKey::new(chain.collect(), key))
        }
    }
}
