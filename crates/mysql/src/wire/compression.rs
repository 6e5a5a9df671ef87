//! Compressed connections of clients: frames of zlib or zstd around packets (MySQL's documentation, "Compressed Packet" and "Connection
//! Compression Control").
//!
//! A frame is 3 bytes of its length, 1 of its number, 3 of the length of what is in it, and that, compressed; a length of 0 in the last
//! place means that it is not compressed. Frames and packets know nothing of each other: a frame holds several packets, or a part of one.
//! Frames have numbers of their own, which begin with each command, as packets do, and count both ways.
//!
//! What is in a frame is unpacked as it comes and as there is room for it, so that neither a long frame nor one that swells needs memory of its
//! length; what its header says is held against what comes out. `tools` is what zlib and zstd work with. Between frames
//! a connection keeps nothing of that.

mod tools;

pub use tools::Workbench;

use super::capability::Capabilities;
use forebay_core::Refusal;
use forebay_core::framing::{Framing, UNFRAMED_BYTES_MAX};
use std::ops::RangeInclusive;
use tools::{Step, Unpacking};

/// Length of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 7;

/// Shorter pieces are not worth compressing (`MIN_COMPRESS_LENGTH`).
pub const PACKED_BYTES_MIN: usize = 50;

/// Most bytes that go into one of our frames: what a server sends at a time (`net_buffer_length`). It bounds the work and the memory of
/// one compression, whatever its level.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// Levels of zstd that clients may ask for.
pub const ZSTD_LEVELS: RangeInclusive<u8> = 1..=22;

/// How a connection is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// By zlib, at the level that servers use.
    Zlib,
    /// By zstd, at this level.
    Zstd(u8),
}

impl Compression {
    /// What a client gets that says this of itself. Of two ways that it knows it gets zlib, as from a server.
    ///
    /// # Errors
    /// [`Refusal::CompressionLevel`] where the level of zstd is none.
    pub fn of(said: Capabilities, level: Option<u8>) -> Result<Option<Compression>, Refusal> {
        if said.has(Capabilities::COMPRESS) {
            return Ok(Some(Compression::Zlib));
        }
        if !said.has(Capabilities::ZSTD_COMPRESSION) {
            return Ok(None);
        }
        match level.filter(|level| ZSTD_LEVELS.contains(level)) {
            Some(level) => Ok(Some(Compression::Zstd(level))),
            None => Err(Refusal::CompressionLevel),
        }
    }
}

/// The frames of one client.
pub struct Compressed {
    compression: Compression,
    workbench: Workbench,
    numbers: Numbers,
    /// The frame of the client's whose end has not come.
    body: Option<Body>,
}

/// What is to come of a frame.
enum Body {
    /// So many bytes as they are.
    Plain(usize),
    Packed {
        /// Bytes still to come.
        left: usize,
        /// Bytes that they still must become.
        left_plain: usize,
        unpacking: Unpacking,
    },
}

impl Compressed {
    /// A connection that is compressed from here on.
    pub fn new(compression: Compression, workbench: &Workbench) -> Compressed {
        Compressed {
            compression,
            workbench: workbench.clone(),
            numbers: Numbers::default(),
            body: None,
        }
    }

    /// A frame of the client's begins.
    fn begin(&mut self, header: [u8; FRAME_HEADER_BYTES]) -> Result<Option<Body>, Refusal> {
        let [a, b, c, number, d, e, f] = header;
        let len = |bytes: [u8; 3]| {
            let [a, b, c] = bytes;
            u32::from_le_bytes([a, b, c, 0]) as usize
        };
        let (left, left_plain) = (len([a, b, c]), len([d, e, f]));
        self.numbers.on_frame(number)?;
        match (left, left_plain) {
            (0, 0) => Ok(None),
            (left, 0) => Ok(Some(Body::Plain(left))),
            (0, _) => Err(Refusal::BrokenFrame),
            (left, left_plain) => Ok(Some(Body::Packed {
                left,
                left_plain,
                unpacking: self.workbench.unpacking(self.compression),
            })),
        }
    }

