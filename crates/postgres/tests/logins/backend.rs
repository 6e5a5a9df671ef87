//! The backend's login against a scripted database, branch by branch: TLS, each way to prove the password, what a database may say
//! before it is ready, and what it must not.

use crate::support::{
    End, READY, Side, authentication, backend_side, backend_side_of,
    backend_side_of_oldest_version, credential, limits_row, message, startup, tls_facts,
};
use forebay_core::Refusal;
use forebay_core::engine::Purpose;
use forebay_core::snapshot::{ClientAuth, TlsMode};
use forebay_postgres::backend_login::BackendLogin;
use forebay_postgres::errors;
use forebay_postgres::md5_password::Md5Hash;
use forebay_postgres::scram::{ExpectProof, ITERATIONS_DEFAULT, Mechanism, ServerFirst, Verifier};
use forebay_postgres::wire::HEADER_BYTES;
use forebay_postgres::wire::startup::{VERSION_3_0, VERSION_3_2};
use forebay_postgres::wire::write;

const TLS_MODES: [TlsMode; 4] = [
    TlsMode::Prefer,
    TlsMode::Require,
    TlsMode::VerifyCa,
    TlsMode::VerifyFull,
];

fn in_clear() -> Side<BackendLogin> {
    let mut side = backend_side("pencil", TlsMode::Disable, Purpose::Pooled, "");
    assert_eq!(side.take(), pooled_startup());
    side
}

fn under_tls(server_end_point: Option<&[u8]>) -> Side<BackendLogin> {
    let mut side = backend_side("pencil", TlsMode::Require, Purpose::Pooled, "");
    side.take();
    side.feed(b"S").handshake(&tls_facts(server_end_point));
    assert_eq!(side.take(), pooled_startup());
    side
}

fn pooled_startup() -> Vec<u8> {
    startup(VERSION_3_2, &[("user", "u"), ("database", "d")])
}

/// After AuthenticationOk and ReadyForQuery, the question for limits is out.
fn asked_for_limits(init_query: &str) -> Side<BackendLogin> {
    let mut side = backend_side("pencil", TlsMode::Disable, Purpose::Pooled, init_query);
    side.take();
    side.feed(write::AUTHENTICATION_OK).feed(READY);
    assert!(side.take().starts_with(b"Q"));
    side
}

fn limits_answer() -> Vec<u8> {
    let description = message(b'T', b"\0\0");
    [
        description,
        limits_row(["100", "3", "2"]),
        message(b'C', b"SELECT 1\0"),
        READY.to_vec(),
    ]
    .concat()
}

fn error(code: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::error(&mut out, "FATAL", code, text);
    out
}

fn failed(detail: &str) -> Option<End> {
    Some(End::Failed(Refusal::TargetUnreachable {
        detail: detail.into(),
    }))
}

fn untrusted(detail: &str) -> Option<End> {
    Some(End::Failed(Refusal::TargetAuthentication {
        detail: detail.into(),
    }))
}

fn refused(code: &str, text: &str) -> Option<End> {
    let refusal = errors::target_refused(code.into(), text.into());
    Some(End::Failed(refusal))
}

/// NegotiateProtocolVersion of a database that knows nothing newer than 3.0.
const NEGOTIATE_3_0: &[u8] = b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0";

const LIMITS: End = End::Ready {
    usable: 95,
    max: 100,
};

#[test]
fn tls_is_asked_for_unless_it_is_disabled() {
    for mode in TLS_MODES {
        let side = backend_side("pencil", mode, Purpose::Pooled, "");
        assert_eq!(side.sent, write::SSL_REQUEST);
    }
    in_clear();
}

#[test]
fn only_prefer_goes_on_without_tls() {
    for mode in TLS_MODES {
        let mut side = backend_side("pencil", mode, Purpose::Pooled, "");
        side.take();
        side.feed(b"N");
        let (sent, end) = match mode {
            TlsMode::Prefer => (pooled_startup(), None),
            _ => (vec![], untrusted("the database does not offer TLS")),
        };
        assert_eq!((side.take(), side.end.clone()), (sent, end));
    }
}

