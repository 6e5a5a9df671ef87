//! What the databases of a bench hold: tables, routines and triggers whose answers depend on the settings of who asks, and such that
//! change settings where no statement shows it.
//!
//! Each session of a program has two databases of its own, `a` and `b`, and may make a third, `c`: no session waits for another.

use super::player::MARK;

/// Sessions of a program: two clients and a neighbour.
pub const SESSIONS: [&str; 3] = ["0", "1", "n"];

/// Statements that make all databases of a side.
pub fn make() -> Vec<String> {
    let mut all = Vec::new();
    for session in SESSIONS {
        for database in ["a", "b"] {
            let name = format!("{MARK}{session}{database}");
            all.push(format!("DROP DATABASE IF EXISTS {name}"));
            all.push(format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            ));
            let objects = if database == "a" {
                &OBJECTS[..]
            } else {
                &OTHERS[..]
            };
            all.extend(objects.iter().map(|sql| sql.replace("{d}", &name)));
        }
    }
    all
}

/// Statements that put a session's databases in order, whatever it did.
pub fn restore(session: &str) -> Vec<String> {
    let name = format!("{MARK}{session}");
    let mut all = vec![
        format!("DROP DATABASE IF EXISTS {name}c"),
        format!("DROP TABLE IF EXISTS {name}a.w0, {name}a.w1, {name}b.w0, {name}b.w1"),
    ];
    let rows = RESTORE
        .iter()
        .map(|sql| sql.replace("{d}", &format!("{name}a")));
    all.extend(rows);
    all
}

/// The same with tables that begin to count from 1 again.
pub fn restore_counters(session: &str) -> Vec<String> {
    let name = format!("{MARK}{session}a");
    let mut all: Vec<String> = ["log", "seen", "t"]
        .iter()
        .map(|table| format!("TRUNCATE TABLE {name}.{table}"))
        .collect();
    all.extend(restore(session));
    all
}

const RESTORE: [&str; 4] = [
    "DELETE FROM {d}.log",
    "DELETE FROM {d}.seen",
    "DELETE FROM {d}.t",
    "INSERT INTO {d}.t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', NULL)",
];

const OBJECTS: [&str; 18] = [
    "CREATE TABLE {d}.t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(40), n INT) AUTO_INCREMENT = 101",
    "CREATE TABLE {d}.log (id INT AUTO_INCREMENT PRIMARY KEY, said VARCHAR(80))",
    "CREATE TABLE {d}.seen (id INT AUTO_INCREMENT PRIMARY KEY, k VARCHAR(20) UNIQUE, v VARCHAR(80))",
    "CREATE TABLE {d}.fixed (a INT, b VARCHAR(20))",
    "INSERT INTO {d}.fixed VALUES (1, 'first'), (2, 'second'), (3, NULL), (4, 'fourth'), (5, 'fifth')",
    "CREATE PROCEDURE {d}.p_set(v INT) SET sort_buffer_size = v",
    "CREATE PROCEDURE {d}.p_user(v INT) SET @x = v",
    "CREATE PROCEDURE {d}.p_fail(v INT) BEGIN SET sort_buffer_size = v; SET @x = v; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'raised'; END",
    "CREATE PROCEDURE {d}.p_commit(v VARCHAR(40)) BEGIN INSERT INTO {d}.log (said) VALUES (v); COMMIT; END",
    "CREATE PROCEDURE {d}.p_begin(v VARCHAR(40)) BEGIN START TRANSACTION; INSERT INTO {d}.log (said) VALUES (v); END",
    "CREATE PROCEDURE {d}.p_results() BEGIN SELECT 1 AS one; SELECT 2 AS two; SET div_precision_increment = 7; END",
    "CREATE PROCEDURE {d}.p_out(OUT o INT) SET o = 42",
    "CREATE PROCEDURE {d}.p_temporary() BEGIN DROP TEMPORARY TABLE IF EXISTS tt; CREATE TEMPORARY TABLE tt AS SELECT 7 AS a; END",
    "CREATE PROCEDURE {d}.p_mode() BEGIN SET SESSION sql_mode = 'ANSI_QUOTES'; SELECT @@sql_mode; END",
    "CREATE FUNCTION {d}.f_set(v INT) RETURNS INT NO SQL BEGIN SET @@session.sort_buffer_size = v; RETURN v; END",
    "CREATE FUNCTION {d}.f_user(v INT) RETURNS INT NO SQL BEGIN SET @x = v; RETURN v; END",
    "CREATE FUNCTION {d}.f_insert(v VARCHAR(40)) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO {d}.log (said) VALUES (v); RETURN LAST_INSERT_ID(); END",
    "CREATE TRIGGER {d}.tr BEFORE INSERT ON {d}.seen FOR EACH ROW BEGIN SET @seen = NEW.v; IF NEW.k = 'set' THEN SET @@session.div_precision_increment = 9; END IF; END",
];

const OTHERS: [&str; 3] = [
    "CREATE TABLE {d}.t (a VARCHAR(40))",
    "INSERT INTO {d}.t VALUES ('the other t')",
    "CREATE PROCEDURE {d}.p_set(v INT) SET max_sort_length = 100 + v",
];
