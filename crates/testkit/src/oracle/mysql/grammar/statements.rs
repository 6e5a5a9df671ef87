//! Texts of `COM_QUERY` and `COM_STMT_PREPARE`.

use super::settings;
use super::{Session, Style};
use crate::model::SplitMix64;

/// A statement that shows something of its session.
pub fn question(rng: &mut SplitMix64, style: &Style) -> String {
    match rng.below(24) {
        0..=3 => {
            format!("SELECT @@{}", settings::name(rng, style)).replace("@@timestamp", "NOW() > 0")
        }
        4 => format!("SHOW VARIABLES LIKE '{}'", settings::name(rng, style))
            .replace("'timestamp'", "'sql_notes'"),
        5 => "SELECT @x, @y, @`a b`".into(),
        6 => "SELECT DATABASE(), SCHEMA()".into(),
        7 => "SELECT 1/3, 'a' || 'b', \"t\"".into(),
        8 => "SELECT DATE_FORMAT('2020-03-04', '%W %M'), FROM_UNIXTIME(86400), WEEK('2020-03-04')"
            .into(),
        9 => "SELECT CHARSET('a'), COLLATION('a'), CHARSET(@x), COERCIBILITY(@x)".into(),
        10 => "SELECT HEX('\u{e4}'), CHAR_LENGTH('\u{e4}'), 'a\\nb'".into(),
        11 => "SELECT LAST_INSERT_ID()".into(),
        12 => "SELECT ROW_COUNT()".into(),
        13 => "SELECT FOUND_ROWS()".into(),
        14 => "SHOW WARNINGS".into(),
        15 => rng
            .word(&[
                "SHOW ERRORS",
                "SHOW COUNT(*) WARNINGS",
                "SELECT @@warning_count, @@error_count",
                "SHOW WARNINGS LIMIT 1",
            ])
            .into(),
        16 => "SELECT GROUP_CONCAT(b) FROM fixed".into(),
        17 => "SELECT * FROM fixed ORDER BY a".into(),
        18 => "SELECT CURRENT_ROLE(), USER()".into(),
        19 => rng
            .word(&[
                "SELECT @@last_insert_id, @@identity",
                "SELECT IS_USED_LOCK('db_l') IS NULL, IS_FREE_LOCK('db_l')",
            ])
            .into(),
        20 => "SELECT id, v, n FROM t ORDER BY id".into(),
        21 => "SELECT COUNT(*) FROM log".into(),
        22 => "SHOW TABLES".into(),
        _ => {
            "SELECT @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection".into()
        }
    }
}

/// A statement that changes rows, or what the next can ask for.
pub fn change(rng: &mut SplitMix64, session: &Session) -> String {
    let text =
        match rng.below(24) {
            0 => "INSERT INTO {}a.t (v, n) VALUES ('x', 10)".into(),
            1 => "INSERT INTO {}a.t (v) VALUES ('y'), ('z'), ('w')".into(),
            2 => format!(
                "INSERT INTO {{}}a.t (id, v) VALUES ({}, 'explicit')",
                rng.between(1, 9)
            ),
            3 => "UPDATE {}a.t SET n = COALESCE(n, 0) + 1".into(),
            4 => "UPDATE {}a.t SET v = 'one' WHERE id = 1".into(),
            5 => "DELETE FROM {}a.t WHERE id > 2".into(),
            6 => "INSERT INTO {}a.log (said) VALUES (LAST_INSERT_ID())".into(),
            7 => "INSERT IGNORE INTO {}a.t (id, v) VALUES (1, 'again'), (50, REPEAT('long', 20))"
                .into(),
            8 => "INSERT INTO {}a.t (n) VALUES ('abc')".into(),
            9 => "UPDATE {}a.t SET id = LAST_INSERT_ID(id + 1000) WHERE id = 3".into(),
            10 => "SELECT LAST_INSERT_ID(77)".into(),
            11 => "SELECT CAST('12abc' AS SIGNED), 1/0".into(),
            12 => "SELECT SQL_CALC_FOUND_ROWS a FROM fixed LIMIT 2".into(),
            13 => "SELECT no_such_column FROM fixed".into(),
            14 => "REPLACE INTO {}a.t (id, v) VALUES (2, 'replaced')".into(),
            15 => format!(
                "INSERT INTO {{}}a.seen (k, v) VALUES ('{}', 'v')",
                rng.word(&["k", "set", "l"])
            ),
            16 => "INSERT INTO {}a.seen (k, v) VALUES ('d', 1) ON DUPLICATE KEY UPDATE v = v + 1"
                .into(),
            17 => "SELECT a INTO @x FROM fixed WHERE a = 2".into(),
            18 => "DO 1/0".into(),
            19 => "DROP TABLE IF EXISTS {}a.nowhere".into(),
            20 => "INSERT INTO {}a.log (said) SELECT b FROM {}a.fixed".into(),
            21 => "SELEC".into(),
            22 => "SELECT @y := a FROM fixed ORDER BY a".into(),
            _ => "LOAD DATA LOCAL INFILE 'a file' INTO TABLE {}a.fixed".into(),
        };
    session.own(&text)
}

