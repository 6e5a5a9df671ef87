//! Whom we believe: targets by `sslmode`, clients by the authorities of their certificates.

use crate::certificates::{
    Authority, expired, not_yet_valid, self_signed, server_params, server_tls, target_tls,
};
use crate::ends::{
    End, Failure, TLS12, TLS13, settle, their_client_config, their_client_with, their_server_config,
};
use forebay_core::snapshot::{Identity, ServerTls, TargetTls, TlsMode};
use forebay_dataplane::tls::{CertificateFault, ClientSettings, ServerSettings, TlsError};
use rcgen::{CertificateParams, CustomExtension};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;

/// What comes of connecting to a server that shows `identity`.
fn connect(tls: &TargetTls, host: &str, identity: &Identity) -> Result<(), TlsError> {
    let mut outcomes = [TLS12, TLS13].map(|versions| {
        let settings = ClientSettings::new(tls, host).unwrap();
        let mut server = End::their_server(their_server_config(versions, identity, &[]));
        let mut client = End::client(&settings);
        settle(&mut client, &mut server);
        let error = client.our_error().cloned();
        assert_eq!(error.is_none(), client.facts.is_some());
        // What we refuse is refused with an alert, not in silence.
        assert_eq!(error.is_some(), server.error.is_some());
        error.map_or(Ok(()), Err)
    });
    assert_eq!(outcomes[0], outcomes[1], "both versions agree");
    std::mem::replace(&mut outcomes[0], Ok(()))
}

fn fault(fault: CertificateFault) -> Result<(), TlsError> {
    Err(TlsError::PeerCertificate(fault))
}

#[test]
fn without_verification_any_certificate_will_do() {
    let authority = Authority::new("unknown");
    let identities = [
        authority.server("other.test"),
        authority.client("somebody"),
        authority.issue(expired(server_params("db.test"))),
        authority.issue(not_yet_valid(server_params("db.test"))),
        self_signed("other.test"),
    ];
    for mode in [TlsMode::Prefer, TlsMode::Require] {
        for identity in &identities {
            for host in ["db.test", "127.0.0.1", "::1", "not a host name"] {
                assert_eq!(connect(&target_tls(mode, &[]), host, identity), Ok(()));
            }
        }
    }
}

#[test]
fn verification_of_the_authority_does_not_ask_for_the_name() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let tls = target_tls(TlsMode::VerifyCa, &[&known]);
    let table = [
        (known.server("db.test"), Ok(())),
        (known.server("other.test"), Ok(())),
        (
            unknown.server("db.test"),
            fault(CertificateFault::UnknownAuthority),
        ),
        (
            known.issue(expired(server_params("db.test"))),
            fault(CertificateFault::Expired),
        ),
        (
            known.issue(not_yet_valid(server_params("db.test"))),
            fault(CertificateFault::NotYetValid),
        ),
        (
            known.client("somebody"),
            fault(CertificateFault::WrongPurpose),
        ),
        (self_signed("db.test"), fault(CertificateFault::SelfSigned)),
    ];
    for (identity, expected) in table {
        assert_eq!(connect(&tls, "db.test", &identity), expected);
    }
    assert_eq!(
        connect(&tls, "not a host name", &known.server("db.test")),
        Ok(())
    );
}

#[test]
fn full_verification_asks_for_the_name_too() {
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    let tls = target_tls(TlsMode::VerifyFull, &[&known, &Authority::new("another")]);
    let wrong_name = fault(CertificateFault::WrongName);
    let table = [
        ("db.test", known.server("db.test"), Ok(())),
        ("db.test.", known.server("db.test"), Ok(())),
        ("DB.Test", known.server("db.test"), Ok(())),
        ("a.db.test", known.server("*.db.test"), Ok(())),
        ("a.b.db.test", known.server("*.db.test"), wrong_name.clone()),
        ("db.test", known.server("other.test"), wrong_name.clone()),
        ("127.0.0.1", known.server("127.0.0.1"), Ok(())),
        ("::1", known.server("::1"), Ok(())),
        ("127.0.0.1", known.server("127.0.0.2"), wrong_name.clone()),
        ("127.0.0.1", known.server("db.test"), wrong_name),
        (
            "db.test",
            unknown.server("db.test"),
            fault(CertificateFault::UnknownAuthority),
        ),
        (
            "db.test",
            known.issue(expired(server_params("db.test"))),
            fault(CertificateFault::Expired),
        ),
    ];
    for (host, identity, expected) in table {
        assert_eq!(connect(&tls, host, &identity), expected, "{host}");
    }
    let error = ClientSettings::new(&tls, "not a host name").unwrap_err();
    assert_eq!(error, TlsError::HostName);
}

