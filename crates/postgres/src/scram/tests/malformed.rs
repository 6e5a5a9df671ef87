//! Every field of every message broken, one at a time, and bytes that are nothing at all.
use proptest::prelude::*;

use super::*;
use ScramError::{
    AuthorizationIdentity, Malformed, MessageTooLong, NonceMismatch, SaltTooLong, ServerRefused,
    TooManyIterations, UnexpectedBinding, UnprintableNonce, UnsupportedExtension, WrongProof,
    WrongSignature,
};

/// base64 of the 18 bytes of value 1: our client's nonce.
const CLIENT_NONCE: &str = "AQEBAQEBAQEBAQEBAQEBAQEB";
/// Base64 of 32 bytes that are neither the proof nor the signature.
const SOME_KEY: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

#[test]
fn client_first_messages_are_read_strictly() {
    let verifier = quick_verifier("pencil");
    let table: [(&[u8], Result<(), ScramError>); 28] = [
        (b"n,,n=,r=abc", Ok(())),
        (b"n,,n=user,r=abc", Ok(())),
        (b"n,,n=*,r=abc,x=later,y=", Ok(())),
        (b"", Err(Malformed(Part::Message))),
        (b"n", Err(Malformed(Part::Gs2Header))),
        (b"n,", Err(Malformed(Part::Gs2Header))),
        (b"n,,", Err(Malformed(Part::Username))),
        (b"n,n=,r=abc", Err(Malformed(Part::Gs2Header))),
        (b"n,a=postgres,n=,r=abc", Err(AuthorizationIdentity)),
        (b"n,a,n=,r=abc", Err(AuthorizationIdentity)),
        (b"n,x=1,n=,r=abc", Err(Malformed(Part::Gs2Header))),
        (b"n,,m=1,n=,r=abc", Err(UnsupportedExtension)),
        (b"n,,r=abc", Err(Malformed(Part::Username))),
        (b"n,,nuser,r=abc", Err(Malformed(Part::Username))),
        (b"n,,n=", Err(Malformed(Part::Nonce))),
        (b"n,,n=,", Err(Malformed(Part::Nonce))),
        (b"n,,n=,s=abc", Err(Malformed(Part::Nonce))),
        (b"n,,n=,r", Err(Malformed(Part::Nonce))),
        (b"n,,n=,r=", Err(Malformed(Part::Nonce))),
        (b"n,,n=,r=a c", Err(UnprintableNonce)),
        (b"n,,n=,r=a\x7fc", Err(UnprintableNonce)),
        (b"n,,n=,r=\xc3\xa9", Err(UnprintableNonce)),
        (b"n,,n=,r=abc,", Err(Malformed(Part::Message))),
        (b"n,,n=,r=abc,,", Err(Malformed(Part::Message))),
        (b"n,,n=,r=abc,x", Err(Malformed(Part::Message))),
        (b"n,,n=,r=abc,1=x", Err(Malformed(Part::Message))),
        (b"n,,n=,r=abc\0", Err(Malformed(Part::Message))),
        (&[b'n'; CLIENT_MESSAGE_BYTES_MAX + 1], Err(MessageTooLong)),
    ];
    for (message, expected) in table {
        let outcome = ServerFirst::on_client_first(
            message,
            Mechanism::ScramSha256,
            &[2; NONCE_BYTES],
            &verifier,
            None,
        );
        assert_eq!(outcome.map(|_| ()), expected, "{}", message.escape_ascii());
    }
}

