//! Texts, comments, names and operators are cut where the servers cut them. In each case `evil()` or a `;` stands where a wrong cut
//! would hide it, or would find it in a constant.

use super::*;

const CALLS: &[Fact] = &[Fact::CallsUnknown];

#[test]
fn what_stands_in_text_names_and_comments_is_not_code() {
    assert_pure(&[
        "SELECT 'evil(); x'",
        "SELECT 'it''s evil()'",
        r"SELECT 'a\'evil()'",
        r#"SELECT "a\"evil()", "it's""#,
        r#"SELECT "a""evil()", 'a "b"'"#,
        r"SELECT '\\', 'evil()'",
        "SELECT N'evil()', n'it\\'s evil()', b'101', X'1F', x''",
        "SELECT _utf8'evil()', _latin1\"evil()\", _binary 'a'",
        "SELECT `evil(`, `a``evil()` FROM `x;y`",
        "SELECT 1 -- evil() ; '\n, 2",
        "SELECT 1 --\tevil()",
        "SELECT 1 --",
        "SELECT 1 -- a\r, evil()",
        "SELECT 1 # evil() ; '",
        "SELECT 1 #evil()\n, 2",
        "SELECT 1 /* evil() ; ' */, 2",
        "SELECT 1 /* /* evil() */, 2",
        "SELECT 1 /***/ , 2 /* * / evil() */",
        "SELECT 1 /*/ evil() */",
        "SELECT 1 +-- evil()\n 2",
        "SELECT 1 +/* evil() */ 2",
        "/* one */ SELECT 1",
        "-- one\nSELECT 1",
        "# one\nSELECT 1",
        "SELECT 0x41, 0b01, 1e5, 1.5e-3, .5, 1., ?, -1, 1and2",
        "SELECT {d '2020-01-01'}, {ts '2020-01-01 00:00:00'}",
        "SELECT a->'$.b', a->>'$.evil()' FROM t",
        "SELECT 'a' 'evil()' \"b\"",
    ]);
}

#[test]
fn what_stands_beside_text_names_and_comments_is_code() {
    assert_plain(
        CALLS,
        &[
            r"SELECT '\\', evil(), ''",
            "SELECT 'a''', evil()",
            "SELECT 'a' 'b', evil()",
            "SELECT \"a'\", evil(), \"'\"",
            "SELECT `a``b`, evil()",
            "SELECT `a\\`, evil(), `b`",
            "SELECT 1 -- c\n, evil()",
            "SELECT 1 --evil()",
            "SELECT 1 # c\n, evil()",
            "SELECT 1 /*/ */ , evil() /* */",
            "SELECT 1 /* /* */, evil()",
            "SELECT 1 - -evil()",
            "SELECT 1 * /* */ evil()",
            "SELECT 1 */* */evil()",
            "SELECT 1evil()",
            "SELECT 1e5and evil()",
            "SELECT 0xand, evil()",
            "SELECT 0Xevil()",
            "SELECT 1.and evil()",
            "SELECT .5and evil()",
            "SELECT x'41', evil()",
            "SELECT a.evil()",
            "SELECT a.`abs`(1)",
            "SELECT a . abs (1)",
            "SELECT `abs`(1)",
            "SELECT\u{b}evil\u{c}(\t)",
            "SELECT evil/* c */()",
            "SELECT {fn evil()}",
        ],
    );
}

