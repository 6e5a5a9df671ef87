use super::*;
use proptest::prelude::*;

const BOTH: [Compression; 2] = [Compression::Zlib, Compression::Zstd(3)];

fn frames(compression: Compression) -> Compressed {
    Compressed::new(compression, &Workbench::default())
}

/// What somebody sends that packs as we do: frames with these numbers on.
fn sent(compression: Compression, number: u8, plain: &[u8]) -> Vec<u8> {
    let mut theirs = frames(compression);
    theirs.numbers.next = number;
    let mut wire = Vec::new();
    theirs.write(plain, &mut wire);
    wire
}

/// One frame around these bytes, which become so many.
fn frame(number: u8, body: &[u8], plain: usize) -> Vec<u8> {
    let [a, b, c] = length(body.len());
    let [d, e, f] = length(plain);
    [&[a, b, c, number, d, e, f], body].concat()
}

/// All of it, which comes in pieces of this length.
fn read(ours: &mut Compressed, wire: &[u8], piece: usize) -> Result<Vec<u8>, Refusal> {
    let (mut all, mut kept) = (Vec::new(), Vec::new());
    for piece in wire.chunks(piece) {
        kept.extend_from_slice(piece);
        loop {
            let mut out = Vec::new();
            let taken = ours.read(&kept, &mut out)?;
            assert!(out.len() <= UNFRAMED_BYTES_MAX && taken <= kept.len());
            kept.drain(..taken);
            all.extend_from_slice(&out);
            if taken == 0 && out.is_empty() {
                break;
            }
        }
    }
    assert!(
        kept.len() < FRAME_HEADER_BYTES,
        "nothing but a header waits"
    );
    Ok(all)
}

/// Bytes that pack, but not to nothing.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 * at % 101) as u8).collect()
}

#[test]
fn short_pieces_go_as_they_are_and_frames_count_on() {
    for compression in BOTH {
        let mut ours = frames(compression);
        ours.numbers.on_frame(0).expect("a command");
        ours.on_answer();
        let mut wire = Vec::new();
        ours.write(b"abc", &mut wire);
        ours.write(&[7; PACKED_BYTES_MIN - 1], &mut wire);
        assert_eq!(wire[..10], *b"\x03\0\0\x01\0\0\0abc");
        assert_eq!(wire[10..17], *b"\x31\0\0\x02\0\0\0");
        let mut longer = Vec::new();
        ours.write(&[7; PACKED_BYTES_MIN], &mut longer);
        assert_eq!(longer[3..7], *b"\x03\x32\0\0");
        assert!(longer.len() < FRAME_HEADER_BYTES + PACKED_BYTES_MIN);
    }
}

#[test]
fn what_does_not_pack_goes_as_it_is() {
    // A generator's numbers, of which neither makes anything.
    let mut seed = 1u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(1000).collect();
    for compression in BOTH {
        let wire = sent(compression, 0, &noise);
        assert_eq!(wire[..7], *b"\xe8\x03\0\0\0\0\0");
        assert_eq!(wire[7..], noise);
    }
}

/// Bytes of another maker, so that both sides cannot be wrong alike.
#[test]
fn a_frame_of_zlibs_own_is_read() {
    let by_hand = [
        &b"\x78\x01\x01\x37\x00\xc8\xff"[..],
        &[b'x'; 55],
        &adler(&[b'x'; 55]),
    ]
    .concat();
    let wire = frame(0, &by_hand, 55);
    let mut ours = frames(Compression::Zlib);
    assert_eq!(read(&mut ours, &wire, 1), Ok(vec![b'x'; 55]));
    // A header, one raw block that is the last, and no checksum (RFC 8878).
    let by_hand = [&b"\x28\xb5\x2f\xfd\x20\x37\xb9\x01\x00"[..], &[b'x'; 55]].concat();
    let wire = frame(0, &by_hand, 55);
    let mut ours = frames(Compression::Zstd(1));
    assert_eq!(read(&mut ours, &wire, 1), Ok(vec![b'x'; 55]));
}

/// RFC 1950, 8.2.
fn adler(bytes: &[u8]) -> [u8; 4] {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    (b << 16 | a).to_be_bytes()
}

