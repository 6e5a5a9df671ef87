//! The client's login, branch by branch: what comes before the startup message, what it may say, and each way to prove a password.

use crate::support::{
    End, ProxyOf, Side, authentication, credential, credential_with_previous, message, startup,
    tls_facts,
};
use forebay_core::engine::TlsFacts;
use forebay_core::orders::{Admission, CancelKey};
use forebay_core::snapshot::ClientAuth;
use forebay_core::{CloseReason, PinReason, Refusal};
use forebay_postgres::client_login::ClientLogin;
use forebay_postgres::md5_password::Md5Hash;
use forebay_postgres::scram::{ClientBinding, ClientFirst, ClientKeys, ITERATIONS_DEFAULT};
use forebay_postgres::wire::startup::{VERSION_3_0, VERSION_3_2};
use forebay_postgres::wire::{HEADER_BYTES, header, write};

const GSS_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const END_POINT: &[u8] = b"hash of the certificate";

fn scram() -> ProxyOf {
    ProxyOf::one("u", "pencil", ClientAuth::ScramSha256)
}

fn plain_startup() -> Vec<u8> {
    startup(VERSION_3_0, &[("user", "u"), ("database", "d")])
}

fn violation(text: &'static str) -> Option<End> {
    Some(End::Refused(Refusal::ProtocolViolation(text)))
}

fn wrong_password() -> Option<End> {
    Some(End::Refused(Refusal::WrongPassword {
        user: "u".to_owned(),
    }))
}

fn admitted() -> Option<End> {
    Some(End::Admitted(Admission {
        user: "u".to_owned(),
        database: "d".to_owned(),
        handshake: 0,
        dedicated: None,
        is_previous: false,
    }))
}

/// A session after SSLRequest and handshake.
fn under_tls(proxy: &ProxyOf, server_end_point: Option<&[u8]>) -> Side<ClientLogin> {
    let mut side = proxy.side();
    side.feed(write::SSL_REQUEST);
    assert_eq!(side.take(), b"S");
    side.handshake(&tls_facts(server_end_point));
    side
}

/// SASLInitialResponse.
fn initial_response(mechanism: &str, first: &[u8]) -> Vec<u8> {
    let len = (first.len() as u32).to_be_bytes();
    message(b'p', &[mechanism.as_bytes(), b"\0", &len, first].concat())
}

/// Proves a password after the offer was read; answers with the last message sent.
fn prove(side: &mut Side<ClientLogin>, password: &str, binding: ClientBinding) -> Vec<u8> {
    let first = ClientFirst::new(&[8; 18], binding);
    side.feed(&initial_response(
        first.mechanism().as_str(),
        &first.message(),
    ));
    if side.end.is_some() {
        return Vec::new();
    }
    let answer = side.take();
    let need = first
        .on_server_first(&answer[HEADER_BYTES + 4..], ITERATIONS_DEFAULT)
        .unwrap();
    let keys = ClientKeys::derive(password, need.salt(), need.iterations());
    let (proof, expect) = need.with_keys(&keys);
    side.feed(&message(b'p', &proof));
    let last = side.take();
    if let Some(server_final) = last.get(HEADER_BYTES + 4..) {
        expect
            .on_server_final(server_final)
            .expect("the proxy proves itself, too");
    }
    last
}

#[test]
fn tls_is_answered_by_what_the_proxy_has() {
    for (tls, answer) in [(true, b"S"), (false, b"N")] {
        let mut side = ProxyOf { tls, ..scram() }.side();
        side.drip(write::SSL_REQUEST);
        assert_eq!(
            (side.take(), side.in_handshake, side.end.clone()),
            (answer.to_vec(), tls, None)
        );
        assert!(side.held.is_empty(), "the request is consumed");
    }
}