    /// Takes more of the frame that has begun. Returns how much was taken, and whether it can go on with the same input.
    fn go_on(
        &mut self,
        mut body: Body,
        input: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), Refusal> {
        match &mut body {
            Body::Plain(left) => {
                let taken = (*left).min(input.len()).min(room);
                out.extend_from_slice(&input[..taken]);
                *left -= taken;
                let is_over = *left == 0;
                self.body = (!is_over).then_some(body);
                Ok((taken, is_over))
            }
            Body::Packed {
                left,
                left_plain,
                unpacking,
            } => {
                let here = &input[..(*left).min(input.len())];
                // One byte more than there may be, to find out whether there is more.
                let room = (*left_plain + 1).min(room);
                let step = unpacking.step(here, room, out)?;
                *left -= step.taken;
                *left_plain = left_plain
                    .checked_sub(step.made)
                    .ok_or(Refusal::BrokenFrame)?;
                let is_over = is_over(step, (*left, *left_plain), here.len(), room)?;
                match body {
                    Body::Packed { unpacking, .. } if is_over => self.workbench.put_back(unpacking),
                    body => self.body = Some(body),
                }
                Ok((step.taken, is_over || step.made > 0))
            }
        }
    }
}

/// Whether a frame has ended with this step, behind which so much of it is left, if it is as its header says.
fn is_over(
    step: Step,
    (left, left_plain): (usize, usize),
    here: usize,
    room: usize,
) -> Result<bool, Refusal> {
    let is_stuck = step.taken == 0 && step.made == 0 && here > 0;
    let is_short = left == 0 && step.made < room;
    match step.is_over {
        true if (left, left_plain) == (0, 0) => Ok(true),
        false if !is_stuck && !is_short => Ok(false),
        _ => Err(Refusal::BrokenFrame),
    }
}

impl Framing for Compressed {
    fn on_answer(&mut self) {
        self.numbers.on_answer();
    }

    fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Refusal> {
        let end = out.len() + UNFRAMED_BYTES_MAX;
        let mut at = 0;
        while out.len() < end {
            let Some(body) = self.body.take() else {
                let Some(header) = input[at..].first_chunk() else {
                    break;
                };
                self.body = self.begin(*header)?;
                at += FRAME_HEADER_BYTES;
                continue;
            };
            let room = end - out.len();
            let (taken, goes_on) = self.go_on(body, &input[at..], room, out)?;
            at += taken;
            if !goes_on {
                break;
            }
        }
        Ok(at)
    }

    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for piece in plain.chunks(FRAME_BYTES_MAX) {
            let at = out.len();
            out.resize(at + FRAME_HEADER_BYTES, 0);
            let is_packed = piece.len() >= PACKED_BYTES_MIN
                && self.workbench.pack(self.compression, piece, out);
            if !is_packed {
                out.extend_from_slice(piece);
            }
            let len = length(out.len() - at - FRAME_HEADER_BYTES);
            let plain = length(if is_packed { piece.len() } else { 0 });
            out[at..at + 3].copy_from_slice(&len);
            out[at + 3] = self.numbers.next();
            out[at + 4..at + FRAME_HEADER_BYTES].copy_from_slice(&plain);
        }
    }
}

impl std::fmt::Debug for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressed")
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

/// A length in a header.
fn length(bytes: usize) -> [u8; 3] {
    let len = u32::try_from(bytes).expect("our frames are short");
    let [a, b, c, _] = len.to_le_bytes();
    [a, b, c]
}

/// The numbers of frames, modulo 256: a command's first is 0, and what answers it counts on.
#[derive(Debug, Default)]
struct Numbers {
    /// Behind the last frame that the client sent.
    asked: u8,
    /// Of our next frame.
    next: u8,
    /// The answer to what the client sent last is under way.
    is_answering: bool,
}

impl Numbers {
    fn on_frame(&mut self, number: u8) -> Result<(), Refusal> {
        if number == self.asked || number == self.next {
            // More of a command, or of an exchange such as a file's.
            self.asked = number.wrapping_add(1);
            if self.is_answering {
                self.next = self.asked;
            }
            return Ok(());
        }
        if number != 0 {
            return Err(Refusal::FrameOutOfOrder);
        }
        // The next command, perhaps before the one ahead of it was answered.
        self.asked = 1;
        self.is_answering = false;
        Ok(())
    }

    fn on_answer(&mut self) {
        self.next = self.asked;
        self.is_answering = true;
    }

    fn next(&mut self) -> u8 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        number
    }
}

#[cfg(test)]
mod tests;
