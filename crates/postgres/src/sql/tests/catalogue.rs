//! Statements of every kind, and every kind of state that a session can hold, with the effect that stands for it.

use super::*;

const COMMIT: Effect = Effect::Commit { chain: false };
const ROLLBACK: Effect = Effect::Rollback { chain: false };

#[test]
fn transactions_begin_and_end() {
    assert_each(
        &Effect::Begin,
        &[
            "BEGIN",
            "begin work",
            "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
            "START TRANSACTION",
            "/* c */ bEgIn /* c */ ;",
        ],
    );
    assert_each(
        &COMMIT,
        &[
            "COMMIT",
            "commit work",
            "COMMIT TRANSACTION",
            "END",
            "END WORK",
            "COMMIT AND NO CHAIN",
        ],
    );
    assert_each(
        &Effect::Commit { chain: true },
        &["COMMIT AND CHAIN", "END WORK AND CHAIN"],
    );
    assert_each(
        &ROLLBACK,
        &[
            "ROLLBACK",
            "ABORT",
            "ROLLBACK WORK",
            "ABORT TRANSACTION",
            "ROLLBACK AND NO CHAIN",
        ],
    );
    assert_each(
        &Effect::Rollback { chain: true },
        &["ROLLBACK AND CHAIN", "ABORT AND CHAIN"],
    );
    assert_each(
        &Effect::PrepareTransaction,
        &["PREPARE TRANSACTION 'x'", "prepare transaction $$x$$"],
    );
    assert_pure(&["COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"]);
    assert_opaque(&[
        "COMMIT x",
        "ROLLBACK AND",
        "COMMIT AND CHAIN x",
        "START x",
        "END IF",
    ]);
}

#[test]
fn savepoints_are_named_as_the_server_names_them() {
    let a = || "a".to_owned();
    assert_each(
        &Effect::Savepoint(a()),
        &["SAVEPOINT a", "savepoint A", "SAVEPOINT \"a\""],
    );
    assert_each(
        &Effect::RollbackTo(a()),
        &[
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT A",
            "ROLLBACK WORK TO SAVEPOINT a",
            "ABORT TRANSACTION TO a",
        ],
    );
    assert_each(
        &Effect::Release(a()),
        &["RELEASE a", "RELEASE SAVEPOINT \"a\""],
    );
    assert_effects(&[
        ("SAVEPOINT \"A b\"", &[Effect::Savepoint("A b".to_owned())]),
        (
            "SAVEPOINT savepoint",
            &[Effect::Savepoint("savepoint".to_owned())],
        ),
        (
            "RELEASE savepoint",
            &[Effect::Release("savepoint".to_owned())],
        ),
        (
            "RELEASE SAVEPOINT savepoint",
            &[Effect::Release("savepoint".to_owned())],
        ),
        (
            "ROLLBACK TO savepoint",
            &[Effect::RollbackTo("savepoint".to_owned())],
        ),
        (
            "SAVEPOINT é; RELEASE É",
            &[
                Effect::Savepoint("é".to_owned()),
                Effect::Release("É".to_owned()),
            ],
        ),
    ]);
    assert_pins(
        PinReason::UntrackedSetting,
        &["SAVEPOINT U&\"\\0061\"", "ROLLBACK TO U&\"a\" UESCAPE '!'"],
    );
    assert_opaque(&[
        "SAVEPOINT",
        "SAVEPOINT a b",
        "SAVEPOINT 'a'",
        "RELEASE",
        "ROLLBACK TO",
        "ROLLBACK TO a.b",
    ]);
}

