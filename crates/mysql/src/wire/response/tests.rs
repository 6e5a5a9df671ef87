//! Responses as they are written and read, and as clients make them.

use super::*;
use crate::wire::HEADER_BYTES;

const CAPABILITIES: Capabilities = Capabilities(
    Capabilities::PROTOCOL_41.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::ZSTD_COMPRESSION.0
        | Capabilities::MARIADB_CACHE_METADATA.0,
);

const OPENING: Opening = Opening {
    capabilities: CAPABILITIES,
    message_bytes_max: 1 << 24,
    collation: 45,
};

fn response() -> Response<'static> {
    Response {
        opening: OPENING,
        user: b"app",
        proof: &[7; 300],
        database: Some(b"shop"),
        plugin: Some(b"mysql_clear_password"),
        attributes: b"\x04_pid\x0242\x03_os\x05Linux",
        zstd_level: Some(3),
    }
}

fn written(response: &Response<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(response.write(&mut out, 1), Some(2));
    out.split_off(HEADER_BYTES)
}

#[test]
fn a_response_is_read_as_it_was_written() {
    let response = response();
    assert_eq!(Response::read(&written(&response)), Ok(response));
    let pairs: Vec<_> = attributes(response.attributes)
        .collect::<Result<_, _>>()
        .expect("well-formed");
    assert_eq!(pairs, [(&b"_pid"[..], &b"42"[..]), (b"_os", b"Linux")]);
}

#[test]
fn every_cut_of_a_response_is_refused_or_lacks_only_what_servers_forgive() {
    let whole = written(&response());
    for cut in 0..whole.len() {
        if let Ok(read) = Response::read(&whole[..cut]) {
            assert_eq!(
                (read.user, read.database),
                (&b"app"[..], Some(&b"shop"[..]))
            );
        }
    }
}

#[test]
fn without_a_capability_its_field_is_neither_written_nor_read() {
    let bare = Response {
        opening: Opening {
            capabilities: Capabilities::PROTOCOL_41
                | Capabilities::SECURE_CONNECTION
                | Capabilities::LONG_PASSWORD,
            ..OPENING
        },
        proof: &[9; 20],
        ..response()
    };
    let expected = Response {
        database: None,
        plugin: None,
        attributes: &[],
        zstd_level: None,
        ..bare
    };
    let bytes = written(&bare);
    assert_eq!(Response::read(&bytes), Ok(expected));
    assert_eq!(bytes.len(), OPENING_BYTES + 4 + 1 + 20);
}

#[test]
fn a_proof_that_the_capabilities_cannot_say_is_not_written() {
    let opening = Opening {
        capabilities: CAPABILITIES.without(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA),
        ..OPENING
    };
    let mut out = Vec::new();
    let long = Response {
        opening,
        ..response()
    };
    assert_eq!(long.write(&mut out, 1), None);
    assert!(out.is_empty());
    let short = Response {
        proof: &[7; 255],
        ..long
    };
    assert_eq!(Response::read(&written(&short)), Ok(short));
}

/// The response of a client of MySQL 8, by hand.
#[test]
fn a_response_has_the_layout_of_the_documentation() {
    let payload = [
        &b"\x0d\xa2\x38\0\0\0\0\x01\xff"[..],
        &[0; 23],
        b"root\0\x02\xaa\xbbdb\0caching_sha2_password\0\x05\x02_p\x011",
    ]
    .concat();
    let read = Response::read(&payload).expect("well-formed");
    assert_eq!((read.user, read.proof), (&b"root"[..], &b"\xaa\xbb"[..]));
    assert_eq!(read.database, Some(&b"db"[..]));
    assert_eq!(read.plugin, Some(&b"caching_sha2_password"[..]));
    assert_eq!(read.opening.message_bytes_max, 1 << 24);
    assert_eq!(read.opening.collation, 255);
    assert_eq!(attributes(read.attributes).count(), 1);
}