/// A step of a transaction.
pub fn transaction(rng: &mut SplitMix64, session: &Session) -> String {
    let text = rng.word(&[
        "BEGIN",
        "BEGIN",
        "START TRANSACTION",
        "START TRANSACTION READ ONLY",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "COMMIT",
        "COMMIT",
        "COMMIT WORK",
        "ROLLBACK",
        "ROLLBACK",
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "COMMIT AND NO CHAIN NO RELEASE",
        "SAVEPOINT a",
        "SAVEPOINT b",
        "ROLLBACK TO a",
        "ROLLBACK TO SAVEPOINT b",
        "RELEASE SAVEPOINT a",
        "SET autocommit = 0",
        "SET autocommit = 1",
        "SET @@autocommit = 0",
        "CREATE TABLE IF NOT EXISTS {}a.w0 (a INT)",
        "DROP TABLE IF EXISTS {}a.w0",
        "TRUNCATE {}a.log",
        "INSERT INTO {}a.t (id) VALUES (1)",
        "SELECT * FROM t WHERE id = 1 FOR UPDATE",
        "/*!50000 BEGIN */",
        "XA START 'db_x'",
        "XA END 'db_x'",
        "XA ROLLBACK 'db_x'",
        "XA COMMIT 'db_x' ONE PHASE",
    ]);
    session
        .own(text)
        .replace("db_x", &format!("db_{}", session.letter))
}

/// What keeps a backend, and what no longer does.
pub fn state(rng: &mut SplitMix64, session: &Session) -> String {
    let text = rng.word(&[
        "CREATE TEMPORARY TABLE tt (a INT)",
        "CREATE TEMPORARY TABLE IF NOT EXISTS {}a.tt AS SELECT 5 AS a",
        "INSERT INTO tt VALUES (1), (2)",
        "SELECT * FROM tt",
        "DROP TABLE tt",
        "DROP TEMPORARY TABLE IF EXISTS tt",
        "SELECT GET_LOCK('db_l', 0)",
        "SELECT RELEASE_LOCK('db_l')",
        "SELECT RELEASE_ALL_LOCKS()",
        "DO GET_LOCK('db_m', 0)",
        "LOCK TABLES {}a.t WRITE",
        "LOCK TABLES {}a.t READ, {}a.fixed READ",
        "UNLOCK TABLES",
        "HANDLER {}a.t OPEN AS h",
        "HANDLER h READ FIRST",
        "HANDLER h READ NEXT",
        "HANDLER h CLOSE",
        "USE {}a",
        "USE {}b",
        "USE nowhere",
        "CREATE DATABASE {}c",
        "USE {}c",
        "DROP DATABASE {}c",
        "SET ROLE oracle_r1",
        "SET ROLE NONE",
        "SET ROLE ALL",
        "FLUSH TABLES {}a.t WITH READ LOCK",
    ]);
    session
        .own(text)
        .replace("db_l", &format!("db_{}l", session.letter))
        .replace("db_m", &format!("db_{}m", session.letter))
}

/// Routines that do what no statement shows.
pub fn call(rng: &mut SplitMix64, session: &Session) -> String {
    let text = rng.word(&[
        "CALL {}a.p_set(300000)",
        "CALL p_set(400000)",
        "CALL {}a.p_user(5)",
        "CALL {}a.p_fail(350000)",
        "CALL {}a.p_commit('c')",
        "CALL {}a.p_begin('b')",
        "CALL {}a.p_results()",
        "CALL {}a.p_out(@x)",
        "CALL {}a.p_temporary()",
        "CALL {}a.p_mode()",
        "SELECT {}a.f_set(280000)",
        "SELECT {}a.f_user(6)",
        "SELECT {}a.f_insert('f')",
        "DO {}a.f_set(290000)",
        "CALL nowhere.p()",
    ]);
    session.own(text)
}