#[test]
fn encryption_may_be_asked_for_in_either_order_but_once_each() {
    let orders: [(&[&[u8]], Option<End>); 5] = [
        (&[write::SSL_REQUEST, GSS_REQUEST], None),
        (&[GSS_REQUEST, write::SSL_REQUEST], None),
        (
            &[write::SSL_REQUEST, write::SSL_REQUEST],
            violation("unexpected SSL request"),
        ),
        (
            &[GSS_REQUEST, GSS_REQUEST],
            violation("unexpected GSSAPI encryption request"),
        ),
        (
            &[GSS_REQUEST, write::SSL_REQUEST, GSS_REQUEST],
            violation("unexpected GSSAPI encryption request"),
        ),
    ];
    for (requests, end) in orders {
        let mut side = ProxyOf {
            tls: false,
            ..scram()
        }
        .side();
        for request in requests {
            side.feed(request);
        }
        assert_eq!(side.end, end, "{requests:?}");
        assert!(side.sent.iter().all(|&byte| byte == b'N'));
    }
}

#[test]
fn inside_tls_no_other_encryption_is_begun() {
    for (request, text) in [
        (write::SSL_REQUEST, "unexpected SSL request"),
        (GSS_REQUEST, "unexpected GSSAPI encryption request"),
    ] {
        let mut side = under_tls(&scram(), None);
        side.feed(request);
        assert_eq!(side.end, violation(text));
    }
}

#[test]
fn bytes_in_clear_behind_an_encryption_request_are_refused() {
    for tls in [true, false] {
        for (request, text) in [
            (
                write::SSL_REQUEST,
                "received unencrypted data after SSL request",
            ),
            (
                GSS_REQUEST,
                "received unencrypted data after GSSAPI encryption request",
            ),
        ] {
            let mut side = ProxyOf { tls, ..scram() }.side();
            side.feed(&[request, &plain_startup()].concat());
            assert_eq!(
                (side.end.clone(), side.in_handshake),
                (violation(text), false)
            );
        }
    }
}

#[test]
fn direct_tls_needs_the_protocols_name_in_alpn() {
    let facts = |alpn: Option<&[u8]>| TlsFacts {
        alpn: alpn.map(<[u8]>::to_vec),
        ..tls_facts(None)
    };
    let without =
        "received direct SSL connection request without ALPN protocol negotiation extension";
    for (alpn, end) in [
        (Some(&b"postgresql"[..]), None),
        (Some(b"http/1.1"), violation(without)),
        (None, violation(without)),
    ] {
        let mut side = scram().side();
        side.feed(b"\x16\x03\x01");
        assert_eq!(
            side.held, b"\x16\x03\x01",
            "the handshake's bytes belong to TLS"
        );
        side.held.clear();
        side.handshake(&facts(alpn));
        assert_eq!(side.end, end);
    }
    let mut side = ProxyOf {
        tls: false,
        ..scram()
    }
    .side();
    side.feed(b"\x16");
    assert_eq!(side.end, Some(End::Closed(CloseReason::ClientProtocol)));
}

#[test]
fn direct_tls_is_no_second_chance() {
    let mut side = ProxyOf {
        tls: true,
        ..scram()
    }
    .side();
    side.feed(GSS_REQUEST).feed(b"\x16\x03\x01\x02");
    assert_eq!(side.end, violation("invalid length of startup packet"));
}

#[test]
fn a_cancel_request_names_the_session_under_tls_and_without() {
    for secret in [&[1, 2, 3, 4][..], &[7; 32], &[7; 256]] {
        let mut request = Vec::new();
        write::cancel_request(&mut request, 42, secret);
        let key = CancelKey {
            process: 42,
            secret: secret.to_vec(),
            ends: false,
        };
        let sides = [
            ProxyOf {
                require_tls: true,
                ..scram()
            }
            .side(),
            under_tls(&scram(), None),
        ];
        for mut side in sides {
            side.drip(&request);
            assert_eq!(side.end, Some(End::Cancel(key.clone())));
        }
    }
}