#[test]
fn client_final_messages_are_read_strictly() {
    let nonce = format!("{CLIENT_NONCE}AgICAgICAgICAgICAgICAgIC");
    let fill = |template: &str| {
        template
            .replace("{n}", &nonce)
            .replace("{k}", SOME_KEY)
            .into_bytes()
    };
    let table = [
        // Well formed, so it fails at the proof.
        ("c=biws,r={n},p={k}", WrongProof),
        ("c=biws,r={n},x=1,y=,p={k}", WrongProof),
        ("", Malformed(Part::Message)),
        ("c", Malformed(Part::ChannelBinding)),
        ("r={n},p={k}", Malformed(Part::ChannelBinding)),
        ("c=b*ws,r={n},p={k}", UnexpectedBinding),
        ("c=,r={n},p={k}", UnexpectedBinding),
        ("c=eSws,r={n},p={k}", UnexpectedBinding),
        ("c=biwsQQ==,r={n},p={k}", UnexpectedBinding),
        ("m=1,c=biws,r={n},p={k}", Malformed(Part::ChannelBinding)),
        ("c=biws", Malformed(Part::Nonce)),
        ("c=biws,p={k}", Malformed(Part::Nonce)),
        ("c=biws,r=,p={k}", NonceMismatch),
        ("c=biws,r={n}A,p={k}", NonceMismatch),
        ("c=biws,r=AQEBAQEBAQEBAQEBAQEBAQEB,p={k}", NonceMismatch),
        ("c=biws,r={n}", Malformed(Part::Proof)),
        ("c=biws,r={n},", Malformed(Part::Message)),
        ("c=biws,r={n},x=1", Malformed(Part::Proof)),
        ("c=biws,r={n},p", Malformed(Part::Message)),
        ("c=biws,r={n},p=", Malformed(Part::Proof)),
        ("c=biws,r={n},p=AAAA", Malformed(Part::Proof)),
        ("c=biws,r={n},p=A{k}", Malformed(Part::Proof)),
        ("c=biws,r={n},p=AAAA{k}", Malformed(Part::Proof)),
        ("c=biws,r={n},p={k}=", Malformed(Part::Proof)),
        ("c=biws,r={n},p={k}\n", Malformed(Part::Proof)),
        ("c=biws,r={n},p={k},", Malformed(Part::Message)),
        ("c=biws,r={n},p={k},x=1", Malformed(Part::Message)),
        ("c=biws,r={n},p={k}\0", Malformed(Part::Message)),
    ];
    let verifier = quick_verifier("pencil");
    for (template, expected) in table {
        let (_, server) = half_way(ClientBinding::None, &verifier, None);
        assert_eq!(
            server.on_client_final(&fill(template)).unwrap_err(),
            expected,
            "{template}"
        );
    }
    let (_, server) = half_way(ClientBinding::None, &verifier, None);
    let long = fill(&format!(
        "c=biws,r={{n}},x={},p={{k}}",
        "x".repeat(CLIENT_MESSAGE_BYTES_MAX)
    ));
    assert_eq!(server.on_client_final(&long).unwrap_err(), MessageTooLong);
}

#[test]
fn server_first_messages_are_read_strictly() {
    let long_salt = format!("r={{n}}x,s={},i=1", "AAAA".repeat(342));
    let longest_salt = format!("r={{n}}x,s={}AA==,i=1", "AAAA".repeat(341));
    let long = format!("r={{n}}{}", "x".repeat(SERVER_MESSAGE_BYTES_MAX));
    let table = [
        ("r={n}x,s=c2FsdA==,i=1", Ok(())),
        ("r={n}x,s=c2FsdA==,i=5000", Ok(())),
        ("r={n}x,s=c2FsdA==,i=1,z=later", Ok(())),
        (longest_salt.as_str(), Ok(())),
        ("", Err(Malformed(Part::Message))),
        ("e=unknown-user", Err(Malformed(Part::Nonce))),
        ("m=1,r={n}x,s=c2FsdA==,i=1", Err(UnsupportedExtension)),
        ("r=,s=c2FsdA==,i=1", Err(Malformed(Part::Nonce))),
        ("r=x{n},s=c2FsdA==,i=1", Err(NonceMismatch)),
        ("r=abc,s=c2FsdA==,i=1", Err(NonceMismatch)),
        ("r={n},s=c2FsdA==,i=1", Err(NonceMismatch)),
        ("r={n} x,s=c2FsdA==,i=1", Err(UnprintableNonce)),
        ("r={n}x", Err(Malformed(Part::Salt))),
        ("r={n}x,i=1,s=c2FsdA==", Err(Malformed(Part::Salt))),
        ("r={n}x,s=,i=1", Err(Malformed(Part::Salt))),
        ("r={n}x,s=c2FsdA,i=1", Err(Malformed(Part::Salt))),
        ("r={n}x,s=c2F dA==,i=1", Err(Malformed(Part::Salt))),
        (long_salt.as_str(), Err(SaltTooLong)),
        ("r={n}x,s=c2FsdA==", Err(Malformed(Part::Iterations))),
        ("r={n}x,s=c2FsdA==,i=", Err(Malformed(Part::Iterations))),
        ("r={n}x,s=c2FsdA==,i=0", Err(Malformed(Part::Iterations))),
        ("r={n}x,s=c2FsdA==,i=-1", Err(Malformed(Part::Iterations))),
        ("r={n}x,s=c2FsdA==,i=+1", Err(Malformed(Part::Iterations))),
        ("r={n}x,s=c2FsdA==,i=1x", Err(Malformed(Part::Iterations))),
        (
            "r={n}x,s=c2FsdA==,i=2147483648",
            Err(Malformed(Part::Iterations)),
        ),
        (
            "r={n}x,s=c2FsdA==,i=9999999999",
            Err(Malformed(Part::Iterations)),
        ),
        (
            "r={n}x,s=c2FsdA==,i=99999999999999999999999",
            Err(Malformed(Part::Iterations)),
        ),
        ("r={n}x,s=c2FsdA==,i=5001", Err(TooManyIterations)),
        ("r={n}x,s=c2FsdA==,i=2147483647", Err(TooManyIterations)),
        ("r={n}x,s=c2FsdA==,i=1,", Err(Malformed(Part::Message))),
        ("r={n}x,s=c2FsdA==,i=1,junk", Err(Malformed(Part::Message))),
        ("r={n}x,s=c2FsdA==,i=1\0", Err(Malformed(Part::Message))),
        (long.as_str(), Err(MessageTooLong)),
    ];
    for (template, expected) in table {
        let message = template.replace("{n}", CLIENT_NONCE);
        let client = ClientFirst::new(&[1; NONCE_BYTES], ClientBinding::None);
        let outcome = client.on_server_first(message.as_bytes(), iterations(5000));
        assert_eq!(outcome.map(|_| ()), expected, "{message}");
    }
}

