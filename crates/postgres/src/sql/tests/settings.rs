//! Every way to set a setting, and what to say to another backend to have it so there.

use super::super::SetValue;
use super::*;

/// A setting and the SQL of its value.
fn pair(name: &str, value: &str) -> (String, SetValue) {
    (name.to_owned(), SetValue::Sql(value.to_owned()))
}

fn set(name: &str, value: &str) -> Effect {
    let (name, value) = pair(name, value);
    Effect::Set { name, value }
}

fn literal(name: &str, value: &str) -> Effect {
    Effect::Set {
        name: name.to_owned(),
        value: SetValue::Literal(value.to_owned()),
    }
}

fn reset(name: &str) -> Effect {
    Effect::Reset(name.to_owned())
}

fn assert_table(table: &[(&str, Effect)]) {
    for (sql, expected) in table {
        assert_eq!(effects(sql), std::slice::from_ref(expected), "{sql}");
    }
}

#[test]
fn set_gives_the_name_folded_and_the_value_as_written() {
    assert_table(&[
        ("SET work_mem = '4MB'", set("work_mem", "'4MB'")),
        ("SET work_mem TO '4MB';", set("work_mem", "'4MB'")),
        ("set session Work_Mem to 4096", set("work_mem", "4096")),
        ("SET enable_seqscan=off", set("enable_seqscan", "off")),
        ("SET a = TRUE", set("a", "TRUE")),
        (
            "SET geqo_selection_bias = 1.5e0",
            set("geqo_selection_bias", "1.5e0"),
        ),
        (
            "SET extra_float_digits=-15",
            set("extra_float_digits", "-15"),
        ),
        (
            "SET extra_float_digits TO + 3",
            set("extra_float_digits", "+3"),
        ),
        (
            "SET search_path = a, \"B c\" ,'D'",
            set("search_path", "a, \"B c\", 'D'"),
        ),
        (
            "SET search_path TO \"$user\", Public",
            set("search_path", "\"$user\", Public"),
        ),
        ("SET DateStyle TO ISO, MDY", set("datestyle", "ISO, MDY")),
        ("SET a /* x */ = -- y\n 'b' /* z */", set("a", "'b'")),
        ("SET \"Work_Mem\" = 1", set("work_mem", "1")),
        ("SET app.User_Id = '42'", set("app.user_id", "'42'")),
        ("SET \"app\".\"x\" = 'y'", set("app.x", "'y'")),
        ("SET a.b.c = 1", set("a.b.c", "1")),
        ("SET session.x = 1", set("session.x", "1")),
        ("SET SESSION session.x = 1", set("session.x", "1")),
        ("SET local.x = 1", set("local.x", "1")),
        ("SET role.x = 1", set("role.x", "1")),
        ("SET names.x = 1", set("names.x", "1")),
        (
            "SET application_name = $$it's$$",
            set("application_name", "'it''s'"),
        ),
        (
            "SET client_encoding TO LATIN1",
            set("client_encoding", "LATIN1"),
        ),
        ("SET search_path = ''", set("search_path", "''")),
    ]);
}

#[test]
fn text_with_backslashes_is_written_so_that_every_backend_reads_it_alike() {
    assert_table(&[
        (r"SET a = 'b\'", set("a", r"E'b\\'")),
        (r"SET a = E'it\'s'", set("a", "'it''s'")),
        (r"SET a = E'a\tb'", set("a", "'a\tb'")),
    ]);
    assert_eq!(
        effects_with_escapes(r"SET a = '\'; b'"),
        [set("a", "'''; b'")]
    );
    assert_eq!(
        effects_with_escapes(r"SET a = 'x\\'"),
        [set("a", r"E'x\\'")]
    );
}