#[test]
fn a_long_piece_is_several_frames_and_every_length_comes_back() {
    for compression in BOTH {
        for len in [1, 49, 50, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 300_000] {
            let plain = text(len);
            let wire = sent(compression, 0, &plain);
            let mut ours = frames(compression);
            assert!(read(&mut ours, &wire, 1000) == Ok(plain), "{len}");
            assert!(ours.body.is_none());
        }
    }
}

/// As clients send long statements: one frame of almost 16 MiB. Of zstd's it has to be unpacked within its window.
#[test]
fn a_frame_of_the_longest_kind_is_read_in_pieces() {
    let plain = text(0xff_ffff);
    let mut zlib = flate2::Compress::new(flate2::Compression::new(1), true);
    let mut packed = vec![0; plain.len()];
    let status = zlib.compress(&plain, &mut packed, flate2::FlushCompress::Finish);
    assert_eq!(status.ok(), Some(flate2::Status::StreamEnd));
    packed.truncate(zlib.total_out() as usize);
    let mut ours = frames(Compression::Zlib);
    let wire = frame(0, &packed, plain.len());
    assert!(read(&mut ours, &wire, 16 * 1024) == Ok(plain.clone()));

    let mut packed = vec![0; plain.len()];
    let len = zstd_safe::compress(&mut packed[..], &plain, 3).expect("there is room");
    packed.truncate(len);
    let mut ours = frames(Compression::Zstd(3));
    let wire = frame(0, &packed, plain.len());
    assert!(read(&mut ours, &wire, 16 * 1024) == Ok(plain));
}

#[test]
fn a_frame_that_swells_is_read_no_further_than_there_is_room() {
    let plain = vec![0; 0xff_ffff];
    let mut packed = vec![0; 100_000];
    let len = zstd_safe::compress(&mut packed[..], &plain, 3).expect("there is room");
    let wire = frame(0, &packed[..len], plain.len());
    assert!(wire.len() < 2000, "{}", wire.len());
    let mut ours = frames(Compression::Zstd(3));
    let mut out = Vec::new();
    ours.read(&wire, &mut out).expect("whole");
    assert_eq!(out.len(), UNFRAMED_BYTES_MAX);
    assert!(out.capacity() <= 2 * UNFRAMED_BYTES_MAX);
    let rest = read(&mut frames(Compression::Zstd(3)), &wire, wire.len());
    assert!(rest == Ok(plain));
}

#[test]
fn frames_that_are_not_what_they_say_are_refused() {
    for compression in BOTH {
        let plain = text(1000);
        let good = sent(compression, 0, &plain);
        let body = &good[FRAME_HEADER_BYTES..];
        let cut = &body[..body.len() - 1];
        let longer = [body, b"\0"].concat();
        let mut flipped = body.to_vec();
        flipped[10] ^= 0xff;
        for (what, body, len) in [
            ("becomes more than it says", body, 999),
            ("becomes less than it says", body, 1001),
            ("ends early", cut, 1000),
            ("ends late", &longer, 1000),
            ("is nothing", b"", 1000),
            ("is something else", &plain, 1000),
            ("is one byte", b"\x28", 1),
        ] {
            let wire = frame(0, body, len);
            for piece in [1, 7, 8, wire.len()] {
                let result = read(&mut frames(compression), &wire, piece);
                assert_eq!(result, Err(Refusal::BrokenFrame), "{compression:?}: {what}");
            }
        }
        let wire = frame(0, &flipped, 1000);
        assert_ne!(read(&mut frames(compression), &wire, 100), Ok(plain));
    }
}

#[test]
fn a_window_wider_than_a_frame_is_refused() {
    // Magic number, no content size, a window of 2^27 bytes.
    let wire = frame(0, b"\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 100);
    let result = read(&mut frames(Compression::Zstd(1)), &wire, 100);
    assert_eq!(result, Err(Refusal::BrokenFrame));
}

#[test]
fn a_frame_of_nothing_is_nothing() {
    let wire = [frame(0, b"", 0), frame(1, b"ab", 0)].concat();
    assert_eq!(
        read(&mut frames(Compression::Zlib), &wire, 3),
        Ok(b"ab".to_vec())
    );
}

/// Who sends: the client these numbers, we so many frames; and what the engine says.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Client(u8),
    Answer,
    We(u8),
}

fn numbers(turns: &[Turn]) -> Result<Vec<u8>, Refusal> {
    let mut numbers = Numbers::default();
    let mut ours = Vec::new();
    for turn in turns {
        match turn {
            Turn::Client(number) => numbers.on_frame(*number)?,
            Turn::Answer => numbers.on_answer(),
            Turn::We(count) => ours.extend((0..*count).map(|_| numbers.next())),
        }
    }
    Ok(ours)
}

