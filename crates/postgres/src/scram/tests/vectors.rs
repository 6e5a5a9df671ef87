//! RFC 7677 section 3, and verifiers that PostgreSQL 15 and 18 stored for passwords of every kind.
use secrecy::ExposeSecret as _;

use super::*;

const RFC_CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const RFC_SALT: [u8; 16] = *b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";

#[test]
fn the_client_reproduces_the_rfc() {
    let client = ClientFirst::with("user", "rOprNGfwEbeRWgbNEkqO".into(), ClientBinding::None);
    assert_eq!(client.message(), RFC_CLIENT_FIRST.as_bytes());
    let need = client
        .on_server_first(RFC_SERVER_FIRST.as_bytes(), iterations(4096))
        .unwrap();
    assert_eq!(
        (need.salt(), need.iterations()),
        (RFC_SALT.as_slice(), ITERATIONS_DEFAULT)
    );
    let (client_final, client) =
        need.with_keys(&ClientKeys::derive("pencil", &RFC_SALT, ITERATIONS_DEFAULT));
    assert_eq!(client_final, RFC_CLIENT_FINAL.as_bytes());
    client.on_server_final(RFC_SERVER_FINAL.as_bytes()).unwrap();
}

#[test]
fn the_server_reproduces_the_rfc() {
    let verifier = Verifier::derive("pencil", &RFC_SALT, ITERATIONS_DEFAULT).unwrap();
    let our_nonce = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let (server_first, server) = server::respond(
        RFC_CLIENT_FIRST.as_bytes(),
        Mechanism::ScramSha256,
        our_nonce,
        &verifier,
        None,
    )
    .unwrap();
    assert_eq!(server_first, RFC_SERVER_FIRST.as_bytes());
    let authenticated = server.on_client_final(RFC_CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(authenticated.server_final, RFC_SERVER_FINAL.as_bytes());
}

/// Passwords and what `CREATE ROLE … PASSWORD` made of them: SASLprep applied, mapped, or given up on.
const STORED_BY_POSTGRESQL: [(&str, &str); 9] = [
    // PostgreSQL 15.
    (
        "pencil",
        "SCRAM-SHA-256$4096:0CQSojsJ6FiPQ1HeXffw2Q==$Uw3mGInKR8jNOdpYnR5IvSuWTFw2q6fbthN8KawPBbk=:gj0bGMflxhog/hgPVX1atUBMgFiSJhTNYiUQZdd06Ik=",
    ),
    (
        "cafe\u{301}",
        "SCRAM-SHA-256$4096:k1qSpazVz7wcTzUqYI3cAg==$JUkfH51FsqJbDORw7m/1l4pz+dFbwkQJ3OBwZl84om0=:C7kqcpT7xjqZmnl7dDbPuQU62lm3L5a+bfPrFudtx40=",
    ),
    // PostgreSQL 18.
    (
        "pencil",
        "SCRAM-SHA-256$4096:GXwzRiAnsvog7AbtdX9oBg==$5X0FP5GryofHimBbmoZY2HxuNJlzcYfHeP3LuzlFj2A=:9QtwZX6K7Bv7V+MKKm1YG8U/GO/Ocfj6l0IjZu4NCZk=",
    ),
    (
        "cafe\u{301}",
        "SCRAM-SHA-256$4096:6MSLTYmaveWBIz9VCpTBJw==$avbLBmWjvFYrYZ5uGMMq3Y4qIJ6RabkX/HF91XdbFYs=:LfC0V3Eu5c6ULvBNPK4VvyMaijl2ZiKwInqnk3dF0XA=",
    ),
    (
        "\u{2135}a",
        "SCRAM-SHA-256$4096:Aa5CE2OyY6YqfJ4oTpVj3A==$+4CvkXCZLS3orATTkrirUaTfvbHfks4VsmsO9J3ozyY=:A70aDXnqkYf22yc7B2JYlP3zn0FzeZrhj/0Mywfx7vY=",
    ),
    (
        "e\u{301}\u{340}",
        "SCRAM-SHA-256$4096:lpAcoo6fbIYV+ad58gWMHA==$9axUCGOoHHg6f00jXashXtzJ+9zQkWp44sk6BDiXcG0=:UYY1N6TJA6gfgiLKejzhnu4n/pE6bTNx8DKpqCgsyaA=",
    ),
    (
        "e\u{301}\u{1F600}",
        "SCRAM-SHA-256$4096:cXgvZiy5CCR1rahtEHL+yA==$En+dDxlYWsBQDafWf9tyqMrwsLMBx0mNgEYXyLv22Hg=:o7ae0quHQxYdS1J8LwjzFI3QClkO8Z1A61jXrxHTtT4=",
    ),
    (
        "a\u{A0}b\u{200B}c",
        "SCRAM-SHA-256$4096:wzFDCsZ90gedteSFkGWeQA==$S6yTKkuRArk6DXbymO4OL4GotjKqjKewwFkNZfXjCMQ=:kwK59KlUYXiicDICPbEvXJVnrshBJHupm+OxQTAx5P4=",
    ),
    (
        "\u{627}1",
        "SCRAM-SHA-256$4096:67pAQCJNCSgRjElx6uGD3g==$D8xLaG/8TsCsRTF8Z8ZQA+5aY0rbRSfVRvlyVxnbhUA=:LOpgZRVMDYCaUOtI7qbfk7yw2eyb7r8hSE/pmrVWA6A=",
    ),
];

#[test]
fn verifiers_equal_those_that_postgresql_stores() {
    for (password, stored) in STORED_BY_POSTGRESQL {
        let parsed = Verifier::parse(stored).unwrap();
        assert_eq!(parsed.to_secret().expose_secret(), stored);
        let derived = Verifier::derive(password, parsed.salt(), parsed.iterations()).unwrap();
        assert_eq!(derived.to_secret().expose_secret(), stored, "{password:?}");
        assert!(parsed.matches(password));
        assert!(!parsed.matches("not it"));
    }
}

#[test]
fn texts_that_are_no_verifier_are_refused() {
    let key = "Uw3mGInKR8jNOdpYnR5IvSuWTFw2q6fbthN8KawPBbk=";
    let well_formed = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
    assert!(Verifier::parse(&well_formed).is_ok());
    let table = [
        String::new(),
        "pencil".into(),
        "md58bbf3f45673bf67d02e4214911f3417f".into(),
        "SCRAM-SHA-256".into(),
        "SCRAM-SHA-256$4096:c2FsdA==".into(),
        well_formed.replace("SHA-256$", "SHA-1$"),
        well_formed.replace("SCRAM", "scram"),
        well_formed.replace("4096", ""),
        well_formed.replace("4096", "0"),
        well_formed.replace("4096", "-1"),
        well_formed.replace("4096", "+1"),
        well_formed.replace("4096", " 1"),
        well_formed.replace("4096", "2147483648"),
        well_formed.replace("4096", "99999999999999999999"),
        well_formed.replace("c2FsdA==", ""),
        well_formed.replace("c2FsdA==", "c2FsdA"),
        well_formed.replace("c2FsdA==", "c2Fsd*=="),
        well_formed.replace(":c2", "c2"),
        well_formed.replacen(key, "c2FsdA==", 1),
        well_formed.replacen(key, &format!("A{key}"), 1),
        format!("{well_formed}$"),
        format!("{well_formed} "),
        well_formed[..well_formed.len() - 1].into(),
    ];
    for text in table {
        assert_eq!(
            Verifier::parse(&text).unwrap_err(),
            ScramError::Malformed(Part::Verifier),
            "{text}"
        );
    }
    let long_salt = well_formed.replace("c2FsdA==", &"AAAA".repeat(342));
    assert_eq!(
        Verifier::parse(&long_salt).unwrap_err(),
        ScramError::SaltTooLong
    );
}

#[test]
fn verifiers_are_derived_only_with_salts_that_can_be_sent() {
    let derive = |bytes| Verifier::derive("pencil", &vec![7; bytes], iterations(1)).map(|_| ());
    assert_eq!(derive(0), Err(ScramError::Malformed(Part::Salt)));
    assert_eq!(derive(SALT_BYTES_MAX), Ok(()));
    assert_eq!(derive(SALT_BYTES_MAX + 1), Err(ScramError::SaltTooLong));
}

#[test]
fn mock_verifiers_keep_their_salt_and_differ_by_user_and_secret() {
    let text = |user, secret| {
        let mock = Verifier::mock(user, &[secret; 32], ITERATIONS_DEFAULT);
        assert_eq!(mock.salt().len(), SALT_BYTES_DEFAULT);
        mock.to_secret().expose_secret().to_owned()
    };
    assert_eq!(text("nobody", 1), text("nobody", 1));
    assert_ne!(text("nobody", 1), text("somebody", 1));
    assert_ne!(text("nobody", 1), text("nobody", 2));
    assert_eq!(
        Verifier::parse(&text("nobody", 1)).unwrap().iterations(),
        ITERATIONS_DEFAULT
    );
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let verifier = quick_verifier("pencil");
    let keys = ClientKeys::derive("pencil", b"salt", iterations(2));
    let (need, expect) = half_way(ClientBinding::None, &verifier, None);
    let (client_final, expect_final) = need.with_keys(&keys);
    let shown = format!("{verifier:?} {keys:?} {expect:?} {expect_final:?}");
    let authenticated = expect.on_client_final(&client_final).unwrap();
    assert_eq!(
        format!("{shown} {authenticated:?}"),
        "Verifier { iterations: 2, .. } ClientKeys([redacted]) ExpectProof { .. } ExpectServerFinal { .. } \
         Authenticated { .. }"
    );
}
