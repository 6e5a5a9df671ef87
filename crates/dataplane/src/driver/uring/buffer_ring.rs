//! The ring through which receive buffers are lent to the kernel (`io_uring_register_buf_ring(3)`): memory shared with it, written
//! entry by entry and published by one store of its tail.
//!
//! Which buffers exist and who holds them is the pool's knowledge (`buffer.rs`); here is only how many the kernel has.

use super::{BUFFER_BYTES, BUFFERS, GROUP};
use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

/// The ring through which buffers are lent to the kernel.
pub(super) struct BufferRing {
    pub(super) entries: *mut BufRingEntry,
    pub(super) bytes: usize,
    pub(super) tail: u16,
    pub(super) lent: u16,
}

impl BufferRing {
    pub(super) fn register(ring: &IoUring) -> io::Result<BufferRing> {
        let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        // SAFETY: a fresh anonymous mapping, page-aligned as the kernel wants it; checked before use.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let buffer_ring = BufferRing {
            entries: memory.cast(),
            bytes,
            tail: 0,
            lent: 0,
        };
        // SAFETY: the mapping holds BUFFERS entries and lives as long as the ring (`Uring` drops the ring first).
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(memory as u64, BUFFERS, GROUP, 0)?
        };
        Ok(buffer_ring)
    }

    /// Writes an entry; the kernel sees it after `publish`.
    pub(super) fn lend(&mut self, id: u16, address: *mut u8) {
        let slot = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the slot lies inside the mapping, and at most BUFFERS entries are lent at a time, so the kernel has
        // consumed what stood there. Fields are set one by one because the tail overlays a reserved field of entry 0.
        unsafe {
            let entry = &mut *self.entries.add(slot);
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.lent += 1;
    }

    pub(super) fn publish(&self) {
        // SAFETY: the tail field of the ring, shared with the kernel, aligned and alive.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `register` and nobody uses it any more.
        unsafe { libc::munmap(self.entries.cast(), self.bytes) };
    }
}
