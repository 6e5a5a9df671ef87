//! Keys and passwords sealed by another library, and by this one.

use super::*;

const NONCE: &[u8; NONCE_BYTES] = b"abcdefghijklmnopqrst";

const PASSWORD: &str = "a longer password than one nonce";

/// A key that opens nothing else: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, as PKCS #8 in base64.
const PRIVATE: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCnvWgW7OTYyN9Xs0nq+gsHcmPu5cDRZK/ygN75yUqSBLNOua7f\
     CwyoV0sj9krYWIj0ihA91hRf+3ZpvBA8QBzAiYNgnISkf9VTRv69BurutsTQWaQjylIfWiZpAY9EizP5ChyVxNDSXOI31lCjA34u\
     v6pn17mMQnn6H+Y7S/U4cDe5ZLpnJQEWSnUDAdicsp4xcfApc/XF0DgBJPajxS34uKiuH0H110tjMozc9fA0TKBlre2LgdWCgCRd\
     ZhnbH9Lt0JBJwb+mNOH1UKy4kdOTg7+gdcCxTiGZW36wYIDQuGiJx5QFoG4SKZFzJCAgjNx3kWsrtuuOaWqp4rwLojbFAgMBAAEC\
     ggEAAOLDFl89DHhaa5S5YXRdaLY92QYIE7hVJdybMNT+CpGGnotkT8O3waTSXgJ/3dlxLF9qm1+nybj4JLH29lEoBbaZhcIAgPuM\
     KsLUzLaTuNvTZBPxG1+cZD4o4UQ+QjBSVNtCOuKS8BAdrAn68N1vcLuXi1xW28Asc48bELmY4NR+qwmWbCmxpqYe0IUIfj6UQ7fh\
     MirNH0W20e8vlylccDXgZ8Q3En8w/VPnM+LlBy4PqINKS+TukBZBbzRZ8DEnV8j9p+ZYjReBNssQubgzzPbNf1jbjbsGJmTWj7PS\
     D0t5n+o5viEWqsLmCiPYJH6+wd5rdlDzzhEsjT2FrWlOSQKBgQDsVsXrWwWtvP0Jd25WBX6sb36mVcyYT9ByckOW0wCInEPDbnM/\
     H8Tnh6F9Yk1o+3tklofNtSQUljDsx4Xz6YxC2QeIAQq1RDqn78ZvEJEuzRtzp1KeK40Suru6nj1f+ljzGGY+FbnSdjNelcn0jDjf\
     wg91VhSdeCfoFXmtRVOl/QKBgQC1sbP7Tlz7cKYmdsrLL0hHlxBiokfKY8/+CSyPNTgW6i+GJvzR66LzeEdgI7uEBeWCpJegGgDz\
     w5MxU9STwgs/AV4gd4/Pj31cIsxefFoCiHEzoxGUIBxA7BIlMF4cYB4N51nScD3MHAFxCHbfE7PG/vo51hEr3HN5xEBvSzhKaQKB\
     gQCTHkD+DR8v06FAL1RDwA/mj1ErgeVmOujrFS31yUtfvsZ/9VVQShpsdgWU44iEfWeGah4Hc2cOWaADBQDhoNRrGGaTxvI/fEV3\
     HM9Ne+akV5FrIRFQ3JNowUzzEmXqRRDx4pJiu2t9E49Opbedv1v4DflJdVhH3fAZjKS9s5YqkQKBgGzPj0nhFC5AuEAwxCIKnu7A\
     uT9YkEXUoKsyM01QQdb3SJ6+monc5CmKzrP0skfOgDRM/cET0Z4qcewImDYk7zc8SnKHJ8jV1e1nqZysO/toWuLhtZVP5Zu7xOIg\
     pTu5FEafVluAfIHQA8z9lLLjybZS3OfmG0J5M26o6S29jmiBAoGAPRpPAVYd0JCaKiEW63l7exHcYWa8KVhgoO8ahHur4P0jlbyL\
     VNwLW7JZjrxXZdD48v/wA9MF69gTyxGXRjAmxJsdTRRE8/7pG8dmLIkFnOWawYcDGiefXg7FePhqdKMf1GIHj0JwX184oQKSjGyb\
     ZJ456haEtMhQukvTFGkXd+Y=";

/// The same key's public half, as openssl writes it.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
     MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp71oFuzk2MjfV7NJ6voL\n\
     B3Jj7uXA0WSv8oDe+clKkgSzTrmu3wsMqFdLI/ZK2FiI9IoQPdYUX/t2abwQPEAc\n\
     wImDYJyEpH/VU0b+vQbq7rbE0FmkI8pSH1omaQGPRIsz+QoclcTQ0lziN9ZQowN+\n\
     Lr+qZ9e5jEJ5+h/mO0v1OHA3uWS6ZyUBFkp1AwHYnLKeMXHwKXP1xdA4AST2o8Ut\n\
     +Liorh9B9ddLYzKM3PXwNEygZa3ti4HVgoAkXWYZ2x/S7dCQScG/pjTh9VCsuJHT\n\
     k4O/oHXAsU4hmVt+sGCA0LhoiceUBaBuEimRcyQgIIzcd5FrK7brjmlqqeK8C6I2\n\
     xQIDAQAB\n\
     -----END PUBLIC KEY-----\n";

