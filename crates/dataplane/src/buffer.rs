//! Buffers of one worker: a fixed set, lent to the kernel for receiving, handed on by counted handles, given back when the last
//! handle goes. Nothing is copied to forward bytes; an idle connection owns no buffer.
//!
//! All three drivers receive into this pool. It belongs to one thread; the counts are plain cells.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ops::Deref;
use std::rc::Rc;

/// The buffers of one worker.
#[derive(Debug, Clone)]
pub struct BufferPool(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: Box<[UnsafeCell<u8>]>,
    size: usize,
    /// Handles alive per buffer.
    counts: Box<[Cell<u32>]>,
    /// Buffers that nobody holds and the kernel does not have.
    free: RefCell<Vec<u16>>,
}

impl BufferPool {
    /// `count` buffers (at most 32,768) of `size` bytes.
    pub fn new(count: u16, size: usize) -> BufferPool {
        let bytes = usize::from(count) * size;
        BufferPool(Rc::new(Inner {
            memory: untouched(bytes),
            size,
            counts: std::iter::repeat_with(|| Cell::new(0))
                .take(usize::from(count))
                .collect(),
            free: RefCell::new((0..count).rev().collect()),
        }))
    }

    /// Bytes per buffer.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Number of buffers.
    pub fn count(&self) -> u16 {
        u16::try_from(self.0.counts.len()).expect("made from a u16")
    }

    /// Takes a free buffer for something outside (the kernel, or one receive call) to write into.
    pub fn take(&self) -> Option<u16> {
        self.0.free.borrow_mut().pop()
    }

    /// Gives back a buffer that was taken and not filled.
    pub fn put_back(&self, id: u16) {
        self.0.free.borrow_mut().push(id);
    }

    /// Whether a buffer could be taken.
    pub fn any_free(&self) -> bool {
        !self.0.free.borrow().is_empty()
    }

    /// Where a taken buffer begins; it is `size` bytes long.
    pub fn address(&self, id: u16) -> *mut u8 {
        self.0.memory[usize::from(id) * self.0.size].get()
    }

    /// A taken buffer was filled up to `len`: the first handle to it.
    pub fn filled(&self, id: u16, len: usize) -> Slice {
        assert!(
            len <= self.0.size,
            "a receive cannot be longer than its buffer"
        );
        self.0.counts[usize::from(id)].set(1);
        Slice {
            pool: Rc::clone(&self.0),
            id,
            start: 0,
            end: len as u32,
        }
    }
}

/// Zeroed memory of which only what is used becomes resident.
fn untouched(bytes: usize) -> Box<[UnsafeCell<u8>]> {
    let zeroed: *mut [u8] = Box::into_raw(vec![0u8; bytes].into_boxed_slice());
    // SAFETY: `UnsafeCell<u8>` has the layout of `u8`, and the box was just given up.
    unsafe { Box::from_raw(zeroed as *mut [UnsafeCell<u8>]) }
}

/// A counted handle to received bytes.
#[derive(Debug)]
pub struct Slice {
    pool: Rc<Inner>,
    id: u16,
    start: u32,
    end: u32,
}

impl Slice {
    /// The part `start..end` of this slice, as a handle of its own.
    pub fn part(&self, start: usize, end: usize) -> Slice {
        let length = (self.end - self.start) as usize;
        assert!(
            start <= end && end <= length,
            "a part lies inside its slice"
        );
        let count = &self.pool.counts[usize::from(self.id)];
        count.set(count.get() + 1);
        Slice {
            pool: Rc::clone(&self.pool),
            id: self.id,
            start: self.start + start as u32,
            end: self.start + end as u32,
        }
    }

    /// Forgets the first `len` bytes.
    pub fn advance(&mut self, len: usize) {
        assert!(
            len <= (self.end - self.start) as usize,
            "advance stays inside the slice"
        );
        self.start += len as u32;
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let base = usize::from(self.id) * self.pool.size;
        let address = self.pool.memory[base].get();
        // SAFETY: start..end lies inside the buffer (`filled` and `part` check it), the buffer is initialised memory, and while
        // a handle lives nobody writes: the pool gives the buffer out again only when the count is zero.
        unsafe {
            std::slice::from_raw_parts(
                address.add(self.start as usize),
                (self.end - self.start) as usize,
            )
        }
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        let count = &self.pool.counts[usize::from(self.id)];
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.pool.free.borrow_mut().push(self.id);
        }
    }
}

/// Bytes to send.
#[derive(Debug)]
pub enum Chunk {
    /// Received bytes that are handed on.
    Received(Slice),
    /// Bytes of our own, from this position on.
    Owned(Vec<u8>, usize),
}

impl Chunk {
    /// Bytes of our own.
    pub fn owned(bytes: Vec<u8>) -> Chunk {
        Chunk::Owned(bytes, 0)
    }

    /// Forgets the first `len` bytes.
    pub fn advance(&mut self, len: usize) {
        match self {
            Chunk::Received(slice) => slice.advance(len),
            Chunk::Owned(bytes, start) => {
                assert!(
                    *start + len <= bytes.len(),
                    "advance stays inside the chunk"
                );
                *start += len;
            }
        }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Chunk::Received(slice) => slice,
            Chunk::Owned(bytes, start) => &bytes[*start..],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_handle_goes() {
        let pool = BufferPool::new(1, 16);
        let id = pool.take().expect("one is free");
        assert!(pool.take().is_none());
        // SAFETY: the buffer was taken and is 16 bytes long.
        unsafe { std::ptr::copy_nonoverlapping(b"hello".as_ptr(), pool.address(id), 5) };
        let whole = pool.filled(id, 5);
        let part = whole.part(1, 3);
        drop(whole);
        assert_eq!(&*part, b"el");
        assert!(!pool.any_free());
        drop(part);
        assert!(pool.any_free());
    }
}
