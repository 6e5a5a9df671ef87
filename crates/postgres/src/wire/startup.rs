//! What a client sends before its first typed message: SSLRequest, GSSENCRequest, CancelRequest or StartupMessage
//! (`src/backend/tcop/backend_startup.c`, `ProcessStartupPacket`).

use super::DecodeError;
use super::read::Fields;

/// `CANCEL_REQUEST_CODE` (pqcomm.h).
pub const CANCEL_REQUEST: u32 = 80_877_102;
/// `NEGOTIATE_SSL_CODE` (pqcomm.h).
pub const SSL_REQUEST: u32 = 80_877_103;
/// `NEGOTIATE_GSS_CODE` (pqcomm.h).
pub const GSS_REQUEST: u32 = 80_877_104;
/// Protocol 3.0.
pub const VERSION_3_0: u32 = 3 << 16;
/// Protocol 3.2, of PostgreSQL 18: long cancel keys.
pub const VERSION_3_2: u32 = 3 << 16 | 2;
/// Longest packet before login (`MAX_STARTUP_PACKET_LENGTH`, pqcomm.h).
pub const STARTUP_BYTES_MAX: usize = 10_000;
/// Length of a cancel key's secret in protocol 3.0, and the shortest in 3.2.
pub const CANCEL_SECRET_BYTES_MIN: usize = 4;
/// Longest secret of a cancel key in protocol 3.2.
pub const CANCEL_SECRET_BYTES_MAX: usize = 256;

/// A first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    Gss,
    /// The client wants another session's query cancelled.
    Cancel {
        /// From that session's `BackendKeyData`.
        process: u32,
        /// From that session's `BackendKeyData`.
        secret: &'a [u8],
    },
    /// The client wants a session.
    Startup {
        /// Major version in the upper half, minor version in the lower.
        version: u32,
        /// Names and values as they follow each other, without the last NUL.
        parameters: &'a [u8],
    },
}

/// The first packet in `bytes` and its length; `Err(None)` says that it is not whole, and how long it must be.
pub fn first(bytes: &[u8]) -> Result<Result<(First<'_>, usize), usize>, DecodeError> {
    let Some(word) = bytes.first_chunk() else {
        return Ok(Err(4));
    };
    let len = u32::from_be_bytes(*word) as usize;
    if !(8..=STARTUP_BYTES_MAX).contains(&len) {
        return Err(DecodeError::Length);
    }
    let Some(body) = bytes.get(4..len) else {
        return Ok(Err(len));
    };
    let mut fields = Fields(body);
    let packet = match fields.u32()? {
        SSL_REQUEST if len == 8 => First::Ssl,
        GSS_REQUEST if len == 8 => First::Gss,
        CANCEL_REQUEST => {
            let process = fields.u32()?;
            if !(CANCEL_SECRET_BYTES_MIN..=CANCEL_SECRET_BYTES_MAX).contains(&fields.0.len()) {
                return Err(DecodeError::Length);
            }
            First::Cancel {
                process,
                secret: fields.0,
            }
        }
        version => First::Startup {
            version,
            parameters: parameters_of(fields.0)?,
        },
    };
    Ok(Ok((packet, len)))
}

/// The parameters without the packet's last NUL, which must be there.
fn parameters_of(body: &[u8]) -> Result<&[u8], DecodeError> {
    match body.split_last() {
        Some((0, parameters)) => Ok(parameters),
        _ => Err(DecodeError::Truncated),
    }
}

/// A name and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Names and values of a startup message, in whatever encoding the database has.
pub fn pairs(parameters: &[u8]) -> Result<Vec<Pair<'_>>, DecodeError> {
    let mut fields = Fields(parameters);
    let mut pairs = Vec::new();
    while !fields.0.is_empty() {
        pairs.push((fields.string()?, fields.string()?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    #[test]
    fn first_packets_are_told_apart_at_every_cut() {
        let mut startup = Vec::new();
        write::startup(
            &mut startup,
            VERSION_3_2,
            [("user", "u"), ("database", "d")],
        );
        let mut cancel = Vec::new();
        write::cancel_request(&mut cancel, 7, b"secret");
        for packet in [write::SSL_REQUEST, &startup, &cancel] {
            for cut in 0..packet.len() {
                assert!(
                    matches!(first(&packet[..cut]), Ok(Err(need)) if need > cut),
                    "{cut}"
                );
            }
            assert!(matches!(first(packet), Ok(Ok((_, len))) if len == packet.len()));
        }
        let Ok(Ok((
            First::Startup {
                version,
                parameters,
            },
            _,
        ))) = first(&startup)
        else {
            panic!("a startup message")
        };
        assert_eq!(version, VERSION_3_2);
        assert_eq!(
            pairs(parameters),
            Ok(vec![(&b"user"[..], &b"u"[..]), (b"database", b"d")])
        );
    }

    #[test]
    fn lengths_are_checked_before_anything_is_kept() {
        assert_eq!(first(b"\0\0\0\x07aaa"), Err(DecodeError::Length));
        assert_eq!(first(b"\x7f\xff\xff\xff"), Err(DecodeError::Length));
        assert_eq!(
            first(b"\0\0\0\x0a\x04\xd2\x16\x2eaa"),
            Err(DecodeError::Truncated)
        );
    }
}
