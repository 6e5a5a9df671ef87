//! Statements of every kind, and every kind of state that a session can hold, with the effect that stands for it.

use super::*;

const COMMITS: &[Fact] = &[Fact::CommitsImplicitly];

fn begin(read_only: Option<bool>, snapshot: bool) -> Effect {
    Effect::Begin {
        read_only,
        snapshot,
    }
}

fn name(name: &str) -> Name {
    Name {
        database: None,
        name: name.to_owned(),
    }
}

#[test]
fn transactions_begin_and_end() {
    assert_each(
        &begin(None, false),
        COMMITS,
        &[
            "BEGIN",
            "begin work",
            "START TRANSACTION",
            "/* c */ bEgIn ;",
        ],
    );
    assert_each(
        &begin(Some(true), false),
        COMMITS,
        &["START TRANSACTION READ ONLY"],
    );
    assert_each(
        &begin(None, true),
        COMMITS,
        &["START TRANSACTION WITH CONSISTENT SNAPSHOT"],
    );
    assert_each(
        &begin(Some(false), true),
        COMMITS,
        &["start transaction with consistent snapshot, read write"],
    );
    let ends = |chain, release| Completion { chain, release };
    for (tail, completion) in [
        ("", ends(None, None)),
        (" WORK", ends(None, None)),
        (" AND CHAIN", ends(Some(true), None)),
        (" WORK AND NO CHAIN", ends(Some(false), None)),
        (" RELEASE", ends(None, Some(true))),
        (" AND CHAIN NO RELEASE", ends(Some(true), Some(false))),
        (" AND NO CHAIN RELEASE", ends(Some(false), Some(true))),
    ] {
        assert_each(
            &Effect::Commit(completion),
            &[],
            &[&format!("COMMIT{tail}")],
        );
        assert_each(
            &Effect::Rollback(completion),
            &[],
            &[&format!("rollback{tail}")],
        );
    }
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "COMMIT x",
                "COMMIT AND",
                "ROLLBACK NO",
                "BEGIN x",
                "START TRANSACTION x",
                "END",
            ],
        );
    }
}

#[test]
fn savepoints_are_named_without_case() {
    let a = || "a b".to_owned();
    assert_each(&Effect::Savepoint(a()), &[], &["SAVEPOINT `A b`"]);
    assert_each(
        &Effect::RollbackTo(a()),
        &[],
        &["ROLLBACK TO `a B`", "ROLLBACK WORK TO SAVEPOINT `a b`"],
    );
    assert_each(&Effect::Release(a()), &[], &["RELEASE SAVEPOINT `a b`"]);
    assert_each(
        &Effect::RollbackTo("savepoint".to_owned()),
        &[],
        &["ROLLBACK TO savepoint"],
    );
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "SAVEPOINT",
                "SAVEPOINT é",
                "SAVEPOINT a b",
                "RELEASE a",
                "ROLLBACK TO",
            ],
        );
    }
}

#[test]
fn distributed_transactions_are_told() {
    for (text, xa) in [
        ("XA START 'a'", Xa::Start),
        ("XA BEGIN 'a', 'b', 1 JOIN", Xa::Start),
        ("XA END 'a'", Xa::End),
        ("XA PREPARE 'a'", Xa::Prepare),
        ("XA COMMIT 'a' ONE PHASE", Xa::Commit),
        ("xa rollback x'61'", Xa::Rollback),
        ("XA RECOVER CONVERT XID", Xa::Recover),
    ] {
        assert_each(&Effect::Xa(xa), &[], &[text]);
    }
}

#[test]
fn databases_are_chosen() {
    assert_each(
        &Effect::Use("App".to_owned()),
        &[],
        &["USE App", "use `App`;"],
    );
    for dialect in both() {
        assert_opaque(dialect, &["USE", "USE a b", "USE 'a'"]);
    }
}