#[test]
fn hostile_first_packets_are_refused_by_their_first_bytes() {
    let length = "invalid length of startup packet";
    let layout = "invalid startup packet layout: expected terminator as last byte";
    let cases: [(&[u8], Option<End>); 9] = [
        (b"\0\0\0\x07", violation(length)),
        (b"\0\0\x27\x11", violation(length)),
        (b"\xff\xff\xff\xff", violation(length)),
        (b"GET / HTTP/1.1\r\n", violation(length)),
        (b"\0\0\0\x08\0\x03\0\0", violation(layout)),
        (b"\0\0\0\x0e\0\x03\0\0user\0u", violation(layout)),
        (b"\0\0\0\x0b\0\x03\0\0a\0b", violation(layout)),
        (
            b"\0\0\0\x08\0\x09\0\x09",
            Some(End::Refused(Refusal::ProtocolVersion {
                major: 9,
                minor: 9,
            })),
        ),
        (b"\0\0\0\x0d\x04\xd2\x16\x2e\0\0\0\0\0", violation(length)),
    ];
    for (bytes, end) in cases {
        let mut side = scram().side();
        side.drip(bytes);
        assert_eq!(side.end, end, "{bytes:?}");
    }
}

#[test]
fn other_major_versions_are_refused_and_newer_minor_versions_negotiated() {
    for (version, end) in [
        (
            2 << 16,
            Some(End::Refused(Refusal::ProtocolVersion {
                major: 2,
                minor: 0,
            })),
        ),
        (
            4 << 16 | 1,
            Some(End::Refused(Refusal::ProtocolVersion {
                major: 4,
                minor: 1,
            })),
        ),
    ] {
        let mut side = scram().side();
        side.feed(&startup(version, &[("user", "u")]));
        assert_eq!((side.end.clone(), side.take()), (end, vec![]));
    }
    let mut side = scram().side();
    side.feed(&startup(3 << 16 | 9, &[("user", "u")]));
    let negotiation = b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0";
    let offer = authentication(10, b"SCRAM-SHA-256\0\0");
    assert_eq!(side.take(), [&negotiation[..], &offer].concat());
}

#[test]
fn the_startup_message_is_judged_before_the_password_is_asked_for() {
    let tls = ProxyOf {
        require_tls: true,
        ..scram()
    };
    let mut side = tls.side();
    side.feed(&plain_startup());
    assert_eq!(
        (side.end.clone(), side.take()),
        (Some(End::Refused(Refusal::TlsRequired)), vec![])
    );

    for parameters in [&[][..], &[("user", "")], &[("database", "d")]] {
        let mut side = scram().side();
        side.feed(&startup(VERSION_3_0, parameters));
        assert_eq!(
            (side.end.clone(), side.take()),
            (Some(End::Refused(Refusal::MissingUser)), vec![])
        );
    }

    let mut side = scram().side();
    side.feed(&startup(VERSION_3_0, &[("user", "u"), ("options", "-x")]));
    assert!(matches!(
        side.end,
        Some(End::Refused(Refusal::SettingRefused { .. }))
    ));
}

#[test]
fn scram_asks_everybody_for_4096_iterations() {
    for user in ["u", "nobody we know"] {
        let mut side = scram().side();
        side.feed(&startup(VERSION_3_0, &[("user", user), ("database", "d")]));
        side.take();
        let first = ClientFirst::new(&[8; 18], ClientBinding::None);
        side.feed(&initial_response(
            first.mechanism().as_str(),
            &first.message(),
        ));
        let answer = side.take();
        assert!(answer.ends_with(b",i=4096"), "{}", answer.escape_ascii());
    }
}

#[test]
fn scram_admits_who_knows_the_password_and_nobody_else() {
    let wrong = wrong_password();
    for (password, end) in [("pencil", admitted()), ("Pencil", wrong)] {
        let mut side = scram().side();
        side.drip(&plain_startup());
        assert_eq!(side.take(), authentication(10, b"SCRAM-SHA-256\0\0"));
        let last = prove(&mut side, password, ClientBinding::None);
        assert_eq!(side.end, end);
        assert_eq!(
            last.is_empty(),
            password != "pencil",
            "SASLFinal is sent with the proof, and only then"
        );
    }
}

