use super::*;

fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut out = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        match column {
            Some(text) => {
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    out
}

#[test]
fn rows_tell_of_settings_and_of_what_is_left_behind() {
    let mut probe = Probe::new(Asks::default());
    probe.on_row(&row(&[
        Some("s"),
        Some("TimeZone"),
        Some("UTC"),
        Some("UTC"),
    ]));
    probe.on_row(&row(&[Some("o"), Some("advisory_lock"), None, None]));
    probe.on_row(&row(&[Some("m"), Some("a.b"), None, None]));
    probe.on_row(&row(&[Some("n"), Some("c.d"), Some("x"), None]));
    assert!(!probe.failed);
    let names: Vec<_> = probe
        .readings
        .iter()
        .map(|reading| &*reading.name)
        .collect();
    assert_eq!(names, ["timezone", "c.d"]);
    assert!(probe.held.contains(PinReason::AdvisoryLock));
    assert_eq!(probe.mentioned, ["a.b".into()]);
}

#[test]
fn an_answer_that_is_not_understood_tells_nothing() {
    for body in [
        &b""[..],
        &row(&[Some("s")]),
        &row(&[Some("o"), Some("something_new"), None, None]),
    ] {
        let mut probe = Probe::new(Asks::default());
        probe.on_row(body);
        assert!(probe.failed);
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_not_taken_over_and_hides_nothing_else() {
    let mut probe = Probe::new(Asks::default());
    let mut latin1 = row(&[Some("n"), Some("a.b"), Some("caf?"), None]);
    let at = latin1.iter().position(|byte| *byte == b'?');
    latin1[at.expect("it is there")] = 0xe9;
    probe.on_row(&latin1);
    probe.on_row(&row(&[Some("o"), Some("advisory_lock"), None, None]));
    assert!(probe.unsaid && !probe.failed);
    assert!(probe.held.contains(PinReason::AdvisoryLock));
}

#[test]
fn nothing_is_asked_that_takes_locks_on_tables_of_others() {
    // Functions that write out what is stored as a tree (`ruleutils.c`, `AcquireRewriteLocks`).
    for question in [SETTINGS, IDENTITY, MENTIONED, OBJECTS] {
        assert!(!question.contains("pg_get_"));
    }
}

#[test]
fn an_answer_has_a_bound() {
    let mut probe = Probe::new(Asks::default());
    let long = "x".repeat(ANSWER_BYTES_MAX / 2);
    for name in ["a", "b", "c"] {
        probe.on_row(&row(&[Some("s"), Some(name), Some(&long), Some("")]));
    }
    assert!(probe.failed && probe.readings.len() < 3);
}

#[test]
fn names_of_settings_cannot_break_out_of_the_question() {
    let mut asks = Asks::default();
    asks.names.insert("a.b'; drop".into());
    assert!(by_name(&asks).contains("ARRAY['a.b''; drop']"));
}