#[test]
fn the_answer_about_tls_is_one_byte() {
    let unencrypted = "received unencrypted data after the answer to the SSL request";
    let cases: [(&[u8], &str); 5] = [
        (b"Sx", unencrypted),
        (b"NR\0\0\0\x08\0\0\0\0", unencrypted),
        (b"E", "the database answered the SSL request with an error"),
        (
            b"EFATAL: who are you",
            "the database answered the SSL request with an error",
        ),
        (
            b"HTTP/1.1 400 Bad Request",
            "the database does not speak the PostgreSQL protocol",
        ),
    ];
    for (answer, detail) in cases {
        let mut side = backend_side("pencil", TlsMode::Prefer, Purpose::Pooled, "");
        side.feed(answer);
        assert_eq!(
            (side.end.clone(), side.in_handshake),
            (failed(detail), false)
        );
    }
}

#[test]
fn a_cancel_request_goes_out_as_soon_as_the_channel_stands() {
    let purpose = Purpose::Cancel {
        process: 7,
        secret: vec![1; 32],
    };
    let mut request = Vec::new();
    write::cancel_request(&mut request, 7, &[1; 32]);

    let mut side = backend_side("pencil", TlsMode::Disable, purpose.clone(), "");
    assert_eq!(side.take(), request);
    side.feed(b"whatever");
    assert!(side.held.is_empty() && side.end.is_none() && side.sent.is_empty());

    let mut side = backend_side("pencil", TlsMode::Prefer, purpose, "");
    side.take();
    side.feed(b"S").handshake(&tls_facts(None));
    assert_eq!(side.take(), request);
}

#[test]
fn a_dedicated_backend_has_the_clients_parameters_and_is_not_set_up() {
    let parameters = vec![
        (b"replication".to_vec(), b"true".to_vec()),
        (b"a".to_vec(), b"b".to_vec()),
    ];
    let mut side = backend_side(
        "pencil",
        TlsMode::Disable,
        Purpose::Dedicated(parameters),
        "SELECT 1",
    );
    let all = [
        ("user", "u"),
        ("database", "d"),
        ("replication", "true"),
        ("a", "b"),
    ];
    assert_eq!(side.take(), startup(VERSION_3_2, &all));
    assert!(side.machine.is_dedicated());
    side.feed(write::AUTHENTICATION_OK)
        .feed(&[READY, b"W\0\0\0\x07\0\0\0"].concat());
    assert_eq!(side.end, Some(End::Ready { usable: 0, max: 0 }));
    assert_eq!(
        (side.sent.len(), &side.held[..]),
        (0, &b"W\0\0\0\x07\0\0\0"[..])
    );
}

#[test]
fn a_backend_started_for_what_cannot_be_set_later_is_set_up_like_any_other() {
    let parameters = vec![(b"log_connections".to_vec(), b"on".to_vec())];
    let purpose = Purpose::Dedicated(parameters);
    let mut side = backend_side("pencil", TlsMode::Disable, purpose, "SELECT 1");
    let all = [("user", "u"), ("database", "d"), ("log_connections", "on")];
    assert_eq!(side.take(), startup(VERSION_3_2, &all));
    side.feed(write::AUTHENTICATION_OK).feed(READY);
    assert!(side.take().starts_with(b"Q"));
    side.feed(&limits_answer());
    assert_eq!(side.take(), message(b'Q', b"SELECT 1\0"));
    side.feed(READY);
    assert_eq!(side.end, Some(LIMITS));
}

#[test]
fn a_password_goes_out_in_clear_only_under_tls() {
    let mut side = in_clear();
    side.feed(&authentication(3, b""));
    let detail = "the database asks for the password in clear text, but the connection has no TLS";
    assert_eq!((side.end.clone(), side.take()), (untrusted(detail), vec![]));

    let mut side = under_tls(None);
    side.feed(&authentication(3, b""));
    assert_eq!(side.take(), message(b'p', b"pencil\0"));
    side.feed(write::AUTHENTICATION_OK)
        .feed(READY)
        .feed(&limits_answer());
    assert_eq!(side.end, Some(LIMITS));
}

