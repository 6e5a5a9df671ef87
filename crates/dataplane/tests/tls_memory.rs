//! What an idle TLS connection costs in memory: everything that `malloc` gave out, ours and the C library's.
//!
//! A binary of its own, because the numbers are those of the whole process.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a test's helper fails the test"
)]

#[path = "tls/certificates.rs"]
#[allow(dead_code)]
mod certificates;
#[path = "tls/ends.rs"]
#[allow(dead_code)]
mod ends;

use certificates::{Authority, server_tls};
use ends::{End, TLS12, TLS13, Versions, settle, their_client_config};
use forebay_dataplane::tls::ServerSettings;

const CONNECTIONS: usize = 200;

/// Bytes in use of all that `malloc` gave out.
fn allocated() -> usize {
    // SAFETY: `mallinfo2` only reads the allocator's own counters.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

fn bytes_per_idle_server(versions: Versions) -> usize {
    let authority = Authority::new("authority");
    let settings = ServerSettings::new(&server_tls(authority.server("proxy.test"))).unwrap();
    let establish = || {
        let config = their_client_config(versions, &authority, &["postgresql"]);
        let mut client = End::their_client(config, "proxy.test");
        let mut server = End::server(&settings);
        settle(&mut client, &mut server);
        client.send(b"select 1");
        settle(&mut client, &mut server);
        server.send(b"1");
        settle(&mut client, &mut server);
        assert_eq!(server.plain, b"select 1");
        let ends::Side::Ours(filter) = server.side else {
            panic!("made so above")
        };
        filter
    };
    let mut kept = Vec::with_capacity(CONNECTIONS);
    // What the first connections allocate once and for all is not theirs.
    drop((establish(), establish()));
    let before = allocated();
    kept.extend(std::iter::repeat_with(establish).take(CONNECTIONS));
    let after = allocated();
    (after - before) / CONNECTIONS
}

#[test]
fn an_idle_server_side_connection_costs_little() {
    for (name, versions) in [("1.3", TLS13), ("1.2", TLS12)] {
        let bytes = bytes_per_idle_server(versions);
        println!("TLS {name}: {bytes} bytes per idle connection");
        assert!(
            bytes <= 20_000,
            "TLS {name}: {bytes} bytes per idle connection"
        );
    }
}
