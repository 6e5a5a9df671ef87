//! One function for each fuzz target of `crates/mysql`: any bytes in, a panic if something is wrong. Nothing panics by itself, nothing is
//! read that is not there, and what is read and written again is read alike.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a panic is how a finding is reported"
)]

use forebay_core::framing::{Framing as _, UNFRAMED_BYTES_MAX};
use forebay_mysql::password::{caching_sha2, certificate, clear, ed25519, native, parsec, rsa};
use forebay_mysql::sql::{
    Charset, Dialect, Facts, Family, Modes, classify, explain, fingerprint, mentioned, normalized,
};
use forebay_mysql::wire::auth::{AuthPacket, nonce_of};
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::ColumnDefinition;
use forebay_mysql::wire::compression::{Compressed, Compression, FRAME_HEADER_BYTES, Workbench};
use forebay_mysql::wire::greeting::Greeting;
use forebay_mysql::wire::read::Fields;
use forebay_mysql::wire::reply::{
    Beginning, EofPacket, ErrorPacket, OkPacket, PrepareOk, Progress, is_end_of_rows,
};
use forebay_mysql::wire::response::{ChangeUser, Opening, Response, attributes};
use forebay_mysql::wire::statement::{Execute, LongData, rows_wanted, statement_of};
use forebay_mysql::wire::{HEADER_BYTES, message, row};
use std::sync::OnceLock;

/// What a target does with one input.
pub type Body = fn(&[u8]);

/// Every target by name.
pub const ALL: &[(&str, Body)] = &[
    ("mysql_wire", wire),
    ("mysql_login", login),
    ("mysql_frames", frames),
    ("mysql_sql", sql),
];

/// Any payload as each of a server's packets; the first eight bytes are what was agreed on.
pub fn wire(data: &[u8]) {
    let Some((capabilities, data)) = data.split_first_chunk() else {
        return;
    };
    let capabilities = Capabilities(u64::from_le_bytes(*capabilities));
    messages(data);
    replies(data, capabilities);
    rows(data);
    let _ = AuthPacket::read(data);
    if let Ok(greeting) = Greeting::read(data) {
        // Methods have names only where that is agreed on.
        let named = greeting.capabilities.has(Capabilities::PLUGIN_AUTH);
        let made = made(|out| greeting.write(out));
        let again = Greeting::read(&made).unwrap();
        assert_eq!(again.nonce, greeting.nonce);
        assert!(!named || again.plugin == greeting.plugin);
    }
}

/// Any payload as each of a client's packets, and any bytes as proofs; the first eight bytes are what was agreed on.
pub fn login(data: &[u8]) {
    let Some((capabilities, data)) = data.split_first_chunk() else {
        return;
    };
    let capabilities = Capabilities(u64::from_le_bytes(*capabilities));
    let _ = Opening::is_tls_request(data);
    if let Ok(response) = Response::read(data) {
        assert!(attributes(response.attributes).count() <= data.len());
        let mut out = Vec::new();
        if response.write(&mut out, 1).is_some() {
            let again = Response::read(&out[HEADER_BYTES..]).unwrap();
            assert_eq!((again.user, again.proof), (response.user, response.proof));
            assert_eq!(again.database, response.database);
            assert_eq!(again.attributes, response.attributes);
        }
    }
    if let Ok(change) = ChangeUser::read(data, capabilities) {
        let _ = change.write(&mut Vec::new(), capabilities);
    }
    statements(data);
    proofs(data);
}

fn statements(data: &[u8]) {
    let _ = (statement_of(data), rows_wanted(data));
    for parameters in [0, 1, 7, 8, 9, u16::MAX] {
        let Ok(execute) = Execute::read(data, parameters) else {
            continue;
        };
        let made = made(|out| execute.write(out));
        assert_eq!(Execute::read(&made, parameters), Ok(execute));
    }
    if let Ok(piece) = LongData::read(data) {
        assert_eq!(made(|out| piece.write(out)), data);
    }
}

fn messages(data: &[u8]) {
    match message(data) {
        Ok(Ok(message)) => {
            assert!(message.bytes.len() <= data.len() && message.packets > 0);
            let payload = message.payload();
            assert_eq!(
                payload.len() + message.packets * HEADER_BYTES,
                message.bytes.len()
            );
        }
        Ok(Err(need)) => assert!(need > data.len()),
        Err(_) => {}
    }
}

fn replies(data: &[u8], capabilities: Capabilities) {
    if let Ok(ok) = OkPacket::read(data, capabilities) {
        assert!(ok.changes().count() <= data.len());
        let made = made(|out| {
            ok.write(out, 0, capabilities);
        });
        let again = OkPacket::read(&made, capabilities).unwrap();
        assert_eq!(again, ok.with_changes(ok.session_state));
    }
    if let Some(&first) = data.first() {
        let _ = is_end_of_rows(first, data.len(), capabilities);
    }
    let _ = Beginning::read(data, capabilities);
    let _ = EofPacket::read(data);
    let _ = Progress::read(data);
    if let Ok(error) = ErrorPacket::read(data) {
        let made = made(|out| {
            error.write(out, 0);
        });
        assert_eq!(made, data);
    }
    if let Ok(prepared) = PrepareOk::read(data, capabilities) {
        let made = made(|out| {
            prepared.write(out, 0, capabilities);
        });
        assert_eq!(PrepareOk::read(&made, capabilities), Ok(prepared));
    }
    if let Ok(column) = ColumnDefinition::read(data, capabilities) {
        let made = made(|out| {
            column.write(out, 0, capabilities);
        });
        assert_eq!(ColumnDefinition::read(&made, capabilities), Ok(column));
    }
}