#[test]
fn answers_count_on_from_their_commands() {
    use Turn::{Answer, Client, We};
    for (turns, ours) in [
        (
            &[Client(0), Answer, We(2), Client(0), Answer, We(1)][..],
            vec![1, 2, 1],
        ),
        // A command of several frames, whose beginning is enough to begin its answer.
        (&[Client(0), Answer, Client(1), Client(2), We(1)], vec![3]),
        (&[Client(0), Client(1), Client(2), Answer, We(1)], vec![3]),
        // A file, or a login anew: both sides go on.
        (
            &[Client(0), Answer, We(1), Client(2), Client(3), We(1)],
            vec![1, 4],
        ),
        // Two that have no answer.
        (&[Client(0), Answer, Client(0), Answer, We(1)], vec![1]),
        // One is sent before the one ahead of it was answered, or even begun.
        (
            &[Client(0), Answer, Client(0), We(2), Answer, We(1)],
            vec![1, 2, 1],
        ),
        (
            &[Client(0), Client(0), Answer, We(2), Answer, We(1)],
            vec![1, 2, 1],
        ),
    ] {
        assert_eq!(numbers(turns), Ok(ours), "{turns:?}");
    }
    let mut long = vec![Client(0), Answer];
    long.extend((1..=255).map(Client));
    long.extend([Client(0), Client(1), We(2), Client(0), Answer, We(1)]);
    assert_eq!(numbers(&long), Ok(vec![2, 3, 1]));
}

#[test]
fn frames_out_of_order_are_refused() {
    use Turn::{Answer, Client, We};
    for turns in [
        &[Client(1)][..],
        &[Client(0), Client(2)],
        &[Client(0), Answer, We(3), Client(2)],
    ] {
        assert_eq!(numbers(turns), Err(Refusal::FrameOutOfOrder), "{turns:?}");
    }
}

#[test]
fn zlib_comes_before_zstd_and_levels_that_do_not_exist_are_refused() {
    let both = Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION;
    assert_eq!(Compression::of(Capabilities::NONE, None), Ok(None));
    assert_eq!(Compression::of(both, None), Ok(Some(Compression::Zlib)));
    let zstd = |level| Compression::of(Capabilities::ZSTD_COMPRESSION, level);
    for level in [1, 3, 22] {
        assert_eq!(zstd(Some(level)), Ok(Some(Compression::Zstd(level))));
    }
    for level in [None, Some(0), Some(23), Some(255)] {
        assert_eq!(zstd(level), Err(Refusal::CompressionLevel), "{level:?}");
    }
}

#[test]
fn between_frames_a_connection_keeps_nothing() {
    assert!(
        size_of::<Compressed>() <= 128,
        "{}",
        size_of::<Compressed>()
    );
    for compression in BOTH {
        let workbench = Workbench::default();
        let wire = sent(compression, 0, &text(1000));
        let mut many: Vec<_> = std::iter::repeat_with(|| Compressed::new(compression, &workbench))
            .take(100)
            .collect();
        for ours in &mut many {
            read(ours, &wire, wire.len()).expect("good");
            assert!(ours.body.is_none());
        }
        assert_eq!(workbench.spare(), 1, "one tool serves them all");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        pieces in prop::collection::vec((0..4u8, 0..40_000usize), 1..6),
        cut in 1..5000usize,
        level in 1..=22u8,
    ) {
        for compression in [Compression::Zlib, Compression::Zstd(level)] {
            let (mut theirs, mut ours) = (frames(compression), frames(compression));
            let (mut wire, mut plain) = (Vec::new(), Vec::new());
            for (kind, len) in &pieces {
                let piece = match kind {
                    0 => vec![*kind; *len],
                    1 => text(*len),
                    _ => text(len % 60),
                };
                theirs.write(&piece, &mut wire);
                plain.extend(piece);
            }
            prop_assert!(read(&mut ours, &wire, cut) == Ok(plain));
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1..50usize) {
        for compression in BOTH {
            let _ = read(&mut frames(compression), &bytes, cut);
            // Behind a good header, too.
            let wire = frame(0, &bytes, 500);
            let _ = read(&mut frames(compression), &wire, cut);
        }
    }
}
