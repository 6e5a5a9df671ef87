//! What a client and the server agree on at a connection's start and can never change: capability flags and the first collation.
//!
//! A backend speaks the dialect of the clients that it serves, so that nothing but reports of changes needs to be translated on the way:
//! what a client agrees on is part of its pool's key, as a number. What is not in that number is either the same for all (the protocol of 4.1, named methods) or ends at
//! the proxy (TLS, compression, the login). (MySQL's documentation, "Capabilities Flags".)

use crate::server::{Family, Server};
use crate::wire::capability::Capabilities;

/// Flags that differ between clients and change what the server sends or does, each with its bit in the number.
const FLAGS: [Capabilities; 10] = [
    Capabilities::FOUND_ROWS,
    Capabilities::NO_SCHEMA,
    Capabilities::ODBC,
    Capabilities::LOCAL_FILES,
    Capabilities::IGNORE_SPACE,
    Capabilities::INTERACTIVE,
    Capabilities::MULTI_STATEMENTS,
    Capabilities::MULTI_RESULTS,
    Capabilities::PS_MULTI_RESULTS,
    Capabilities::DEPRECATE_EOF,
];

/// Bits of the collation.
const COLLATION_BITS: u32 = 8;

/// Flags that every connection of ours has, on either side, where the server can.
const ALWAYS: Capabilities = Capabilities(
    Capabilities::LONG_FLAG.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA.0
        // What clients are told of it is up to each (`told.rs`).
        | Capabilities::SESSION_TRACK.0,
);

/// Flags that concern the client's connection alone.
const AT_CLIENT: Capabilities = Capabilities(
    Capabilities::CONNECT_WITH_DB.0
        | Capabilities::CONNECT_ATTRS.0
        | Capabilities::RESERVED.0
        | Capabilities::IGNORE_SIGPIPE.0
        | Capabilities::LONG_PASSWORD.0,
);

/// What the proxy itself does for a client, whether its database can or not.
const OURS: Capabilities =
    Capabilities(Capabilities::COMPRESS.0 | Capabilities::ZSTD_COMPRESSION.0);

fn all() -> Capabilities {
    FLAGS.into_iter().fold(ALWAYS, |all, flag| all | flag)
}

/// What clients are offered: of what the server can, and compression; TLS is offered besides, where the proxy has it.
pub fn offered(server: Capabilities) -> Capabilities {
    server & (all() | AT_CLIENT) | OURS
}

/// What a client that asked for this, of what it was offered, has in common with its backends.
pub fn agreed(asked: Capabilities, offered: Capabilities) -> Capabilities {
    asked & offered & all()
}

/// The number for what was agreed on.
pub fn number(agreed: Capabilities, collation: u8) -> u32 {
    let bits = FLAGS
        .iter()
        .enumerate()
        .filter(|(_, flag)| agreed.has(**flag));
    bits.fold(u32::from(collation), |number, (bit, _)| {
        number | 1 << (COLLATION_BITS as usize + bit)
    })
}

/// What a backend of this number asks for of what the server can, and the collation that it begins with.
pub fn wanted(number: u32, server: Capabilities) -> (Capabilities, u8) {
    let [collation, ..] = number.to_le_bytes();
    let bits = FLAGS.iter().enumerate();
    let flags = bits.filter(|(bit, _)| number >> (COLLATION_BITS as usize + bit) & 1 == 1);
    let flags = flags.fold(ALWAYS, |all, (_, flag)| all | *flag);
    // The servers of each family are told apart by this flag (MariaDB calls it `CLIENT_MYSQL`).
    (
        server & (flags | Capabilities::LONG_PASSWORD | Capabilities::CONNECT_ATTRS),
        collation,
    )
}

/// The collation to begin with where this one is wanted, on a server whose own is `default`. In place of one that it does not know, a server
/// takes its own; MariaDB comes back to that at a `COM_RESET_CONNECTION` only if it was asked for, and else to what some other connection had.
pub fn understood(collation: u8, server: Server, default: u8) -> u8 {
    // What a byte can say of MySQL 8's collations; MariaDB reads the last as one of its own since 11.4.5.
    let is_known = match collation {
        0 | 248..=250 => false,
        255 => server.version >= 110_405,
        _ => true,
    };
    match server.family {
        Family::MariaDb if !is_known => default,
        _ => collation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mariadb_does_not_know_is_its_own_default() {
        let server = |family, version| Server { family, version };
        let old = server(Family::MariaDb, 101_119);
        let new = server(Family::MariaDb, 110_809);
        let mysql = server(Family::MySql, 90_704);
        for (collation, server, wanted) in [
            (255, old, 8),
            (255, new, 255),
            (255, mysql, 255),
            (0, new, 8),
            (46, old, 46),
        ] {
            assert_eq!(understood(collation, server, 8), wanted, "{collation}");
        }
    }

    #[test]
    fn what_is_agreed_on_is_what_backends_ask_for() {
        let server = Capabilities(0xdfff_ffff);
        let offered = offered(server);
        assert!(!offered.has(Capabilities::SSL));
        let asked = Capabilities::PROTOCOL_41
            | Capabilities::DEPRECATE_EOF
            | Capabilities::FOUND_ROWS
            | Capabilities::COMPRESS;
        let agreed = agreed(asked, offered);
        assert!(!agreed.has(Capabilities::COMPRESS));
        let (wanted, collation) = wanted(number(agreed, 45), server);
        assert_eq!(collation, 45);
        for flag in FLAGS {
            assert_eq!(wanted.has(flag), asked.has(flag), "{flag:?}");
        }
        assert!(wanted.has(Capabilities::PLUGIN_AUTH));
    }

    #[test]
    fn clients_that_differ_in_nothing_a_server_sees_share_backends() {
        let one = agreed(
            Capabilities::PROTOCOL_41 | Capabilities::SSL,
            offered(Capabilities(0xffff_ffff)),
        );
        let other = agreed(
            Capabilities::PROTOCOL_41 | Capabilities::CONNECT_WITH_DB,
            offered(Capabilities(0xffff_ffff)),
        );
        assert_eq!(number(one, 33), number(other, 33));
        assert_ne!(number(one, 33), number(one, 45));
    }
}
