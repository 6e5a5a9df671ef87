//! Words and contracts of Forebay, known to every other crate; this one knows none of ours.
mod pin_reason;
pub use pin_reason::PinReason;