#[test]
fn comments_that_a_server_runs_are_code() {
    let versioned = &[Fact::CallsUnknown, Fact::VersionedComment];
    assert_plain(
        CALLS,
        &[
            "SELECT 1 /*! , evil() */",
            "SELECT 1 /*!, evil()*/",
            "/*! SELECT evil() */",
            "SELECT 1 /*! , 2 /* c */ , evil() */",
            "SELECT 1 /*! , 2 -- */\n, evil() */",
            "SELECT 1 /*! , '*/', evil() */",
        ],
    );
    assert_plain(
        versioned,
        &[
            "SELECT 1 /*!50101 , evil() */",
            "SELECT 1 /*!50101, evil()*/",
            "SELECT 1 /*!40000 , 1*/, evil()",
        ],
    );
    let old = "SELECT 1 /*!50699 , evil() */";
    let new = "SELECT 1 /*!50700 , evil() */";
    let newer = "SELECT 1 /*!80000 , evil() */";
    let newest = "SELECT 1 /*!99999 , evil() */";
    assert_in(mysql(), &Effect::Plain, versioned, &[old, new, newer]);
    assert_in(
        mariadb(),
        &Effect::Plain,
        versioned,
        &[old, "SELECT 1 /*!100100 , evil() */"],
    );
    // MariaDB leaves alone what MySQL's later versions have for themselves.
    let skipped = &[Fact::VersionedComment];
    assert_in(mariadb(), &Effect::Plain, skipped, &[new, newer, newest]);
    assert_in(
        mysql(),
        &Effect::Plain,
        skipped,
        &[newest, "SELECT 1 /*!90705 , evil() */"],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        skipped,
        &[
            "SELECT 1 /*!101120 , evil() */",
            "SELECT 1 /*!999999 , 'x /* evil( */ , evil() */",
            "SELECT 1 /*!999999 '*/ , 4",
        ],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        versioned,
        &[
            "SELECT 1 /*!999999 , 'x /* c */ , 2 */ , evil()",
            "SELECT 1 /*M!50700 , evil() */",
            "SELECT 1 /*M!101119 , evil() */",
        ],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        CALLS,
        &["SELECT 1 /*M! , evil() */"],
    );
    assert_in(mysql(), &Effect::Plain, &[], &["SELECT 1 /*M! , evil() */"]);
    // Only a version's digits are one.
    assert_in(
        mariadb(),
        &Effect::Plain,
        CALLS,
        &["SELECT 1 /*!1011 , evil() */"],
    );
}

#[test]
fn what_older_versions_read_otherwise_cannot_be_told() {
    for sql in ["SELECT 1 /*!100100 , evil() */", "SELECT $$ evil() $$"] {
        let statement = one(sql, Dialect::new(Family::MySql, 80036));
        assert!(statement.facts.has(Fact::Unreadable), "{sql}");
    }
    // One that ends in another statement, or in none, or in another.
    for sql in [
        "SELECT 1 /*! , 2",
        "SELECT 1 /*! ; SELECT 2 */",
        "SELECT 1 /*! , 2 /*! , 3 */ , 4 */",
        "SELECT 1 /*!99999999999999 , 2",
    ] {
        for dialect in both() {
            let all = statements(sql, dialect);
            assert!(all[0].facts.has(Fact::Unreadable), "{sql}: {all:?}");
        }
    }
}

#[test]
fn comments_alone_are_answered() {
    for sql in ["", " ", ";", " ; ; "] {
        for dialect in both() {
            assert_eq!(statements(sql, dialect), [], "{sql}");
        }
    }
    assert_pure(&["-- x", "/* x */", "# x\n;", "/*! */", " /* a */ -- b"]);
    assert_plain(&[Fact::VersionedComment], &["/*!99999 SET @a = 1 */"]);
    for (sql, count) in [
        ("SELECT 1; -- x", 2),
        ("SELECT 1 -- x", 1),
        ("SELECT 1 -- x\n;", 1),
        ("SELECT 1; # x\n;", 2),
        ("SELECT 1; /*!99999 x */ ;", 2),
        ("SET sql_mode = @a; -- x", 2),
    ] {
        for dialect in both() {
            assert_eq!(statements(sql, dialect).len(), count, "{sql}");
            assert!(
                !classify(sql.as_bytes(), dialect)
                    .facts()
                    .has(Fact::Unreadable)
            );
        }
    }
}

#[test]
fn hints_that_set_are_seen() {
    assert_plain(
        &[Fact::SetsForStatement],
        &[
            "SELECT /*+ SET_VAR(sort_buffer_size = 16M) */ 1",
            "SELECT /*+ NO_ICP(t) set_var(optimizer_switch='mrr=off')*/ 1",
            "SELECT /*+ RESOURCE_GROUP(g) */ 1",
        ],
    );
    assert_pure(&["SELECT /*+ MAX_EXECUTION_TIME(1000) */ 1", "SELECT /*+*/ 1"]);
    for dialect in both() {
        // A hint's quotes may hide its end.
        let statement = one("SELECT /*+ QB_NAME(`*/`) */ 1", dialect);
        assert!(statement.facts.has(Fact::Unreadable));
    }
}

