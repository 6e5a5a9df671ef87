//! Statements: questions whose answer depends on settings, transactions, data, cursors, locks, mistakes.

use super::settings::{SETTINGS, change, hidden};
use super::{Session, Style};
use crate::model::SplitMix64;

/// All that a session can set, in one answer.
pub const ALL_SETTINGS: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser') AND name NOT LIKE '%.%' ORDER BY name";

/// Any one statement.
pub fn statement(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> String {
    let text = any(rng, style, session);
    // Code that brings back defaults in ways that no text tells brings back the database's instead of the startup message's.
    let unseen = text.contains("NULL, ") || text.contains("EXECUTE 'RESET ALL'");
    if session.baseline && unseen {
        return question(rng);
    }
    text
}

fn any(rng: &mut SplitMix64, style: &Style, session: &mut Session) -> String {
    let in_transaction = session.in_transaction;
    match rng.below(100) {
        0..=27 => change(rng, style),
        28..=52 => question(rng),
        53..=72 => transaction(rng, session),
        73..=80 => data(rng, session),
        81..=84 => cursor(rng, in_transaction),
        85..=88 => mistake(rng),
        89 | 90 => discard(rng),
        91 | 92 => lasting(rng, session),
        93..=95 => code(rng, style),
        _ => special(rng, style, session),
    }
}

/// A question whose answer depends on the session.
pub fn question(rng: &mut SplitMix64) -> String {
    let (name, _) = *rng.pick(SETTINGS);
    match rng.below(17) {
        // A custom setting may be there because another client has set one of that name.
        0 | 1 if !name.starts_with("my.") => format!("SHOW {name}"),
        2 => format!("SELECT coalesce(pg_catalog.current_setting('{name}', true), '') AS {}", name.replace('.', "_")),
        3 => "SHOW TIME ZONE".into(),
        4 => "SHOW TRANSACTION ISOLATION LEVEL".into(),
        5 => "SELECT timestamptz 'epoch' + interval '1000 days 5 hours', interval '1 year -2 days 03:04:05.6'".into(),
        6 => "SELECT 1::float8 / 3, 0.1::float4, '\\x00ff41'::bytea".into(),
        7 => "SELECT * FROM t".into(),
        8 => "SELECT count(*), here() FROM t".into(),
        9 => "SELECT here(), current_schemas(false), current_schema".into(),
        10 => "SELECT current_user, session_user, current_setting('is_superuser')".into(),
        11 => "SELECT 'a\\nb', length('a\\nb'), chr(233), quote_ident('plain')".into(),
        12 => "SELECT to_tsvector('cats are running'), ARRAY['NULL', NULL]::text, NULL = NULL".into(),
        13 => "SELECT name, setting FROM pg_settings WHERE name IN ('DateStyle', 'search_path', 'TimeZone', 'work_mem', 'application_name', 'client_encoding', 'role') ORDER BY name".into(),
        14 => "SELECT date '2024-02-29', time '12:00', to_char(1234.5, '9G999D99'), timestamptz '2024-07-01 12:00+00'".into(),
        15 => "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('transaction_deferrable')".into(),
        _ => ALL_SETTINGS.into(),
    }
}

/// What is said within a transaction.
const INSIDE: &[&str] = &[
    "COMMIT",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT WORK",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "savepoint A",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT b",
    "RELEASE a",
    "RELEASE SAVEPOINT b",
    "BEGIN",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "PREPARE TRANSACTION 'none'",
];

/// What is said outside of one.
const OUTSIDE: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "begin work",
    "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    "Start Transaction Read Write",
    "BEGIN;;",
    "COMMIT",
    "ROLLBACK",
    "COMMIT AND CHAIN",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
];

fn transaction(rng: &mut SplitMix64, session: &mut Session) -> String {
    let text = rng.word(if session.in_transaction {
        INSIDE
    } else {
        OUTSIDE
    });
    let upper = text.to_uppercase();
    let ends = ["COMMIT", "END", "ROLLBACK", "ABORT WORK"];
    if upper.starts_with("BEGIN") || upper.starts_with("START") {
        session.in_transaction = true;
    } else if ends.contains(&text) || text.starts_with("PREPARE") {
        session.in_transaction = false;
    }
    text.to_owned()
}

