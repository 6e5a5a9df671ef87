use super::*;
use forebay_core::settings::Interner;

fn draft(text: &str) -> Draft<'_> {
    Draft {
        text: text.as_bytes(),
        types: b"\0\0",
        ..Draft::default()
    }
}

fn statements() -> Statements {
    Statements::new([3; 32], RandomState::new(), Arc::default())
}

fn meaning(names: u64, constants: u64) -> Meaning {
    Meaning { names, constants }
}

#[test]
fn a_name_stands_for_a_text_in_one_meaning() {
    let mut statements = statements();
    let constant = draft("select '1'");
    let one = statements.named(&constant, meaning(1, 1));
    assert!(Arc::ptr_eq(
        &one,
        &statements.named(&constant, meaning(1, 1))
    ));
    assert!(one.means(meaning(1, 1)));
    for other in [meaning(1, 2), meaning(2, 1)] {
        assert!(!one.means(other));
        assert_ne!(statements.name(&constant, other), one.name);
    }
}

#[test]
fn what_decides_about_constants_matters_only_to_texts_that_have_some() {
    let statements = statements();
    let texts = [
        ("select $1::date", false),
        ("select a_1, 'x'", true),
        ("select $$x$$", true),
        ("select $tag$x$tag$", true),
        ("select é", true),
        ("select 1", false),
    ];
    for (text, has_constants) in texts {
        let names = [1, 2].map(|constants| statements.name(&draft(text), meaning(1, constants)));
        assert_eq!(names[0] != names[1], has_constants, "{text}");
    }
}

#[test]
fn another_database_has_other_names_and_other_versions_of_its_schema() {
    let statements = statements();
    let home = draft("select a from t");
    let other = Draft { scope: 1, ..home };
    let names = || [home, other].map(|draft| statements.name(&draft, meaning(1, 1)));
    let before = names();
    assert_ne!(before[0], before[1]);
    statements.on_schema_changed(other.scope);
    let after = names();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
}

#[test]
fn a_private_name_is_given_once() {
    let mut statements = statements();
    let one = statements.private(&draft("select 1"));
    let other = statements.private(&draft("select 1"));
    assert_ne!(one.name, other.name);
    assert!(one.is_private() && !one.means(meaning(1, 1)));
}

#[test]
fn what_shows_a_sessions_own_cursor_or_setting_is_nobody_elses() {
    let mut statements = statements();
    for text in [
        "fetch 10 from c",
        "; /* x */ FETCH NEXT FROM c",
        "show app.tenant",
        "execute s",
        "explain execute s",
    ] {
        let one = statements.named(&draft(text), meaning(1, 1));
        let other = statements.named(&draft(text), meaning(1, 1));
        assert!(one.shows_own() && one.is_private(), "{text}");
        assert_ne!(one.name, other.name, "{text}");
    }
    for text in ["show work_mem", "select 1 fetch first row only", "close c"] {
        let one = statements.named(&draft(text), meaning(1, 1));
        assert!(!one.shows_own() && !one.is_private(), "{text}");
    }
}

#[test]
fn a_backslash_that_may_end_a_text_is_read_both_ways() {
    let hidden = r"select '\', '; set lock_timeout=999; --'";
    let pins = Class::Statements(vec![Effect::Pin(PinReason::UntrackedSetting)]);
    let opaque = Class::Statements(vec![Effect::Opaque]);
    let table = [
        (hidden, Some(true), Class::Pure),
        (hidden, None, pins),
        (r"select '\', '; select f(1) --'", None, opaque.clone()),
        (r"select a like '\' from t", None, opaque),
        (
            r"copy t from stdin delimiter '\'",
            None,
            Class::Statements(vec![Effect::CopyIn]),
        ),
        (r"select 'a\b'", None, Class::Pure),
        ("select 'a'", None, Class::Pure),
        ("set a = 'b'", None, sql::classify(b"set a = 'b'", true)),
    ];
    for (text, conforming, expected) in table {
        assert_eq!(judge(text.as_bytes(), conforming), expected, "{text}");
    }
    assert_ne!(judge(hidden.as_bytes(), Some(false)), Class::Pure);
}

#[test]
fn no_secret_is_printed() {
    let printed = format!("{:?}", statements());
    assert_eq!(printed, "Statements { count: 0, .. }");
}

#[test]
fn workers_of_one_process_give_the_same_names() {
    let (hasher, versions) = (RandomState::new(), Arc::default());
    let tracker = Tracker::new(Interner::new(hasher.clone()).empty());
    let names = [0, 1].map(|_| {
        let statements = Statements::new([3; 32], hasher.clone(), Arc::clone(&versions));
        let meaning = statements.meaning(&tracker).expect("nothing is set");
        let scope = statements.scope(("proxy", "user"));
        statements.name(
            &Draft {
                scope,
                ..draft("select ''")
            },
            meaning,
        )
    });
    assert_eq!(names[0], names[1]);
}

#[test]
fn a_statement_leaves_types_to_the_server_that_its_client_has_not_declared() {
    let leaves = |text: &[u8], types: &[u8]| {
        let draft = Draft {
            text,
            types,
            ..Draft::default()
        };
        Statement::unnamed(&draft).leaves_types()
    };
    assert!(leaves(b"select $1", &[0, 0]));
    assert!(leaves(b"select $1", &[0, 1, 0, 0, 0, 0]));
    assert!(leaves(b"select $1, $2", &[0, 1, 0, 0, 0, 23]));
    assert!(!leaves(b"select $1", &[0, 1, 0, 0, 0, 23]));
    assert!(!leaves(b"select 1", &[0, 0]));
}

#[test]
fn constants_of_the_moment_are_told_from_functions_and_columns() {
    for text in [
        "select 'now'::timestamptz",
        "select * from t where at >= 'Today'",
        "select timestamp 'yesterday 04:05'",
        "select $$tomorrow$$::date",
    ] {
        assert!(is_momentary(text.as_bytes()), "{text}");
    }
    for text in [
        "select now(), 'x'",
        "select NOW (), 'x'",
        "select now from t",
        "select 'known', today_count from snow",
        "select 'x'",
        "update t set a = $1 where b = $2",
    ] {
        assert!(!is_momentary(text.as_bytes()), "{text}");
    }
}
