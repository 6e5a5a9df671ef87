//! What queries and changes of data do and read besides.

use super::*;

#[test]
fn functions_of_the_server_are_harmless_and_others_are_not() {
    assert_pure(&[
        "SELECT abs(1), NOW(), COUNT(*), IF(a, b, c), LEFT('a', 1), REPLACE('a', 'b', 'c') FROM t",
        "select Concat_Ws('a', b), json_extract(c, '$.d'), INSERT('a', 1, 1, 'b')",
        "SELECT CAST(a AS DECIMAL(10, 2)), CONVERT(b USING utf8mb4), CHAR(65), CAST(c AS CHAR(3))",
        "SELECT a IN (1), EXISTS (SELECT 1), a = ANY (SELECT 1), a > SOME ((SELECT 1)), NOT (a), (a)",
        "SELECT a AND (b) OR (c) XOR (d), a BETWEEN (1) AND (2), a DIV (2), a MOD (3), a LIKE ('b')",
        "SELECT CASE WHEN (a) THEN (b) ELSE (c) END, INTERVAL (1) DAY + a",
        "SELECT SUM(a) OVER (PARTITION BY b ORDER BY c), RANK() OVER w FROM t WINDOW w AS (ORDER BY a)",
        "SELECT DISTINCT (a) FROM t USE INDEX (i) WHERE (a) GROUP BY (b) HAVING (c) ORDER BY (d) LIMIT 1",
        "SELECT * FROM a JOIN b USING (c) LEFT JOIN d ON (e) WHERE a.b = 1",
        "SELECT * FROM t PARTITION (p0, p1) AS x",
        "SELECT * FROM (SELECT 1) AS x (a)",
        "SELECT MATCH (a, b) AGAINST ('c' IN BOOLEAN MODE) FROM t",
        "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$.a')) AS j",
        "SELECT * FROM t, json_table(a, '$' COLUMNS (NESTED PATH '$.b' COLUMNS (c INT PATH '$'))) j",
        "SELECT POINT(1, 2), st_astext(polygon(a)) FROM t",
        "SELECT ROW_NUMBER () OVER (ORDER BY a) FROM t",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "WITH a (x, y) AS (SELECT 1, 2), b (z) AS (SELECT 3) SELECT * FROM a, b",
        "WITH RECURSIVE a (x) AS (SELECT 1 UNION ALL SELECT x FROM a) SELECT * FROM a",
        "SELECT * FROM (WITH a (x) AS (SELECT 1), b (y) AS (SELECT 2) SELECT 1) c",
        "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
        "VALUES ROW(1, 2), ROW(3, 4)",
        "TABLE t",
        "DO SLEEP(1)",
        "SELECT GROUP_CONCAT(a ORDER BY b SEPARATOR ',') FROM t",
        "SELECT current_user, CURRENT_TIMESTAMP(), utc_date",
        "SELECT get_lock, last_insert_id FROM t",
        "SELECT a.get_lock FROM a",
        "SELECT 1 AS get_lock",
    ]);
    assert_plain(
        &[Fact::CallsUnknown],
        &[
            "SELECT f(1)",
            "SELECT app.f(1)",
            "SELECT app.abs(1)",
            "SELECT abs(f(1))",
            "SELECT `f`(1)",
            "SELECT a f(1)",
            "SELECT SUM (1)",
            "SELECT any(1)",
            "SELECT a = any(b)",
            "SELECT against(1)",
            "SELECT a WITH ROLLUP, f (1)",
            "SELECT a FROM t GROUP BY a WITH ROLLUP, f (1)",
            "WITH a (x) AS (SELECT f(1)) SELECT 1",
            "WITH a AS (SELECT 1) SELECT 1, f (1)",
            "SELECT * FROM (WITH a AS (SELECT 1) SELECT 2) b, f (1)",
            "SELECT HIGH_PRIORITY f(1)",
            "SELECT a DIV f(1)",
            "SELECT 1 WHERE EXISTS (SELECT f(1))",
            "DO f(1)",
            "(SELECT f(1))",
        ],
    );
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[Fact::CallsUnknown],
        &[
            "SELECT json_table(1)",
            "SELECT point()",
            "SELECT rank () OVER ()",
        ],
    );
    assert_in(mysql(), &Effect::Plain, &[], &["SELECT rank () OVER ()"]);
    // MySQL 9 has it in a component only.
    assert_in(
        mysql(),
        &Effect::Plain,
        &[Fact::CallsUnknown],
        &["SELECT md5(a)"],
    );
    assert_in(
        Dialect::new(Family::MySql, 80036),
        &Effect::Plain,
        &[],
        &["SELECT md5(a)"],
    );
    // Of one family alone.
    assert_in(
        mysql(),
        &Effect::Plain,
        &[Fact::CallsUnknown],
        &["SELECT to_char(a)"],
    );
    assert_in(mariadb(), &Effect::Plain, &[], &["SELECT to_char(a)"]);
    assert_in(
        mariadb(),
        &Effect::Plain,
        &[Fact::CallsUnknown],
        &["SELECT any_value(a)"],
    );
}

