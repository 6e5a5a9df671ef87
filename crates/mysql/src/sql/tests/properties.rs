//! What holds for every text.

use proptest::prelude::*;

use super::*;

/// Statements that are whole in themselves, of all kinds, behind which a text goes on as before.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT ';' /* ; */ -- ;\n",
    "SELECT ';', \";\", `;`",
    "SELECT evil(1)",
    "BEGIN",
    "COMMIT AND CHAIN",
    "ROLLBACK TO SAVEPOINT a",
    "SET a = 'b;c'",
    "SET SESSION TRANSACTION READ ONLY",
    "SELECT GET_LOCK('a', 1), @b",
    "INSERT INTO t VALUES (1)",
    "WITH a (x) AS (SELECT 1), b (y) AS (SELECT 2) SELECT 1",
    "CREATE PROCEDURE p() SELECT CASE WHEN true THEN 1 END",
    "CREATE TEMPORARY TABLE t (a INT)",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE a FROM 'SELECT 1; '",
    "DEALLOCATE PREPARE a",
    "SELECT 1 /*!40000 , ';' */",
    "LOCK TABLES t READ",
    "",
    " ",
];

/// Pieces that texts made of them are more often near to SQL.
const PIECES: &[&str] = &[
    "SELECT",
    "select",
    "WITH",
    "AS",
    "(",
    ")",
    "(",
    ")",
    ",",
    ";",
    ".",
    "'",
    "\"",
    "`",
    "N'",
    "x'",
    "b'",
    "_utf8",
    "$$",
    "$a$",
    "?",
    "--",
    "-- ",
    "#",
    "/*",
    "/*!",
    "/*!50101",
    "/*!99999",
    "/*M!",
    "/*+",
    "*/",
    "\n",
    " ",
    " ",
    " ",
    "\\",
    "\\'",
    "evil",
    "abs",
    "GET_LOCK",
    "LAST_INSERT_ID",
    "@",
    "@@",
    "@a",
    ":=",
    "=",
    "'a'",
    "\"b\"",
    "false",
    "true",
    "NULL",
    "1",
    "1.5e3",
    "0x",
    "-",
    "INTO",
    "OUTFILE",
    "UPDATE",
    "INSERT",
    "REPLACE",
    "DELETE",
    "VALUES",
    "VALUE",
    "FOR",
    "SHARE",
    "SET",
    "STATEMENT",
    "SESSION",
    "GLOBAL",
    "PERSIST",
    "NAMES",
    "COLLATE",
    "CHARACTER",
    "TRANSACTION",
    "ROLE",
    "DEFAULT",
    "sql_mode",
    "'ANSI_QUOTES'",
    "BEGIN",
    "NOT",
    "ATOMIC",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "IF",
    "LOOP",
    "REPEAT",
    "UNTIL",
    "WHILE",
    "DO",
    "CREATE",
    "PROCEDURE",
    "TRIGGER",
    "EVENT",
    "TEMPORARY",
    "TABLE",
    "DROP",
    "ALTER",
    "RENAME",
    "EXPLAIN",
    "ANALYZE",
    "FORMAT",
    "PREPARE",
    "EXECUTE",
    "IMMEDIATE",
    "USING",
    "DEALLOCATE",
    "FROM",
    "XA",
    "START",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "LOCK",
    "UNLOCK",
    "TABLES",
    "FLUSH",
    "READ",
    "HANDLER",
    "OPEN",
    "CLOSE",
    "KILL",
    "QUERY",
    "SHOW",
    "WARNINGS",
    "GET",
    "DIAGNOSTICS",
    "CALL",
    "LOAD",
    "DATA",
    "LOCAL",
    "INFILE",
    "USE",
    "x",
    "é",
    "\u{0}",
    "{",
    "}",
    ":",
    "\\N",
];

pub(super) fn text_of_pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
}

/// A text in which words stand apart.
pub(super) fn spaced_text_of_pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..40).prop_map(|pieces| pieces.join(" "))
}

fn dialects() -> impl Strategy<Value = Dialect> {
    let charset = prop::sample::select(vec![Charset::Utf8, Charset::AsciiSafe, Charset::Unsafe]);
    (any::<[bool; 6]>(), charset).prop_map(|(flags, charset)| Dialect {
        modes: Modes {
            ansi_quotes: flags[0],
            no_backslash_escapes: flags[1],
            pipes_as_concat: flags[2],
            ignore_space: flags[3],
            oracle: flags[4],
        },
        charset,
        ..both()[usize::from(flags[5])]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(sql in prop::collection::vec(any::<u8>(), 0..200), dialect in dialects()) {
        classify(&sql, dialect);
        mentioned(&sql, dialect);
    }

    #[test]
    fn no_text_near_to_sql_makes_it_panic(sql in text_of_pieces(), spaced in spaced_text_of_pieces(), dialect in dialects()) {
        for text in [sql, spaced] {
            let class = classify(text.as_bytes(), dialect);
            prop_assert!(class.statements().len() <= text.len() + 1);
            for prefix in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                classify(&text.as_bytes()[..prefix], dialect);
            }
        }
    }

    #[test]
    fn the_lexer_always_goes_on(sql in text_of_pieces(), dialect in dialects()) {
        let mut lexer = Lexer::new(sql.as_bytes(), dialect);
        let mut behind = 0;
        loop {
            let token = lexer.next();
            prop_assert!(token.range().start >= behind && token.range().end <= sql.len());
            if token.kind == Kind::End {
                break;
            }
            prop_assert!(lexer.at() > behind && token.len() > 0);
            behind = lexer.at();
        }
        prop_assert_eq!(lexer.next().kind, Kind::End);
    }

    #[test]
    fn joined_statements_have_their_effects_in_order(
        parts in prop::collection::vec(prop::sample::select(STATEMENTS), 0..8),
    ) {
        for dialect in both() {
            let apart: Vec<_> = parts.iter().flat_map(|sql| statements(sql, dialect)).map(without_place).collect();
            let joined: Vec<_> = statements(&parts.join(";"), dialect).into_iter().map(without_place).collect();
            prop_assert_eq!(joined, apart);
        }
    }

    #[test]
    fn a_call_is_found_whatever_stands_before_it(before in spaced_text_of_pieces()) {
        // Only where the call is not code at all may nothing be found.
        let sql = format!("SELECT {before} , evil_function() ");
        let swallowed = before.contains(['\'', '"', '`', '$', '#', '\\', ';']) || before.contains("--") || before.contains("/*");
        // Definitions and names of accounts are not searched.
        for dialect in both() {
            let class = classify(sql.as_bytes(), dialect);
            prop_assert!(swallowed || class.facts().has(Fact::CallsUnknown), "{}", sql);
        }
    }

    #[test]
    fn comments_and_case_make_no_difference(statement in prop::sample::select(STATEMENTS)) {
        // A comment alone is a statement.
        if statement.trim().is_empty() || statement.contains(['\'', '"', '`', '-', '#']) {
            return Ok(());
        }
        let commented = format!("/* ; */{}/**/", statement.replace(' ', " /* 'x */ # '\n "));
        for dialect in both() {
            let facts = |sql: &str| -> Vec<_> { statements(sql, dialect).into_iter().map(|one| one.facts).collect() };
            prop_assert_eq!(facts(&commented), facts(statement));
            prop_assert_eq!(facts(&statement.to_ascii_lowercase()), facts(&statement.to_ascii_uppercase()));
        }
    }
}

/// A PREPARE tells where it stands.
fn without_place(mut statement: Statement) -> Statement {
    if let Effect::Prepare(prepares) = &mut statement.effect {
        prepares.at = 0..0;
    }
    statement
}
