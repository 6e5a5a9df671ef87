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
fn the_time_out_is_lifted_behind_what_reads_it_and_for_the_long_question_alone() {
    let written = |mentioned| {
        let asks = Asks {
            settings: true,
            objects: true,
            mentioned,
            ..Asks::default()
        };
        let mut out = Vec::new();
        Probe::new(asks).write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    assert!(!written(false).contains("statement_timeout"));
    let asked = written(true);
    let at = |text: &str| asked.find(text).expect("it is asked");
    assert!(at(SETTINGS) < at(UNTIMED) && at(OBJECTS) < at(UNTIMED));
    assert!(at(UNTIMED) < at("regexp_matches"));
}

#[test]
fn what_functions_speak_of_is_asked_with_the_code_that_is_known() {
    let mut probe = Probe::new(Asks {
        mentioned: true,
        ..Asks::default()
    });
    probe.on_row(&row(&[Some("t"), Some("0"), None, None]));
    probe.on_row(&row(&[Some("v"), Some("3 1234"), None, None]));
    assert_eq!(probe.code.as_deref(), Some("3 1234"));
    assert!(!probe.failed && probe.readings.is_empty() && probe.mentioned.is_empty());
    probe.known_code = probe.code.clone();
    let mut out = Vec::new();
    probe.write(&mut out);
    assert!(String::from_utf8_lossy(&out).contains("'3 1234' AS changed"));
    probe.on_row(&row(&[Some("v"), Some("1'; drop"), None, None]));
    assert_eq!(probe.code, None);
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
