//! Packets by hand, as servers send them, and as they are written and read.

use super::*;
use crate::wire::HEADER_BYTES;
use crate::wire::tracker::Change;

const TRACKING: Capabilities =
    Capabilities(Capabilities::SESSION_TRACK.0 | Capabilities::DEPRECATE_EOF.0);

fn ok() -> OkPacket<'static> {
    OkPacket {
        affected_rows: 1,
        last_insert_id: 300,
        status: Status::AUTOCOMMIT | Status::IN_TRANS,
        warnings: 2,
        info: b"Records: 1",
        session_state: &[],
    }
}

#[test]
fn an_ok_packet_has_the_layout_of_the_documentation() {
    let mut out = Vec::new();
    assert_eq!(ok().write(&mut out, 1, TRACKING), 2);
    assert_eq!(
        &out[HEADER_BYTES..],
        b"\0\x01\xfc\x2c\x01\x03\0\x02\0\x0aRecords: 1"
    );
    assert_eq!(OkPacket::read(&out[HEADER_BYTES..], TRACKING), Ok(ok()));
}

#[test]
fn what_changed_is_told_only_where_it_was_agreed_on() {
    let mut block = Vec::new();
    Change::Schema(b"d").write(&mut block);
    let told = ok().with_changes(&block);
    assert!(told.status.has(Status::SESSION_STATE_CHANGED));
    let mut out = Vec::new();
    told.write(&mut out, 1, TRACKING);
    let read = OkPacket::read(&out[HEADER_BYTES..], TRACKING).expect("well-formed");
    assert_eq!(read, told);
    assert_eq!(read.changes().next(), Some(Ok(Change::Schema(b"d"))));
    assert_eq!(read.with_changes(&[]), ok());

    out.clear();
    told.write(&mut out, 1, Capabilities::NONE);
    let read = OkPacket::read(&out[HEADER_BYTES..], Capabilities::NONE).expect("well-formed");
    assert_eq!(read, ok());
}

/// MySQL sets the flag and sends an empty info ahead of the block.
#[test]
fn a_block_comes_behind_an_info_that_may_be_empty() {
    let payload = b"\0\0\0\x02\x40\0\0\0\x03\x02\x011";
    let read = OkPacket::read(payload, TRACKING).expect("well-formed");
    assert_eq!(read.changes().next(), Some(Ok(Change::StateChange(b"1"))));
    // A status flag without a block, as MariaDB's where the block is lost.
    let read = OkPacket::read(&payload[..7], TRACKING).expect("well-formed");
    assert_eq!(read.changes().next(), None);
}

#[test]
fn every_cut_of_an_ok_packet_is_refused_or_says_less() {
    let payload = b"\0\0\0\x02\x40\0\0\0\x03\x02\x011";
    for cut in 0..payload.len() {
        let read = OkPacket::read(&payload[..cut], TRACKING);
        assert_eq!(read.is_ok(), matches!(cut, 7 | 8), "{cut}: {read:?}");
    }
    assert_eq!(
        OkPacket::read(b"\xff\0\0\0\0\0\0", TRACKING),
        Err(DecodeError::Unexpected)
    );
}

#[test]
fn a_result_ends_with_the_packet_that_was_agreed_on() {
    let mut out = Vec::new();
    ok().write_end_of_rows(&mut out, 5, TRACKING);
    let payload = out.split_off(HEADER_BYTES);
    assert!(is_end_of_rows(payload[0], payload.len(), TRACKING));
    assert!(!is_end_of_rows(
        payload[0],
        payload.len(),
        Capabilities::NONE
    ));
    assert_eq!(OkPacket::read(&payload, TRACKING), Ok(ok()));

    out.clear();
    assert_eq!(ok().write_end_of_rows(&mut out, 5, Capabilities::NONE), 6);
    assert_eq!(out, b"\x05\0\0\x05\xfe\x02\0\x03\0");
    let payload = &out[HEADER_BYTES..];
    assert!(is_end_of_rows(
        payload[0],
        payload.len(),
        Capabilities::NONE
    ));
    let eof = EofPacket::read(payload).expect("well-formed");
    assert_eq!((eof.status, eof.warnings), (ok().status, 2));
}

#[test]
fn a_row_that_begins_like_an_end_is_told_by_its_length() {
    assert!(!is_end_of_rows(EOF, PAYLOAD_BYTES_MAX, TRACKING));
    assert!(!is_end_of_rows(EOF, 9, Capabilities::NONE));
    assert!(is_end_of_rows(EOF, 8, Capabilities::NONE));
    assert!(!is_end_of_rows(OK, 7, TRACKING));
    assert_eq!(
        EofPacket::read(b"\xfe123456789"),
        Err(DecodeError::Unexpected)
    );
    assert_eq!(EofPacket::read(b"\xfe\0\0\0"), Err(DecodeError::Truncated));
}

