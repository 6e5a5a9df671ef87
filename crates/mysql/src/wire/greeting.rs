//! The server's first packet, HandshakeV10: who it is, what it can, and a nonce (MySQL's documentation, "Protocol::HandshakeV10"; MariaDB's,
//! "Connection").
//!
//! MariaDB keeps its second word of capabilities in bytes that MySQL leaves empty. A server that wants nobody sends an error packet
//! instead (`reply::ErrorPacket`).

use super::DecodeError;
use super::capability::Capabilities;
use super::read::Fields;
use super::status::Status;
use super::write;

/// Length of the nonce in a greeting and in most requests to authenticate in another way.
pub const NONCE_BYTES: usize = 20;

/// What MariaDB 10 puts ahead of its version, lest replicas of old take 10 for 1.
pub const VERSION_PREFIX: &[u8] = b"5.5.5-";

/// The version of the protocol that a greeting says.
const PROTOCOL_VERSION: u8 = 10;

/// So much of the nonce comes ahead of the capabilities.
const NONCE_FIRST_BYTES: usize = 8;

/// A greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The server's version, as it stands on the wire.
    pub version: &'a [u8],
    /// By which `KILL` knows the connection.
    pub connection_id: u32,
    /// What a password's proof is made with; no byte of it is zero.
    pub nonce: [u8; NONCE_BYTES],
    /// The server's default collation, as far as one byte can say it.
    pub collation: u8,
    /// The session's status at its start.
    pub status: Status,
    /// What the server can.
    pub capabilities: Capabilities,
    /// The authentication method that the nonce is for; empty where methods have no names.
    pub plugin: &'a [u8],
}

impl<'a> Greeting<'a> {
    /// Reads a greeting.
    ///
    /// # Errors
    /// [`DecodeError::OldProtocol`] for servers older than 4.1 or with another version of the protocol, [`DecodeError::Truncated`].
    pub fn read(payload: &'a [u8]) -> Result<Greeting<'a>, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != PROTOCOL_VERSION {
            return Err(DecodeError::OldProtocol);
        }
        let version = fields.string()?;
        let connection_id = fields.u32()?;
        let first: [u8; NONCE_FIRST_BYTES] = fields.array()?;
        fields.byte()?;
        let lower = fields.u16()?;
        let collation = fields.byte()?;
        let status = Status(fields.u16()?);
        let lower = u32::from(lower) | u32::from(fields.u16()?) << 16;
        let nonce_len = usize::from(fields.byte()?);
        fields.bytes(6)?;
        let capabilities = Capabilities::of_words(lower, fields.u32()?);
        if !capabilities.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
            return Err(DecodeError::OldProtocol);
        }
        let mut nonce = [0; NONCE_BYTES];
        nonce[..NONCE_FIRST_BYTES].copy_from_slice(&first);
        nonce[NONCE_FIRST_BYTES..].copy_from_slice(second_part(&mut fields, nonce_len)?);
        Ok(Greeting {
            version,
            connection_id,
            nonce,
            collation,
            status,
            capabilities,
            // Servers of 5.5 left its NUL out.
            plugin: fields.string_or_rest(),
        })
    }

    /// Appends the greeting, which is the first packet of its connection.
    pub fn write(&self, out: &mut Vec<u8>) {
        let lower = self.capabilities.lower().to_le_bytes();
        write::packet(out, 0, |out| {
            out.push(PROTOCOL_VERSION);
            write::string(out, self.version);
            out.extend_from_slice(&self.connection_id.to_le_bytes());
            write::string(out, &self.nonce[..NONCE_FIRST_BYTES]);
            out.extend_from_slice(&lower[..2]);
            out.push(self.collation);
            out.extend_from_slice(&self.status.0.to_le_bytes());
            out.extend_from_slice(&lower[2..]);
            // With the NUL behind it.
            out.push(NONCE_BYTES as u8 + 1);
            out.extend_from_slice(&[0; 6]);
            out.extend_from_slice(&self.capabilities.upper().to_le_bytes());
            write::string(out, &self.nonce[NONCE_FIRST_BYTES..]);
            if self.capabilities.has(Capabilities::PLUGIN_AUTH) {
                write::string(out, self.plugin);
            }
        });
    }

    /// Whether the server is MariaDB: by its name, or by what only MariaDB leaves out.
    pub fn is_mariadb(&self) -> bool {
        self.capabilities.is_mariadb()
            || self
                .version
                .windows(7)
                .any(|word| word.eq_ignore_ascii_case(b"mariadb"))
    }

    /// The version without MariaDB's [`VERSION_PREFIX`].
    pub fn real_version(&self) -> &'a [u8] {
        self.version
            .strip_prefix(VERSION_PREFIX)
            .unwrap_or(self.version)
    }
}

