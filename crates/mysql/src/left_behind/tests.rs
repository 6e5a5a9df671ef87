//! What is told of statements, and who asks for it in which words.

use super::*;

fn row(level: &str, code: &str, message: &str) -> Box<[u8]> {
    let mut row = Vec::new();
    for value in [level, code, message] {
        write::counted(&mut row, value.as_bytes());
    }
    row.into()
}

fn left(rows: &[Box<[u8]>]) -> LeftBehind {
    let mut left = LeftBehind::default();
    let told = Counts {
        warnings: 1,
        ..Counts::default()
    };
    left.on_told(told, Kind::default());
    let mut captured = Captured::default();
    rows.iter().for_each(|row| captured.add(row));
    left.on_conditions(captured);
    left
}

fn values(of: &LeftBehind, text: &str) -> Option<Vec<String>> {
    let rows = of.rows(&asked(text.as_bytes())?)?;
    let values = rows.iter().flat_map(|row| text_values(row));
    let texts = values.map(|value| {
        let value = value.expect("a value").expect("not NULL");
        String::from_utf8(value.to_vec()).expect("text")
    });
    Some(texts.collect())
}

#[test]
fn counts_are_what_the_answer_told() {
    let mut left = LeftBehind::default();
    assert_eq!(
        values(&left, "select row_count(), FOUND_ROWS()").expect("fresh"),
        ["0", "0"]
    );
    let query = Kind {
        is_plain_query: true,
        ..Kind::default()
    };
    let rows = Counts {
        rows: Some(3),
        ..Counts::default()
    };
    left.on_told(rows, query);
    assert_eq!(
        values(&left, "SELECT ROW_COUNT() AS n, found_rows() f").expect("known"),
        ["-1", "3"]
    );
    let changed = Counts {
        affected_rows: 2,
        ..Counts::default()
    };
    left.on_told(changed, Kind::default());
    assert_eq!(values(&left, "select row_count();").expect("known"), ["2"]);
    assert_eq!(
        values(&left, "select found_rows()"),
        None,
        "a server's own secret"
    );
    left.on_failed(b"\xff\x48\x04#HY000no");
    assert_eq!(values(&left, "select row_count()").expect("known"), ["-1"]);
}

#[test]
fn conditions_are_told_as_the_server_told_them() {
    let rows = [
        row("Warning", "1365", "Division by 0"),
        row("Error", "1064", "no"),
    ];
    let left = left(&rows);
    let all = ["Warning", "1365", "Division by 0", "Error", "1064", "no"];
    assert_eq!(values(&left, "SHOW WARNINGS").expect("known"), all);
    for text in [
        "show errors",
        "show warnings limit 1, 1",
        "SHOW  WARNINGS LIMIT 1 OFFSET 1;",
    ] {
        assert_eq!(values(&left, text).expect("known"), all[3..], "{text}");
    }
    assert_eq!(
        values(&left, "select @@warning_count, @@error_count").expect("known"),
        ["2", "1"]
    );
    assert_eq!(values(&left, "SHOW COUNT(*) ERRORS").expect("known"), ["1"]);
    assert_eq!(left.signal(), None, "one statement raises one condition");
}

#[test]
fn what_is_asked_for_among_other_things_is_not_answered() {
    for text in [
        "select row_count() + 1",
        "select row_count(), a from t",
        "show warnings like 'x'",
        "select @@warning_count from t",
        "get diagnostics @n = number",
        "show warnings limit 1 1",
        "select",
    ] {
        assert_eq!(asked(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn one_condition_alone_can_be_raised_again() {
    assert_eq!(
        left(&[row("Warning", "1365", "a'")])
            .signal()
            .map(|signal| signal.text)
            .as_deref(),
        Some("SIGNAL SQLSTATE '01000' SET MYSQL_ERRNO=1365, MESSAGE_TEXT=_utf8mb4 X'6127'")
    );
    let mut answered = LeftBehind::default();
    answered.on_answered(b"\xff\x51\x04#42S02gone");
    assert_eq!(
        answered.signal().map(|signal| signal.text).as_deref(),
        Some("SIGNAL SQLSTATE '42S02' SET MYSQL_ERRNO=1105, MESSAGE_TEXT=_utf8mb4 X'676F6E65'")
    );
    assert_eq!(left(&[row("Note", "1051", "x")]).signal(), None);
    assert_eq!(
        left(&[row("Warning", "1", &"x".repeat(129))]).signal(),
        None
    );
}

#[test]
fn what_is_too_much_is_lost_and_not_cut() {
    let left = left(&[row("Warning", "1", &"x".repeat(CONDITIONS_BYTES_MAX))]);
    assert_eq!(left.conditions, Conditions::Lost);
    assert_eq!(values(&left, "show warnings"), None);
}

#[test]
fn conditions_stay_until_a_statement_clears_them() {
    let rows = [row("Warning", "1", "x")];
    let mut left = left(&rows);
    let keeps = Kind {
        leaves_conditions: true,
        leaves_found_rows: true,
        ..Kind::default()
    };
    left.on_told(Counts::default(), keeps);
    assert_eq!(left.conditions, Conditions::Known(rows.into()));
    left.on_told(Counts::default(), Kind::default());
    assert_eq!(left.conditions, Conditions::None);
    assert!(is_without_tables(b"select 1") && is_without_tables(b" SET x=1"));
    assert!(is_with_tables(b"select 1 from t") && !is_with_tables(b"prepare a from 'x'"));
    assert!(!is_without_tables(b"select 1 from t") && !is_without_tables(b"update t set a=1"));
}