#[test]
fn modes_decide_what_quotes_and_backslashes_mean() {
    for (mode, sql, code) in [
        ("", r"SELECT 'a\', evil(), '\'", false),
        ("NO_BACKSLASH_ESCAPES", r"SELECT 'a\', evil(), '\'", true),
        ("NO_BACKSLASH_ESCAPES", r"SELECT '\', ' evil()'", false),
        ("NO_BACKSLASH_ESCAPES", r#"SELECT "a\", evil(), "\""#, true),
        ("", "SELECT \"evil\"()", false),
        ("ANSI_QUOTES", "SELECT \"evil\"()", true),
        ("ANSI_QUOTES", r#"SELECT "a\", evil(), "\""#, true),
        ("ANSI_QUOTES", r#"SELECT "a"" evil()""#, false),
        ("ANSI_QUOTES", r"SELECT 'a\' evil()'", false),
        ("", "SELECT count (*)", true),
        ("IGNORE_SPACE", "SELECT count \n(*)", false),
        ("IGNORE_SPACE", "SELECT count /* no space */(*)", true),
        ("", "SELECT abs (1)", false),
        ("", "SELECT a || evil()", true),
        ("PIPES_AS_CONCAT", "SELECT a || evil()", true),
    ] {
        let found = one(sql, under(mode)).facts.has(Fact::CallsUnknown);
        assert_eq!(found, code, "{sql} under {mode}");
    }
}

#[test]
fn character_sets_decide_what_bytes_mean() {
    let with = |charset| Dialect { charset, ..mysql() };
    let facts = |sql: &[u8], charset| classify(sql, with(charset)).facts();
    // 0x95 0x5c is one character in sjis, whose second byte is a backslash.
    let text: &[u8] = b"SELECT '\x95\x5c', evil(), '";
    assert!(facts(text, Charset::Unsafe).has(Fact::Unreadable));
    assert_eq!(facts(text, Charset::AsciiSafe), Facts::NONE);
    assert_eq!(
        facts("SELECT 'caf\u{e9}\\'s'".as_bytes(), Charset::Utf8),
        Facts::NONE
    );
    let name: &[u8] = b"SELECT `\x95\x60`, evil(), `a`";
    assert!(facts(name, Charset::Unsafe).has(Fact::Unreadable));
    // 0xa0 is white space in latin1.
    for sql in [
        &b"SELECT\xa01"[..],
        b"SELECT a\xa0, @a\xa0",
        b"SELECT 1 --\xa0 evil()",
    ] {
        assert!(facts(sql, Charset::AsciiSafe).has(Fact::Unreadable));
        assert!(facts(sql, Charset::Unsafe).has(Fact::Unreadable));
    }
    assert_eq!(
        facts("SELECT größe FROM `tür`".as_bytes(), Charset::Utf8),
        Facts::NONE
    );
    for charset in [Charset::Utf8, Charset::AsciiSafe, Charset::Unsafe] {
        assert_eq!(facts(b"SELECT 'a' -- b\n", charset), Facts::NONE);
    }
    assert_eq!(
        facts(b"SELECT 'a\x95b', \"\x83c\" /* \x95* */", Charset::Unsafe),
        Facts::NONE
    );
}

#[test]
fn text_without_an_end_is_opaque_and_ends_the_text() {
    for sql in [
        "SELECT 'a",
        "SELECT 'a''",
        r"SELECT 'a\'",
        r"SELECT 'a\",
        "SELECT \"a",
        "SELECT `a",
        "SELECT `a``",
        "SELECT ``",
        "SELECT x'1",
        "SELECT x'1g'",
        "SELECT b'2'",
        "SELECT N'a",
        "SELECT 1 /* a",
        "/* a",
        "'a",
        "SELECT (1",
        "SELECT 1)",
        "SELECT \\x",
        "BEGIN \\",
        "SELECT a\0b",
        "SELECT `a\0b`",
        "SELECT 1 -- \0\n, evil()",
        "SELECT @'a",
        "SELECT @`a",
        "SELECT @@",
        "SELECT @@ a",
        "SELECT 1.5e",
        "SELECT /*+ a",
    ] {
        for dialect in both() {
            let statement = one(sql, dialect);
            assert_eq!(statement.effect, Effect::Opaque, "{sql}");
            assert!(statement.facts.has(Fact::Unreadable), "{sql}");
        }
    }
    // A NUL in a text or a comment is a byte like others.
    assert_pure(&["SELECT 'a\0b', \"\0\" /* \0 */"]);
    assert_in(mariadb(), &Effect::Plain, &[], &[r"SELECT \N"]);
    assert_opaque(mysql(), &[r"SELECT \N"]);
    let all = statements("SELECT 1; SELECT 'a; BEGIN", mysql());
    assert!(all[0].is_pure() && all[1].is_opaque() && all.len() == 2);
}

#[test]
fn dollars_hold_text_in_newer_versions_of_mysql_alone() {
    assert_in(
        mysql(),
        &Effect::Plain,
        &[],
        &["SELECT $$ evil() ' $$", "SELECT $a$ $$ evil() $a$"],
    );
    assert_in(
        mysql(),
        &Effect::Plain,
        CALLS,
        &["SELECT $$ a $$, evil(), $$ b $$", "SELECT a$b, evil()"],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        CALLS,
        &["SELECT $a$, evil(), $a$"],
    );
    assert_opaque(mysql(), &["SELECT $$ a", "SELECT $a$ $b$"]);
}

#[test]
fn statements_are_told_apart() {
    for (sql, count) in [
        ("SELECT 1; SELECT 2", 2),
        ("SELECT 1;; SELECT 2;", 2),
        ("SELECT ';', \";\", `;` /* ; */ -- ;\n; SELECT 2 # ;", 2),
        ("; SELECT 1", 1),
        ("BEGIN; UPDATE t SET a = 1; COMMIT", 3),
    ] {
        for dialect in both() {
            assert_eq!(statements(sql, dialect).len(), count, "{sql}");
        }
    }
    let many = "SELECT 1;".repeat(STATEMENTS_MAX + 10);
    let all = statements(&many, mysql());
    assert_eq!(all.len(), STATEMENTS_MAX + 1);
    assert!(all[STATEMENTS_MAX].facts.has(Fact::Unreadable));
}

#[test]
fn what_a_statement_sets_holds_for_those_behind_it() {
    let quoted = "SELECT \"a\", 'b\\'";
    // In ANSI_QUOTES the text has no end.
    let facts = |before: &str, sql: &str| {
        let all = statements(&format!("{before}; {sql}"), mysql());
        all.last().expect("there are two").facts
    };
    assert!(facts("SELECT 1", quoted).has(Fact::Unreadable));
    assert!(!facts("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", quoted).has(Fact::Unreadable));
    assert!(facts("SET sql_mode = ''", quoted).has(Fact::Unreadable));
    assert!(facts("SET sql_mode = 'ANSI_QUOTES'", "SELECT \"evil\"()").has(Fact::CallsUnknown));
    for before in [
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
        "SET sql_mode = DEFAULT",
        "SET sql_mode = 4",
        "SET SESSION sql_mode = @a",
        "SET NAMES DEFAULT",
        "SET GLOBAL a = 1, sql_mode = ''",
        "EXECUTE a",
        "nonsense",
        "PREPARE a",
    ] {
        assert!(facts(before, "SELECT 1").has(Fact::Unreadable), "{before}");
        assert_eq!(statements(before, mysql()).len(), 1, "{before}");
    }
    // What a routine sets of these is undone when it returns.
    for before in ["CALL p()", "SELECT f()", "SELECT 1"] {
        assert_eq!(facts(before, "SELECT 1"), Facts::NONE, "{before}");
    }
    assert_eq!(facts("SET NAMES utf8mb4", "SELECT é"), Facts::NONE);
    assert!(facts("SET NAMES latin1", "SELECT é").has(Fact::Unreadable));
    assert!(facts("SET CHARACTER SET gbk", "SELECT 'é\\''").has(Fact::Unreadable));
    assert!(facts("SET character_set_client = 'gbk'", "SELECT 'é\\''").has(Fact::Unreadable));
}
