//! What may lie between a client's connection and its messages: frames of the family's own making, such as compressed ones.
//!
//! An engine orders it with [`Order::Frame`] and goes on as if there were none: the data plane shows it what is in the frames, and puts
//! into frames what goes to the client, inside TLS where there is TLS. A framing is plain code like its engine: bytes in, bytes out.
//!
//! [`Order::Frame`]: crate::orders::Order::Frame

use crate::Refusal;
use std::fmt;

/// Most bytes that one [`Framing::read`] appends.
pub const UNFRAMED_BYTES_MAX: usize = 64 * 1024;

/// The frames of one client's connection, both ways.
pub trait Framing: fmt::Debug {
    /// What the client is told next begins the answer to its last request, see [`Order::Answer`].
    ///
    /// [`Order::Answer`]: crate::orders::Order::Answer
    fn on_answer(&mut self);

    /// Takes bytes from the front of `input` and appends what is in their frames to `out`, at most [`UNFRAMED_BYTES_MAX`] at a time. Returns how
    /// many were taken: those need not be shown again. Where nothing is taken and nothing appended, there must be more input.
    ///
    /// # Errors
    /// [`Refusal::BrokenFrame`], [`Refusal::FrameOutOfOrder`]; nothing that comes behind can be read.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Refusal>;

    /// Appends frames with these bytes for the client to `out`.
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>);
}