#[test]
fn temporary_tables_come_and_go() {
    let t = || Effect::CreateTemporary(name("t"));
    assert_each(
        &t(),
        &[],
        &[
            "CREATE TEMPORARY TABLE t (a INT, b VARCHAR(10), KEY k (a))",
            "create temporary table if not exists `t` like u",
            "CREATE TEMPORARY TABLE t SELECT 1",
            "CREATE TEMPORARY TABLE t (SELECT 1)",
            "CREATE TEMPORARY TABLE t ((SELECT 1) UNION (SELECT 2))",
            "CREATE TEMPORARY TABLE t (a INT) (SELECT 1)",
            "CREATE TEMPORARY TABLE t AS SELECT 1",
            "CREATE TEMPORARY TABLE t (a INT) ENGINE = MEMORY",
            "CREATE/* */TEMPORARY/*! TABLE */t (a INT)",
        ],
    );
    assert_each(
        &t(),
        &[Fact::CallsUnknown],
        &["CREATE TEMPORARY TABLE t (a INT) SELECT f(1)"],
    );
    assert_each(
        &t(),
        &[Fact::WritesUserVariable],
        &["CREATE TEMPORARY TABLE t SELECT @a := 1"],
    );
    assert_in(
        mariadb(),
        &t(),
        &[],
        &[
            "CREATE OR REPLACE TEMPORARY TABLE t (a INT)",
            "CREATE TEMPORARY SEQUENCE t",
        ],
    );
    let drops = |names: &[&str], temporary| Effect::DropTables {
        names: names.iter().map(|table| name(table)).collect(),
        temporary,
    };
    assert_each(
        &drops(&["t"], true),
        &[],
        &[
            "DROP TEMPORARY TABLE t",
            "DROP TEMPORARY TABLE IF EXISTS `t` RESTRICT",
        ],
    );
    assert_each(
        &drops(&["t", "u"], false),
        COMMITS,
        &["DROP TABLE t, u", "DROP TABLES IF EXISTS t, u CASCADE"],
    );
    assert_each(
        &Effect::DropTables {
            names: vec![Name {
                database: Some("d".to_owned()),
                name: "t".to_owned(),
            }],
            temporary: false,
        },
        COMMITS,
        &["DROP TABLE d.t", "DROP TABLE `d` . t"],
    );
    let renames = &[Fact::CommitsImplicitly, Fact::RenamesTables];
    assert_plain(
        renames,
        &[
            "RENAME TABLE t TO u",
            "ALTER TABLE t ADD a INT, RENAME TO u",
            "ALTER TABLE t RENAME u",
        ],
    );
    assert_plain(
        COMMITS,
        &[
            "ALTER TABLE t RENAME COLUMN a TO b",
            "ALTER TABLE t RENAME INDEX a TO b, ADD c INT",
        ],
    );
}

#[test]
fn locks_are_taken_and_released() {
    assert_each(
        &Effect::Lock(Lock::Tables),
        COMMITS,
        &[
            "LOCK TABLES t READ",
            "LOCK TABLE t AS a WRITE, u READ LOCAL",
        ],
    );
    assert_each(
        &Effect::Unlock(Lock::Tables),
        &[],
        &["UNLOCK TABLES", "unlock table"],
    );
    let flushes = &[Fact::CommitsImplicitly, Fact::Administers];
    assert_each(
        &Effect::Lock(Lock::Global),
        flushes,
        &[
            "FLUSH TABLES WITH READ LOCK",
            "FLUSH LOCAL TABLES WITH READ LOCK",
            "FLUSH NO_WRITE_TO_BINLOG TABLES WITH READ LOCK",
        ],
    );
    assert_each(
        &Effect::Lock(Lock::Tables),
        flushes,
        &[
            "FLUSH TABLES t WITH READ LOCK",
            "FLUSH TABLES t, d.u FOR EXPORT",
        ],
    );
    assert_plain(
        flushes,
        &[
            "FLUSH TABLES",
            "FLUSH TABLES t",
            "FLUSH PRIVILEGES",
            "FLUSH LOGS",
        ],
    );
    assert_each(
        &Effect::Lock(Lock::Instance),
        &[],
        &["LOCK INSTANCE FOR BACKUP"],
    );
    assert_each(&Effect::Unlock(Lock::Instance), &[], &["UNLOCK INSTANCE"]);
    let administers = &[Fact::Administers];
    assert_each(
        &Effect::Lock(Lock::BackupStage),
        administers,
        &["BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT"],
    );
    assert_each(
        &Effect::Unlock(Lock::BackupStage),
        administers,
        &["BACKUP STAGE END"],
    );
    assert_each(
        &Effect::Lock(Lock::BackupTable),
        administers,
        &["BACKUP LOCK t"],
    );
    assert_each(
        &Effect::Unlock(Lock::BackupTable),
        administers,
        &["BACKUP UNLOCK"],
    );
}

