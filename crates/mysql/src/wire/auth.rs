//! What a server says between a client's response and the end of the login (MySQL's documentation, "Connection Phase": AuthSwitchRequest,
//! AuthMoreData, AuthNextFactor; MariaDB's, "Connection").
//!
//! What a client answers to these has no form of its own: its payload is the proof.

use super::DecodeError;
use super::greeting::NONCE_BYTES;
use super::read::Fields;
use super::write;

const OK: u8 = 0x00;
const MORE: u8 = 0x01;
const NEXT_FACTOR: u8 = 0x02;
const SWITCH: u8 = 0xfe;
const ERROR: u8 = 0xff;

/// A server's packet during authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPacket<'a> {
    /// The login succeeded: an OK packet, for `reply::OkPacket`.
    Ok,
    /// The login failed: an error packet, for `reply::ErrorPacket`.
    Error,
    /// Prove the password by another method.
    Switch {
        /// The method's name.
        plugin: &'a [u8],
        /// What the proof is to be made with, for [`nonce_of`] or as the method has it.
        data: &'a [u8],
    },
    /// Prove the password as before MySQL 4.1, which nobody should.
    SwitchToOld,
    /// The method's next word.
    More(&'a [u8]),
    /// Prove another factor (MySQL).
    NextFactor {
        /// The method's name.
        plugin: &'a [u8],
        /// What the proof is to be made with.
        data: &'a [u8],
    },
}

impl<'a> AuthPacket<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn read(payload: &'a [u8]) -> Result<AuthPacket<'a>, DecodeError> {
        let mut fields = Fields(payload);
        Ok(match fields.byte()? {
            OK => AuthPacket::Ok,
            ERROR => AuthPacket::Error,
            SWITCH if fields.is_empty() => AuthPacket::SwitchToOld,
            SWITCH => AuthPacket::Switch {
                plugin: fields.string()?,
                data: fields.rest(),
            },
            NEXT_FACTOR => AuthPacket::NextFactor {
                plugin: fields.string()?,
                data: fields.rest(),
            },
            MORE => AuthPacket::More(fields.rest()),
            // MariaDB marks a method's words only where they could be taken for another packet.
            _ => AuthPacket::More(payload),
        })
    }
}

/// The 20 bytes of a nonce, which come with or without a NUL behind them.
pub fn nonce_of(data: &[u8]) -> Result<[u8; NONCE_BYTES], DecodeError> {
    let nonce = match data {
        [nonce @ .., 0] if nonce.len() == NONCE_BYTES => nonce,
        nonce => nonce,
    };
    nonce.try_into().map_err(|_| DecodeError::Truncated)
}

/// Appends an AuthSwitchRequest, and says which number is next. Methods with a nonce of 20 bytes want a NUL behind it.
pub fn switch(out: &mut Vec<u8>, sequence: u8, plugin: &[u8], data: &[u8]) -> u8 {
    write::packet(out, sequence, |out| {
        out.push(SWITCH);
        write::string(out, plugin);
        out.extend_from_slice(data);
    })
}

/// The same with a nonce of 20 bytes.
pub fn switch_with_nonce(
    out: &mut Vec<u8>,
    sequence: u8,
    plugin: &[u8],
    nonce: &[u8; NONCE_BYTES],
) -> u8 {
    let mut data = [0; NONCE_BYTES + 1];
    data[..NONCE_BYTES].copy_from_slice(nonce);
    switch(out, sequence, plugin, &data)
}

/// Appends AuthMoreData, and says which number is next.
pub fn more(out: &mut Vec<u8>, sequence: u8, data: &[u8]) -> u8 {
    write::packet(out, sequence, |out| {
        out.push(MORE);
        out.extend_from_slice(data);
    })
}

/// Appends a client's proof, or any other of its words to a method, and says which number is next.
pub fn answer(out: &mut Vec<u8>, sequence: u8, proof: &[u8]) -> u8 {
    write::packet(out, sequence, |out| out.extend_from_slice(proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;

    #[test]
    fn a_switch_is_read_as_it_was_written() {
        let nonce = *b"abcdefghijklmnopqrst";
        let mut out = Vec::new();
        assert_eq!(
            switch_with_nonce(&mut out, 2, b"caching_sha2_password", &nonce),
            3
        );
        let Ok(AuthPacket::Switch { plugin, data }) = AuthPacket::read(&out[HEADER_BYTES..]) else {
            panic!("a switch");
        };
        assert_eq!(plugin, b"caching_sha2_password");
        assert_eq!(nonce_of(data), Ok(nonce));
        assert_eq!(data.len(), NONCE_BYTES + 1);
        assert_eq!(nonce_of(&data[..NONCE_BYTES]), Ok(nonce));
        assert_eq!(nonce_of(&data[..19]), Err(DecodeError::Truncated));
        assert_eq!(nonce_of(&[7; 21]), Err(DecodeError::Truncated));
    }

    #[test]
    fn packets_of_a_login_are_told_apart() {
        for (payload, expected) in [
            (&b"\0\0\0\x02\0\0\0"[..], Ok(AuthPacket::Ok)),
            (b"\xff\x15\x04#28000no", Ok(AuthPacket::Error)),
            (b"\xfe", Ok(AuthPacket::SwitchToOld)),
            (b"\x01\x04", Ok(AuthPacket::More(b"\x04"))),
            (b"\x01", Ok(AuthPacket::More(b""))),
            (b"P\0salt", Ok(AuthPacket::More(b"P\0salt"))),
            (
                b"\x02webauthn\0x",
                Ok(AuthPacket::NextFactor {
                    plugin: b"webauthn",
                    data: b"x",
                }),
            ),
            (b"", Err(DecodeError::Truncated)),
            (b"\xfename", Err(DecodeError::Truncated)),
        ] {
            assert_eq!(AuthPacket::read(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn a_methods_words_are_marked_so_that_they_are_no_other_packet() {
        let mut out = Vec::new();
        assert_eq!(more(&mut out, 2, b"\xfe"), 3);
        assert_eq!(out, b"\x02\0\0\x02\x01\xfe");
        out.clear();
        assert_eq!(answer(&mut out, 3, b"\x02"), 4);
        assert_eq!(out, b"\x01\0\0\x03\x02");
    }
}