#[test]
fn no_input_is_consumed_while_a_verifier_is_derived() {
    let mut side = scram().side();
    side.holds_work = true;
    let first = ClientFirst::new(&[8; 18], ClientBinding::None);
    let eager = initial_response("SCRAM-SHA-256", &first.message());
    side.feed(&[plain_startup(), eager.clone()].concat());
    assert_eq!(
        (side.take(), side.held_work.len(), &side.held),
        (vec![], 1, &eager)
    );
    side.finish_work();
    let offer = authentication(10, b"SCRAM-SHA-256\0\0");
    assert!(side.take().starts_with(&offer));
    assert!(side.held.is_empty());
}

#[test]
fn a_known_verifier_costs_no_work() {
    let proxy = scram();
    let mut first = proxy.side();
    first.feed(&plain_startup());
    let mut second = proxy.side();
    second.cache = first.cache;
    second.holds_work = true;
    second.feed(&plain_startup());
    assert!(second.held_work.is_empty() && !second.sent.is_empty());
}

#[test]
fn a_user_without_credential_fails_only_at_the_proof() {
    let mut side = scram().side();
    side.holds_work = true;
    side.feed(&startup(VERSION_3_0, &[("user", "nobody")]));
    assert_eq!(side.take(), authentication(10, b"SCRAM-SHA-256\0\0"));
    prove(&mut side, "pencil", ClientBinding::None);
    let user = "nobody".to_owned();
    assert_eq!(
        side.end,
        Some(End::Refused(Refusal::NoCredentials { user }))
    );
}

#[test]
fn a_user_whose_name_is_not_utf8_is_as_unknown_as_any_other() {
    let proxy = ProxyOf::one("caf\u{fffd}", "pencil", ClientAuth::ScramSha256);
    let mut side = proxy.side();
    side.holds_work = true;
    let mut out = Vec::new();
    write::startup(&mut out, VERSION_3_0, [("user", b"caf\xe9")]);
    side.feed(&out);
    assert_eq!(side.take(), authentication(10, b"SCRAM-SHA-256\0\0"));
    prove(&mut side, "pencil", ClientBinding::None);
    let user = "caf\u{fffd}".to_owned();
    assert_eq!(
        side.end,
        Some(End::Refused(Refusal::NoCredentials { user }))
    );
}

#[test]
fn channel_binding_is_offered_where_the_certificate_is_known_and_checked() {
    let bound = |data: &[u8]| ClientBinding::TlsServerEndPoint(data.into());
    let both = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    let plain = b"SCRAM-SHA-256\0\0";
    let refused = |text| Some(End::Refused(Refusal::ChannelBinding(text)));
    /// Data of the certificate, offer, what the client binds to, end.
    type Case<'a> = (Option<&'a [u8]>, &'a [u8], ClientBinding, Option<End>);
    let cases: [Case<'_>; 6] = [
        (Some(END_POINT), both, bound(END_POINT), admitted()),
        (Some(END_POINT), both, ClientBinding::None, admitted()),
        (
            Some(END_POINT),
            both,
            bound(b"another"),
            refused("SCRAM channel binding check failed"),
        ),
        (
            Some(END_POINT),
            both,
            ClientBinding::SupportedButNotUsed,
            refused("SCRAM channel binding negotiation error"),
        ),
        (None, plain, ClientBinding::SupportedButNotUsed, admitted()),
        (
            None,
            plain,
            bound(END_POINT),
            Some(End::Refused(Refusal::UnsupportedAuth)),
        ),
    ];
    for (end_point, offer, binding, end) in cases {
        let mut side = under_tls(&scram(), end_point);
        side.feed(&plain_startup());
        assert_eq!(side.take(), authentication(10, offer));
        prove(&mut side, "pencil", binding.clone());
        assert_eq!(side.end, end, "{binding:?}");
    }
}

