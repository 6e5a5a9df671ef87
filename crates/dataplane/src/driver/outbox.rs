//! The chunks that one connection has to send, in order. Small neighbours are joined by copying, so that what an engine says in
//! several pieces leaves in one send.

use crate::buffer::Chunk;
use std::collections::VecDeque;

/// Chunks up to this size are joined by copying rather than sent as pieces.
const JOINED_BYTES_MAX: usize = 4 * 1024;

/// What waits to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Chunk>,
    more: VecDeque<Chunk>,
    bytes: usize,
}

impl Outbox {
    /// Bytes waiting.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds a chunk at the end; `spare` lends memory for joining.
    pub fn push(&mut self, chunk: Chunk, spare: &mut Spare) {
        if chunk.is_empty() {
            return;
        }
        if self.first.is_some() && chunk.len() <= JOINED_BYTES_MAX {
            return self.push_copy(&chunk, spare);
        }
        self.bytes += chunk.len();
        self.append(chunk);
    }

    /// Adds a copy of `bytes` at the end, joined to a small last chunk.
    pub fn push_copy(&mut self, bytes: &[u8], spare: &mut Spare) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        let last = if self.more.is_empty() {
            self.first.as_mut()
        } else {
            self.more.back_mut()
        };
        match last {
            Some(Chunk::Owned(owned, _)) if owned.len() + bytes.len() <= JOINED_BYTES_MAX => {
                owned.extend_from_slice(bytes);
            }
            Some(chunk @ Chunk::Received(_)) if chunk.len() + bytes.len() <= JOINED_BYTES_MAX => {
                let mut joined = spare.take();
                joined.extend_from_slice(chunk);
                joined.extend_from_slice(bytes);
                *chunk = Chunk::owned(joined);
            }
            _ => {
                let mut owned = spare.take();
                owned.extend_from_slice(bytes);
                self.append(Chunk::owned(owned));
            }
        }
    }

    fn append(&mut self, chunk: Chunk) {
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            self.more.push_back(chunk);
        }
    }

    /// Takes the first chunk; its bytes no longer count as waiting.
    pub fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.first.take()?;
        self.bytes -= chunk.len();
        self.first = self.more.pop_front();
        if self.first.is_none() && self.more.capacity() > 0 {
            // An idle connection keeps no memory for a queue.
            self.more = VecDeque::new();
        }
        Some(chunk)
    }

    /// Puts back what is left of a chunk that was popped.
    pub fn unpop(&mut self, chunk: Chunk) {
        self.bytes += chunk.len();
        if let Some(second) = self.first.replace(chunk) {
            self.more.push_front(second);
        }
    }

    /// Copies received chunks to memory of our own, so that the buffers of the pool are free for others while this peer is slow.
    pub fn release_buffers(&mut self) {
        for chunk in self.first.iter_mut().chain(self.more.iter_mut()) {
            if let Chunk::Received(slice) = chunk {
                *chunk = Chunk::owned(slice.to_vec());
            }
        }
    }
}

/// Memory of sent chunks, kept for the next ones.
#[derive(Debug, Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// Most pieces kept; each is small.
    const KEPT_MAX: usize = 64;

    /// An empty vector, with memory if there is some.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes back the memory of a sent chunk.
    pub fn give(&mut self, chunk: Chunk) {
        if let Chunk::Owned(mut bytes, _) = chunk
            && self.0.len() < Spare::KEPT_MAX
            && (1..=2 * JOINED_BYTES_MAX).contains(&bytes.capacity())
        {
            bytes.clear();
            self.0.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_leave_as_one_and_large_ones_as_they_came() {
        let (mut outbox, mut spare) = (Outbox::default(), Spare::default());
        outbox.push_copy(b"ab", &mut spare);
        outbox.push(Chunk::owned(b"cd".to_vec()), &mut spare);
        outbox.push(Chunk::owned(vec![0; 2 * JOINED_BYTES_MAX]), &mut spare);
        assert_eq!(outbox.bytes(), 4 + 2 * JOINED_BYTES_MAX);
        assert_eq!(&*outbox.pop().expect("first"), b"abcd");
        assert_eq!(outbox.pop().expect("second").len(), 2 * JOINED_BYTES_MAX);
        assert!(outbox.pop().is_none());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn what_is_left_of_a_chunk_goes_first_again() {
        let (mut outbox, mut spare) = (Outbox::default(), Spare::default());
        outbox.push(Chunk::owned(vec![1; 5000]), &mut spare);
        outbox.push(Chunk::owned(vec![2; 5000]), &mut spare);
        let mut chunk = outbox.pop().expect("first");
        chunk.advance(4999);
        outbox.unpop(chunk);
        assert_eq!(outbox.bytes(), 5001);
        assert_eq!(&*outbox.pop().expect("rest"), &[1]);
        assert_eq!(outbox.pop().expect("second")[0], 2);
    }
}