#[test]
fn md5_is_answered() {
    let mut side = in_clear();
    side.drip(&authentication(5, &[1, 2, 3, 4]));
    let answer = Md5Hash::of("u", "pencil").response([1, 2, 3, 4]);
    assert_eq!(side.take(), message(b'p', &[&answer[..], b"\0"].concat()));

    for salt in [&b"123"[..], b"12345"] {
        let mut side = in_clear();
        side.feed(&authentication(5, salt));
        assert_eq!(side.end, failed("the database sent a malformed MD5 salt"));
    }
}

/// Mechanism and first message of a SASLInitialResponse.
fn chosen(sent: &[u8]) -> (Mechanism, Vec<u8>) {
    let body = &sent[HEADER_BYTES..];
    let end = body
        .iter()
        .position(|&byte| byte == 0)
        .expect("a mechanism's name");
    (
        Mechanism::from_wire(&body[..end]).expect("a known mechanism"),
        body[end + 5..].to_vec(),
    )
}

#[test]
fn the_best_mechanism_is_chosen_and_the_flag_tells_what_could_have_been() {
    let both = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    let plain = b"FOO\0SCRAM-SHA-256\0\0";
    /// TLS, data of the certificate, offer; mechanism and flag.
    type Case = (
        bool,
        Option<&'static [u8]>,
        &'static [u8],
        Mechanism,
        &'static [u8],
    );
    let cases: [Case; 5] = [
        (
            true,
            Some(b"x"),
            both,
            Mechanism::ScramSha256Plus,
            b"p=tls-server-end-point,,",
        ),
        (true, Some(b"x"), plain, Mechanism::ScramSha256, b"y,,"),
        (true, None, both, Mechanism::ScramSha256, b"n,,"),
        (false, None, both, Mechanism::ScramSha256, b"n,,"),
        (false, None, plain, Mechanism::ScramSha256, b"n,,"),
    ];
    for (tls, end_point, offer, mechanism, flag) in cases {
        let mut side = if tls {
            under_tls(end_point)
        } else {
            in_clear()
        };
        side.feed(&authentication(10, offer));
        let (chosen, first) = chosen(&side.take());
        assert_eq!(chosen, mechanism);
        assert!(first.starts_with(flag), "{flag:?}");
    }
}

#[test]
fn offers_without_a_known_mechanism_are_named() {
    let unknown = "the database offers no SASL mechanism that is known here";
    let cases: [(&[u8], Option<End>); 5] = [
        (b"\0", untrusted(unknown)),
        (b"OAUTHBEARER\0\0", untrusted(unknown)),
        (b"SCRAM-SHA-256-PLUS\0\0", untrusted(unknown)),
        (b"", failed("invalid message format")),
        (b"SCRAM-SHA-256\0", failed("invalid message format")),
    ];
    for (offer, end) in cases {
        let mut side = in_clear();
        side.feed(&authentication(10, offer));
        assert_eq!(side.end, end, "{offer:?}");
    }
}

/// A backend that has sent its proof, and what the database answers to it.
fn proven(verifier: &Verifier) -> (Side<BackendLogin>, Option<Vec<u8>>) {
    let mut side = in_clear();
    let expect = challenged(&mut side, verifier);
    let proof = side.take();
    let last = expect.on_client_final(&proof[HEADER_BYTES..]).ok();
    (side, last.map(|authenticated| authenticated.server_final))
}

/// Asks for SCRAM and answers the first message, the proof is awaited.
fn challenged(side: &mut Side<BackendLogin>, verifier: &Verifier) -> ExpectProof {
    side.feed(&authentication(10, b"SCRAM-SHA-256\0\0"));
    let (mechanism, first) = chosen(&side.take());
    let (answer, expect) =
        ServerFirst::on_client_first(&first, mechanism, &[6; 18], verifier, None)
            .expect("well-formed");
    side.feed(&authentication(11, &answer));
    expect
}

fn verifier(password: &str) -> Verifier {
    Verifier::derive(password, b"salt of the database", ITERATIONS_DEFAULT).expect("a proper salt")
}

