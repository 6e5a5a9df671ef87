//! Where statements end that have others inside.

use super::*;

/// What stands behind must be found, and nothing of what stands inside.
fn assert_whole(dialect: Dialect, definitions: &[&str]) {
    for sql in definitions {
        let alone = statements(sql, dialect);
        assert_eq!(alone.len(), 1, "{sql}: {alone:?}");
        assert!(!alone[0].facts.has(Fact::Unreadable), "{sql}: {alone:?}");
        let text = format!("SELECT 1; {sql}");
        assert_eq!(statements(&text, dialect).len(), 2, "{sql}");
    }
}

#[test]
fn routines_end_where_their_bodies_end() {
    let definitions = &[
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE PROCEDURE p() BEGIN END",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END",
        "CREATE PROCEDURE p(IN a INT, OUT b INT) BEGIN SELECT 1; SELECT 2; END",
        "CREATE DEFINER = root@localhost PROCEDURE p() BEGIN SELECT 1; END",
        "CREATE DEFINER = CURRENT_USER() FUNCTION f() RETURNS INT DETERMINISTIC BEGIN RETURN 1; END",
        "CREATE DEFINER=`a`@`%` TRIGGER t BEFORE INSERT ON u FOR EACH ROW BEGIN SET NEW.a = 1; END",
        "CREATE TRIGGER t AFTER UPDATE ON u FOR EACH ROW INSERT INTO v VALUES (1)",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; END",
        "CREATE EVENT IF NOT EXISTS e ON SCHEDULE AT now() DO SELECT 1",
        "CREATE PROCEDURE p() x: BEGIN LEAVE x; END x",
        "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; ELSEIF b THEN SELECT 2; ELSE SELECT 3; END IF; END",
        "CREATE PROCEDURE p() IF a THEN SELECT 1; END IF",
        "CREATE PROCEDURE p() BEGIN IF (a = 1) THEN SELECT 1; END IF; END",
        "CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE; END",
        "CREATE PROCEDURE p() BEGIN SELECT CASE WHEN a THEN 1 ELSE IF(b, 1, 2) END; END",
        "CREATE PROCEDURE p() SELECT CASE a WHEN 1 THEN IF(b, 1, 2) ELSE CASE WHEN c THEN 3 END END",
        "CREATE PROCEDURE p() BEGIN x: LOOP SELECT 1; LEAVE x; END LOOP x; END",
        "CREATE PROCEDURE p() BEGIN WHILE a < 5 DO SET a = a + 1; END WHILE; END",
        "CREATE PROCEDURE p() BEGIN REPEAT SET a = a + 1; UNTIL a > 5 END REPEAT; END",
        "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; END; SELECT 1; END",
        "CREATE PROCEDURE p() BEGIN DECLARE a INT DEFAULT IF(1, 2, 3); BEGIN BEGIN END; END; END",
        "CREATE PROCEDURE p() BEGIN SELECT begin, `end` FROM t; END",
        "CREATE PROCEDURE p() BEGIN SELECT REPEAT('a', 3), IF(a, b, c); END",
        "CREATE PROCEDURE p() SELECT IF(a, b, c), REPEAT('a', 3)",
        "CREATE PROCEDURE p() COMMENT 'BEGIN; x' BEGIN SELECT 'END; END'; END",
        "CREATE PROCEDURE p() BEGIN /* END; */ SELECT 1; -- END;\n END",
        "CREATE PROCEDURE IF NOT EXISTS p() BEGIN SELECT 1; END",
        "CREATE PROCEDURE begin() BEGIN SELECT 1; END",
        "ALTER EVENT e DO BEGIN SELECT 1; END",
    ];
    for dialect in both() {
        assert_whole(dialect, definitions);
    }
    assert_whole(
        mariadb(),
        &[
            "CREATE OR REPLACE PROCEDURE p() BEGIN SELECT 1; END",
            "CREATE AGGREGATE FUNCTION f(a INT) RETURNS INT BEGIN LOOP FETCH GROUP NEXT ROW; END LOOP; END",
            "CREATE PROCEDURE p() BEGIN FOR i IN 1..3 DO SELECT i; END FOR; END",
            "BEGIN NOT ATOMIC SELECT 1; SET @a = 1; END",
            "BEGIN NOT ATOMIC END",
            "x: BEGIN NOT ATOMIC SELECT 1; END x",
            "IF a THEN SELECT 1; SELECT 2; END IF",
            "WHILE a DO SELECT 1; END WHILE",
            "x: LOOP SELECT 1; LEAVE x; END LOOP",
            "FOR i IN 1..3 DO SELECT i; END FOR",
            "CASE a WHEN 1 THEN SELECT 1; END CASE",
            "REPEAT SELECT 1; UNTIL a END REPEAT",
        ],
    );
}

#[test]
fn what_follows_a_routine_is_found() {
    let sql = "CREATE PROCEDURE p() SELECT 1; SELECT GET_LOCK('a', 1)";
    let all = statements(sql, mysql());
    assert_eq!(all.len(), 2);
    assert!(all[1].facts.has(Fact::TakesNamedLock));
    // Behind a body with statements nothing is trusted.
    for sql in [
        "CREATE PROCEDURE p() BEGIN SELECT 1; END; SELECT GET_LOCK('a', 1)",
        "CREATE TRIGGER begin BEFORE INSERT ON begin FOR EACH ROW SET @a = 1; SELECT GET_LOCK('a', 1); END",
        "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2",
        "CREATE PROCEDURE p() BEGIN SELECT (1; END",
        "CREATE PROCEDURE p() IF a THEN SELECT 1; SELECT 2",
    ] {
        for dialect in both() {
            assert!(
                classify(sql.as_bytes(), dialect).statements()[0].is_opaque()
                    || classify(sql.as_bytes(), dialect)
                        .facts()
                        .has(Fact::TakesNamedLock),
                "{sql}"
            );
        }
    }
}

#[test]
fn blocks_are_opaque() {
    for sql in [
        "BEGIN NOT ATOMIC SELECT 1; END",
        "IF a THEN SELECT 1; END IF",
        "x: LOOP SELECT 1; END LOOP",
    ] {
        for dialect in both() {
            assert!(statements(sql, dialect)[0].is_opaque(), "{sql}");
        }
    }
    let oracle = Dialect {
        modes: Modes::of_sql_mode("ORACLE"),
        ..mariadb()
    };
    for sql in [
        "BEGIN SELECT 1; END; SELECT 2",
        "DECLARE a INT; BEGIN SELECT 1; END",
    ] {
        let statement = one(sql, oracle);
        assert!(
            statement.is_opaque() && statement.facts.has(Fact::Unreadable),
            "{sql}"
        );
    }
}

#[test]
fn deep_nesting_is_bounded() {
    for depth in [10, 63, 64, 65, 70, 1000] {
        let sql = format!(
            "CREATE PROCEDURE p() {} {}",
            "BEGIN ".repeat(depth),
            "END; ".repeat(depth)
        );
        assert!(statements(&sql, mysql())[0].is_opaque());
        let sql = format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        assert!(one(&sql, mysql()).is_pure());
        let sql = format!(
            "SELECT {}evil(){}",
            "CASE WHEN (".repeat(depth),
            ") THEN 1 END".repeat(depth)
        );
        assert!(one(&sql, mysql()).facts.has(Fact::CallsUnknown));
    }
}