#[test]
fn special_forms_of_set_name_their_setting() {
    assert_table(&[
        ("SET TIME ZONE 'UTC'", set("timezone", "'UTC'")),
        ("SET SESSION TIME ZONE utc", set("timezone", "utc")),
        ("SET TIME ZONE -8", set("timezone", "-8")),
        ("SET TIME ZONE LOCAL", reset("timezone")),
        ("SET TIME ZONE DEFAULT", reset("timezone")),
        ("SET TimeZone = 'UTC'", set("timezone", "'UTC'")),
        ("SET NAMES 'UTF8'", set("client_encoding", "'UTF8'")),
        ("SET NAMES", reset("client_encoding")),
        ("SET NAMES DEFAULT", reset("client_encoding")),
        ("SET ROLE admin", set("role", "admin")),
        ("SET ROLE 'Admin'", set("role", "'Admin'")),
        ("SET ROLE \"Admin\"", set("role", "\"Admin\"")),
        ("SET ROLE NONE", set("role", "none")),
        ("SET role = 'none'", set("role", "none")),
        ("SET role TO admin", set("role", "admin")),
        ("SET SESSION ROLE admin", set("role", "admin")),
        (
            "SET SESSION AUTHORIZATION joe",
            set("session_authorization", "joe"),
        ),
        (
            "SET SESSION SESSION AUTHORIZATION 'joe'",
            set("session_authorization", "'joe'"),
        ),
        (
            "SET SESSION AUTHORIZATION DEFAULT",
            reset("session_authorization"),
        ),
        ("SET SCHEMA 'a'", set("search_path", "'a'")),
        ("SET XML OPTION DOCUMENT", set("xmloption", "DOCUMENT")),
        ("SET a TO DEFAULT", reset("a")),
        ("SET SESSION a.b = default", reset("a.b")),
    ]);
}

#[test]
fn a_time_zone_may_be_an_interval_of_hours_and_minutes() {
    let utc = set("timezone", "'INTERVAL ''+00:00'''");
    assert_table(&[
        ("SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE", utc),
        (
            "SET LOCAL TIME ZONE INTERVAL '2:30'",
            Effect::SetLocally {
                local: vec![(
                    "timezone".into(),
                    Some(SetValue::Sql("'INTERVAL ''2:30'''".into())),
                )],
                session: Vec::new(),
            },
        ),
        (
            "set time zone interval $$-08:00$$ hour to minute",
            set("timezone", "'INTERVAL ''-08:00'''"),
        ),
    ]);
}

#[test]
fn session_characteristics_are_defaults_of_transactions() {
    let isolation = "default_transaction_isolation";
    let read_only = "default_transaction_read_only";
    let deferrable = "default_transaction_deferrable";
    let mut table = Vec::new();
    for (level, value) in [
        ("READ UNCOMMITTED", "'read uncommitted'"),
        ("READ COMMITTED", "'read committed'"),
        ("REPEATABLE READ", "'repeatable read'"),
        ("SERIALIZABLE", "'serializable'"),
    ] {
        let sql = format!("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}");
        table.push((sql, set(isolation, value)));
    }
    for (modes, effect) in [
        ("READ ONLY", set(read_only, "on")),
        ("READ WRITE", set(read_only, "off")),
        ("DEFERRABLE", set(deferrable, "on")),
        ("NOT DEFERRABLE", set(deferrable, "off")),
        (
            "ISOLATION LEVEL SERIALIZABLE, READ ONLY DEFERRABLE",
            Effect::SetMany(vec![
                pair(isolation, "'serializable'"),
                pair(read_only, "on"),
                pair(deferrable, "on"),
            ]),
        ),
    ] {
        table.push((
            format!("SET SESSION CHARACTERISTICS AS TRANSACTION {modes}"),
            effect,
        ));
    }
    for (sql, expected) in table {
        assert_eq!(effects(&sql), [expected], "{sql}");
    }
}

#[test]
fn what_ends_with_the_transaction_is_local() {
    assert_each(
        &Effect::SetLocal,
        &[
            "SET LOCAL TRANSACTION READ ONLY",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET TRANSACTION READ ONLY",
            "SET TRANSACTION SNAPSHOT 'x'",
            "SET SESSION TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET CONSTRAINTS a.b, c IMMEDIATE",
            "SET transaction_isolation = 'serializable'",
            "SET SESSION transaction_read_only TO on",
            "RESET TRANSACTION ISOLATION LEVEL",
            "RESET transaction_read_only",
        ],
    );
}