#[test]
fn discard_and_deallocate_say_what_they_drop() {
    assert_effects(&[
        ("DISCARD ALL", &[Effect::DiscardAll]),
        ("discard plans;", &[Effect::DiscardPlans]),
        (
            "DISCARD TEMP; DISCARD TEMPORARY",
            &[Effect::DiscardTemp, Effect::DiscardTemp],
        ),
        ("DISCARD SEQUENCES", &[Effect::DiscardSequences]),
        ("DISCARD", &[Effect::Opaque]),
        ("DEALLOCATE a", &[Effect::Deallocate("a".to_owned())]),
        (
            "DEALLOCATE PREPARE \"A\"",
            &[Effect::Deallocate("A".to_owned())],
        ),
        (
            "DEALLOCATE prepare",
            &[Effect::Deallocate("prepare".to_owned())],
        ),
        (
            "DEALLOCATE \"all\"",
            &[Effect::Deallocate("all".to_owned())],
        ),
        ("DEALLOCATE ALL", &[Effect::DeallocateAll]),
        ("deallocate prepare all", &[Effect::DeallocateAll]),
        ("DEALLOCATE a, b", &[Effect::Opaque]),
    ]);
}

#[test]
fn closing_a_cursor_may_end_a_pin() {
    assert_each(&Effect::Close, &["CLOSE c", "CLOSE ALL"]);
}

#[test]
fn statements_that_leave_the_session_alone_are_pure() {
    assert_pure(&[
        "SHOW search_path",
        "SHOW ALL",
        "FETCH 10 FROM c",
        "MOVE ALL IN c",
        "LOCK TABLE t IN SHARE MODE",
        "CHECKPOINT",
        "VACUUM (ANALYZE) t (a, b)",
        "ANALYZE t (a)",
        "TABLE t",
        "VALUES (1, 'a'), (2, 'b')",
        "DECLARE c CURSOR FOR SELECT 1",
        "DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT * FROM t",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t",
        "EXPLAIN ANALYZE VERBOSE SELECT count(*) FROM t",
        "EXPLAIN (COSTS off) (SELECT 1)",
        "EXPLAIN (SELECT 1)",
        "COPY t TO STDOUT",
        "COPY public.t (a, b) TO STDOUT WITH (FORMAT csv, FORCE_QUOTE (a))",
        "COPY BINARY t TO STDOUT",
        "COPY (SELECT count(*) FROM t) TO STDOUT (FORMAT csv)",
    ]);
}

#[test]
fn a_copy_from_its_client_is_seen_coming() {
    assert_each(
        &Effect::CopyIn,
        &[
            "COPY t FROM STDIN",
            "COPY t (a, b) FROM STDIN WITH (FORMAT csv)",
            "/* */ COPY BINARY public.t FROM stdin",
            "COPY t FROM STDOUT",
            "COPY t FROM STDIN WHERE a = 'it''s'",
        ],
    );
}

#[test]
fn statements_that_may_do_more_than_they_say_are_opaque() {
    assert_opaque(&[
        "INSERT INTO t VALUES (1)",
        "INSERT INTO public.t (a, b) SELECT 1, 2 RETURNING a",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING s ON (t.a = s.a) WHEN MATCHED THEN DELETE",
        "TRUNCATE t",
        "COPY t FROM '/a/file'",
        "COPY t FROM PROGRAM 'cat'",
        "COPY t TO PROGRAM 'cat'",
        "COPY (SELECT evil()) TO STDOUT",
        "COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT",
        "COPY t",
        "REFRESH MATERIALIZED VIEW v",
        "CREATE TABLE t (a int)",
        "CREATE TABLE temp (a int)",
        "CREATE TABLE t AS SELECT 1",
        "CREATE UNLOGGED TABLE t (a int)",
        "CREATE VIEW v AS SELECT nextval('s')",
        "CREATE EXTENSION x",
        "ALTER TABLE t ADD COLUMN a int",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "ALTER ROLE r SET search_path = a",
        "ALTER FUNCTION f() SET search_path = pg_catalog, pg_temp",
        "DROP TABLE t",
        "GRANT SELECT ON t TO r",
        "REVOKE ALL ON t FROM r",
        "COMMENT ON TABLE t IS 'x'",
        "SECURITY LABEL ON TABLE t IS 'x'",
        "REINDEX TABLE t",
        "CLUSTER t",
        "REASSIGN OWNED BY a TO b",
        "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
        "SELECT 1 INTO t",
        "SELECT * INTO TABLE t FROM s",
        "SELECT * INTO UNLOGGED t FROM s",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "EXPLAIN (\"analyze\") INSERT INTO t VALUES (1)",
        "EXPLAIN (VERBOSE, ANALYZE) DELETE FROM t",
        "EXPLAIN SELECT evil()",
        "EXPLAIN SELECT set_config('a', 'b', false)",
        "EXPLAIN",
        "EXPLAIN ANALYZE",
        "DECLARE c CURSOR FOR SELECT evil()",
        "DECLARE c",
        "WAIT FOR LSN '0/0'",
        "FROBNICATE x",
        "\"select\" 1",
        "1",
        "'a'",
    ]);
}