/// The rest of the nonce: 12 bytes and a NUL, in a field that is longer where a method wants it so, and without the NUL at its shortest.
fn second_part<'a>(fields: &mut Fields<'a>, nonce_len: usize) -> Result<&'a [u8], DecodeError> {
    let second = NONCE_BYTES - NONCE_FIRST_BYTES;
    let len = nonce_len.saturating_sub(NONCE_FIRST_BYTES).max(second + 1);
    let field = fields.bytes(len.min(fields.0.len()))?;
    field.get(..second).ok_or(DecodeError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HEADER_BYTES, message};

    const MARIADB: Greeting<'static> = Greeting {
        version: b"5.5.5-10.11.14-MariaDB-0+deb12u2",
        connection_id: 31,
        nonce: *b"abcdefghijklmnopqrst",
        collation: 8,
        status: Status::AUTOCOMMIT,
        capabilities: Capabilities(0x0000_001d_81ff_f7fe),
        plugin: b"mysql_native_password",
    };

    const MYSQL: Greeting<'static> = Greeting {
        version: b"9.7.4",
        capabilities: Capabilities(0xdfff_ffff),
        collation: 255,
        plugin: b"caching_sha2_password",
        ..MARIADB
    };

    fn written(greeting: &Greeting<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        greeting.write(&mut out);
        assert_eq!(
            message(&out).expect("in order").expect("whole").bytes.len(),
            out.len()
        );
        out.split_off(HEADER_BYTES)
    }

    #[test]
    fn greetings_of_both_families_are_read_as_they_were_written() {
        for greeting in [MARIADB, MYSQL] {
            assert_eq!(Greeting::read(&written(&greeting)), Ok(greeting));
        }
        assert!(MARIADB.is_mariadb() && !MYSQL.is_mariadb());
        assert_eq!(MARIADB.real_version(), b"10.11.14-MariaDB-0+deb12u2");
        assert_eq!(MYSQL.real_version(), b"9.7.4");
    }

    /// The layout by hand, so that reader and writer cannot be wrong alike.
    #[test]
    fn a_greeting_has_the_layout_of_the_documentation() {
        let expected = [
            &b"\x0a9.7.4\0\x1f\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15"[..],
            b"\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0",
        ]
        .concat();
        assert_eq!(written(&MYSQL), expected);
        assert_eq!(written(&MARIADB)[61..65], [0x1d, 0, 0, 0]);
    }

    #[test]
    fn a_cut_greeting_is_refused_wherever_a_field_is_missing() {
        let whole = written(&MYSQL);
        let nonce_end = whole.len() - MYSQL.plugin.len() - 2;
        for cut in 0..nonce_end {
            assert_eq!(Greeting::read(&whole[..cut]), Err(DecodeError::Truncated));
        }
        let unterminated = Greeting::read(&whole[..whole.len() - 1]).expect("as servers of 5.5");
        assert_eq!(unterminated.plugin, MYSQL.plugin);
    }

    #[test]
    fn servers_of_old_are_refused_by_name() {
        assert_eq!(Greeting::read(b"\x093.23\0"), Err(DecodeError::OldProtocol));
        let old = Greeting {
            capabilities: MYSQL.capabilities.without(Capabilities::PROTOCOL_41),
            ..MYSQL
        };
        assert_eq!(
            Greeting::read(&written(&old)),
            Err(DecodeError::OldProtocol)
        );
    }
}