fn rows(data: &[u8]) {
    assert!(row::text_values(data).count() <= data.len());
    let _ = row::text_row::<3>(data);
    // The types of a binary row are the server's word, too.
    let mut fields = Fields(data);
    let Ok(types) = fields.counted() else {
        return;
    };
    let columns: Vec<_> = types.iter().map(|kind| (*kind, kind % 2 == 0)).collect();
    if let Ok(values) = row::binary_row(fields.0, &columns) {
        assert_eq!(values.len(), columns.len());
    }
}

fn proofs(data: &[u8]) {
    static KEYS: OnceLock<(rsa::KeyPair, parsec::Verifier)> = OnceLock::new();
    let (pair, verifier) = KEYS.get_or_init(|| {
        let derivation = parsec::Derivation::new([1; parsec::SALT_BYTES]);
        (
            rsa::KeyPair::generate().unwrap(),
            parsec::Verifier::derive("pencil", derivation).unwrap(),
        )
    });
    let nonce = nonce_of(data).unwrap_or([b'n'; 20]);
    assert!(!native::NativeHash::of("pencil").verify(data, &nonce));
    assert!(!caching_sha2::CachedHash::of("pencil").verify(data, &nonce));
    assert!(!verifier.verify(data, &[7; 32]));
    assert!(!certificate::verify(data, b"stored", &nonce, &[7; 32]));
    assert!(!clear::verify(
        data,
        "a password that no input of a fuzzer holds"
    ));
    if data.len() == ed25519::SIGNATURE_BYTES {
        assert!(!ed25519::PublicKey::of("pencil").verify(data, &[7; 32]));
    }
    assert!(pair.open(data, &nonce).is_err());
    let _ = caching_sha2::ExpectVerdict::new(nonce, false).on_more(data);
    let _ = parsec::Derivation::read(data);
    let _ = rsa::PublicKey::from_pem(data);
}

/// The payload of a made packet.
fn made(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out.split_off(HEADER_BYTES)
}

/// Most bytes that one input may become: a few of them are enough to make gigabytes.
const UNPACKED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Any bytes as a client's frames, which come in pieces; the first byte says how long those are, and which compression it is. Then the same bytes as
/// something to be sent, which comes back.
pub fn frames(data: &[u8]) {
    let Some((&how, wire)) = data.split_first() else {
        return;
    };
    let compression = match how & 1 {
        0 => Compression::Zlib,
        _ => Compression::Zstd(how % 22 + 1),
    };
    let piece = usize::from(how >> 1) + 1;
    let workbench = Workbench::default();
    unframed(&mut Compressed::new(compression, &workbench), wire, piece);
    let mut sent = Vec::new();
    Compressed::new(compression, &workbench).write(wire, &mut sent);
    let back = unframed(&mut Compressed::new(compression, &workbench), &sent, piece);
    assert!(back.as_deref() == Some(wire) || wire.len() > UNPACKED_BYTES_MAX);
}

/// What is in frames that come in pieces; `None` where they are not good, or hold too much.
fn unframed(frames: &mut Compressed, wire: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (mut kept, mut all) = (Vec::new(), Vec::new());
    for piece in wire.chunks(piece) {
        kept.extend_from_slice(piece);
        loop {
            let mut out = Vec::new();
            let taken = frames.read(&kept, &mut out).ok()?;
            assert!(taken <= kept.len() && out.len() <= UNFRAMED_BYTES_MAX);
            kept.drain(..taken);
            if taken == 0 && out.is_empty() {
                break;
            }
            all.append(&mut out);
            if all.len() > UNPACKED_BYTES_MAX {
                return None;
            }
        }
    }
    assert!(kept.len() < FRAME_HEADER_BYTES);
    Some(all)
}

/// Longest text that is shown of one input.
const SHOWN_BYTES_MAX: usize = 200;

/// Any text, read in several ways: the first byte chooses modes and character set.
pub fn sql(data: &[u8]) {
    let Some((&how, text)) = data.split_first() else {
        return;
    };
    for (family, version) in [
        (Family::MySql, 80036),
        (Family::MySql, 90704),
        (Family::MariaDb, 101119),
    ] {
        let dialect = Dialect {
            modes: Modes {
                ansi_quotes: how & 1 != 0,
                no_backslash_escapes: how & 2 != 0,
                pipes_as_concat: false,
                ignore_space: how & 4 != 0,
                oracle: how & 8 != 0,
            },
            charset: [Charset::Utf8, Charset::AsciiSafe, Charset::Unsafe]
                [usize::from(how >> 4) % 3],
            ..Dialect::new(family, version)
        };
        judged(text, dialect);
    }
}

fn judged(text: &[u8], dialect: Dialect) {
    let class = classify(text, dialect);
    assert!(class.statements().len() <= text.len() + 1);
    let explained = explain(text, dialect, SHOWN_BYTES_MAX);
    let as_explained = explained.iter().map(|one| &one.statement);
    assert!(
        as_explained.eq(class.statements()),
        "explained otherwise than judged"
    );
    for one in &explained {
        let found: Facts = one.findings.iter().map(|finding| finding.fact).collect();
        assert_eq!(found, one.statement.facts);
        assert!(one.normalized.len() <= SHOWN_BYTES_MAX);
        assert!(text.get(one.range.clone()).is_some());
    }
    assert!(normalized(text, dialect, SHOWN_BYTES_MAX).len() <= SHOWN_BYTES_MAX);
    fingerprint(text, dialect);
    mentioned(text, dialect);
}