#[test]
fn scram_ends_with_the_databases_own_proof() {
    let (mut side, last) = proven(&verifier("pencil"));
    side.feed(&authentication(12, &last.expect("the password is right")));
    assert_eq!(side.end, None);
    side.feed(write::AUTHENTICATION_OK)
        .feed(READY)
        .feed(&limits_answer());
    assert_eq!(side.end, Some(LIMITS));
}

#[test]
fn a_database_that_cannot_prove_itself_is_not_believed() {
    let signature = authentication(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let proofless = "the database accepts the login without proving that it knows the password";
    let cases = [
        (write::AUTHENTICATION_OK.to_vec(), untrusted(proofless)),
        (
            signature,
            untrusted(
                "SCRAM with the database failed: server could not prove that it knows the password",
            ),
        ),
        (
            authentication(12, b"e=other-error"),
            untrusted(
                "SCRAM with the database failed: server ended the SCRAM exchange with an error",
            ),
        ),
        (
            READY.to_vec(),
            failed("the database sent an unexpected message during login"),
        ),
        (
            authentication(11, b""),
            failed("the database sent an unexpected authentication request"),
        ),
        (
            authentication(3, b""),
            failed("the database sent an unexpected authentication request"),
        ),
    ];
    for (answer, end) in cases {
        let (mut side, _) = proven(&verifier("pencil"));
        side.feed(&answer);
        assert_eq!((side.end.clone(), side.take()), (end, vec![]));
    }
    let mut side = in_clear();
    side.feed(&authentication(10, b"SCRAM-SHA-256\0\0"))
        .feed(write::AUTHENTICATION_OK);
    assert_eq!(side.end, untrusted(proofless));
}

#[test]
fn a_wrong_password_is_the_databases_own_error() {
    let (mut side, last) = proven(&verifier("pen"));
    assert_eq!(last, None);
    side.feed(&error(
        "28P01",
        "password authentication failed for user \"u\"",
    ));
    assert_eq!(
        side.end,
        refused("28P01", "password authentication failed for user \"u\"")
    );
}

#[test]
fn a_database_cannot_make_us_derive_for_ever() {
    let mut side = in_clear();
    side.holds_work = true;
    side.feed(&authentication(10, b"SCRAM-SHA-256\0\0"));
    let (_, first) = chosen(&side.take());
    let nonce = String::from_utf8(first)
        .expect("ASCII")
        .replace("n,,n=,", "");
    side.feed(&authentication(
        11,
        format!("{nonce}x,s=QUFB,i=1000001").as_bytes(),
    ));
    let detail =
        "SCRAM with the database failed: server asks for more SCRAM iterations than allowed";
    assert_eq!(
        (side.end.clone(), side.held_work.len()),
        (untrusted(detail), 0)
    );
}

#[test]
fn an_error_during_the_derivation_ends_the_login() {
    let mut side = in_clear();
    side.holds_work = true;
    challenged(&mut side, &verifier("pencil"));
    assert_eq!((side.held_work.len(), side.sent.len()), (1, 0));
    let text = "terminating connection due to administrator command";
    side.feed(&error("57P01", text));
    assert_eq!(side.end, refused("57P01", text));
    side.finish_work();
    assert_eq!(
        (side.end.clone(), side.take()),
        (refused("57P01", text), vec![])
    );
}

#[test]
fn keys_are_derived_once_for_a_credential_and_a_salt() {
    let credential = credential("u", "pencil", ClientAuth::ScramSha256);
    let side = || backend_side_of(credential.clone(), TlsMode::Disable, Purpose::Pooled, "");
    let verifier = verifier("pencil");
    let mut first = side();
    first.take();
    challenged(&mut first, &verifier);
    let mut second = side();
    second.take();
    second.cache = first.cache;
    second.holds_work = true;
    let expect = challenged(&mut second, &verifier);
    assert!(second.held_work.is_empty());
    let proof = second.take();
    assert!(expect.on_client_final(&proof[HEADER_BYTES..]).is_ok());
}

#[test]
fn other_kinds_of_authentication_are_named() {
    let named = "the database asks for GSSAPI, Kerberos or SSPI authentication";
    for (kind, detail) in [
        (2, named),
        (7, named),
        (9, named),
        (6, "the database asks for an unknown kind of authentication"),
        (
            11,
            "the database asks for an unknown kind of authentication",
        ),
        (
            99,
            "the database asks for an unknown kind of authentication",
        ),
    ] {
        let mut side = in_clear();
        side.feed(&authentication(kind, b""));
        assert_eq!(side.end, untrusted(detail));
    }
    let mut side = in_clear();
    side.feed(&message(b'R', b"\0\0"));
    assert_eq!(side.end, failed("invalid message format"));
}

#[test]
fn reports_notices_and_negotiation_are_taken_as_they_come() {
    let mut side = in_clear();
    let notice = message(b'N', b"SNOTICE\0\0");
    side.drip(&[&notice[..], NEGOTIATE_3_0, write::AUTHENTICATION_OK].concat());
    let mut reports = Vec::new();
    write::parameter_status(&mut reports, b"TimeZone", b"UTC");
    write::parameter_status(&mut reports, b"server_version", b"18.6");
    write::backend_key_data(&mut reports, 42, &[5; 4]);
    write::parameter_status(&mut reports, b"TimeZone", b"Europe/Rome");
    side.drip(&[&reports[..], &notice, READY].concat());
    side.take();
    side.drip(&limits_answer());
    assert_eq!(side.end, Some(LIMITS));
    let logged_in = side.machine.into_logged_in().expect("it is ready");
    assert_eq!(
        (logged_in.process, &logged_in.secret[..]),
        (42, &[5; 4][..])
    );
    let expected: [(&[u8], &[u8]); 2] =
        [(b"TimeZone", b"Europe/Rome"), (b"server_version", b"18.6")];
    let expected = expected.map(|(name, value)| (Box::from(name), Box::from(value)));
    assert_eq!(logged_in.parameters, expected);
}

/// A login whose key has this many bytes behind the process number, in the version that was negotiated, if one was.
fn with_key(negotiation: &[u8], secret_bytes: usize) -> Result<Vec<u8>, Option<End>> {
    let mut side = in_clear();
    let mut key = Vec::new();
    write::backend_key_data(&mut key, 42, &vec![5; secret_bytes]);
    side.drip(&[negotiation, write::AUTHENTICATION_OK, &key, READY].concat());
    if side.end.is_some() {
        return Err(side.end);
    }
    side.drip(&limits_answer());
    let logged_in = side.machine.into_logged_in().expect("it is ready");
    Ok(logged_in.secret.into())
}

#[test]
fn cancel_keys_are_as_long_as_the_version_that_is_spoken_has_them() {
    for bytes in [4, 32, 256] {
        assert_eq!(with_key(b"", bytes), Ok(vec![5; bytes]));
    }
    assert_eq!(with_key(NEGOTIATE_3_0, 4), Ok(vec![5; 4]));
    let options = b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0";
    assert_eq!(with_key(options, 32), Ok(vec![5; 32]));
    let too_long = failed("the database sent a cancel key that is too long");
    for (negotiation, bytes) in [(&b""[..], 257), (NEGOTIATE_3_0, 5), (NEGOTIATE_3_0, 32)] {
        assert_eq!(with_key(negotiation, bytes), Err(too_long.clone()));
    }
}

#[test]
fn the_version_is_negotiated_once_and_before_the_password_is_asked_for() {
    let mut side = in_clear();
    side.feed(NEGOTIATE_3_0).feed(NEGOTIATE_3_0);
    assert_eq!(
        side.end,
        failed("the database negotiates the protocol version twice")
    );
    let mut side = in_clear();
    side.feed(b"v\0\0\0\x0c\0\x03\0\x03\0\0\0\0");
    assert_eq!(
        side.end,
        failed("the database offers a protocol version that was not asked for")
    );
    let mut side = in_clear();
    side.feed(&authentication(10, b"SCRAM-SHA-256\0\0"))
        .feed(NEGOTIATE_3_0);
    assert_eq!(
        side.end,
        failed("the database sent an unexpected message during login")
    );
}

#[test]
fn an_error_in_answer_to_the_version_is_told_from_others() {
    let unsupported = error("0A000", "unsupported frontend protocol 3.2");
    let no_packet = error("08P01", "bad packet header");
    let crowded = error("53300", "sorry, too many clients already");
    let negotiated = [NEGOTIATE_3_0, &unsupported].concat();
    let asked = [&authentication(5, b"salt")[..], &unsupported].concat();
    for (answer, in_doubt) in [
        (&b""[..], true),
        (&unsupported, true),
        (&no_packet, true),
        (&crowded, false),
        (&negotiated, false),
        (&asked, false),
    ] {
        let mut side = in_clear();
        side.feed(answer);
        assert_eq!(side.machine.is_version_in_doubt(), in_doubt, "{answer:?}");
    }
    let mut side = backend_side("pencil", TlsMode::Prefer, Purpose::Pooled, "");
    assert!(!side.machine.is_version_in_doubt(), "nothing was asked yet");
    side.feed(b"N");
    assert!(side.machine.is_version_in_doubt());
}

#[test]
fn the_oldest_version_is_spoken_to_who_refused_the_newest() {
    let mut side = backend_side_of_oldest_version();
    assert_eq!(
        side.take(),
        startup(VERSION_3_0, &[("user", "u"), ("database", "d")])
    );
    assert!(!side.machine.is_version_in_doubt());
    side.feed(&error("0A000", "no"));
    assert_eq!(side.end, refused("0A000", "no"));
    assert!(!side.machine.is_version_in_doubt());
}

#[test]
fn a_login_that_is_not_ready_has_nothing_to_tell() {
    assert!(in_clear().machine.into_logged_in().is_none());
}

#[test]
fn reports_are_bounded() {
    let many: Vec<u8> = (0..65_u8)
        .flat_map(|n| message(b'S', &[b'a' + n % 26, b'a' + n / 26, 0, 0]))
        .collect();
    let long = message(b'S', &[&[b'x'; 17_000][..], b"\0\0"].concat());
    let too_many = "the database reports too many parameters";
    let cases = [
        (many, too_many),
        (long, too_many),
        (message(b'S', b"name"), "invalid message format"),
        (
            message(b'K', &[0; 4 + 257]),
            "the database sent a cancel key that is too long",
        ),
        (
            message(b'K', &[0; 4 + 3]),
            "the database sent a cancel key that is too short",
        ),
        (
            message(b'K', &[0; 4]),
            "the database sent a cancel key that is too short",
        ),
        (message(b'K', &[0; 3]), "invalid message format"),
    ];
    for (reports, detail) in cases {
        let mut side = in_clear();
        side.feed(write::AUTHENTICATION_OK).feed(&reports);
        assert_eq!(side.end, failed(detail));
    }
}

#[test]
fn hostile_lengths_fail_by_the_header_alone() {
    let cases: [(&[u8], &str); 4] = [
        (b"R\0\0\0\x03", "invalid message length"),
        (b"R\x40\0\0\0", "invalid message length"),
        (
            b"R\0\x01\0\0",
            "the database sent a login message that is too long",
        ),
        (
            b"E\x3f\xff\xff\xff",
            "the database sent a login message that is too long",
        ),
    ];
    for (header, detail) in cases {
        let mut side = in_clear();
        side.drip(header);
        assert_eq!(side.end, failed(detail));
    }
}

#[test]
fn errors_before_and_after_authentication_are_the_databases_own() {
    let too_many = error("53300", "sorry, too many clients already");
    let mut side = in_clear();
    side.drip(&too_many);
    assert_eq!(
        side.end,
        refused("53300", "sorry, too many clients already")
    );

    let mut side = in_clear();
    side.feed(write::AUTHENTICATION_OK)
        .feed(&error("3D000", "database \"d\" does not exist"));
    assert_eq!(side.end, refused("3D000", "database \"d\" does not exist"));

    let mut side = in_clear();
    side.feed(&message(b'E', b"\xff\xfe"));
    assert_eq!(side.end, refused("", ""));

    let mut side = in_clear();
    side.feed(&error("XX000", &"x".repeat(5000)));
    assert_eq!(side.end, refused("XX000", &"x".repeat(1024)));
}

#[test]
fn messages_out_of_order_fail() {
    let unexpected = "the database sent an unexpected message during login";
    for bytes in [
        READY.to_vec(),
        message(b'K', &[0; 8]),
        message(b'S', b"a\0b\0"),
        message(b'T', b"\0\0"),
        message(b'!', b""),
    ] {
        let mut side = in_clear();
        side.feed(&bytes);
        assert_eq!(side.end, failed(unexpected), "{bytes:?}");
    }
    let mut side = in_clear();
    side.feed(write::AUTHENTICATION_OK)
        .feed(write::AUTHENTICATION_OK);
    assert_eq!(side.end, failed(unexpected));
}

#[test]
fn the_answer_about_limits_is_one_row() {
    let something = "the database answered the question for its limits with something else";
    let cases = [
        (READY.to_vec(), failed(something)),
        (message(b'Z', b"T"), failed(something)),
        (
            [limits_row(["1", "2", "3"]), limits_row(["1", "2", "3"])].concat(),
            failed(something),
        ),
        (message(b'G', b""), failed(something)),
        (
            limits_row(["many", "3", "0"]),
            failed("the database reports connection limits that are no numbers"),
        ),
        (
            error("42704", "unrecognized configuration parameter"),
            refused("42704", "unrecognized configuration parameter"),
        ),
        (
            [limits_row(["1", "3", "0"]), READY.to_vec()].concat(),
            Some(End::Ready { usable: 1, max: 1 }),
        ),
    ];
    for (answer, end) in cases {
        let mut side = asked_for_limits("");
        side.drip(&answer);
        assert_eq!(side.end, end, "{answer:?}");
    }
}

#[test]
fn the_initialization_query_runs_once_after_the_limits_are_known() {
    let mut side = asked_for_limits("SET a = 1; SELECT 1");
    side.feed(&limits_answer());
    assert_eq!(
        (side.end.clone(), side.take()),
        (None, message(b'Q', b"SET a = 1; SELECT 1\0"))
    );
    let mut report = Vec::new();
    write::parameter_status(&mut report, b"a", b"1");
    let results = [
        message(b'C', b"SET\0"),
        message(b'T', b"\0\0"),
        message(b'D', &[0; 100_000]),
        message(b'C', b"SELECT 1\0"),
    ];
    side.feed(&report);
    for result in results {
        for part in result.chunks(7919) {
            side.feed(part);
            assert!(side.held.len() < 5, "results are not kept");
        }
    }
    side.feed(READY);
    assert_eq!(side.end, Some(LIMITS));
    let parameters = side
        .machine
        .into_logged_in()
        .expect("it is ready")
        .parameters;
    assert_eq!(parameters, [(Box::from(&b"a"[..]), Box::from(&b"1"[..]))]);
}

#[test]
fn an_initialization_query_must_succeed_and_leave_nothing_open() {
    let cases = [
        (
            error("42601", "syntax error"),
            refused("42601", "syntax error"),
        ),
        (
            message(b'Z', b"T"),
            failed("the initialization query leaves a transaction open"),
        ),
        (
            message(b'Z', b"E"),
            failed("the initialization query leaves a transaction open"),
        ),
        (
            message(b'Z', b""),
            failed("the initialization query leaves a transaction open"),
        ),
        (
            message(b'G', b"\0\0\0"),
            failed("the initialization query asks for COPY data"),
        ),
        (
            message(b'W', b"\0\0\0"),
            failed("the initialization query asks for COPY data"),
        ),
        (
            message(b'K', &[0; 8]),
            failed("the database sent an unexpected message during the initialization query"),
        ),
    ];
    for (answer, end) in cases {
        let mut side = asked_for_limits("x");
        side.feed(&limits_answer()).drip(&answer);
        assert_eq!(side.end, end);
    }
}

#[test]
fn what_follows_readiness_is_left_for_the_session() {
    let notice = message(b'N', b"SWARNING\0\0");
    let mut side = asked_for_limits("");
    side.feed(&[limits_answer(), notice.clone()].concat());
    assert_eq!((side.end.clone(), &side.held), (Some(LIMITS), &notice));
}