#[test]
fn the_first_sasl_message_may_come_by_itself() {
    let mut side = scram().side();
    side.feed(&plain_startup()).take();
    side.feed(&message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"));
    assert_eq!(side.take(), authentication(11, b""));
    side.feed(&message(b'p', b"n,,n=,r=abcdef"));
    assert!(side.take().starts_with(b"R"));
    assert_eq!(side.end, None);
}

#[test]
fn malformed_sasl_messages_are_named() {
    let malformed = violation("malformed SCRAM message");
    let initial = violation("invalid SASL initial response");
    let cases: [(Vec<u8>, Option<End>); 9] = [
        (
            initial_response("FOO", b""),
            Some(End::Refused(Refusal::UnsupportedAuth)),
        ),
        (message(b'p', b"SCRAM-SHA-256"), initial.clone()),
        (message(b'p', b""), initial.clone()),
        (
            message(b'p', b"SCRAM-SHA-256\0\0\0\0\x09abc"),
            initial.clone(),
        ),
        (
            message(b'p', b"SCRAM-SHA-256\0\0\0\0\x01abc"),
            initial.clone(),
        ),
        (
            message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xffabc"),
            initial,
        ),
        (initial_response("SCRAM-SHA-256", b""), malformed.clone()),
        (initial_response("SCRAM-SHA-256", b"n,,r=abc"), malformed),
        (
            initial_response("SCRAM-SHA-256", b"n,a=x,n=,r=abc"),
            Some(End::Refused(Refusal::FeatureNotSupported(
                "client uses authorization identity, but it is not supported",
            ))),
        ),
    ];
    for (bytes, end) in cases {
        let mut side = scram().side();
        side.feed(&plain_startup());
        side.feed(&bytes);
        assert_eq!(side.end, end, "{bytes:?}");
    }
}

#[test]
fn md5_admits_the_right_answer_to_its_salt() {
    let proxy = ProxyOf::one("u", "pencil", ClientAuth::Md5);
    for (password, end) in [("pencil", admitted()), ("pen", wrong_password())] {
        let mut side = proxy.side();
        side.feed(&plain_startup());
        let request = side.take();
        assert_eq!(request[..9], authentication(5, &[0; 4])[..9]);
        let salt = request[9..].try_into().unwrap();
        let answer = Md5Hash::of("u", password).response(salt);
        side.drip(&message(b'p', &[&answer[..], b"\0"].concat()));
        assert_eq!(side.end, end);
    }
}

#[test]
fn the_password_in_clear_is_asked_for_under_tls_only() {
    let proxy = ProxyOf::one("u", "pencil", ClientAuth::ClearText);
    let mut side = proxy.side();
    side.feed(&plain_startup());
    let user = "u".to_owned();
    let refused = Some(End::Refused(Refusal::ClearTextNeedsTls { user }));
    assert_eq!((side.end.clone(), side.take()), (refused, vec![]));

    let long = "x".repeat(60_000);
    for (password, end) in [
        ("pencil", admitted()),
        ("pen", wrong_password()),
        ("", wrong_password()),
        (&long, wrong_password()),
    ] {
        let mut side = under_tls(&proxy, Some(END_POINT));
        side.feed(&plain_startup());
        assert_eq!(side.take(), authentication(3, b""));
        side.feed(&message(b'p', &[password.as_bytes(), b"\0"].concat()));
        assert_eq!(side.end, end);
    }
}

/// A client's side before a proxy whose user's password was `pen` until now.
fn with_previous(auth: ClientAuth) -> Side<ClientLogin> {
    let proxy = ProxyOf {
        credentials: vec![credential_with_previous("u", ["pencil", "pen"], auth)],
        ..scram()
    };
    under_tls(&proxy, None)
}

/// What becomes of clients that prove these passwords, while the user's was `pen` until now.
fn of_two_passwords() -> [(&'static str, Option<End>); 3] {
    let Some(End::Admitted(current)) = admitted() else {
        panic!("it is");
    };
    let previous = Admission {
        is_previous: true,
        ..current
    };
    [
        ("pencil", admitted()),
        ("pen", Some(End::Admitted(previous))),
        ("", wrong_password()),
    ]
}

#[test]
fn either_password_is_taken_while_a_secret_has_two() {
    for (password, end) in of_two_passwords() {
        let mut side = with_previous(ClientAuth::ScramSha256);
        side.drip(&plain_startup());
        side.take();
        prove(&mut side, password, ClientBinding::None);
        assert_eq!(side.end, end, "by SCRAM");

        let mut side = with_previous(ClientAuth::Md5);
        side.feed(&plain_startup());
        let salt = side.take()[9..].try_into().unwrap();
        let answer = Md5Hash::of("u", password).response(salt);
        side.feed(&message(b'p', &[&answer[..], b"\0"].concat()));
        assert_eq!(side.end, end, "by MD5");

        let mut side = with_previous(ClientAuth::ClearText);
        side.feed(&plain_startup()).take();
        side.feed(&message(b'p', &[password.as_bytes(), b"\0"].concat()));
        assert_eq!(side.end, end, "in clear");
    }
}

#[test]
fn no_input_is_consumed_until_both_verifiers_are_derived() {
    let mut side = with_previous(ClientAuth::ScramSha256);
    side.holds_work = true;
    side.feed(&plain_startup());
    for _ in 0..2 {
        assert_eq!((side.take(), side.held_work.len()), (vec![], 1));
        assert!(side.paused);
        side.finish_work();
    }
    assert!(!side.take().is_empty() && !side.paused);
}

#[test]
fn password_messages_must_be_one_string() {
    for auth in [ClientAuth::Md5, ClientAuth::ClearText] {
        for body in [&b""[..], b"pencil", b"pencil\0x", b"pen\0cil\0"] {
            let mut side = under_tls(&ProxyOf::one("u", "pencil", auth), None);
            side.feed(&plain_startup()).feed(&message(b'p', body));
            assert_eq!(
                side.end,
                violation("invalid password packet size"),
                "{auth:?} {body:?}"
            );
        }
    }
}

#[test]
fn lengths_and_kinds_of_messages_are_checked_by_their_headers() {
    let password = "expected password response";
    let sasl = "expected SASL response";
    let large = |max| Some(End::Refused(Refusal::MessageTooLarge { max }));
    let length = violation("invalid message length");
    let cases: [(ClientAuth, &[u8], Option<End>); 12] = [
        (ClientAuth::ScramSha256, b"Q", violation(sasl)),
        (ClientAuth::Md5, b"Q", violation(password)),
        (ClientAuth::ClearText, b"\0", violation(password)),
        (
            ClientAuth::ScramSha256,
            b"X",
            Some(End::Closed(CloseReason::ClientQuit)),
        ),
        (ClientAuth::ScramSha256, b"p\0\0\0\x03", length.clone()),
        (ClientAuth::Md5, b"p\xff\xff\xff\xff", length.clone()),
        (ClientAuth::ClearText, b"p\x40\0\0\0", length),
        (ClientAuth::ScramSha256, b"p\0\0\x08\0", large(2048)),
        (ClientAuth::Md5, b"p\0\0\x08\0", large(2048)),
        (ClientAuth::ScramSha256, b"p\0\0\x07\xff", None),
        (ClientAuth::ClearText, b"p\0\x01\0\0", large(65_536)),
        (ClientAuth::ClearText, b"p\0\0\xff\xff", None),
    ];
    for (auth, bytes, end) in cases {
        let mut side = under_tls(&ProxyOf::one("u", "pencil", auth), None);
        side.feed(&plain_startup());
        side.drip(bytes);
        assert_eq!(side.end, end, "{auth:?} {bytes:?}");
    }
}

#[test]
fn what_follows_the_proof_is_left_for_the_session() {
    let mut side = under_tls(&ProxyOf::one("u", "pencil", ClientAuth::ClearText), None);
    side.feed(&plain_startup());
    side.feed(&[&message(b'p', b"pencil\0")[..], b"Q\0\0\0\x05\0"].concat());
    assert_eq!(
        (side.end.clone(), &side.held[..]),
        (admitted(), &b"Q\0\0\0\x05\0"[..])
    );
}

#[test]
fn the_admitted_client_is_what_the_startup_message_said() {
    for (version, minor, secret_bytes) in [
        (VERSION_3_0, 0, 4),
        (3 << 16 | 1, 1, 4),
        (VERSION_3_2, 2, 32),
        (3 << 16 | 9, 2, 32),
    ] {
        let mut side = under_tls(&ProxyOf::one("u", "pencil", ClientAuth::ClearText), None);
        side.feed(&startup(
            version,
            &[
                ("user", "u"),
                ("options", "-c geqo=off"),
                ("TimeZone", "UTC"),
            ],
        ));
        side.feed(&message(b'p', b"pencil\0"));
        let admitted = side.machine.into_admitted().expect("it was admitted");
        assert_eq!(
            (admitted.user.as_str(), admitted.database.as_str()),
            ("u", "u")
        );
        assert_eq!(
            (admitted.minor, admitted.secret.len()),
            (minor, secret_bytes)
        );
        assert_eq!(
            (admitted.process, admitted.session, admitted.dedicated),
            (77, 5, None)
        );
        let expected = [("geqo", "off"), ("timezone", "UTC")];
        assert_eq!(
            admitted.baseline,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(!format!("{:?}", side.end).contains("pencil"));
    }
    assert!(scram().side().machine.into_admitted().is_none());
}

#[test]
fn replication_asks_for_a_backend_of_its_own() {
    let mut side = under_tls(&ProxyOf::one("u", "pencil", ClientAuth::ClearText), None);
    side.feed(&startup(
        VERSION_3_0,
        &[("user", "u"), ("replication", "true"), ("a", "b")],
    ));
    side.feed(&message(b'p', b"pencil\0"));
    let Some(End::Admitted(admission)) = &side.end else {
        panic!("admitted")
    };
    let given = [("replication", "true"), ("a", "b")]
        .map(|(name, value)| (Vec::from(name), Vec::from(value)));
    assert_eq!(admission.dedicated.as_deref(), Some(&given[..]));
    let dedicated = side.machine.into_admitted().expect("admitted").dedicated;
    assert_eq!(dedicated, Some(PinReason::ReplicationConnection));
}

#[test]
fn what_only_a_backends_start_can_set_is_for_the_start_of_a_backend_of_its_own() {
    let mut side = under_tls(&ProxyOf::one("u", "pencil", ClientAuth::ClearText), None);
    let parameters = [
        ("user", "u"),
        ("log_connections", "on"),
        ("DateStyle", "ISO"),
        ("options", "-W 0"),
    ];
    side.feed(&startup(VERSION_3_2, &parameters));
    side.feed(&message(b'p', b"pencil\0"));
    let Some(End::Admitted(admission)) = &side.end else {
        panic!("admitted")
    };
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let given = [("post_auth_delay", "0"), ("log_connections", "on")]
        .map(|(name, value)| (Vec::from(name), Vec::from(value)));
    assert_eq!(admission.dedicated.as_deref(), Some(&given[..]));
    let admitted = side.machine.into_admitted().expect("admitted");
    assert_eq!(admitted.dedicated, Some(PinReason::StartupParameter));
    assert_eq!(admitted.baseline, owned(&[("datestyle", "ISO")]));
}

#[test]
fn each_user_has_its_own_way() {
    let proxy = ProxyOf {
        credentials: vec![
            credential("m", "p", ClientAuth::Md5),
            credential("s", "p", ClientAuth::ScramSha256),
        ],
        ..scram()
    };
    for (user, kind) in [("m", 5), ("s", 10), ("x", 10)] {
        let mut side = proxy.side();
        side.feed(&startup(VERSION_3_0, &[("user", user)]));
        let sent = side.take();
        assert_eq!(sent[HEADER_BYTES..HEADER_BYTES + 4], u32::to_be_bytes(kind));
        assert_eq!(header(&sent).unwrap().unwrap().len, sent.len());
    }
}
