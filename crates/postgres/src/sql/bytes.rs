//! What single bytes mean to the lexer, as one look-up each.

use super::lexer::Kind;

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    Space,
    Letter,
    Digit,
    Quote,
    DoubleQuote,
    Dollar,
    Dot,
    Operator,
    Punctuation(Kind),
    Colon,
    Junk,
}

pub(super) const BYTES: [Byte; 256] = {
    let mut table = [Byte::Junk; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = match index as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Byte::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => Byte::Letter,
            b'0'..=b'9' => Byte::Digit,
            b'\'' => Byte::Quote,
            b'"' => Byte::DoubleQuote,
            b'$' => Byte::Dollar,
            b'.' => Byte::Dot,
            b':' => Byte::Colon,
            b'(' => Byte::Punctuation(Kind::Open),
            b')' => Byte::Punctuation(Kind::Close),
            b'[' => Byte::Punctuation(Kind::OpenBracket),
            b']' => Byte::Punctuation(Kind::CloseBracket),
            b',' => Byte::Punctuation(Kind::Comma),
            b';' => Byte::Punctuation(Kind::Semicolon),
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
            | b'/' | b'%' | b'<' | b'>' | b'=' => Byte::Operator,
            _ => Byte::Junk,
        };
        index += 1;
    }
    table
};

/// Which bytes may follow the first of an identifier.
pub(super) const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = matches!(BYTES[index], Byte::Letter | Byte::Digit | Byte::Dollar);
        index += 1;
    }
    table
};

/// In the encodings that are not safe for ASCII, a character's second byte may be one of these.
pub(super) fn is_possible_second_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'@' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | b'~'
    )
}

/// How much of a run of operator bytes is one operator: a trailing sign belongs to what follows (`=-1`), unless the
/// operator holds a byte that no standard operator has.
pub(super) fn without_trailing_sign(run: &[u8]) -> usize {
    let mut length = run.len();
    while length > 1
        && matches!(run[length - 1], b'+' | b'-')
        && !run[..length - 1]
            .iter()
            .any(|byte| b"~!@#^&|`?%".contains(byte))
    {
        length -= 1;
    }
    length
}
