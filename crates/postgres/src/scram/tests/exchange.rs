//! Our client against our server: who gets in, who does not, and at which message.
use proptest::prelude::*;

use super::*;

fn bound(data: &[u8]) -> ClientBinding {
    ClientBinding::TlsServerEndPoint(data.into())
}

#[test]
fn a_client_with_the_password_gets_in_with_and_without_binding() {
    let verifier = quick_verifier("pencil");
    for (binding, offered) in [
        (ClientBinding::None, None),
        (ClientBinding::None, Some(CHANNEL)),
        (ClientBinding::SupportedButNotUsed, None),
        (bound(CHANNEL), Some(CHANNEL)),
    ] {
        log_in("pencil", binding.clone(), &verifier, offered)
            .unwrap_or_else(|e| panic!("{binding:?}: {e}"));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike_at_the_proof() {
    let mock = Verifier::mock("nobody", &[3; 32], iterations(2));
    for verifier in [quick_verifier("pen"), mock] {
        let failure = log_in("pencil", ClientBinding::None, &verifier, None).unwrap_err();
        assert_eq!(failure, ScramError::WrongProof);
        assert_eq!(failure.sqlstate(), "28P01");
    }
}

#[test]
fn a_binding_to_another_channel_is_refused() {
    let verifier = quick_verifier("pencil");
    for relayed in [b"".as_slice(), b"another", &CHANNEL[1..]] {
        let failure = log_in("pencil", bound(relayed), &verifier, Some(CHANNEL)).unwrap_err();
        assert_eq!(failure, ScramError::WrongBinding);
    }
}

#[test]
fn the_binding_flag_must_fit_what_was_offered_and_selected() {
    use Mechanism::{ScramSha256 as Plain, ScramSha256Plus as Plus};
    use ScramError::{
        Downgrade, Malformed, MechanismMismatch, MechanismNotOffered, UnsupportedBinding,
    };
    let malformed = Err(Malformed(Part::Gs2Header));
    let table = [
        // Flag, selected, outcome when PLUS was not offered, outcome when it was.
        ("n", Plain, Ok(()), Ok(())),
        ("y", Plain, Ok(()), Err(Downgrade)),
        (
            "p=tls-server-end-point",
            Plain,
            Err(MechanismMismatch),
            Err(MechanismMismatch),
        ),
        (
            "p=tls-unique",
            Plain,
            Err(MechanismMismatch),
            Err(MechanismMismatch),
        ),
        ("n", Plus, Err(MechanismNotOffered), Err(MechanismMismatch)),
        ("y", Plus, Err(MechanismNotOffered), Err(MechanismMismatch)),
        (
            "p=tls-server-end-point",
            Plus,
            Err(MechanismNotOffered),
            Ok(()),
        ),
        (
            "p=tls-unique",
            Plus,
            Err(MechanismNotOffered),
            Err(UnsupportedBinding),
        ),
        (
            "p=",
            Plus,
            Err(MechanismNotOffered),
            Err(UnsupportedBinding),
        ),
        ("p", Plain, malformed, malformed),
        ("N", Plain, malformed, malformed),
        ("", Plain, malformed, malformed),
        ("nn", Plain, malformed, malformed),
    ];
    let verifier = quick_verifier("pencil");
    for (flag, mechanism, unoffered, offered) in table {
        for (channel, expected) in [(None, unoffered), (Some(CHANNEL), offered)] {
            let message = format!("{flag},,n=,r=abc");
            let outcome = ServerFirst::on_client_first(
                message.as_bytes(),
                mechanism,
                &[2; NONCE_BYTES],
                &verifier,
                channel,
            );
            assert_eq!(
                outcome.map(|_| ()),
                expected,
                "{flag} {mechanism:?} offered: {}",
                channel.is_some()
            );
        }
    }
}

#[test]
fn a_changed_flag_is_noticed_even_if_the_first_message_was_rewritten() {
    // Somebody turns the client's `y` into `n`: `c=` still carries what the client said.
    let verifier = quick_verifier("pencil");
    let client = ClientFirst::new(&[1; NONCE_BYTES], ClientBinding::SupportedButNotUsed);
    let mut rewritten = client.message();
    rewritten[0] = b'n';
    let (server_first, server) = ServerFirst::on_client_first(
        &rewritten,
        Mechanism::ScramSha256,
        &[2; NONCE_BYTES],
        &verifier,
        Some(CHANNEL),
    )
    .unwrap();
    let need = client
        .on_server_first(&server_first, ITERATIONS_MAX_DEFAULT)
        .unwrap();
    let (client_final, _) = need.with_keys(&ClientKeys::derive("pencil", b"salt", iterations(2)));
    assert_eq!(
        server.on_client_final(&client_final).unwrap_err(),
        ScramError::UnexpectedBinding
    );
}

#[test]
fn keys_disclosed_by_a_proof_log_in_to_a_server_with_the_same_verifier() {
    let verifier = quick_verifier("pencil");
    let authenticated = log_in("pencil", ClientBinding::None, &verifier, None).unwrap();
    let (need, server) = half_way(bound(CHANNEL), &verifier, Some(CHANNEL));
    let (client_final, client) = need.with_keys(&authenticated.keys);
    let again = server.on_client_final(&client_final).unwrap();
    client.on_server_final(&again.server_final).unwrap();
}

#[test]
fn a_server_that_does_not_know_the_verifier_is_not_believed() {
    let verifier = quick_verifier("pencil");
    let (need, _) = half_way(ClientBinding::None, &verifier, None);
    let (_, client) = need.with_keys(&ClientKeys::derive("pencil", b"salt", iterations(2)));
    let invented = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(
        client.on_server_final(invented).unwrap_err(),
        ScramError::WrongSignature
    );
}

#[test]
fn a_recorded_proof_does_not_fit_another_exchange() {
    let verifier = quick_verifier("pencil");
    let (need, _) = half_way(ClientBinding::None, &verifier, None);
    let (recorded, _) = need.with_keys(&ClientKeys::derive("pencil", b"salt", iterations(2)));
    let client = ClientFirst::new(&[1; NONCE_BYTES], ClientBinding::None);
    let (_, server) = ServerFirst::on_client_first(
        &client.message(),
        Mechanism::ScramSha256,
        &[9; NONCE_BYTES],
        &verifier,
        None,
    )
    .unwrap();
    assert_eq!(
        server.on_client_final(&recorded).unwrap_err(),
        ScramError::NonceMismatch
    );
}

#[test]
fn passwords_are_equal_when_their_prepared_forms_are() {
    let verifier = quick_verifier("caf\u{e9} \u{2168}");
    log_in(
        "cafe\u{301}\u{a0}I\u{ad}X",
        ClientBinding::None,
        &verifier,
        None,
    )
    .unwrap();
    let raw = quick_verifier("\u{1F600}");
    log_in("\u{1F600}", ClientBinding::None, &raw, None).unwrap();
    assert!(log_in("\u{1F601}", ClientBinding::None, &raw, None).is_err());
}

fn any_binding() -> impl Strategy<Value = (ClientBinding, Option<Vec<u8>>)> {
    prop_oneof![
        Just((ClientBinding::None, None)),
        proptest::collection::vec(any::<u8>(), 0..64)
            .prop_map(|data| (ClientBinding::None, Some(data))),
        Just((ClientBinding::SupportedButNotUsed, None)),
        proptest::collection::vec(any::<u8>(), 0..64).prop_map(|data| (bound(&data), Some(data))),
    ]
}

proptest! {
    #[test]
    fn both_sides_agree_on_any_password_salt_nonce_and_binding(
        password in any::<String>(),
        salt in proptest::collection::vec(any::<u8>(), 1..100),
        count in 1..20_u32,
        nonces in any::<([u8; NONCE_BYTES], [u8; NONCE_BYTES])>(),
        (binding, offered) in any_binding(),
    ) {
        let verifier = Verifier::derive(&password, &salt, iterations(count)).unwrap();
        let client = ClientFirst::new(&nonces.0, binding);
        let (server_first, server) = ServerFirst::on_client_first(
            &client.message(), client.mechanism(), &nonces.1, &verifier, offered.as_deref(),
        ).unwrap();
        let need = client.on_server_first(&server_first, iterations(count)).unwrap();
        prop_assert_eq!((need.salt(), need.iterations()), (salt.as_slice(), iterations(count)));
        let keys = ClientKeys::derive(&password, need.salt(), need.iterations());
        let (client_final, client) = need.with_keys(&keys);
        let authenticated = server.on_client_final(&client_final).unwrap();
        client.on_server_final(&authenticated.server_final).unwrap();
    }

    #[test]
    fn a_proof_with_any_byte_changed_is_refused(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let (need, server) = half_way(bound(CHANNEL), &quick_verifier("pencil"), Some(CHANNEL));
        let (mut client_final, _) = need.with_keys(&ClientKeys::derive("pencil", b"salt", iterations(2)));
        let at = at.index(client_final.len());
        client_final[at] ^= change;
        prop_assert!(server.on_client_final(&client_final).is_err());
    }
}