#[test]
fn handlers_are_opened_read_and_closed() {
    let does = |table: &str, does| Effect::Handler {
        name: name(table),
        does,
    };
    assert_each(&does("t", WithTable::Open), &[], &["HANDLER t OPEN"]);
    assert_each(
        &does("a", WithTable::Open),
        &[],
        &["HANDLER t OPEN AS a", "HANDLER d.t OPEN a"],
    );
    assert_each(
        &does("t", WithTable::Read),
        &[],
        &["HANDLER t READ FIRST WHERE a = 1 LIMIT 2"],
    );
    assert_each(
        &does("t", WithTable::Read),
        &[Fact::CallsUnknown],
        &["HANDLER t READ NEXT WHERE f(a)"],
    );
    assert_each(&does("t", WithTable::Close), &[], &["HANDLER t CLOSE"]);
}

#[test]
fn kills_name_their_victims() {
    let kill = |query_only, whom| Effect::Kill(Kill { query_only, whom });
    assert_each(
        &kill(false, Killed::Connection(5)),
        &[],
        &["KILL 5", "KILL CONNECTION 5", "KILL HARD CONNECTION 5"],
    );
    assert_each(
        &kill(true, Killed::Connection(5)),
        &[],
        &["KILL QUERY 5", "kill soft query 5"],
    );
    assert_each(&kill(true, Killed::Query(5)), &[], &["KILL QUERY ID 5"]);
    assert_each(
        &kill(false, Killed::Computed),
        &[Fact::ReadsConnectionId],
        &["KILL CONNECTION_ID()"],
    );
    assert_each(
        &kill(true, Killed::Computed),
        &[Fact::ReadsUserVariable],
        &["KILL QUERY @a"],
    );
    assert_each(
        &kill(false, Killed::Computed),
        &[],
        &["KILL 5 + 1", "KILL 99999999999999999999999999"],
    );
    assert_each(
        &kill(false, Killed::User),
        &[],
        &["KILL USER a@b", "KILL CONNECTION USER 'a'"],
    );
}

#[test]
fn diagnostics_are_read_and_kept() {
    let reads = &[Fact::ReadsDiagnostics, Fact::KeepsDiagnostics];
    assert_plain(
        reads,
        &[
            "SHOW WARNINGS",
            "show errors limit 1",
            "SHOW COUNT(*) WARNINGS",
            "SHOW COUNT(*) ERRORS",
        ],
    );
    for text in [
        "GET DIAGNOSTICS @a = NUMBER",
        "GET CURRENT DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT",
    ] {
        let facts = one(text, mysql()).facts;
        let does = [
            Fact::ReadsDiagnostics,
            Fact::KeepsDiagnostics,
            Fact::WritesUserVariable,
        ];
        assert!(does.into_iter().all(|fact| facts.has(fact)), "{text}");
    }
}

#[test]
fn shows_tell_what_they_show() {
    assert_plain(
        &[Fact::ReadsCounters],
        &[
            "SHOW STATUS",
            "SHOW SESSION STATUS LIKE 'a'",
            "SHOW PROFILES",
            "SHOW PROFILE FOR QUERY 1",
        ],
    );
    assert_plain(
        &[Fact::ReadsSystemVariable],
        &["SHOW VARIABLES", "SHOW LOCAL VARIABLES LIKE 'a%'"],
    );
    assert_plain(
        &[Fact::ReadsConnectionId],
        &["SHOW PROCESSLIST", "SHOW FULL PROCESSLIST"],
    );
    assert_pure(&[
        "SHOW TABLES",
        "SHOW GLOBAL STATUS",
        "SHOW GLOBAL VARIABLES",
        "SHOW CREATE TABLE t",
        "SHOW GRANTS FOR a@b",
        "SHOW CREATE USER 'a'@'b'",
        "SHOW DATABASES",
        "SHOW INDEX FROM t",
        "SHOW COLUMNS FROM t WHERE Field IN ('a')",
    ]);
    assert_plain(&[Fact::CallsUnknown], &["SHOW TABLES WHERE f(1)"]);
}