#[test]
fn what_is_set_for_a_transaction_is_told_as_far_as_the_text_tells_it() {
    let sql = |text: &str| Some(SetValue::Sql(text.to_owned()));
    let literal = |text: &str| Some(SetValue::Literal(text.to_owned()));
    type Local<'a> = &'a [(&'a str, Option<SetValue>)];
    let table: &[(&str, Local<'_>)] = &[
        ("SET LOCAL a = 1", &[("a", sql("1"))]),
        ("SET LOCAL a TO DEFAULT", &[("a", Some(SetValue::Default))]),
        ("SET LOCAL ROLE x", &[("role", sql("x"))]),
        ("SET LOCAL TIME ZONE 'UTC'", &[("timezone", sql("'UTC'"))]),
        (
            "SET LOCAL SESSION AUTHORIZATION x",
            &[("session_authorization", sql("x"))],
        ),
        ("SET LOCAL a FROM CURRENT", &[("", None)]),
        ("SET LOCAL a = 1 b", &[("", None)]),
        (
            "SELECT set_config('a.b', 'c', true)",
            &[("a.b", literal("c"))],
        ),
        (
            "SELECT set_config('a', NULL, true)",
            &[("a", Some(SetValue::Default))],
        ),
        (
            "SELECT set_config('role', $1, true), set_config('a.b', 'c', true)",
            &[("role", None), ("a.b", literal("c"))],
        ),
        (
            "SELECT set_config('transaction_read_only', 'on', false)",
            &[("transaction_read_only", literal("on"))],
        ),
    ];
    for (text, values) in table {
        let values = values.iter().cloned();
        let local = values
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let session = Vec::new();
        let expected = Effect::SetLocally { local, session };
        assert_eq!(effects(text), [expected], "{text}");
    }
}

#[test]
fn reset_names_its_setting() {
    assert_table(&[
        ("RESET work_mem", reset("work_mem")),
        ("RESET App.\"X\"", reset("app.x")),
        ("RESET ALL", Effect::ResetAll),
        ("RESET all.x", reset("all.x")),
        ("RESET TIME ZONE", reset("timezone")),
        (
            "RESET SESSION AUTHORIZATION",
            reset("session_authorization"),
        ),
        ("RESET ROLE", reset("role")),
        ("RESET session.x", reset("session.x")),
        ("RESET seed", Effect::Pin(PinReason::Seed)),
    ]);
}

#[test]
fn forms_that_are_not_understood_pin() {
    assert_pins(
        PinReason::UntrackedSetting,
        &[
            "SET",
            "SET a",
            "SET a =",
            "SET a = ,",
            "SET a = b,",
            "SET a = b c",
            "SET a = (b)",
            "SET a = - b",
            "SET a FROM CURRENT",
            "SET local FROM CURRENT",
            "SET transaction FROM CURRENT",
            "SET a = N'x'",
            "SET a = E'\\x41'",
            "SET a = 'b'\n'c'",
            "SET a = U&'b'",
            "SET U&\"a\" = 1",
            "SET \"a b\" = 1",
            "SET \"a;b\".c = 1",
            "SET TIME ZONE INTERVAL",
            "SET TIME ZONE INTERVAL '1'",
            "SET TIME ZONE INTERVAL '1 hour'",
            "SET TIME ZONE INTERVAL '1' HOUR",
            "SET TIME ZONE INTERVAL '-08:00' HOUR",
            "SET TIME ZONE INTERVAL '-08:00' HOUR TO SECOND",
            "SET TIME ZONE INTERVAL '-08:00:00'",
            "SET TIME ZONE INTERVAL '--8:00'",
            "SET TIME ZONE INTERVAL '-é:00'",
            "SET TIME ZONE INTERVAL(3) '1'",
            "SET NAMES utf8",
            "SET SCHEMA a",
            "SET CATALOG 'a'",
            "SET SESSION",
            "SET SESSION CHARACTERISTICS AS TRANSACTION",
            "SET SESSION CHARACTERISTICS AS TRANSACTION FAST",
            "SET SESSION CHARACTERISTICS",
            "SET XML OPTION",
            "SET 'a' = 1",
            "SET a = 'b",
            "RESET",
            "RESET a b",
            "RESET ALL x",
            "RESET 'a'",
        ],
    );
    let latin1 = b"SET a = '\xe9'";
    assert_eq!(
        classify(latin1, true),
        Class::Statements(vec![Effect::Pin(PinReason::UntrackedSetting)])
    );
}

#[test]
fn set_config_of_constants_is_a_set() {
    assert_table(&[
        (
            "SELECT set_config('search_path', '', false)",
            literal("search_path", ""),
        ),
        (
            "SELECT pg_catalog.set_config('search_path', 'a, b', false);",
            literal("search_path", "a, b"),
        ),
        (
            "select SET_CONFIG ( 'App.X' , 'it''s' , FALSE ) AS x",
            literal("app.x", "it's"),
        ),
        (
            r"SELECT set_config('a', 'b\c', false) y",
            literal("a", r"b\c"),
        ),
        ("SELECT set_config('a', NULL, false)", reset("a")),
        (
            "SELECT set_config('a', '1', false), set_config('b', null, false)",
            Effect::SetMany(vec![
                ("a".to_owned(), SetValue::Literal("1".to_owned())),
                ("b".to_owned(), SetValue::Default),
            ]),
        ),
        (
            "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
            literal("jit", "off"),
        ),
        (
            "SELECT set_config('a', '1', false), set_config('b', '2', false), set_config('c', '3', true)",
            Effect::SetLocally {
                local: vec![("c".to_owned(), Some(SetValue::Literal("3".to_owned())))],
                session: vec![
                    ("a".to_owned(), SetValue::Literal("1".to_owned())),
                    ("b".to_owned(), SetValue::Literal("2".to_owned())),
                ],
            },
        ),
    ]);
}

#[test]
fn set_config_in_any_other_place_or_form_pins() {
    assert_pins(
        PinReason::SetConfig,
        &[
            "SELECT set_config('a', $1, false)",
            "SELECT set_config('a', N'b ', false)",
            "SELECT set_config('a', '1', true), set_config('a', '2', false)",
            "SELECT set_config($1, 'b', true)",
            "SELECT set_config('a', 'b', $1)",
            "SELECT set_config('a', 'b', false) FROM t",
            "SELECT set_config('a', 'b', false) WHERE false",
            "SELECT set_config('a', 'b', true) FROM t",
            "SELECT set_config('a', 'b', false) LIMIT 0",
            "SELECT set_config('a', 'b', false) AS",
            "SELECT set_config('a', 'b', false), 1",
            "SELECT 1, set_config('a', 'b', false)",
            "SELECT set_config('a', 'b', false) || 'x'",
            "SELECT set_config('a', 'b', false)::text",
            "SELECT set_config('a', 'b' || 'c', false)",
            "SELECT set_config(setting_name => 'a', new_value => 'b', is_local => false)",
            "SELECT \"set_config\"('a', 'b', false)",
            "SELECT \"pg_catalog\".\"set_config\"('a', 'b', false)",
            "SELECT s.set_config('a', 'b', false)",
            "SELECT set_config('a b', 'c', false)",
            "SELECT set_config('seed', '0.5', true)",
            "SELECT DISTINCT set_config('a', 'b', false)",
            "(SELECT set_config('a', 'b', false))",
            "WITH x AS (SELECT set_config('a', 'b', false)) SELECT 1",
            "SELECT 1 WHERE set_config('a', 'b', false) = 'b'",
            "VALUES (set_config('a', 'b', false))",
            "INSERT INTO t SELECT set_config('a', 'b', false)",
            "EXPLAIN ANALYZE SELECT set_config('a', 'b', false)",
            "COPY (SELECT set_config('a', 'b', false)) TO STDOUT",
            "DECLARE c CURSOR FOR SELECT set_config('a', 'b', false)",
            "UPDATE pg_settings SET setting = 'b' WHERE name = 'a'",
            "UPDATE ONLY pg_catalog . \"pg_settings\" AS s SET setting = 'b'",
            "WITH x AS (UPDATE pg_settings SET setting = 'b' RETURNING *) SELECT * FROM x",
            "EXPLAIN ANALYZE UPDATE pg_settings SET setting = 'b'",
        ],
    );
    assert_opaque(&["UPDATE t SET setting = 'b' FROM pg_settings"]);
    assert_pure(&[
        "SELECT setting FROM pg_settings",
        "SELECT * FROM pg_settings FOR UPDATE",
    ]);
}
