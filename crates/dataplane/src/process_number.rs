//! The process numbers that clients are shown in place of a server process's own (BackendKeyData): where to find them when they are to be
//! cancelled, and no number twice in a row.
//!
//! ```text
//!   bit 31      30 … 20 + w      20 + w … 20      19 … 0
//!       0    │   generation    │    worker     │   place      w: bits that the number of workers takes
//! ```
//!
//! They begin at [`PROCESS_MIN`], so that none is a server process's of the database.

use crate::mailbox::Ticket;
use forebay_core::engine::PROCESS_MIN;

/// Bits of the place on its worker.
const PLACE_BITS: u32 = 20;
/// Bits of a number, which is shown as a signed one.
const NUMBER_BITS: u32 = 31;

fn worker_bits(workers: usize) -> u32 {
    workers.next_power_of_two().trailing_zeros()
}

/// The number of the client at this place.
pub(crate) fn of(worker: u16, workers: usize, ticket: Ticket) -> u32 {
    let below = PLACE_BITS + worker_bits(workers);
    let first = 1.max(PROCESS_MIN >> below);
    let all = (1 << (NUMBER_BITS - below)) - first;
    let generation = first + ticket.generation % all;
    let place = ticket.index & ((1 << PLACE_BITS) - 1);
    generation << below | u32::from(worker) << PLACE_BITS | place
}

/// Whose client it is.
pub(crate) fn worker_of(process: u32, workers: usize) -> usize {
    (process >> PLACE_BITS & ((1 << worker_bits(workers)) - 1)) as usize
}

/// Its place there.
pub(crate) fn place_of(process: u32) -> u32 {
    process & ((1 << PLACE_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_and_are_no_system_processes() {
        for workers in [1, 2, 3, 64, 512] {
            for worker in [0, workers / 2, workers - 1] {
                for bits in [0, 7, 1 << 32 | 7, 5 << 32 | 0xf_ffff, u64::MAX >> 8] {
                    let ticket = Ticket::from_bits(bits);
                    let worker = u16::try_from(worker).expect("it is small");
                    let number = of(worker, workers, ticket);
                    assert!((PROCESS_MIN..1 << NUMBER_BITS).contains(&number));
                    assert_eq!(worker_of(number, workers), usize::from(worker));
                    assert_eq!(place_of(number), ticket.index & 0xf_ffff);
                }
            }
        }
    }

    #[test]
    fn who_comes_next_to_a_place_has_another_number() {
        for workers in [1, 2, 512] {
            let next = |generation: u64| of(0, workers, Ticket::from_bits(generation << 32 | 3));
            assert!((0..10).all(|generation| next(generation) != next(generation + 1)));
        }
    }
}