fn data(rng: &mut SplitMix64, session: &Session) -> String {
    let who = session.number;
    let key = rng.below(3);
    match rng.below(12) {
        0 => format!("INSERT INTO public.log (who, said) VALUES ('c{who}', 'x')"),
        1 => format!(
            "INSERT INTO public.log (who, said) SELECT 'c{who}', current_setting('work_mem') RETURNING said"
        ),
        2 => format!("SELECT said FROM public.log WHERE who = 'c{who}' ORDER BY id"),
        3 => format!("INSERT INTO public.keyed VALUES ('c{who}', {key}, 'v')"),
        4 => format!(
            "UPDATE public.keyed SET v = here() WHERE who = 'c{who}' AND k = {key} RETURNING *"
        ),
        5 => format!("DELETE FROM public.keyed WHERE who = 'c{who}'"),
        6 => format!("INSERT INTO public.late VALUES ('c{who}', {key})"),
        7 => format!("CREATE TABLE w{who}.made AS SELECT * FROM t"),
        8 => format!("SELECT * FROM w{who}.made"),
        9 => format!("ALTER TABLE w{who}.made ADD COLUMN more text DEFAULT current_user"),
        10 => format!("DROP TABLE w{who}.made"),
        _ => format!(
            "MERGE INTO public.keyed USING (VALUES ({key})) n(k) ON keyed.k = n.k AND who = 'c{who}' WHEN MATCHED THEN UPDATE SET v = 'm' WHEN NOT MATCHED THEN INSERT VALUES ('c{who}', n.k, 'n')"
        ),
    }
}

fn cursor(rng: &mut SplitMix64, in_transaction: bool) -> String {
    let hold = if in_transaction { "" } else { " WITH HOLD" };
    match rng.below(8) {
        0 | 1 => format!(
            "DECLARE c CURSOR{hold} FOR SELECT a, current_setting('DateStyle') FROM s1.t ORDER BY a"
        ),
        2 => "DECLARE h SCROLL CURSOR WITH HOLD FOR SELECT timestamptz 'epoch', * FROM t".into(),
        3 => "FETCH 1 FROM c".into(),
        4 => "FETCH ALL FROM h".into(),
        5 => "MOVE BACKWARD ALL IN h".into(),
        6 => rng.word(&["CLOSE c", "CLOSE h", "CLOSE ALL"]).into(),
        _ => "SELECT name, is_holdable FROM pg_cursors WHERE name <> '' ORDER BY name".into(),
    }
}

fn mistake(rng: &mut SplitMix64) -> String {
    rng.word(&[
        "SELECT 1/0",
        "SELEC 1",
        "SELECT * FROM nowhere.nothing",
        "SELECT public.f_raise('it')",
        "SELECT 'unended",
        "",
        ";",
        "-- only a remark",
        "SELECT $1",
        "VACUUM public.log",
        "SELECT public.f_notice('it')",
        "COMMIT PREPARED 'none'",
        "LOCK TABLE s1.t IN ACCESS SHARE MODE",
    ])
    .to_owned()
}

fn discard(rng: &mut SplitMix64) -> String {
    rng.word(&[
        "DISCARD ALL",
        "DISCARD ALL",
        "DISCARD PLANS",
        "DISCARD SEQUENCES",
        "DISCARD TEMP",
        "DEALLOCATE ALL",
        "DEALLOCATE PREPARE ALL",
        "UNLISTEN *",
        "CLOSE ALL",
    ])
    .to_owned()
}

/// What keeps a session on its backend.
fn lasting(rng: &mut SplitMix64, session: &Session) -> String {
    let who = session.number;
    match rng.below(12) {
        0 => "CREATE TEMP TABLE own AS SELECT 1 AS a, here() AS b".into(),
        1 => "CREATE TEMPORARY TABLE gone (a int) ON COMMIT DROP".into(),
        2 => "SELECT * FROM own".into(),
        3 => "DROP TABLE own".into(),
        4 => format!("SELECT pg_try_advisory_lock(7, {who})"),
        5 => format!("SELECT pg_advisory_unlock(7, {who})"),
        6 => "SELECT pg_advisory_unlock_all()".into(),
        7 => "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            .into(),
        8 => format!("SELECT pg_advisory_xact_lock(8, {who})"),
        9 => "SELECT setseed(0.25)".into(),
        10 => "SELECT nextval('public.sq') > 0, currval('public.sq') > 0".into(),
        _ => "CREATE TEMP VIEW seen AS SELECT a FROM s1.t".into(),
    }
}

