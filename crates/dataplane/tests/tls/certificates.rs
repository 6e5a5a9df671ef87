//! Certificates for tests: authorities of several kinds, and what they issue, good and bad.

use forebay_core::snapshot::{Identity, ServerTls, TargetTls, TlsMode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize, SignatureAlgorithm, SigningKey as _, date_time_ymd,
};
use zeroize::Zeroizing;

/// Which signatures an authority makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RsaSha256,
    EcdsaSha256,
    EcdsaSha384,
    Ed25519,
}

impl Kind {
    pub fn key(self) -> KeyPair {
        let algorithm: &'static SignatureAlgorithm = match self {
            Kind::RsaSha256 => {
                return KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
            }
            Kind::EcdsaSha256 => &PKCS_ECDSA_P256_SHA256,
            Kind::EcdsaSha384 => &PKCS_ECDSA_P384_SHA384,
            Kind::Ed25519 => &PKCS_ED25519,
        };
        KeyPair::generate_for(algorithm).unwrap()
    }
}

/// An authority that tests believe, or not.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority::of(name, Kind::EcdsaSha256)
    }

    pub fn of(name: &str, kind: Kind) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, kind.key()).unwrap())
    }

    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A good certificate for a server.
    pub fn server(&self, name: &str) -> Identity {
        self.issue(server_params(name))
    }

    /// A good certificate for a client.
    pub fn client(&self, user: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// What `openssl x509 -req` long made without extensions: version 1, no alternative names.
    pub fn version_1(&self) -> Identity {
        let key = Kind::EcdsaSha256.key();
        let der = server_params("db.test")
            .signed_by(&key, &self.0)
            .unwrap()
            .der()
            .to_vec();
        let [body, algorithm, _] = elements(inside(&der)).try_into().unwrap();
        // Version and extensions are the elements with context tags 0 and 3 (RFC 5280, 4.1).
        let kept: Vec<&[u8]> = elements(inside(body))
            .into_iter()
            .filter(|element| !matches!(element[0], 0xa0 | 0xa3))
            .collect();
        let body = element(0x30, &kept.concat());
        let signature = [&[0][..], &self.0.key().sign(&body).unwrap()].concat();
        let der = element(
            0x30,
            &[&body, algorithm, &element(0x03, &signature)].concat(),
        );
        identity(der, &key)
    }

    pub fn issue(&self, params: CertificateParams) -> Identity {
        self.issue_with(params, Kind::EcdsaSha256.key())
    }

    pub fn issue_with(&self, params: CertificateParams, key: KeyPair) -> Identity {
        let certificate = params.signed_by(&key, &self.0).unwrap();
        identity(certificate.der().to_vec(), &key)
    }
}

pub fn server_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = date_time_ymd(2001, 1, 1);
    params
}

pub fn not_yet_valid(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(3001, 1, 1);
    params
}

/// As `openssl req -x509` makes it: its own authority.
pub fn self_signed(name: &str) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = Kind::EcdsaSha256.key();
    let certificate = params.self_signed(&key).unwrap();
    identity(certificate.der().to_vec(), &key)
}

pub fn identity(der: Vec<u8>, key: &KeyPair) -> Identity {
    Identity {
        chain: vec![der],
        key: Zeroizing::new(key.serialize_der()),
    }
}

pub fn copy(identity: &Identity) -> Identity {
    Identity {
        chain: identity.chain.clone(),
        key: identity.key.clone(),
    }
}

/// TLS towards clients that shows `identity` and asks for nothing.
pub fn server_tls(identity: Identity) -> ServerTls {
    ServerTls {
        identity,
        client_authorities: Vec::new(),
    }
}

/// TLS towards a target.
pub fn target_tls(mode: TlsMode, authorities: &[&Authority]) -> TargetTls {
    TargetTls {
        mode,
        authorities: authorities
            .iter()
            .map(|authority| authority.der())
            .collect(),
        identity: None,
    }
}

/// An element of DER with this tag.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header = match content.len() {
        0..0x80 => vec![tag, len[1]],
        0x80..0x100 => vec![tag, 0x81, len[1]],
        _ => vec![tag, 0x82, len[0], len[1]],
    };
    [&header, content].concat()
}

/// How long the header and the content of the first element are.
fn measure(der: &[u8]) -> (usize, usize) {
    match der[1] {
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        short => (2, usize::from(short)),
    }
}

fn inside(der: &[u8]) -> &[u8] {
    &der[measure(der).0..]
}

fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (header, content) = measure(der);
        let (first, rest) = der.split_at(header + content);
        found.push(first);
        der = rest;
    }
    found
}
