//! Both sides against each other, against published and recorded vectors, and against another implementation.
//!
//! `vectors`: RFC 7677 and verifiers made by PostgreSQL; `exchange`: round trips, the binding matrix, what must fail
//! only at the proof; `malformed`: every field broken, and arbitrary bytes; `oracle`: the `postgres-protocol` crate as
//! client.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod exchange;
mod malformed;
mod oracle;
mod vectors;

use std::num::NonZeroU32;

use super::*;

/// What a server's certificate could hash to.
const CHANNEL: &[u8] = b"thirty-two bytes of certificates";

fn iterations(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("tests use positive counts")
}

/// A verifier that is quick to derive.
fn quick_verifier(password: &str) -> Verifier {
    Verifier::derive(password, b"salt", iterations(2)).unwrap()
}

/// A client that is past its first message, and the server waiting for its proof.
fn half_way(
    binding: ClientBinding,
    verifier: &Verifier,
    offered: Option<&[u8]>,
) -> (NeedKeys, ExpectProof) {
    let client = ClientFirst::new(&[1; NONCE_BYTES], binding);
    let (server_first, server) = ServerFirst::on_client_first(
        &client.message(),
        client.mechanism(),
        &[2; NONCE_BYTES],
        verifier,
        offered,
    )
    .unwrap();
    (
        client
            .on_server_first(&server_first, ITERATIONS_MAX_DEFAULT)
            .unwrap(),
        server,
    )
}

/// Runs a whole exchange; the error is the server's, for the client's own errors panic.
fn log_in(
    password: &str,
    binding: ClientBinding,
    verifier: &Verifier,
    offered: Option<&[u8]>,
) -> Result<Authenticated, ScramError> {
    let client = ClientFirst::new(&[1; NONCE_BYTES], binding);
    let (server_first, server) = ServerFirst::on_client_first(
        &client.message(),
        client.mechanism(),
        &[2; NONCE_BYTES],
        verifier,
        offered,
    )?;
    let need = client
        .on_server_first(&server_first, ITERATIONS_MAX_DEFAULT)
        .unwrap();
    let keys = ClientKeys::derive(password, need.salt(), need.iterations());
    let (client_final, client) = need.with_keys(&keys);
    let authenticated = server.on_client_final(&client_final)?;
    client.on_server_final(&authenticated.server_final).unwrap();
    Ok(authenticated)
}