#[test]
fn explained_statements_are_walked() {
    assert_pure(&[
        "EXPLAIN SELECT 1",
        "DESC t",
        "DESCRIBE t a",
        "EXPLAIN t",
        "EXPLAIN FORMAT=JSON SELECT 1",
        "EXPLAIN EXTENDED SELECT 1",
        "EXPLAIN FORMAT = TREE (SELECT 1)",
        "EXPLAIN ANALYZE SELECT 1",
    ]);
    assert_plain(
        &[Fact::CallsUnknown],
        &[
            "EXPLAIN SELECT f(1)",
            "EXPLAIN ANALYZE FORMAT=TREE SELECT f(1)",
        ],
    );
    assert_plain(
        &[Fact::Writes],
        &[
            "EXPLAIN INSERT INTO t (a) VALUES (1)",
            "EXPLAIN UPDATE t SET a = 1",
        ],
    );
    assert_plain(
        &[Fact::WritesUserVariable],
        &["EXPLAIN FORMAT=JSON INTO @a SELECT 1"],
    );
    assert_plain(
        &[Fact::NamesConnection],
        &[
            "EXPLAIN FOR CONNECTION 5",
            "EXPLAIN FORMAT=JSON FOR CONNECTION 5",
        ],
    );
    assert_plain(&[Fact::CallsUnknown], &["EXPLAIN FOR SCHEMA a SELECT f(1)"]);
    assert_plain(
        COMMITS,
        &[
            "ANALYZE TABLE t",
            "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
            "ANALYZE LOCAL TABLE t",
        ],
    );
    assert_plain(
        &[Fact::Writes],
        &[
            "ANALYZE UPDATE t SET a = 1",
            "ANALYZE FORMAT=JSON INSERT INTO t (a) VALUES (1)",
        ],
    );
}

#[test]
fn definitions_commit_and_leave_the_session_alone() {
    assert_plain(
        COMMITS,
        &[
            "CREATE TABLE t (a INT DEFAULT (f(1)), b DECIMAL(3), CHECK (g(a)))",
            "CREATE TABLE t (a INT) PARTITION BY HASH (a)",
            "CREATE TABLE t LIKE u",
            "CREATE TABLE t (a INT) AS SELECT 1",
            "CREATE DATABASE d",
            "CREATE OR REPLACE VIEW v AS SELECT f(1)",
            "CREATE UNIQUE INDEX i ON t (a)",
            "DROP DATABASE d",
            "DROP INDEX i ON t",
            "DROP PROCEDURE IF EXISTS p",
            "ALTER TABLE t ADD COLUMN a INT, ADD KEY k (a)",
            "TRUNCATE TABLE t",
            "TRUNCATE t",
            "OPTIMIZE TABLE t",
            "REPAIR TABLE t",
            "CHECK TABLE t",
            "CHECKSUM TABLE t",
        ],
    );
    assert_plain(
        &[Fact::CommitsImplicitly, Fact::CallsUnknown],
        &["CREATE TABLE t SELECT f(1)"],
    );
    let accounts = &[Fact::CommitsImplicitly, Fact::ChangesAccounts];
    assert_plain(
        accounts,
        &[
            "GRANT SELECT ON *.* TO a@b",
            "REVOKE ALL ON d.* FROM 'a'@'b'",
            "CREATE USER a@b IDENTIFIED BY 'c'",
            "DROP USER a@b",
            "ALTER USER a@b IDENTIFIED BY 'c'",
            "RENAME USER a TO b",
            "CREATE ROLE r",
            "DROP ROLE r",
        ],
    );
    let administers = &[Fact::CommitsImplicitly, Fact::Administers];
    assert_plain(
        administers,
        &[
            "INSTALL PLUGIN a SONAME 'b'",
            "UNINSTALL COMPONENT 'a'",
            "SHUTDOWN",
            "RESTART",
            "CHANGE MASTER TO MASTER_HOST = 'a'",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'a'",
            "START REPLICA",
            "START SLAVE",
            "STOP REPLICA",
            "RESET MASTER",
            "PURGE BINARY LOGS TO 'a'",
            "CACHE INDEX t IN c",
            "LOAD INDEX INTO CACHE t",
        ],
    );
    let binlog = one("BINLOG 'abc'", mysql());
    assert!(binlog.is_opaque() && binlog.facts.has(Fact::Replicates));
}

#[test]
fn what_nobody_knows_is_opaque() {
    for dialect in both() {
        assert_opaque(
            dialect,
            &[
                "nonsense",
                "DELIMITER $$",
                "1",
                "'a'",
                "FETCH c INTO a",
                "OPEN c",
                "RETURN 1",
                "RESIGNAL",
                "DISCARD ALL",
                "@a := 1",
                "CALL p",
                "CALL p()",
                "`SELECT` 1",
            ],
        );
        let facts = one("nonsense GET_LOCK('a', 1), @b", dialect).facts;
        assert!(facts.has(Fact::TakesNamedLock) && facts.has(Fact::ReadsUserVariable));
    }
    let called = one("CALL d . p(GET_LOCK('a', 1))", mysql());
    assert_eq!(
        called.facts,
        Facts::of_all(&[Fact::CallsUnknown, Fact::TakesNamedLock])
    );
}
