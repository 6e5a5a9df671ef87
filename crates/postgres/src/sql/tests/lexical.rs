//! Texts, comments, names and operators are cut where the server cuts them. In each case `evil()` or a `;` stands where a
//! wrong cut would hide it, or would find it in a constant.

use super::*;

#[test]
fn what_stands_in_text_names_and_comments_is_not_code() {
    assert_pure(&[
        "SELECT 'evil(); x'",
        "SELECT 'it''s evil()'",
        r"SELECT 'a\', 'evil()'",
        r"SELECT E'\'evil()'",
        r"SELECT E'\\', 'evil()'",
        r"SELECT e'a''\'evil()'",
        "SELECT E'a'\n'b\\'evil()'",
        "SELECT E'a' -- comment\n -- 'another\n 'b\\'evil()'",
        "SELECT N'evil()', B'101', x'1F', U&'evil()', u&'d\\0061evil()'",
        "SELECT U&'d!0061' UESCAPE '!'",
        r#"SELECT "evil(", "a""evil()" FROM "x;y""#,
        "SELECT $$evil()$$, $a$ evil() $$ ; $b$ $a$",
        "SELECT $é$evil()$é$, $a1$;$a1$",
        "SELECT $a$ $b$a$, 1",
        "SELECT 1 -- evil() ; '",
        "SELECT 1 -- evil()\r, 2",
        "SELECT 1 /* evil() ; ' */, 2",
        "SELECT 1 /* /* */ evil() */, 2",
        "SELECT 1 /***/ , 2 /* * / evil() */",
        "SELECT 1 +-- evil()\n 2",
        "SELECT 1 +/* evil() */ 2",
        "SELECT 1 @--evil()\n 2",
        "/* one */ SELECT 1",
        "-- one\nSELECT 1",
        "SELECT $1, $2::text, a$b$c FROM t$1",
    ]);
}

#[test]
fn what_stands_beside_text_names_and_comments_is_code() {
    assert_opaque(&[
        r"SELECT 'a\', evil(), '\'",
        r"SELECT E'\\', evil(), ''",
        "SELECT 'a''', evil()",
        "SELECT 'a' 'b', evil()",
        "SELECT E'a'\n'b\\'', evil()",
        "SELECT E'a' 'b\\', evil(), '",
        "SELECT $$a$$, evil(), $$b$$",
        "SELECT $a$ $A$ $a$, evil()",
        "SELECT a$$, evil(), b$$",
        "SELECT a$b$, evil(), b$b$",
        "SELECT 1 -- c\n, evil()",
        "SELECT 1 -- c\r, evil()",
        "SELECT 1 /*/ */ , evil() /* */",
        "SELECT 1 /* /* */ */, evil()",
        "SELECT 1 - -evil()",
        "SELECT 1 */* */evil()",
        r#"SELECT "a""b", evil()"#,
        r#"SELECT "a"", evil(), """#,
        "SELECT U&\"a\", evil()",
        "SELECT 1evil()",
        "SELECT 1and evil()",
        "SELECT 0xand evil()",
        "SELECT $1and evil()",
        "SELECT 1.and evil()",
        "SELECT 1e5and evil()",
        "SELECT 1..evil()",
        "SELECT t..a",
        "SELECT a[1]-evil()",
        "SELECT\u{b}evil\u{c}(\t)",
    ]);
}

