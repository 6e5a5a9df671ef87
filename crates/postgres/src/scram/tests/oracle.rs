//! The SCRAM client of the `postgres-protocol` crate, written by others, against our server.
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use super::*;

/// Runs the other client's exchange with our server and lets it check our signature.
fn log_in_from_elsewhere(
    password: &str,
    binding: ChannelBinding,
    mechanism: Mechanism,
    verifier: &Verifier,
    offered: Option<&[u8]>,
) -> Result<(), ScramError> {
    let mut client = ScramSha256::new(password.as_bytes(), binding);
    let (server_first, server) = ServerFirst::on_client_first(
        client.message(),
        mechanism,
        &[2; NONCE_BYTES],
        verifier,
        offered,
    )?;
    client
        .update(&server_first)
        .expect("the other client reads our first message");
    let authenticated = server.on_client_final(client.message())?;
    client
        .finish(&authenticated.server_final)
        .expect("the other client accepts our signature");
    Ok(())
}

#[test]
fn another_implementation_logs_in_with_every_kind_of_binding() {
    let verifier = quick_verifier("p\u{e9}ncil");
    let plain = Mechanism::ScramSha256;
    let to = |binding, mechanism, offered| {
        log_in_from_elsewhere("p\u{e9}ncil", binding, mechanism, &verifier, offered)
    };
    let bound = |data: &[u8]| ChannelBinding::tls_server_end_point(data.to_vec());
    to(ChannelBinding::unsupported(), plain, None).unwrap();
    to(ChannelBinding::unsupported(), plain, Some(CHANNEL)).unwrap();
    to(ChannelBinding::unrequested(), plain, None).unwrap();
    assert_eq!(
        to(ChannelBinding::unrequested(), plain, Some(CHANNEL)),
        Err(ScramError::Downgrade)
    );
    to(bound(CHANNEL), Mechanism::ScramSha256Plus, Some(CHANNEL)).unwrap();
    assert_eq!(
        to(bound(b"other"), Mechanism::ScramSha256Plus, Some(CHANNEL)),
        Err(ScramError::WrongBinding)
    );
}

#[test]
fn another_implementation_with_a_wrong_password_is_refused() {
    let verifier = quick_verifier("pencil");
    let outcome = log_in_from_elsewhere(
        "pen",
        ChannelBinding::unsupported(),
        Mechanism::ScramSha256,
        &verifier,
        None,
    );
    assert_eq!(outcome, Err(ScramError::WrongProof));
}

#[test]
fn md5_responses_equal_those_of_another_implementation() {
    let hash = crate::md5_password::Md5Hash::of("user", "pencil");
    let expected = postgres_protocol::authentication::md5_hash(b"user", b"pencil", *b"salt");
    assert_eq!(hash.response(*b"salt").as_slice(), expected.as_bytes());
}