#[test]
fn writes_are_told() {
    assert_plain(
        &[Fact::Writes],
        &[
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t (a, b) VALUES (1, now())",
            "INSERT t (a) VALUE (1)",
            "INSERT LOW_PRIORITY IGNORE INTO db.t PARTITION (p0) (a) VALUES (1), (2)",
            "INSERT DELAYED INTO t VALUES (1)",
            "INSERT INTO `t` (`a`) SELECT a FROM u",
            "INSERT INTO t (SELECT 1)",
            "INSERT INTO t ((SELECT 1))",
            "INSERT INTO t SET a = 1",
            "INSERT INTO t () VALUES ()",
            "INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a)",
            "INSERT INTO t (a) VALUES (1) AS new (x) ON DUPLICATE KEY UPDATE a = x",
            "REPLACE INTO t (a) VALUES (1)",
            "REPLACE t SELECT 1",
            "UPDATE t SET a = (1) WHERE b = 2",
            "DELETE FROM t WHERE a = 1",
            "WITH a (x) AS (SELECT 1) DELETE FROM t WHERE b IN (SELECT x FROM a)",
            "WITH a AS (SELECT 1) UPDATE t SET b = 1",
            "LOAD DATA INFILE 'f' INTO TABLE t (a, b)",
        ],
    );
    assert_plain(
        &[Fact::Writes, Fact::CallsUnknown],
        &[
            "INSERT INTO t (a) VALUES (f(1))",
            "INSERT INTO t (SELECT f(1))",
            "INSERT INTO t (a) SELECT f(1)",
            "INSERT INTO t SET a = f(1)",
            "REPLACE t VALUE (f(1))",
            "UPDATE t SET a = f(1)",
            "DELETE FROM t WHERE f(a)",
        ],
    );
    assert_plain(
        &[Fact::Writes, Fact::ReadsClientFile],
        &[
            "LOAD DATA LOCAL INFILE 'f' INTO TABLE t FIELDS TERMINATED BY ',' LINES TERMINATED BY '\\n' (a)",
            "load data concurrent local infile 'f' replace into table db.t",
            "LOAD XML LOCAL INFILE 'f' INTO TABLE t",
        ],
    );
    assert_plain(
        &[Fact::LocksRows],
        &[
            "SELECT 1 FROM t FOR UPDATE",
            "SELECT 1 FROM t FOR SHARE OF t SKIP LOCKED",
            "SELECT 1 FROM t LOCK IN SHARE MODE",
        ],
    );
    assert_plain(
        &[Fact::WritesFile],
        &[
            "SELECT 1 INTO OUTFILE 'f'",
            "SELECT 1 FROM t INTO DUMPFILE 'f'",
        ],
    );
}

#[test]
fn user_variables_are_told() {
    use Fact::{ReadsUserVariable as READS, WritesUserVariable as WRITES};
    assert_plain(
        &[READS],
        &[
            "SELECT @a",
            "SELECT @`a b`, @'x', @\"y\"",
            "SELECT 1 FROM t WHERE a = @a",
            "SELECT @a = 1",
            "SELECT @größe",
        ],
    );
    assert_plain(
        &[WRITES],
        &[
            "SELECT @a := 1",
            "SELECT @a/* c */:=/* c */1",
            "SELECT 1, 2 INTO @a, @b",
            "SELECT 1 INTO @a FROM t",
            "DO @a := 1",
            "SELECT 1 FROM t INTO @'a'",
        ],
    );
    assert_plain(
        &[READS, WRITES],
        &[
            "SELECT @a := @a + 1",
            "SELECT @b INTO @a",
            "SELECT 1 INTO @a FROM t WHERE a = @b",
        ],
    );
    assert_plain(
        &[Fact::Writes, READS, WRITES],
        &[
            "LOAD DATA INFILE 'f' INTO TABLE t (a, @b) SET c = @b",
            "INSERT INTO t SELECT @a := @b",
            "UPDATE t SET a = (@b := @b + 1)",
        ],
    );
    for sql in ["CALL p(@a)", "CALL db.p (1, @a)"] {
        let statement = one(sql, mysql());
        assert!(statement.is_opaque());
        assert!(
            statement.facts.has(READS) && statement.facts.has(WRITES),
            "{sql}"
        );
    }
}

