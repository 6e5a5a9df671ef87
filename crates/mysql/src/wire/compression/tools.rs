//! What zlib and zstd work with. It is large and made once: a worker has one set for packing and a few for unpacking, which connections
//! have only while a frame of theirs is half unpacked.

use super::Compression;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use forebay_core::Refusal;
use std::cell::RefCell;
use std::rc::Rc;
use zstd_safe::{CCtx, DCtx, DParameter, InBuffer, OutBuffer};

/// The level at which servers compress with zlib.
const ZLIB_LEVEL: u32 = 6;

/// Highest level of zstd that is worked at. How hard the sender tries is nothing that the receiver notices but by the length, and a worker
/// serves others meanwhile: at this one a frame takes as long as with zlib, 0.3 ms, at the highest several times that.
const ZSTD_LEVEL_MAX: u8 = 9;

/// Widest window of zstd, as a power of 2: all that one frame can hold. Wider ones are refused before memory is taken for them.
const WINDOW_LOG_MAX: u32 = 24;

/// Most tools for unpacking that a worker keeps of each kind.
const SPARE_MAX: usize = 4;

/// Largest tool of zstd that is kept: one that had to unpack in pieces has the frame's window.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// One worker's tools; clones share them.
#[derive(Clone, Default)]
pub struct Workbench(Rc<RefCell<Tools>>);

#[derive(Default)]
struct Tools {
    zlib: Option<Compress>,
    zstd: Option<CCtx<'static>>,
    #[expect(
        clippy::vec_box,
        reason = "they go to connections and come back as they are"
    )]
    spare_zlib: Vec<Box<Decompress>>,
    spare_zstd: Vec<DCtx<'static>>,
}

/// A frame that is being unpacked.
pub(super) enum Unpacking {
    /// In a place of its own, for it is large and a connection has one only now and then.
    Zlib(Box<Decompress>),
    Zstd(DCtx<'static>),
}

/// One step of it.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) taken: usize,
    /// Bytes appended to the output.
    pub(super) made: usize,
    /// The compressed data end here by their own account.
    pub(super) is_over: bool,
}

impl Workbench {
    /// Appends `plain`, compressed, if that is shorter; nothing if not.
    pub(super) fn pack(&self, compression: Compression, plain: &[u8], out: &mut Vec<u8>) -> bool {
        let tools = &mut *self.0.borrow_mut();
        let at = out.len();
        out.resize(at + plain.len() - 1, 0);
        let room = &mut out[at..];
        let len = match compression {
            Compression::Zlib => tools.pack_zlib(plain, room),
            Compression::Zstd(level) => tools.pack_zstd(plain, level, room),
        };
        out.truncate(at + len.unwrap_or(0));
        len.is_some()
    }

    /// A tool for one frame.
    pub(super) fn unpacking(&self, compression: Compression) -> Unpacking {
        let tools = &mut *self.0.borrow_mut();
        match compression {
            Compression::Zlib => {
                let spare = tools.spare_zlib.pop();
                Unpacking::Zlib(spare.unwrap_or_else(|| Box::new(Decompress::new(true))))
            }
            Compression::Zstd(_) => {
                let spare = tools.spare_zstd.pop();
                Unpacking::Zstd(spare.unwrap_or_else(unpacking_zstd))
            }
        }
    }

    /// Tools that wait for their next frame.
    #[cfg(test)]
    pub(super) fn spare(&self) -> usize {
        let tools = self.0.borrow();
        tools.spare_zlib.len() + tools.spare_zstd.len()
    }

    /// Takes back a tool whose frame has come to its end.
    pub(super) fn put_back(&self, unpacking: Unpacking) {
        let tools = &mut *self.0.borrow_mut();
        match unpacking {
            Unpacking::Zlib(mut tool) if tools.spare_zlib.len() < SPARE_MAX => {
                tool.reset(true);
                tools.spare_zlib.push(tool);
            }
            // At the end of a frame it is ready for the next by itself.
            Unpacking::Zstd(tool)
                if tools.spare_zstd.len() < SPARE_MAX && tool.sizeof() <= SPARE_BYTES_MAX =>
            {
                tools.spare_zstd.push(tool);
            }
            _ => {}
        }
    }
}

fn unpacking_zstd() -> DCtx<'static> {
    let mut tool = DCtx::create();
    tool.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
        .expect("the window is one that zstd knows");
    tool
}

impl Tools {
    /// How long it became; `None` where it does not fit.
    fn pack_zlib(&mut self, plain: &[u8], room: &mut [u8]) -> Option<usize> {
        let level = flate2::Compression::new(ZLIB_LEVEL);
        let tool = self.zlib.get_or_insert_with(|| Compress::new(level, true));
        tool.reset();
        let status = tool.compress(plain, room, FlushCompress::Finish);
        let is_whole = matches!(status, Ok(Status::StreamEnd));
        is_whole.then(|| usize::try_from(tool.total_out()).expect("it fits the room"))
    }

    fn pack_zstd(&mut self, plain: &[u8], level: u8, room: &mut [u8]) -> Option<usize> {
        let tool = self.zstd.get_or_insert_with(CCtx::create);
        tool.compress(room, plain, level.min(ZSTD_LEVEL_MAX).into())
            .ok()
    }
}

impl Unpacking {
    /// Takes from `input` and appends at most `room` bytes to `out`.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<Step, Refusal> {
        let at = out.len();
        out.resize(at + room, 0);
        let space = &mut out[at..];
        let step = match self {
            Unpacking::Zlib(tool) => step_zlib(tool, input, space),
            Unpacking::Zstd(tool) => step_zstd(tool, input, space),
        };
        out.truncate(at + step.map_or(0, |step| step.made));
        step.ok_or(Refusal::BrokenFrame)
    }
}

fn step_zlib(tool: &mut Decompress, input: &[u8], space: &mut [u8]) -> Option<Step> {
    let before = (tool.total_in(), tool.total_out());
    let status = tool.decompress(input, space, FlushDecompress::None).ok()?;
    let count = |now: u64, before: u64| usize::try_from(now - before).expect("no more than given");
    Some(Step {
        taken: count(tool.total_in(), before.0),
        made: count(tool.total_out(), before.1),
        is_over: status == Status::StreamEnd,
    })
}

fn step_zstd(tool: &mut DCtx<'static>, input: &[u8], space: &mut [u8]) -> Option<Step> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(space);
    let wanted = tool.decompress_stream(&mut output, &mut input).ok()?;
    Some(Step {
        taken: input.pos(),
        made: output.pos(),
        // Nothing more is wanted at the end, once all is made.
        is_over: wanted == 0,
    })
}