#[test]
fn temporary_objects_pin() {
    assert_pins(
        PinReason::TemporaryObject,
        &[
            "CREATE TEMP TABLE t (a int)",
            "create temporary table t as select 1",
            "CREATE LOCAL TEMP TABLE t (a int)",
            "CREATE GLOBAL TEMPORARY TABLE t (a int)",
            "CREATE TEMP SEQUENCE s",
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "CREATE TEMPORARY RECURSIVE VIEW v (a) AS SELECT 1",
            "CREATE TABLE pg_temp.t (a int)",
            "CREATE TABLE \"pg_temp\".t (a int)",
            "CREATE TABLE PG_TEMP_3 . t (a int)",
            "CREATE TYPE pg_temp.t AS (a int)",
            "CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1",
            "CREATE EXTENSION x SCHEMA pg_temp",
            "ALTER TABLE pg_temp.t ADD a int",
            "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO pg_temp",
            "SELECT 1 INTO TEMP t",
            "SELECT * INTO TEMPORARY TABLE t FROM s",
            "SELECT * INTO LOCAL TEMP t FROM s",
            "SELECT * INTO pg_temp.t FROM s",
            "WITH a AS (SELECT 1) SELECT * INTO TEMP t FROM a",
            "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
            "EXPLAIN (\"analyze\") CREATE TEMP TABLE t AS SELECT 1",
            "EXPLAIN (costs off, U&\"\\0061nalyze\" true) CREATE TEMP TABLE t AS SELECT 1",
        ],
    );
    assert_opaque(&[
        "INSERT INTO temp VALUES (1)",
        "INSERT INTO pg_temp.t VALUES (1)",
    ]);
    assert_pure(&["SELECT * FROM pg_temp.t", "SELECT temp FROM temporary"]);
}