#[test]
fn a_certificate_without_alternative_names_may_name_the_host_as_its_subject() {
    let known = Authority::new("known");
    let tls = target_tls(TlsMode::VerifyFull, &[&known]);
    let named = |subject: &str| {
        let mut params = server_params("db.test");
        params.subject_alt_names.clear();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, subject);
        known.issue(params)
    };
    let wrong_name = fault(CertificateFault::WrongName);
    let table = [
        ("db.test", named("db.test"), Ok(())),
        ("db.test", named("DB.TEST"), Ok(())),
        ("a.db.test", named("*.db.test"), Ok(())),
        ("127.0.0.1", named("127.0.0.1"), Ok(())),
        ("db.test", named("*.test"), Ok(())),
        ("test", named("*"), wrong_name.clone()),
        ("a.b.db.test", named("*.db.test"), wrong_name.clone()),
        ("db.test", named("other.test"), wrong_name.clone()),
        ("db.test", named("db.test\0.other"), wrong_name.clone()),
        ("127.0.0.1", named("*.0.0.1"), wrong_name),
    ];
    for (host, identity, expected) in table {
        assert_eq!(connect(&tls, host, &identity), expected, "{host}");
    }
}

#[test]
fn a_subject_does_not_help_where_alternative_names_are_given() {
    let known = Authority::new("known");
    let tls = target_tls(TlsMode::VerifyFull, &[&known]);
    let mut params = server_params("other.test");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "db.test");
    assert_eq!(
        connect(&tls, "db.test", &known.issue(params)),
        fault(CertificateFault::WrongName)
    );
}

#[test]
fn a_self_signed_certificate_is_believed_when_it_is_among_the_authorities() {
    let (mine, other) = (self_signed("db.test"), self_signed("db.test"));
    let tls = |mode| TargetTls {
        mode,
        authorities: vec![mine.chain[0].clone()],
        identity: None,
    };
    assert_eq!(
        connect(&tls(TlsMode::VerifyCa), "other.test", &mine),
        Ok(())
    );
    assert_eq!(connect(&tls(TlsMode::VerifyFull), "db.test", &mine), Ok(()));
    assert_eq!(
        connect(&tls(TlsMode::VerifyFull), "other.test", &mine),
        fault(CertificateFault::WrongName)
    );
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        assert!(connect(&tls(mode), "db.test", &other).is_err());
    }
}

#[test]
fn a_self_signed_certificate_among_the_authorities_may_not_be_expired() {
    let mut params = expired(server_params("db.test"));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = crate::certificates::Kind::EcdsaSha256.key();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let tls = TargetTls {
        mode: TlsMode::VerifyCa,
        authorities: vec![der.clone()],
        identity: None,
    };
    let identity = crate::certificates::identity(der, &key);
    assert_eq!(
        connect(&tls, "db.test", &identity),
        fault(CertificateFault::Expired)
    );
}

#[test]
fn a_certificate_with_an_unknown_critical_extension_is_not_believed() {
    let known = Authority::new("known");
    let mut params: CertificateParams = server_params("db.test");
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let tls = target_tls(TlsMode::VerifyCa, &[&known]);
    assert_eq!(
        connect(&tls, "db.test", &known.issue(params)),
        fault(CertificateFault::Malformed)
    );
}

#[test]
fn a_peer_without_the_key_of_its_certificate_is_refused_even_without_verification() {
    let authority = Authority::new("authority");
    let (shown, held) = (authority.server("db.test"), authority.server("db.test"));
    let stolen = Identity {
        chain: shown.chain,
        key: held.key,
    };
    for versions in [TLS12, TLS13] {
        let config = their_server_config(versions, &stolen, &[]);
        let settings = ClientSettings::new(&target_tls(TlsMode::Require, &[]), "db.test").unwrap();
        let (mut client, mut server) = (End::client(&settings), End::their_server(config));
        settle(&mut client, &mut server);
        assert_eq!(
            client.our_error(),
            Some(&TlsError::PeerCertificate(CertificateFault::BadSignature))
        );
    }
}

#[test]
fn a_certificate_of_version_1_will_do_where_only_the_key_counts() {
    let authority = Authority::new("authority");
    let old = authority.version_1();
    let result = connect(&target_tls(TlsMode::Require, &[]), "db.test", &old);
    assert_eq!(result, Ok(()));
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let result = connect(&target_tls(mode, &[&authority]), "db.test", &old);
        assert_eq!(result, fault(CertificateFault::UnsupportedVersion));
    }
    // And we may show one ourselves.
    ServerSettings::new(&server_tls(old)).unwrap();
}