/// PREPARE and EXECUTE as texts, GET DIAGNOSTICS, and other rarities.
pub fn rare(rng: &mut SplitMix64, style: &Style, session: &Session) -> String {
    let text = match rng.below(22) {
        0 => "PREPARE q FROM 'SELECT ? + 1, @@sql_mode'".into(),
        1 => "PREPARE q FROM 'SET sort_buffer_size = 270000'".into(),
        2 | 3 => "EXECUTE q USING @y".into(),
        4 => "EXECUTE q".into(),
        5 => "DEALLOCATE PREPARE q".into(),
        6 | 7 => "GET DIAGNOSTICS @x = NUMBER, @y = ROW_COUNT".into(),
        8 => "GET DIAGNOSTICS CONDITION 1 @x = MESSAGE_TEXT".into(),
        9 if style.mariadb => {
            "SET STATEMENT sort_buffer_size = 310000 FOR SELECT @@sort_buffer_size".into()
        }
        9 => "SELECT /*+ SET_VAR(sort_buffer_size = 310000) */ @@sort_buffer_size".into(),
        10 if style.mariadb => "EXECUTE IMMEDIATE 'SET @y = 4'".into(),
        10 => "/*! SET @y = 3 */".into(),
        11 => "-- nothing".into(),
        12 => "SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'a warning'".into(),
        13 => rng
            .word(&[
                "SET session_track_state_change = 1",
                "SET session_track_state_change = 0",
                "SET session_track_schema = 0",
                "SET session_track_transaction_info = 'CHARACTERISTICS'",
                "SET session_track_transaction_info = 'STATE'",
                "SET session_track_system_variables = 'sql_mode,sort_buffer_size'",
                "SET session_track_system_variables = ''",
                "SELECT @@session_track_state_change, @@session_track_system_variables",
            ])
            .into(),
        14 => rng
            .word(&[
                "SET insert_id = 500",
                "SET last_insert_id = 900",
                "SET @@identity = 901",
                "SET rand_seed1 = 1, rand_seed2 = 2; SELECT RAND()",
                "SELECT RAND(3)",
            ])
            .into(),
        15 => "SELECT v INTO @x FROM t ORDER BY id LIMIT 1".into(),
        16 => "SELECT * FROM fixed ORDER BY a LIMIT 3; SELECT FOUND_ROWS()".into(),
        17 => "EXPLAIN SELECT * FROM fixed".into(),
        18 => "ANALYZE TABLE {}a.fixed".into(),
        19 => {
            "BEGIN; INSERT INTO {}a.t (v) VALUES ('q'); SELECT LAST_INSERT_ID() > 0; COMMIT".into()
        }
        _ => format!(
            "PREPARE q FROM '{}'",
            settings::several(rng, style).replace('\'', "''")
        ),
    };
    session.own(&text)
}

/// A text to be prepared, and how many parameters it has.
pub fn prepared(rng: &mut SplitMix64, style: &Style, session: &Session) -> (String, u8) {
    let (text, parameters): (String, u8) = match rng.below(16) {
        0 => ("SELECT ?, ? + 1".into(), 2),
        1 => ("SELECT * FROM t WHERE id = ?".into(), 1),
        2 => ("SELECT a, b FROM fixed ORDER BY a".into(), 0),
        3 => ("INSERT INTO {}a.t (v, n) VALUES (?, ?)".into(), 2),
        4 => ("UPDATE {}a.t SET v = ? WHERE id < ?".into(), 2),
        5 => (settings::several(rng, style), 0),
        6 => ("SET @x = ?".into(), 1),
        7 => ("SET @@sort_buffer_size = ?".into(), 1),
        8 => ("SELECT @@sql_mode, \"t\", DATABASE()".into(), 0),
        9 => ("SELECT \"t\" || ?".into(), 1),
        10 => ("CALL {}a.p_set(?)".into(), 1),
        11 => ("CALL {}a.p_results()".into(), 0),
        12 => (transaction(rng, session), 0),
        13 => ("SELECT * FROM t ORDER BY id".into(), 0),
        14 => (question(rng, style), 0),
        _ => (change(rng, session), 0),
    };
    (session.own(&text), parameters)
}