#[test]
fn only_the_first_32_bytes_with_the_flag_ask_for_tls() {
    let opening = Opening {
        capabilities: CAPABILITIES | Capabilities::SSL,
        ..OPENING
    };
    let mut out = Vec::new();
    assert_eq!(opening.write(&mut out, 1), 2);
    let request = out.split_off(HEADER_BYTES);
    assert_eq!(request.len(), OPENING_BYTES);
    assert!(Opening::is_tls_request(&request));
    assert_eq!(Opening::read(&request), Ok(opening));
    let inside = Response {
        opening,
        ..response()
    };
    assert!(!Opening::is_tls_request(&written(&inside)));
    assert!(!Opening::is_tls_request(&request[..31]));
}

#[test]
fn clients_of_old_are_refused_by_name() {
    let old = b"\x05\xa4\0\0\0root\0";
    assert_eq!(Response::read(old), Err(DecodeError::OldProtocol));
}

#[test]
fn malformed_attributes_end_the_list_with_an_error() {
    let list: Vec<_> = attributes(b"\x01a\x01b\x01c\x05d").collect();
    assert_eq!(list.len(), 2);
    assert_eq!(list[1], Err(DecodeError::Truncated));
    assert_eq!(
        attributes(b"\xff").collect::<Vec<_>>(),
        [Err(DecodeError::LengthPrefix)]
    );
}

#[test]
fn a_change_of_user_is_read_as_it_was_written() {
    let change = ChangeUser {
        user: b"other",
        proof: &[1; 32],
        database: b"shop",
        collation: Some(2304),
        plugin: Some(b"caching_sha2_password"),
        attributes: b"\x01a\x01b",
    };
    let mut out = Vec::new();
    assert_eq!(change.write(&mut out, CAPABILITIES), Some(1));
    let payload = &out[HEADER_BYTES..];
    assert_eq!(ChangeUser::read(payload, CAPABILITIES), Ok(change));
    assert_eq!(
        ChangeUser::read(b"\x03x", CAPABILITIES),
        Err(DecodeError::Unexpected)
    );
}

#[test]
fn a_change_of_user_may_end_behind_the_database() {
    let read = ChangeUser::read(b"\x11u\0\0\0", CAPABILITIES).expect("well-formed");
    assert_eq!((read.user, read.collation), (&b"u"[..], None));
    let mut out = Vec::new();
    assert_eq!(read.write(&mut out, CAPABILITIES), Some(1));
    assert_eq!(&out[HEADER_BYTES..], b"\x11u\0\0\0");
}

#[test]
fn proofs_are_not_shown_by_debug() {
    let secret = Response {
        proof: b"open sesame\0",
        ..response()
    };
    assert!(!format!("{secret:?}").contains(&format!("{:?}", secret.proof)));
    assert!(!format!("{secret:?}").contains("sesame"));
}

proptest::proptest! {
    #[test]
    fn any_response_is_read_as_it_was_written(
        user in "[^\0]{0,40}",
        proof in proptest::collection::vec(0_u8.., 0..400),
        database in proptest::option::of("[^\0]{1,40}"),
        attributes in proptest::collection::vec(0_u8.., 0..400),
        zstd_level in 0_u8..,
        maria in proptest::bool::ANY,
    ) {
        let family = match maria {
            true => Capabilities::MARIADB_CACHE_METADATA,
            false => Capabilities::LONG_PASSWORD,
        };
        let capabilities = CAPABILITIES.without(Capabilities::MARIADB) | family;
        let named = match database {
            Some(_) => capabilities,
            None => capabilities.without(Capabilities::CONNECT_WITH_DB),
        };
        let response = Response {
            opening: Opening { capabilities: named, ..OPENING },
            user: user.as_bytes(),
            proof: &proof,
            database: database.as_deref().map(str::as_bytes),
            plugin: Some(b"client_ed25519"),
            attributes: &attributes,
            zstd_level: Some(zstd_level),
        };
        let bytes = written(&response);
        proptest::prop_assert_eq!(Response::read(&bytes), Ok(response));
    }
}