/// A server of ours that believes the certificates of `authority`.
fn asking(authority: &Authority) -> ServerSettings {
    ServerSettings::new(&ServerTls {
        identity: authority.server("proxy.test"),
        client_authorities: vec![authority.der()],
    })
    .unwrap()
}

#[test]
fn a_client_may_do_without_a_certificate() {
    let authority = Authority::new("authority");
    let settings = asking(&authority);
    for versions in [TLS12, TLS13] {
        let config = their_client_config(versions, &authority, &[]);
        let (mut client, mut server) = (
            End::their_client(config, "proxy.test"),
            End::server(&settings),
        );
        settle(&mut client, &mut server);
        assert!(!server.facts.expect("done").client_certificate);
    }
}

#[test]
fn a_good_client_certificate_is_a_fact() {
    let authority = Authority::new("authority");
    let settings = asking(&authority);
    for versions in [TLS12, TLS13] {
        let config = their_client_with(versions, &authority, &authority.client("app"));
        let (mut client, mut server) = (
            End::their_client(config, "proxy.test"),
            End::server(&settings),
        );
        settle(&mut client, &mut server);
        assert!(server.facts.expect("done").client_certificate);
    }
}

#[test]
fn a_wrong_client_certificate_is_refused() {
    let (authority, unknown) = (Authority::new("authority"), Authority::new("unknown"));
    let settings = asking(&authority);
    let table = [
        (unknown.client("app"), CertificateFault::UnknownAuthority),
        (
            authority.issue(expired(CertificateParams::default())),
            CertificateFault::Expired,
        ),
        (authority.server("app"), CertificateFault::WrongPurpose),
    ];
    for versions in [TLS12, TLS13] {
        for (identity, fault) in &table {
            let config = their_client_with(versions, &authority, identity);
            let (mut client, mut server) = (
                End::their_client(config, "proxy.test"),
                End::server(&settings),
            );
            settle(&mut client, &mut server);
            assert_eq!(server.our_error(), Some(&TlsError::PeerCertificate(*fault)));
            assert!(server.facts.is_none());
            assert!(matches!(
                client.error,
                Some(Failure::Theirs(rustls::Error::AlertReceived(_)))
            ));
        }
    }
}

#[test]
fn a_proxy_without_authorities_asks_for_no_certificate() {
    let authority = Authority::new("authority");
    let settings = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    let config = their_client_with(TLS13, &authority, &authority.client("app"));
    let (mut client, mut server) = (
        End::their_client(config, "proxy.test"),
        End::server(&settings),
    );
    settle(&mut client, &mut server);
    assert!(!server.facts.expect("done").client_certificate);
}

#[test]
fn a_target_that_demands_our_certificate_gets_it_or_says_why_not() {
    let authority = Authority::new("authority");
    let demand = |versions| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let (chain, key) = crate::ends::theirs(&authority.server("db.test"));
        rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap()
    };
    for versions in [TLS12, TLS13] {
        let mut tls = target_tls(TlsMode::VerifyFull, &[&authority]);
        let settings = ClientSettings::new(&tls, "db.test").unwrap();
        let (mut client, mut server) =
            (End::client(&settings), End::their_server(demand(versions)));
        settle(&mut client, &mut server);
        let alert = TlsError::Alert("CertificateRequired".into());
        assert_eq!(client.our_error(), Some(&alert));

        tls.identity = Some(authority.client("proxy"));
        let settings = ClientSettings::new(&tls, "db.test").unwrap();
        let (mut client, mut server) =
            (End::client(&settings), End::their_server(demand(versions)));
        settle(&mut client, &mut server);
        assert!(client.facts.is_some() && server.error.is_none());
        assert!(server.theirs().peer_certificates().is_some());

        // One that the target's authority did not sign, although it is of the same name.
        tls.identity = Some(Authority::new("authority").client("proxy"));
        let settings = ClientSettings::new(&tls, "db.test").unwrap();
        let (mut client, mut server) =
            (End::client(&settings), End::their_server(demand(versions)));
        settle(&mut client, &mut server);
        let Some(TlsError::Alert(alert)) = client.our_error() else {
            panic!("{:?}", client.our_error())
        };
        assert!(matches!(&**alert, "UnknownCA" | "DecryptError"), "{alert}");
    }
}