/// [`PASSWORD`] and a NUL, xor [`NONCE`], sealed with Python's `cryptography`: `encrypt(…, OAEP(MGF1(SHA1()), SHA1(), None))`.
const SEALED: &str = "mtKDBW5pFQBHw01MyYnObrMkKLU/4odt3157yMKCWG/Gyady12u9NnFKP6C+fG+M4wh7wtmBjp25AGzZwXUBOaDBhDWf7U/7OHMb\
     VWuxD/vmTLDVbOfnE6ozMcMc7KO9miQw8PL5vWJ4VHW7WgCRuuCnI7epW7ppKSMuY54fxk+y71vyeULR/5XM3ZQ67LoPTjkLMluG\
     4AZjCYtx+qbxUU2GVO+GBejcLrVPb9UIM0qzA7GR/+Fo1CUXNaIDvISrpBRaZrIPh28sOOBAVP9aK6Xv5nPiGhsKoQfFprOjHsJr\
     EbR4ghjz9fDz4zy0vqZTKSKhoQIboXOG8eQWn4L6cQ==";

fn key_pair() -> KeyPair {
    let der = STANDARD.decode(PRIVATE).expect("base64");
    KeyPair::from_pkcs8(&der).expect("a key")
}

#[test]
fn a_password_sealed_by_another_library_is_opened() {
    let sealed = STANDARD.decode(SEALED).expect("base64");
    let opened = key_pair()
        .open(&sealed, NONCE)
        .expect("sealed for this key");
    assert_eq!(*opened, PASSWORD.as_bytes());
    let other = key_pair().open(&sealed, b"abcdefghijklmnopqrsT");
    assert!(other.is_err() || *other.expect("just looked") != PASSWORD.as_bytes());
}

#[test]
fn the_public_key_is_written_as_openssl_does_and_read() {
    assert_eq!(key_pair().public_pem(), PUBLIC);
    let sealed = ExpectKey::new(*NONCE)
        .on_key(PUBLIC.as_bytes(), PASSWORD)
        .expect("a key");
    let opened = key_pair()
        .open(&sealed, NONCE)
        .expect("sealed for this key");
    assert_eq!(*opened, PASSWORD.as_bytes());
}

#[test]
fn a_password_is_as_long_as_the_key_allows_and_no_longer() {
    let key = PublicKey::from_pem(PUBLIC.as_bytes()).expect("a key");
    let longest = [b'x'; 213];
    let sealed = key
        .seal(longest, NONCE)
        .expect("with its NUL it is 214 bytes");
    assert_eq!(
        key_pair().open(&sealed, NONCE).as_deref(),
        Ok(&longest.to_vec())
    );
    assert_eq!(
        key.seal([b'x'; 214], NONCE),
        Err(ProofError::PasswordTooLong)
    );
    assert_eq!(key.seal("a\0b", NONCE), Err(ProofError::PasswordHoldsNul));
}

#[test]
fn what_is_no_key_is_refused() {
    let truncated = &PUBLIC.as_bytes()[..200];
    let garbage = PUBLIC.replace("MIIB", "MIIC");
    let endless = [b"-----BEGIN PUBLIC KEY-----".to_vec(), vec![b'A'; 1 << 20]].concat();
    for pem in [
        &b""[..],
        b"-----BEGIN PUBLIC KEY-----",
        truncated,
        garbage.as_bytes(),
        &endless,
    ] {
        assert_eq!(
            PublicKey::from_pem(pem).err(),
            Some(ProofError::UnusableKey)
        );
    }
    assert_eq!(
        KeyPair::from_pkcs8(b"").err(),
        Some(ProofError::UnusableKey)
    );
}

#[test]
fn what_was_not_sealed_is_refused() {
    let pair = key_pair();
    for sealed in [&b""[..], &[0; 255], &[7; 256], &[0xff; 256], &[0; 4096]] {
        assert_eq!(pair.open(sealed, NONCE).err(), Some(ProofError::NotSealed));
    }
}

#[test]
fn a_made_key_works_and_is_not_shown_by_debug() {
    let pair = KeyPair::generate().expect("randomness");
    let key = PublicKey::from_pem(pair.public_pem().as_bytes()).expect("a key");
    let sealed = key.seal("pencil", NONCE).expect("short enough");
    assert_eq!(
        *pair.open(&sealed, NONCE).expect("sealed for it"),
        b"pencil"
    );
    assert_eq!(format!("{pair:?}"), "KeyPair { .. }");
}