#[test]
fn errors_come_with_sqlstate_and_without() {
    let error = ErrorPacket::read(b"\xff\x15\x04#28000Access denied").expect("well-formed");
    assert_eq!(error.code, 1045);
    assert_eq!(error.state, Some(*b"28000"));
    assert_eq!(error.message, b"Access denied");
    let mut out = Vec::new();
    error.write(&mut out, 2);
    assert_eq!(&out[HEADER_BYTES..], b"\xff\x15\x04#28000Access denied");

    let early = ErrorPacket::read(b"\xff\x10\x04Too many connections").expect("well-formed");
    assert_eq!((early.code, early.state), (1040, None));
    out.clear();
    early.write(&mut out, 0);
    assert_eq!(&out[HEADER_BYTES..], b"\xff\x10\x04Too many connections");

    let odd = ErrorPacket::read(b"\xff\x10\x04#12").expect("well-formed");
    assert_eq!((odd.state, odd.message), (None, &b"#12"[..]));
    assert_eq!(ErrorPacket::read(b"\xff\x10"), Err(DecodeError::Truncated));
}

#[test]
fn progress_reports_are_no_errors() {
    let payload = b"\xff\xff\xff\x01\x02\x03\x10\x27\0\x04copy";
    assert!(Progress::is_progress(payload));
    let report = Progress::read(payload).expect("well-formed");
    assert_eq!((report.stage, report.stages, report.done), (2, 3, 10_000));
    assert_eq!(report.info, b"copy");
    assert_eq!(ErrorPacket::read(payload), Err(DecodeError::Unexpected));
    assert_eq!(
        Beginning::read(payload, Capabilities::NONE),
        Ok(Beginning::Progress)
    );
    assert_eq!(Progress::read(&payload[..7]), Err(DecodeError::Truncated));
}

#[test]
fn answers_begin_in_five_ways() {
    let columns = |count, are_described| {
        Ok(Beginning::Columns {
            count,
            are_described,
        })
    };
    let mysql = Capabilities::OPTIONAL_RESULTSET_METADATA;
    let mariadb = Capabilities::MARIADB_CACHE_METADATA;
    for (payload, capabilities, expected) in [
        (
            &b"\0\0\0\x02\0\0\0"[..],
            Capabilities::NONE,
            Ok(Beginning::Ok),
        ),
        (b"\xff\x10\x04no", Capabilities::NONE, Ok(Beginning::Error)),
        (
            b"\xfb/tmp/f",
            Capabilities::NONE,
            Ok(Beginning::LocalInfile(b"/tmp/f")),
        ),
        (b"\x02", Capabilities::NONE, columns(2, true)),
        (b"\xfc\x00\x01", Capabilities::NONE, columns(256, true)),
        (b"\x02\x00", mysql, columns(2, false)),
        (b"\x02\x01", mysql, columns(2, true)),
        (b"\x02\x00", mariadb, columns(2, false)),
        (b"\x02\x01", mariadb, columns(2, true)),
        (b"", Capabilities::NONE, Err(DecodeError::Truncated)),
        (b"\xfc\x00", Capabilities::NONE, Err(DecodeError::Truncated)),
    ] {
        assert_eq!(
            Beginning::read(payload, capabilities),
            expected,
            "{payload:?}"
        );
    }
}

#[test]
fn the_answer_to_a_prepare_is_read_as_it_was_written() {
    let answer = PrepareOk {
        statement: 7,
        columns: 1,
        parameters: 2,
        warnings: 3,
        are_described: false,
    };
    let optional = Capabilities::OPTIONAL_RESULTSET_METADATA;
    let mut out = Vec::new();
    answer.write(&mut out, 1, optional);
    let payload = out.split_off(HEADER_BYTES);
    assert_eq!(payload, b"\0\x07\0\0\0\x01\0\x02\0\0\x03\0\0");
    assert_eq!(PrepareOk::read(&payload, optional), Ok(answer));
    let described = PrepareOk {
        are_described: true,
        ..answer
    };
    assert_eq!(PrepareOk::read(&payload, Capabilities::NONE), Ok(described));
    for cut in 0..9 {
        assert_eq!(
            PrepareOk::read(&payload[..cut], optional),
            Err(DecodeError::Truncated)
        );
    }
}
