//! Capability flags: what the two ends of a connection agree on in greeting and response.
//!
//! Sources: MySQL's documentation, "Capabilities Flags" (`include/mysql_com.h`); MariaDB's documentation, "Connection" and "MariaDB Protocol
//! Differences with MySQL". MariaDB has a second word of flags, in bytes that MySQL leaves empty; here, as in MariaDB's own headers, it is the
//! upper half of one number. It means something only between ends that both leave out [`Capabilities::LONG_PASSWORD`].

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// A set of capability flags, MySQL's 32 below MariaDB's 32.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None at all.
    pub const NONE: Capabilities = Capabilities(0);

    /// Of old, the better of two forms of the old passwords. MariaDB calls it `CLIENT_MYSQL`: servers and clients that leave it out speak
    /// MariaDB's extensions.
    pub const LONG_PASSWORD: Capabilities = Capabilities(1);
    /// `UPDATE` counts rows that were found, not rows that were changed.
    pub const FOUND_ROWS: Capabilities = Capabilities(1 << 1);
    /// Column definitions have 16 bits of flags.
    pub const LONG_FLAG: Capabilities = Capabilities(1 << 2);
    /// The response names a database.
    pub const CONNECT_WITH_DB: Capabilities = Capabilities(1 << 3);
    /// `database.table.column` is refused.
    pub const NO_SCHEMA: Capabilities = Capabilities(1 << 4);
    /// Packets are compressed with zlib after the login.
    pub const COMPRESS: Capabilities = Capabilities(1 << 5);
    /// The client is an ODBC driver.
    pub const ODBC: Capabilities = Capabilities(1 << 6);
    /// The client answers `LOAD DATA LOCAL` with its files.
    pub const LOCAL_FILES: Capabilities = Capabilities(1 << 7);
    /// The parser ignores spaces before `(`.
    pub const IGNORE_SPACE: Capabilities = Capabilities(1 << 8);
    /// The protocol of MySQL 4.1, without which nothing here is read.
    pub const PROTOCOL_41: Capabilities = Capabilities(1 << 9);
    /// `interactive_timeout` holds instead of `wait_timeout`.
    pub const INTERACTIVE: Capabilities = Capabilities(1 << 10);
    /// TLS: the server can, or the client is about to.
    pub const SSL: Capabilities = Capabilities(1 << 11);
    /// Means nothing on the wire.
    pub const IGNORE_SIGPIPE: Capabilities = Capabilities(1 << 12);
    /// Status flags are sent.
    pub const TRANSACTIONS: Capabilities = Capabilities(1 << 13);
    /// Of old, the protocol of 4.1.
    pub const RESERVED: Capabilities = Capabilities(1 << 14);
    /// Nonces of 20 bytes (`CLIENT_SECURE_CONNECTION`, now `CLIENT_RESERVED2`).
    pub const SECURE_CONNECTION: Capabilities = Capabilities(1 << 15);
    /// Several statements in one message.
    pub const MULTI_STATEMENTS: Capabilities = Capabilities(1 << 16);
    /// Several results for one `COM_QUERY`.
    pub const MULTI_RESULTS: Capabilities = Capabilities(1 << 17);
    /// Several results for one `COM_STMT_EXECUTE`.
    pub const PS_MULTI_RESULTS: Capabilities = Capabilities(1 << 18);
    /// Authentication methods have names.
    pub const PLUGIN_AUTH: Capabilities = Capabilities(1 << 19);
    /// The response carries attributes of the connection.
    pub const CONNECT_ATTRS: Capabilities = Capabilities(1 << 20);
    /// The response's proof may be longer than 255 bytes.
    pub const PLUGIN_AUTH_LENENC_CLIENT_DATA: Capabilities = Capabilities(1 << 21);
    /// The client may log in with an expired password, to change it.
    pub const CAN_HANDLE_EXPIRED_PASSWORDS: Capabilities = Capabilities(1 << 22);
    /// OK packets tell what changed in the session.
    pub const SESSION_TRACK: Capabilities = Capabilities(1 << 23);
    /// Results end with an OK packet instead of an EOF packet.
    pub const DEPRECATE_EOF: Capabilities = Capabilities(1 << 24);
    /// Results may come without column definitions (MySQL).
    pub const OPTIONAL_RESULTSET_METADATA: Capabilities = Capabilities(1 << 25);
    /// Packets are compressed with zstd after the login (MySQL).
    pub const ZSTD_COMPRESSION: Capabilities = Capabilities(1 << 26);
    /// Messages with statements carry attributes (MySQL).
    pub const QUERY_ATTRIBUTES: Capabilities = Capabilities(1 << 27);
    /// More than one factor of authentication (MySQL).
    pub const MULTI_FACTOR_AUTHENTICATION: Capabilities = Capabilities(1 << 28);
    /// Reserved by MySQL to widen the flags; MariaDB's old flag for progress reports.
    pub const CAPABILITY_EXTENSION: Capabilities = Capabilities(1 << 29);
    /// Means nothing on the wire.
    pub const SSL_VERIFY_SERVER_CERT: Capabilities = Capabilities(1 << 30);
    /// Means nothing on the wire.
    pub const REMEMBER_OPTIONS: Capabilities = Capabilities(1 << 31);

    /// Long statements report how far they are (MariaDB).
    pub const MARIADB_PROGRESS: Capabilities = Capabilities(1 << 32);
    /// `COM_MULTI` of a time (MariaDB).
    pub const MARIADB_COM_MULTI: Capabilities = Capabilities(1 << 33);
    /// `COM_STMT_BULK_EXECUTE` (MariaDB).
    pub const MARIADB_STMT_BULK_OPERATIONS: Capabilities = Capabilities(1 << 34);
    /// Column definitions carry names of types and formats (MariaDB).
    pub const MARIADB_EXTENDED_METADATA: Capabilities = Capabilities(1 << 35);
    /// Results of prepared statements may come without column definitions (MariaDB).
    pub const MARIADB_CACHE_METADATA: Capabilities = Capabilities(1 << 36);
    /// Bulk executions answer with a result for each unit (MariaDB).
    pub const MARIADB_BULK_UNIT_RESULTS: Capabilities = Capabilities(1 << 37);

    /// All of MariaDB's own.
    pub const MARIADB: Capabilities = Capabilities(0xffff_ffff_0000_0000);

    /// Whether all of `flags` are in this set.
    #[inline]
    pub const fn has(self, flags: Capabilities) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether the end that says this speaks MariaDB's extensions.
    pub const fn is_mariadb(self) -> bool {
        self.0 & Self::LONG_PASSWORD.0 == 0
    }

    /// This set without `flags`.
    pub const fn without(self, flags: Capabilities) -> Capabilities {
        Capabilities(self.0 & !flags.0)
    }

    /// MySQL's word.
    pub const fn lower(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// MariaDB's word.
    pub const fn upper(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Both words as one set; MariaDB's is dropped where [`LONG_PASSWORD`](Self::LONG_PASSWORD) says that it is filler.
    pub const fn of_words(lower: u32, upper: u32) -> Capabilities {
        let lower = lower as u64;
        if lower & Self::LONG_PASSWORD.0 != 0 {
            return Capabilities(lower);
        }
        Capabilities(lower | (upper as u64) << 32)
    }
}

impl BitOr for Capabilities {
    type Output = Capabilities;

    fn bitor(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Capabilities;

    fn bitand(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }
}

impl Not for Capabilities {
    type Output = Capabilities;

    fn not(self) -> Capabilities {
        Capabilities(!self.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_word_counts_only_for_ends_that_are_mariadb() {
        let mariadb = Capabilities::of_words(0x81ff_f7fe, 0x1d);
        assert!(mariadb.is_mariadb() && mariadb.has(Capabilities::MARIADB_CACHE_METADATA));
        assert_eq!((mariadb.lower(), mariadb.upper()), (0x81ff_f7fe, 0x1d));
        let mysql = Capabilities::of_words(0xdfff_ffff, 0x1d);
        assert!(!mysql.is_mariadb() && mysql.has(Capabilities::QUERY_ATTRIBUTES));
        assert_eq!(mysql.upper(), 0);
    }

    #[test]
    fn a_set_has_flags_only_when_it_has_all_of_them() {
        let set = Capabilities::SSL | Capabilities::PROTOCOL_41;
        assert!(set.has(Capabilities::SSL | Capabilities::PROTOCOL_41));
        assert!(!set.has(Capabilities::SSL | Capabilities::COMPRESS));
        assert_eq!(set.without(Capabilities::SSL), Capabilities::PROTOCOL_41);
        assert_eq!(set & Capabilities::SSL, Capabilities::SSL);
    }
}