#[test]
fn what_a_session_keeps_between_statements_is_told() {
    for (fact, sql) in [
        (Fact::ReadsLastInsertId, "SELECT LAST_INSERT_ID()"),
        (Fact::ReadsLastInsertId, "SELECT last_insert_id ( )"),
        (
            Fact::SetsLastInsertId,
            "SELECT LAST_INSERT_ID(a + 1) FROM t",
        ),
        (Fact::ReadsRowCount, "SELECT ROW_COUNT()"),
        (Fact::ReadsFoundRows, "SELECT FOUND_ROWS()"),
        (
            Fact::CountsFoundRows,
            "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1",
        ),
        (Fact::CountsFoundRows, "select sql_calc_found_rows a from t"),
        (Fact::ReadsConnectionId, "SELECT CONNECTION_ID()"),
        (Fact::ReadsConnectionId, "SELECT IS_USED_LOCK('a')"),
        (Fact::TakesNamedLock, "SELECT GET_LOCK('a', 1)"),
        (Fact::TakesNamedLock, "DO get_lock/**/('a', 1)"),
        (Fact::TakesNamedLock, "SELECT 1 /*! , GET_LOCK('a', 1) */"),
        (Fact::ReleasesNamedLock, "SELECT RELEASE_LOCK('a')"),
        (Fact::ReleasesNamedLocks, "DO RELEASE_ALL_LOCKS()"),
    ] {
        assert_plain(&[fact], &[sql]);
    }
    for (fact, sql) in [
        (Fact::ReadsLastInsertId, "SELECT @@identity"),
        (Fact::ReadsLastInsertId, "SELECT @@session.last_insert_id"),
        (Fact::ReadsLastInsertId, "SELECT @@`identity`"),
        (Fact::ReadsDiagnostics, "SELECT @@warning_count"),
        (Fact::ReadsDiagnostics, "SELECT @@LOCAL . error_count"),
        (Fact::ReadsConnectionId, "SELECT @@pseudo_thread_id"),
    ] {
        assert_plain(&[fact, Fact::ReadsSystemVariable], &[sql]);
    }
    assert_plain(
        &[Fact::ReadsSystemVariable],
        &[
            "SELECT @@sql_mode",
            "SELECT @@session.time_zone",
            "SELECT @@a.b",
        ],
    );
    assert_pure(&["SELECT @@global.sql_mode", "SELECT @@GLOBAL.identity"]);
    let hidden = one("SELECT `get_lock`('a', 1)", mysql()).facts;
    assert!(hidden.has(Fact::TakesNamedLock));
    let written = one("INSERT INTO t (a) VALUES (LAST_INSERT_ID(5))", mysql()).facts;
    assert_eq!(
        written,
        Facts::of_all(&[Fact::Writes, Fact::SetsLastInsertId])
    );
    for sql in [
        "SELECT service_get_read_locks('a', 'b', 1)",
        "SELECT version_tokens_lock_shared('a', 1)",
    ] {
        let facts = one(sql, mysql()).facts;
        assert!(
            facts.has(Fact::TakesServiceLock) && facts.has(Fact::CallsUnknown),
            "{sql}"
        );
    }
}

#[test]
fn sequences_are_mariadbs() {
    for (fact, sql) in [
        (Fact::UsesSequence, "SELECT NEXTVAL(s)"),
        (Fact::UsesSequence, "SELECT NEXT VALUE FOR s"),
        (Fact::UsesSequence, "SELECT SETVAL(s, 1)"),
        (Fact::ReadsSequence, "SELECT LASTVAL(s)"),
        (Fact::ReadsSequence, "SELECT PREVIOUS VALUE FOR s"),
    ] {
        assert_in(mariadb(), &Effect::Plain, &[fact], &[sql]);
    }
    assert_opaque(mysql(), &["SELECT NEXTVAL(s)", "SELECT LASTVAL(s)"]);
    let oracle = Dialect {
        modes: Modes::of_sql_mode("ORACLE"),
        ..mariadb()
    };
    assert_in(
        oracle,
        &Effect::Plain,
        &[Fact::UsesSequence],
        &["SELECT s.nextval"],
    );
    assert_in(
        oracle,
        &Effect::Plain,
        &[Fact::ReadsSequence],
        &["SELECT s.currval"],
    );
    assert_in(mariadb(), &Effect::Plain, &[], &["SELECT s.currval"]);
}