#[test]
fn server_final_messages_are_read_strictly() {
    let table = [
        ("v={k}", WrongSignature),
        ("v={k},x=1", WrongSignature),
        ("", Malformed(Part::Message)),
        ("e=invalid-proof", ServerRefused),
        ("e=", ServerRefused),
        ("v=", Malformed(Part::Signature)),
        ("v", Malformed(Part::Signature)),
        ("p={k}", Malformed(Part::Signature)),
        ("v=AAAA", Malformed(Part::Signature)),
        ("v={k}A", Malformed(Part::Signature)),
        ("v={k},", Malformed(Part::Message)),
        ("v={k},junk", Malformed(Part::Message)),
        ("v={k}\0", Malformed(Part::Message)),
    ];
    let verifier = quick_verifier("pencil");
    let keys = ClientKeys::derive("pencil", b"salt", iterations(2));
    for (template, expected) in table {
        let (need, _) = half_way(ClientBinding::None, &verifier, None);
        let (_, client) = need.with_keys(&keys);
        let message = template.replace("{k}", SOME_KEY);
        assert_eq!(
            client.on_server_final(message.as_bytes()).unwrap_err(),
            expected,
            "{message}"
        );
    }
    let (need, _) = half_way(ClientBinding::None, &verifier, None);
    let (_, client) = need.with_keys(&keys);
    let long = vec![b'v'; SERVER_MESSAGE_BYTES_MAX + 1];
    assert_eq!(client.on_server_final(&long).unwrap_err(), MessageTooLong);
}

#[test]
fn only_the_two_mechanisms_are_known_by_name() {
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        assert_eq!(
            Mechanism::from_wire(mechanism.as_str().as_bytes()),
            Some(mechanism)
        );
    }
    for name in [
        "",
        "SCRAM-SHA-1",
        "scram-sha-256",
        "SCRAM-SHA-256-PLUS ",
        "OAUTHBEARER",
    ] {
        assert_eq!(Mechanism::from_wire(name.as_bytes()), None, "{name}");
    }
}

/// Bytes that get past the first checks often: attribute lists of odd names and values, or anything at all.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "([nypamrsicve]=[A-Za-z0-9+/=]{0,6},?|,|[ny],){0,6}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_end_in_a_named_error_or_a_state_that_grants_nothing(
        message in any_message(), plus in any::<bool>(), offered in any::<bool>(),
    ) {
        let verifier = quick_verifier("pencil");
        let mechanism = if plus { Mechanism::ScramSha256Plus } else { Mechanism::ScramSha256 };
        let channel = offered.then_some(CHANNEL);
        // Whatever it answers, it must not panic.
        let _ = ServerFirst::on_client_first(&message, mechanism, &[2; NONCE_BYTES], &verifier, channel);
        let _ = Verifier::parse(&String::from_utf8_lossy(&message));
        let (need, server) = half_way(ClientBinding::None, &verifier, None);
        prop_assert!(server.on_client_final(&message).is_err());
        let client = ClientFirst::new(&[1; NONCE_BYTES], ClientBinding::None);
        prop_assert!(client.on_server_first(&message, ITERATIONS_MAX_DEFAULT).is_err());
        let (_, client) = need.with_keys(&ClientKeys::derive("pencil", b"salt", iterations(2)));
        prop_assert!(client.on_server_final(&message).is_err());
    }
}