#[test]
fn backslashes_escape_while_standard_conforming_strings_is_off() {
    for (sql, expected) in [
        (r"SELECT '\'', 1", Effect::Pure),
        (r"SELECT 'a\'evil()'", Effect::Pure),
        (r"SELECT '\\', evil(), ''", Effect::Opaque),
        (r"SELECT 'a\', evil(), '\'", Effect::Opaque),
        (r"SELECT n'\'', 1", Effect::Pure),
        ("SELECT 'a'\n'\\'', 1", Effect::Pure),
        (r#"SELECT "a\", 1"#, Effect::Pure),
        (r"SELECT $$\$$, 1", Effect::Pure),
        (r"SELECT B'1\', 1", Effect::Pure),
    ] {
        assert_eq!(effects_with_escapes(sql), [expected], "{sql}");
    }
}

#[test]
fn text_without_an_end_is_opaque_and_ends_the_string() {
    assert_opaque(&[
        "SELECT 'a",
        "SELECT 'a''",
        r"SELECT E'a\'",
        r"SELECT E'a\",
        "SELECT B'1",
        "SELECT \"a",
        "SELECT U&\"a",
        "SELECT $$a",
        "SELECT $a$ $b$",
        "SELECT $a",
        "SELECT $",
        "SELECT 1 /* a",
        "SELECT 1 /* /* */",
        "/* a",
        "'a",
        "SELECT (1",
        "SELECT 1)",
        "SELECT \"\"",
        "SELECT {fn now()}",
        "SELECT \\x",
        "BEGIN \\",
    ]);
    assert_effects(&[
        (
            "SELECT 1; SELECT 'a; BEGIN",
            &[Effect::Pure, Effect::Opaque],
        ),
        (
            "BEGIN; SELECT (1; SELECT 2",
            &[Effect::Begin, Effect::Opaque],
        ),
        (
            "BEGIN; SELECT \\; COMMIT",
            &[
                Effect::Begin,
                Effect::Opaque,
                Effect::Commit { chain: false },
            ],
        ),
    ]);
}

#[test]
fn a_nul_makes_the_whole_string_opaque() {
    assert_opaque(&[
        "\0",
        "SELECT 1\0",
        "SELECT 1\0; BEGIN",
        "SELECT 'a\0b'",
        "SET a = \"b\0\"",
    ]);
}

#[test]
fn text_that_reads_differently_in_encodings_unsafe_for_ascii_is_opaque() {
    // 0x95 0x5c is one character in SJIS, whose second byte is a backslash.
    let in_sjis: [&[u8]; 4] = [
        b"SELECT E'\x95\x5c', evil(), '",
        b"SELECT \x95\x5c(1)",
        b"SELECT ev\x95\x5b(1)",
        b"SELECT $\x95\x5c$ ' $\x95\x5c$, evil(), $\x95\x5c$ ' $\x95\x5c$",
    ];
    for sql in in_sjis {
        assert_eq!(
            classify(sql, true),
            Class::Statements(vec![Effect::Opaque]),
            "{}",
            sql.escape_ascii()
        );
    }
    for sql in [
        &b"SELECT '\x95\x5c', 1"[..],
        b"SELECT \"\x95\x5c\" FROM t",
        b"SELECT 1 -- \x95\x5c",
    ] {
        assert_eq!(classify(sql, true), Class::Pure, "{}", sql.escape_ascii());
    }
    assert_pure(&["SELECT 'é\\', größe FROM t", "SELECT E'é'"]);
}

#[test]
fn statements_end_at_semicolons_outside_brackets() {
    assert_effects(&[
        ("", &[]),
        (" \n\t", &[]),
        (";", &[]),
        (" ; /* nothing */ ; -- here", &[]),
        ("SELECT 1", &[Effect::Pure]),
        (";;BEGIN;;", &[Effect::Begin]),
        (
            "BEGIN; SELECT ';'; COMMIT",
            &[Effect::Begin, Effect::Pure, Effect::Commit { chain: false }],
        ),
        (
            "SELECT 1; SELECT 2; BEGIN",
            &[Effect::Pure, Effect::Pure, Effect::Begin],
        ),
        (
            "CREATE RULE r AS ON UPDATE TO t DO ALSO (SELECT 1; SELECT 2); BEGIN",
            &[Effect::Opaque, Effect::Begin],
        ),
    ]);
    assert_eq!(classify(b"SELECT 1; SELECT 2;", true), Class::Pure);
    assert_eq!(classify(b"", true), Class::Statements(Vec::new()));
}

#[test]
fn routines_end_after_the_end_of_their_body() {
    let one_then_begin: &[Effect] = &[Effect::Opaque, Effect::Begin];
    assert_effects(&[
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; BEGIN",
            one_then_begin,
        ),
        (
            "create or replace procedure p() begin atomic insert into t values (1); end; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END FROM t; END; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT (CASE 1 WHEN 2 THEN 3 END), 4 AS case; END; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT t.end, 1 AS end FROM t; END; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int RETURN 1; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int AS 'BEGIN ATOMIC' LANGUAGE sql; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f(begin atomic) RETURNS int RETURN 1; BEGIN",
            one_then_begin,
        ),
        (
            "CREATE FUNCTION f() RETURNS int AS $$ SELECT 1; END; $$ LANGUAGE sql; BEGIN",
            one_then_begin,
        ),
        ("CREATE VIEW v AS SELECT 1; BEGIN", one_then_begin),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2;",
            &[Effect::Opaque],
        ),
    ]);
}