#[test]
fn state_that_only_one_backend_has_pins() {
    assert_pins(
        PinReason::HoldableCursor,
        &[
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "declare c binary insensitive scroll cursor with hold for select * from t",
        ],
    );
    assert_pins(
        PinReason::AdvisoryLock,
        &[
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_advisory_lock_shared(1, 2)",
            "SELECT pg_try_advisory_lock(1) FROM t",
            "SELECT PG_CATALOG . PG_TRY_ADVISORY_LOCK_SHARED (1)",
            "INSERT INTO t SELECT pg_advisory_lock(1)",
            "WITH a AS (SELECT pg_advisory_lock(1)) SELECT 1",
            "EXPLAIN ANALYZE SELECT pg_advisory_lock(1)",
            "CREATE TABLE t AS SELECT pg_advisory_lock(1)",
        ],
    );
    assert_pins(PinReason::Listen, &["LISTEN U&\"a\""]);
    assert_pins(
        PinReason::SqlPrepare,
        &[
            "PREPARE U&\"a\" AS SELECT 1",
            "PREPARE ä AS SELECT 1",
            "PREPARE a AS SELECT (1",
            "PREPARE a SELECT 1",
            "PREPARE a AS DROP TABLE t",
            "EXECUTE U&\"a\"",
            "EXECUTE \"ä\" (1)",
            "EXECUTE a (1",
            "CREATE TABLE t AS EXECUTE ä",
        ],
    );
    assert_pins(PinReason::LoadLibrary, &["LOAD 'auto_explain'"]);
    assert_pins(
        PinReason::SequenceState,
        &["SELECT currval('s')", "select lastval()"],
    );
    assert_pins(
        PinReason::Seed,
        &[
            "SELECT setseed(0.5)",
            "SET seed TO 0.5",
            "SET SEED = 0.5",
            "SET LOCAL seed = 0.1",
        ],
    );
    assert_each(
        &Effect::Opaque,
        &[
            "DO $$ BEGIN END $$",
            "DO LANGUAGE plpgsql 'x'",
            "CALL p()",
            "CALL s.p(1, f(2))",
        ],
    );
    assert_pins(
        PinReason::TaintingFunction,
        &["SELECT dblink_connect('c', 'x')"],
    );
    assert_pins(
        PinReason::ReplicationState,
        &[
            "SELECT pg_create_physical_replication_slot('s', true, true)",
            "SELECT * FROM pg_create_logical_replication_slot('s', 'p', true)",
            "SELECT pg_replication_origin_session_setup('o')",
            "SELECT pg_backup_start('b')",
            "SELECT pg_start_backup('b')",
        ],
    );
    let name = |name: &str| name.to_owned();
    assert_each(&Effect::Listen(name("a")), &["LISTEN a", "listen \"a\";"]);
    assert_each(&Effect::Listen(name("A b")), &["LISTEN \"A b\""]);
    assert_each(
        &Effect::Listen("é".repeat(31)),
        &[&format!("LISTEN \"{}\"", "é".repeat(40))],
    );
    assert_each(&Effect::Unlisten(name("a")), &["UNLISTEN A"]);
    assert_each(&Effect::UnlistenAll, &["UNLISTEN *", "unlisten*"]);
    assert_each(
        &Effect::Notify,
        &[
            "NOTIFY a",
            "NOTIFY a, 'x'",
            "SELECT pg_notify('a', 'x')",
            "SELECT pg_catalog.\"pg_notify\"('a', 'x') FROM t",
            "WITH pg_notify AS (SELECT pg_notify('a', 'x')) SELECT 1",
            "DECLARE c CURSOR FOR SELECT pg_notify(a, b) FROM t",
            "COPY (SELECT pg_notify('a', 'x')) TO STDOUT",
        ],
    );
    assert_opaque(&[
        "LISTEN \"\"",
        "LISTEN a b",
        "LISTEN 'a'",
        "UNLISTEN * a",
        "INSERT INTO t SELECT pg_notify('a', 'x')",
    ]);
    assert_opaque(&[
        "SELECT nextval('s')",
        "SELECT setval('s', 1)",
        "SELECT pg_advisory_unlock(1)",
    ]);
    assert_opaque(&[
        "SELECT pg_advisory_unlock_all()",
        "SELECT pg_backup_stop()",
        "SELECT lo_open(1, 2)",
    ]);
    assert_pure(&[
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1)",
    ]);
}

#[test]
fn a_statement_may_pin_for_several_reasons() {
    assert_effects(&[
        (
            "SELECT currval('s'), pg_advisory_lock(1), currval('t')",
            &[Effect::PinMany(vec![
                PinReason::AdvisoryLock,
                PinReason::SequenceState,
            ])],
        ),
        (
            "CREATE TEMP TABLE t AS SELECT lastval()",
            &[Effect::PinMany(vec![
                PinReason::TemporaryObject,
                PinReason::SequenceState,
            ])],
        ),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT pg_advisory_lock(a) FROM t",
            &[Effect::PinMany(vec![
                PinReason::HoldableCursor,
                PinReason::AdvisoryLock,
            ])],
        ),
        (
            "EXECUTE U&\"a\"(pg_advisory_lock(1))",
            &[Effect::PinMany(vec![
                PinReason::AdvisoryLock,
                PinReason::SqlPrepare,
            ])],
        ),
    ]);
}

#[test]
fn pins_stand_even_if_the_rest_cannot_be_read() {
    assert_pins(
        PinReason::AdvisoryLock,
        &[
            "SELECT pg_advisory_lock(1), 'a",
            "SELECT (pg_advisory_lock(1)",
        ],
    );
    assert_pins(PinReason::TemporaryObject, &["CREATE TEMP TABLE t (a"]);
}
