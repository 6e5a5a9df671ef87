//! A client whose connection is compressed: puts what it says into frames and takes answers out of theirs, strict about their numbers (MySQL's
//! documentation, "Compressed Packet"). Written apart from the engine's own frames, to judge them.

use super::messages::Line;
use super::talk::Talk;
use forebay_mysql::wire::message;

const HEADER_BYTES: usize = 7;
const FRAME_BYTES_MAX: usize = 0xff_ffff;

/// The frames of one client.
#[derive(Debug, Default)]
pub struct Frames {
    /// The number of the next frame, whoever sends it.
    next: u8,
    /// The number that the answer to the last command begins with.
    answer: u8,
    kept: Vec<u8>,
}

impl Frames {
    /// What the client says, each message in a frame of its own.
    pub fn wrap(&mut self, bytes: &[u8], talk: &mut Talk) -> Vec<u8> {
        let (mut wire, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let len = match message(rest) {
                Ok(Ok(message)) if talk.received_whole() => message.bytes.len(),
                _ => rest.len(),
            };
            let len = len.min(FRAME_BYTES_MAX);
            let (piece, behind) = rest.split_at(len);
            let number = self.number(talk);
            wire.extend([len as u8, (len >> 8) as u8, (len >> 16) as u8, number]);
            wire.extend([0; 3]);
            wire.extend(piece);
            talk.received(piece);
            rest = behind;
        }
        wire
    }

    fn number(&mut self, talk: &Talk) -> u8 {
        let (is_command, is_answered) = talk.is_before_command();
        let number = match (is_command, talk.received_whole()) {
            (true, _) => 0,
            (false, true) => self.next,
            (false, false) => self.answer,
        };
        self.answer = number.wrapping_add(1);
        if is_answered || !is_command {
            self.next = self.answer;
        }
        number
    }

    /// What the server says.
    pub fn unwrap(&mut self, wire: &[u8], talk: &mut Talk) -> Vec<Line> {
        self.kept.extend_from_slice(wire);
        let mut lines = Vec::new();
        while let Some((header, behind)) = self.kept.split_first_chunk::<HEADER_BYTES>() {
            let [a, b, c, number, d, e, f] = *header;
            let len = |bytes: [u8; 3]| {
                bytes
                    .iter()
                    .rev()
                    .fold(0, |sum, it| sum << 8 | usize::from(*it))
            };
            let (len, plain_len) = (len([a, b, c]), len([d, e, f]));
            let body = &behind[..len];
            let plain = match plain_len {
                0 => body.to_vec(),
                _ => inflated(body, plain_len),
            };
            // The answer to a command that was sent ahead, or a last word to who is idle.
            let begins = talk.sent_whole() && plain.get(3).is_some_and(|first| *first <= 1);
            let is_expected = number == self.next || (begins && number == self.answer);
            assert!(is_expected, "frame {number} instead of {}", self.next);
            self.next = number.wrapping_add(1);
            lines.extend(talk.sent(&plain));
            self.kept.drain(..HEADER_BYTES + len);
        }
        lines
    }
}

fn inflated(body: &[u8], len: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(len);
    let mut zlib = flate2::Decompress::new(true);
    let finish = flate2::FlushDecompress::Finish;
    let status = zlib.decompress_vec(body, &mut plain, finish);
    assert_eq!(status.unwrap(), flate2::Status::StreamEnd);
    assert_eq!(plain.len(), len);
    plain
}
