//! Who a server is: its family and version, as its greeting says them.

pub use crate::sql::Family;
use crate::wire::greeting::{Greeting, VERSION_PREFIX};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its family.
    pub family: Family,
    /// Its version as it writes it itself in comments: 10.11.19 is 101119, 9.7.4 is 90704.
    pub version: u32,
}

impl Default for Server {
    /// One that has not said who it is.
    fn default() -> Server {
        Server {
            family: Family::MySql,
            version: 0,
        }
    }
}

impl Server {
    /// The server that greets so.
    pub fn of(greeting: &Greeting<'_>) -> Server {
        let is_mariadb = greeting.capabilities.is_mariadb()
            || greeting.version.windows(7).any(|part| part == b"MariaDB");
        let version = greeting.version;
        let version = version.strip_prefix(VERSION_PREFIX).filter(|_| is_mariadb);
        Server {
            family: match is_mariadb {
                true => Family::MariaDb,
                false => Family::MySql,
            },
            version: number(version.unwrap_or(greeting.version)),
        }
    }
}

/// `10.11.19-MariaDB` as 101119.
fn number(version: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(version);
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let mut part = || {
        let part = parts.next().and_then(|part| part.parse::<u32>().ok());
        part.unwrap_or(0).min(99)
    };
    part() * 10_000 + part() * 100 + part()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::capability::Capabilities;
    use crate::wire::status::Status;

    fn server(version: &[u8], capabilities: u64) -> Server {
        Server::of(&Greeting {
            version,
            connection_id: 1,
            nonce: [b'x'; 20],
            collation: 45,
            status: Status::AUTOCOMMIT,
            capabilities: Capabilities(capabilities),
            plugin: b"",
        })
    }

    #[test]
    fn families_are_told_by_capabilities_or_by_name() {
        let server_of = |version, capabilities| {
            let server = server(version, capabilities);
            (server.family, server.version)
        };
        assert_eq!(server_of(b"9.7.4", 1), (Family::MySql, 90_704));
        assert_eq!(
            server_of(b"5.5.5-10.11.19-MariaDB-log", 0),
            (Family::MariaDb, 101_119)
        );
        assert_eq!(server_of(b"11.8.9-MariaDB", 0), (Family::MariaDb, 110_809));
        assert_eq!(server_of(b"8.0.36-28", 1), (Family::MySql, 80_036));
        assert_eq!(server_of(b"nonsense", 1), (Family::MySql, 0));
    }
}