/// DO, CALL and functions; those that change settings where they follow their client.
fn code(rng: &mut SplitMix64, style: &Style) -> String {
    if style.hidden {
        return hidden(rng, style);
    }
    match rng.below(4) {
        0 => "DO $$BEGIN PERFORM 1; END$$".into(),
        1 => loop {
            let text = hidden(rng, style);
            if text.starts_with("DO") || text.starts_with("CALL") {
                return text;
            }
        },
        2 => "SELECT public.f_clause()".into(),
        _ => "SELECT public.f_notice('x'), public.here()".into(),
    }
}

fn special(rng: &mut SplitMix64, style: &Style, session: &Session) -> String {
    let who = session.number;
    if style.sql_prepare && rng.chance(50) {
        return prepare(rng);
    }
    if style.listen && rng.chance(60) {
        return match rng.below(6) {
            0 | 1 => format!("LISTEN ch{who}"),
            2 | 3 => format!("NOTIFY ch{who}, 'it''s {}'", rng.below(9)),
            4 => format!("SELECT pg_notify('ch{who}', 'again')"),
            _ => format!("UNLISTEN ch{who}"),
        };
    }
    rng.word(&[
        "EXPLAIN (COSTS OFF) SELECT * FROM s1.t WHERE a = 10",
        "COPY s1.t TO STDOUT",
        "COPY (SELECT timestamptz 'epoch', 1::float8/3) TO STDOUT CSV",
        "TABLE s1.t",
        "SHOW ALL_OF_IT",
        "SELECT pg_catalog.set_config('my.one', pg_catalog.current_setting('work_mem'), false)",
        "SELECT * FROM generate_series(1, 3) g",
    ])
    .to_owned()
}

fn prepare(rng: &mut SplitMix64) -> String {
    rng.word(&[
        "PREPARE q AS SELECT * FROM t",
        "PREPARE q (int) AS SELECT $1 + 1, here()",
        "PREPARE r AS SELECT timestamptz 'epoch'",
        "PREPARE p0 AS SELECT 'by SQL'",
        "EXECUTE q",
        "EXECUTE q(4)",
        "EXECUTE r",
        "EXECUTE p0",
        "EXECUTE p1",
        "DEALLOCATE q",
        "DEALLOCATE p0",
        "DEALLOCATE ALL",
        "EXPLAIN (COSTS OFF) EXECUTE r",
        "PREPARE s AS SELECT set_config('work_mem', '5MB', false)",
        "EXECUTE s",
    ])
    .to_owned()
}

/// A text for a prepared statement, and parameters that fit it.
///
/// It has no constants that mean something else under other settings: on another backend they may be read anew.
pub fn preparable(
    rng: &mut SplitMix64,
    style: &Style,
    session: &mut Session,
) -> (String, Vec<Option<String>>) {
    loop {
        let (text, parameters) = any_preparable(rng, style, session);
        if !text.contains('\\') && !text.contains("interval '") {
            return (text, parameters);
        }
    }
}

fn any_preparable(
    rng: &mut SplitMix64,
    style: &Style,
    session: &mut Session,
) -> (String, Vec<Option<String>>) {
    let text = |value: &str| Some(value.to_owned());
    match rng.below(10) {
        0 => {
            let (name, value) = super::settings::choice(rng, style);
            let all = vec![text(name), text(value), text(rng.word(&["false", "true"]))];
            ("SELECT set_config($1, $2, $3)".into(), all)
        }
        1 => (
            "SELECT $1::text, $2::int + 1, here()".into(),
            vec![text("it's"), text("41")],
        ),
        2 => (
            "SELECT $1::timestamptz, $1::timestamptz::text".into(),
            vec![text("2024-03-04 05:06:07+00")],
        ),
        3 => ("SELECT * FROM t".into(), Vec::new()),
        4 => (
            format!(
                "INSERT INTO public.log (who, said) VALUES ('c{}', $1) RETURNING said",
                session.number
            ),
            vec![text("bound")],
        ),
        5 => (
            "SELECT 10 / $1::int".into(),
            vec![text(rng.word(&["0", "5", "x"]))],
        ),
        7 => (question(rng), Vec::new()),
        _ => (statement(rng, style, session), Vec::new()),
    }
}
