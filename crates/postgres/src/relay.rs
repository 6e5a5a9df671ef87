//! Bytes of a client whose connection is for replication: all of them pass, whatever they mean.
//!
//! Messages are counted by their headers for one purpose: a goodbye is known for one, where a client that closes without a word counts
//! as vanished. What the database sends is not even counted.

use crate::exchange::Exchange;
use crate::login_cache::Work;
use crate::wire::{self, HEADER_BYTES};
use forebay_core::CloseReason;
use forebay_core::orders::{Order, Orders};

/// Passes `input` on, up to a Terminate.
pub fn on_client_bytes(exchange: &mut Exchange, mut input: &[u8], orders: &mut Orders<Work>) {
    while !input.is_empty() {
        let mut goodbye = false;
        if exchange.from_client_left == 0 {
            exchange.from_client_left = match wire::header(input) {
                Ok(Some(header)) => {
                    goodbye = header.kind == b'X';
                    header.len
                }
                Ok(None) => return orders.push(Order::Need(HEADER_BYTES)),
                // The database ends the connection over it; where a next message would begin, nobody knows.
                Err(_) => usize::MAX,
            };
        }
        let now = exchange.from_client_left.min(input.len());
        orders.forward(now);
        if goodbye {
            return orders.push(Order::Close(CloseReason::ClientQuit));
        }
        exchange.from_client_left -= now;
        input = &input[now..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of pieces that arrive one after the other, and whether the client is known to have left.
    fn relay(pieces: &[&[u8]]) -> (usize, bool) {
        let mut exchange = Exchange::new();
        let (mut held, mut passed) = (Vec::new(), 0);
        for piece in pieces {
            held.extend_from_slice(piece);
            let mut orders = Orders::default();
            on_client_bytes(&mut exchange, &held, &mut orders);
            for order in orders.take().0 {
                match order {
                    Order::Forward(len) => {
                        held.drain(..len);
                        passed += len;
                    }
                    Order::Need(len) => assert!(len > held.len()),
                    Order::Close(CloseReason::ClientQuit) => return (passed, true),
                    other => panic!("{other:?}"),
                }
            }
        }
        (passed, false)
    }

    #[test]
    fn a_goodbye_is_known_wherever_it_is_cut() {
        let bytes = b"Q\0\0\0\x06a\0d\0\0\0\x0bX\0\0\0\x04c\0c\0\0\0\x04X\0\0\0\x04";
        assert_eq!(relay(&[bytes]), (bytes.len(), true));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(relay(&single), (bytes.len(), true));
        let end = bytes.len() - 1;
        assert_eq!(relay(&[&bytes[..end]]), (bytes.len() - 5, false));
    }

    #[test]
    fn what_is_no_message_passes_as_it_is() {
        let bytes = b"Q\0\0\0\x03X\0\0\0\x04X\0\0\0\x04";
        assert_eq!(relay(&[bytes, bytes]), (2 * bytes.len(), false));
    }
}
