"""psycopg 3: what a Python application does, on libpq: prepared statements, pipelines, COPY, cursors, cancel, transactions."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import pq, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from kit import target
from kit.connection import await_running, eventually
from kit.report import Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)


def connect(**options):
    """A connection in autocommit unless told otherwise; names itself, so that leftovers can be found."""
    login = TARGET.login
    given = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "dbname": login.database,
             "sslmode": "disable", "autocommit": True, "connect_timeout": 15, "application_name": "psycopg"}
    return psycopg.connect(**given | options)


def fresh_table(name, columns):
    """Creates an empty table."""
    with connect() as c:
        c.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(name)))
        c.execute(sql.SQL("create table {} ({})").format(sql.Identifier(name), sql.SQL(columns)))


def code_of(call):
    """SQLSTATE a call fails with, or None."""
    try:
        call()
    except psycopg.Error as error:
        return error.sqlstate
    return None


@SUITE.check
def types_go_and_come():
    values = (1, 2**40, 1.5, "text é ", b"\x00\xff", True, None, [1, 2, 3], Jsonb({"a": [1]}))
    with connect() as c:
        got = c.execute("select %s::int4, %s::int8, %s::float8, %s::text, %s::bytea, %s::bool, %s::text, %s::int4[], %s::jsonb", values).fetchone()
        equal(got[:8], values[:8], "values")
        equal(got[8], {"a": [1]}, "jsonb")
        equal(c.execute("select now() - now() as d, 1.10::numeric as n", binary=True).fetchone()[1].as_tuple().exponent, -2, "numeric in binary")


@SUITE.check
def simple_and_extended_by_turns():
    with connect() as c:
        for i in range(50):
            equal(c.execute(f"select {i}; select {i + 1}").fetchone(), (i,), "two statements in one message")
            equal(c.execute("select %s::int", (i,)).fetchone(), (i,), "one with a parameter")


@SUITE.check
def prepared_at_once_and_reused():
    with connect(prepare_threshold=0) as c:
        for i in range(200):
            equal(c.execute("select %s::int, 'prepared'", (i,)).fetchone(), (i, "prepared"), "answer")


@SUITE.check
def prepared_at_the_second_use():
    with connect(prepare_threshold=1) as c:
        for i in range(100):
            equal(c.execute("select %s::int * 2", (i,)).fetchone(), (i * 2,), "first statement")
            equal(c.execute("select %s::text || '!'", (str(i),)).fetchone(), (f"{i}!",), "second statement")


@SUITE.check
def more_prepared_statements_than_it_keeps():
    """Beyond prepared_max psycopg closes the oldest."""
    with connect(prepare_threshold=0) as c:
        c.prepared_max = 10
        for i in range(150):
            equal(c.execute(f"select %s::int + {i % 40}", (i,)).fetchone(), (i + i % 40,), "answer")


@SUITE.check
def deallocate_all_and_discard_all_then_prepare_again():
    with connect(prepare_threshold=0) as a, connect(prepare_threshold=0) as b:
        for word in ("deallocate all", "discard all"):
            for c in (a, b):
                equal(c.execute("select %s::int + 1", (1,)).fetchone(), (2,), "prepared")
            a.execute(word)
            for _ in range(5):
                equal(b.execute("select %s::int + 1", (5,)).fetchone(), (6,), "the neighbour's statement")
                equal(a.execute("select %s::int + 1", (2,)).fetchone(), (3,), "prepared again")


@SUITE.check
def a_prepared_statement_after_its_table_changed():
    fresh_table("conformance_ddl", "v int")
    with connect(prepare_threshold=0) as c, connect() as other:
        equal(c.execute("select * from conformance_ddl where v > %s", (0,)).fetchall(), [], "before")
        other.execute("alter table conformance_ddl add column w int")
        code = code_of(lambda: c.execute("select * from conformance_ddl where v > %s", (0,)))
        true(code in (None, "0A000"), f"served anew or 0A000 as PostgreSQL says, got {code}")
        c.execute("deallocate all")
        equal(len(c.execute("select * from conformance_ddl where v > %s", (0,)).description), 2, "columns afterwards")


@SUITE.check(deadline=60)
def a_pipeline_of_a_thousand():
    with connect(prepare_threshold=5) as c, c.pipeline():
        cursors = [c.execute("select %s::int", (i,)) for i in range(1000)]
        equal([k.fetchone()[0] for k in cursors], list(range(1000)), "answers in order")


@SUITE.check
def an_error_in_a_pipeline_spares_the_next_segment():
    with connect() as c:
        with c.pipeline() as p:
            before = c.execute("select 'before'")
            p.sync()
            try:
                c.execute("select 1/0")
                c.execute("select 'skipped'")
                p.sync()
                raise AssertionError("the error was not raised")
            except psycopg.errors.DivisionByZero:
                pass  # At whichever call its answer was read, so the segment may still have to be ended.
            with contextlib.suppress(psycopg.errors.PipelineAborted):
                p.sync()
            equal(before.fetchone(), ("before",), "what came before")
            equal(c.execute("select 'after'").fetchone(), ("after",), "what comes after")
        equal(c.execute("select 'outside'").fetchone(), ("outside",), "outside the pipeline")


@SUITE.check
def a_pipeline_of_inserts_in_one_transaction():
    fresh_table("conformance_pipe", "v int primary key")
    with connect(autocommit=False) as c:
        with c.pipeline():
            for i in range(300):
                c.execute("insert into conformance_pipe values (%s)", (i,))
        c.commit()
        with c.cursor() as k:
            k.executemany("insert into conformance_pipe values (%s) returning v", [(i,) for i in range(1000, 1300)], returning=True)
            got = []
            while True:
                got.append(k.fetchone()[0])
                if not k.nextset():
                    break
            equal(got, list(range(1000, 1300)), "returned by executemany")
        c.rollback()
        equal(c.execute("select count(*) from conformance_pipe").fetchone(), (300,), "rows kept")


@SUITE.check
def a_transaction_that_spans_pipelines():
    fresh_table("conformance_pipe", "v int primary key")
    with connect() as c:
        try:
            with c.pipeline(), c.transaction():
                c.execute("insert into conformance_pipe values (1)")
                c.execute("insert into conformance_pipe values (1)")
            raise AssertionError("the duplicate was not raised")
        except psycopg.errors.UniqueViolation:
            pass
        equal(c.info.transaction_status, pq.TransactionStatus.IDLE, "transaction status")
        equal(c.execute("select count(*) from conformance_pipe").fetchone(), (0,), "rows kept")


@SUITE.check
def copy_both_ways():
    fresh_table("conformance_psycopg", "v int, t text")
    rows = [(i, None if i % 7 == 0 else f"tab\t, quote' {i}") for i in range(20000)]
    with connect() as c, c.cursor() as k:
        with k.copy("copy conformance_psycopg from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        equal(k.rowcount, 20000, "rows copied in")
        with k.copy("copy (select * from conformance_psycopg order by v) to stdout") as copy:
            copy.set_types(["int4", "text"])
            true(list(copy.rows()) == rows, "rows come back")
        with k.copy("copy (select v from conformance_psycopg order by v) to stdout (format binary)") as copy:
            copy.set_types(["int4"])
            equal(sum(r[0] for r in copy.rows()), sum(range(20000)), "sum of the binary copy")


@SUITE.check
def a_copy_the_client_gives_up():
    fresh_table("conformance_psycopg", "v int, t text")
    with connect() as c, c.cursor() as k:
        for times in range(3):
            try:
                with k.copy("copy conformance_psycopg from stdin") as copy:
                    copy.write("1\tx\n" * (10 ** times))
                    raise LookupError("changed my mind")
            except LookupError:
                pass
            equal(c.execute("select count(*) from conformance_psycopg").fetchone(), (0,), "rows of the broken copy")


@SUITE.check
def a_copy_out_cancelled_in_the_middle():
    def read_and_cancel(c, k):
        with k.copy("copy (select generate_series(1, 30000000)) to stdout") as copy:
            copy.read()
            c.cancel_safe(timeout=5)
            for _ in copy:
                pass

    with connect() as c, c.cursor() as k:
        for _ in range(3):
            equal(code_of(lambda: read_and_cancel(c, k)), "57014", "SQLSTATE")
            equal(c.execute("select 'alive'").fetchone(), ("alive",), "the session afterwards")


@SUITE.check
def a_copy_that_the_server_refuses():
    fresh_table("conformance_psycopg", "v int, t text")
    with connect() as c, c.cursor() as k:
        def bad():
            with k.copy("copy conformance_psycopg from stdin") as copy:
                for i in range(50000):
                    copy.write(f"{i}\tx\n" if i != 40000 else "not a number\tx\n")
        equal(code_of(bad), "22P02", "SQLSTATE")
        equal(c.execute("select 'alive'").fetchone(), ("alive",), "the session afterwards")


@SUITE.check
def cancel_from_another_thread():
    with connect() as c:
        for i in range(3):
            code = []
            thread = threading.Thread(target=lambda: code.append(code_of(lambda: c.execute(f"select pg_sleep(60), 'psycopg cancel {i}'"))), daemon=True)
            thread.start()
            await_running(TARGET.login, f"psycopg cancel {i}")
            c.cancel_safe(timeout=5)
            thread.join(8)
            equal(code, ["57014"], "SQLSTATE")
            equal(c.execute("select 1").fetchone(), (1,), "the session afterwards")


@SUITE.check
def statement_timeout_is_the_clients_own():
    with connect() as c, connect() as other:
        c.execute("set statement_timeout = '200ms'")
        for _ in range(3):
            equal(code_of(lambda: c.execute("select pg_sleep(30)")), "57014", "SQLSTATE")
            equal(code_of(lambda: other.execute("select pg_sleep(0.4)")), None, "the neighbour, who set none")


@SUITE.check
def notices_arrive_before_their_statement_ends():
    with connect() as c:
        heard = []
        c.add_notice_handler(lambda d: heard.append((d.severity, d.message_primary)))
        c.execute("do $$ begin for i in 1..20 loop raise notice 'n%', i; end loop; end $$")
        equal(heard, [("NOTICE", f"n{i}") for i in range(1, 21)], "notices")
        with connect() as other:
            other.add_notice_handler(lambda d: heard.append("foreign"))
            c.execute("do $$ begin raise warning 'mine'; end $$")
            other.execute("select 1")
        equal(heard[20:], [("WARNING", "mine")], "notices of the second statement")


@SUITE.check
def transactions_and_savepoints():
    fresh_table("conformance_tx", "v int")
    with connect() as c:
        with c.transaction():
            c.execute("insert into conformance_tx values (1)")
            try:
                with c.transaction():
                    c.execute("insert into conformance_tx values (2)")
                    c.execute("select 1/0")
            except psycopg.errors.DivisionByZero:
                pass
            with c.transaction():
                c.execute("insert into conformance_tx values (3)")
            with c.transaction(force_rollback=True):
                c.execute("insert into conformance_tx values (4)")
        equal(c.execute("select array_agg(v order by v) from conformance_tx").fetchone(), ([1, 3],), "rows kept")


@SUITE.check
def isolation_levels_and_read_only():
    fresh_table("conformance_tx", "v int")
    with connect(autocommit=False) as c, connect() as other:
        c.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        equal(c.execute("select count(*) from conformance_tx").fetchone(), (0,), "before")
        other.execute("insert into conformance_tx values (1)")
        equal(c.execute("select count(*) from conformance_tx").fetchone(), (0,), "in the same snapshot")
        c.rollback()
        equal(c.execute("select count(*) from conformance_tx").fetchone(), (1,), "in the next")
        c.rollback()
        c.read_only = True
        equal(code_of(lambda: c.execute("insert into conformance_tx values (2)")), "25006", "SQLSTATE of a write")
        c.rollback()


@SUITE.check
def serializable_conflicts_are_reported():
    fresh_table("conformance_tx", "v int")
    with connect(autocommit=False) as a, connect(autocommit=False) as b:
        for c in (a, b):
            c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            c.execute("select sum(v) from conformance_tx")
        a.execute("insert into conformance_tx values (1)")
        b.execute("insert into conformance_tx values (2)")
        a.commit()
        equal(code_of(b.commit), "40001", "SQLSTATE of the second commit")


@SUITE.check
def a_deferred_constraint_fails_the_commit():
    fresh_table("conformance_tx", "v int unique deferrable initially deferred")
    with connect(autocommit=False) as c:
        c.execute("insert into conformance_tx values (1), (1)")
        equal(code_of(c.commit), "23505", "SQLSTATE of commit")
        equal(c.info.transaction_status, pq.TransactionStatus.IDLE, "transaction status")


@SUITE.check
def two_phase_commit():
    fresh_table("conformance_tx", "v int")
    with connect(autocommit=False) as c:
        if c.execute("show max_prepared_transactions").fetchone() == ("0",):
            c.rollback()
            return
        c.rollback()
        for end in ("commit", "rollback"):
            xid = c.xid(1, f"conformance {end} {time.monotonic_ns()}", "b")
            c.tpc_begin(xid)
            c.execute("insert into conformance_tx values (1)")
            c.tpc_prepare()
            getattr(c, f"tpc_{end}")()
        equal(c.execute("select count(*) from conformance_tx").fetchone(), (1,), "rows committed")


@SUITE.check
def server_side_cursors_in_a_transaction():
    with connect(autocommit=False) as c:
        with c.cursor("conformance_cursor", scrollable=True) as k:
            k.itersize = 500
            k.execute("select generate_series(1, 10000)")
            equal(sum(r[0] for r in k), 50005000, "sum of all rows")
            k.scroll(5, mode="absolute")
            equal(k.fetchone(), (6,), "after scrolling back")
        with c.cursor("other") as k, c.cursor("third") as m:
            k.execute("select generate_series(1,100)")
            m.execute("select generate_series(101,200)")
            equal((k.fetchmany(2), m.fetchmany(2)), ([(1,), (2,)], [(101,), (102,)]), "two cursors by turns")
        c.commit()


@SUITE.check
def a_cursor_with_hold_outlives_its_transaction():
    with connect(autocommit=False) as c:
        k = c.cursor("held", withhold=True)
        k.execute("select generate_series(1, 1000)")
        c.commit()
        with connect() as other:
            for i in range(10):
                other.execute("select %s::int", (i,))
                equal(k.fetchmany(10)[0], (i * 10 + 1,), "rows after the commit")
                c.commit()
        k.close()
        c.commit()


@SUITE.check
def rows_streamed_one_by_one():
    with connect() as c, c.cursor() as k:
        equal(sum(r[0] for r in k.stream("select generate_series(1, 20000)")), 200010000, "sum")
        if hasattr(pq.PGconn, "set_chunked_rows_mode") and pq.version() >= 170000:
            equal(sum(r[0] for r in k.stream("select generate_series(1, 20000)", size=500)), 200010000, "sum in chunks")


@SUITE.check(deadline=60)
def large_values():
    """10 MB in a parameter, in a result, in binary, and in the text of the statement."""
    size = 10_000_000
    text = "äb" * (size // 3)
    data = bytes(range(256)) * (size // 256)
    with connect() as c:
        true(c.execute("select %s::text", (text,)).fetchone()[0] == text, "text comes back")
        true(c.execute("select %b::bytea", (data,), binary=True).fetchone()[0] == data, "bytes come back")
        true(c.execute(sql.SQL("select {}").format(sql.Literal(text))).fetchone()[0] == text, "a literal comes back")
        equal(c.execute("select length(repeat('x', %s))", (size * 3,)).fetchone(), (size * 3,), "length")
        equal(c.execute("select 'small'").fetchone(), ("small",), "a small one afterwards")


@SUITE.check
def results_of_many_columns():
    with connect() as c:
        columns = ", ".join(f"{i} as c{i}" for i in range(1600))
        got = c.cursor(row_factory=dict_row).execute(f"select {columns}").fetchone()
        equal((len(got), got["c1599"]), (1600, 1599), "columns")


@SUITE.check
def errors_carry_their_details():
    fresh_table("conformance_tx", "v int constraint conformance_positive check (v > 0)")
    with connect() as c:
        try:
            c.execute("insert into conformance_tx values (-1)")
            raise AssertionError("no error")
        except psycopg.errors.CheckViolation as error:
            d = error.diag
            equal((d.table_name, d.constraint_name, d.severity_nonlocalized), ("conformance_tx", "conformance_positive", "ERROR"), "details")
        try:
            c.execute("select 1\n  from nowhere_at_all")
            raise AssertionError("no error")
        except psycopg.errors.UndefinedTable as error:
            equal(error.diag.statement_position, "17", "position")


@SUITE.check
def a_hidden_error_in_a_function_names_its_context():
    with connect() as c:
        try:
            c.execute("do $$ begin perform 1/0; end $$")
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero as error:
            true("PL/pgSQL" in (error.diag.context or ""), f"context, got {error.diag.context!r}")


@SUITE.check
def a_wrong_password_is_28P01():
    try:
        connect(password="wrong")
        raise AssertionError("logged in")
    except psycopg.OperationalError as error:
        true("FATAL" in str(error) and "password" in str(error), f"the reason, got {error}")


@SUITE.check
def login_facts_are_what_libpq_expects():
    with connect(client_encoding="utf8", options="-c datestyle=ISO,DMY") as c:
        info = c.info
        true(info.server_version >= 140000, f"server_version, got {info.server_version}")
        equal((info.parameter_status("integer_datetimes"), info.parameter_status("standard_conforming_strings")), ("on", "on"), "parameters")
        equal((info.parameter_status("DateStyle"), info.encoding), ("ISO, DMY", "utf-8"), "what we asked for")
        true(info.backend_pid != 0, "a process id to cancel by")


@SUITE.check
def notify_and_listen_within_one_client():
    with connect() as c:
        c.execute("listen conformance_channel")
        c.execute("select pg_notify('conformance_channel', 'it''s \\ here')")
        got = next(c.notifies(timeout=5, stop_after=1), None)
        equal((got.channel, got.payload) if got else None, ("conformance_channel", "it's \\ here"), "notification")
        c.execute("unlisten *")


@SUITE.check
def temporary_tables_stay_with_their_client():
    with connect() as a, connect() as b:
        a.execute("create temp table conformance_temp as select 'own' as v")
        for _ in range(10):
            equal(a.execute("select v from conformance_temp").fetchone(), ("own",), "the owner's table")
            equal(code_of(lambda: b.execute("select v from conformance_temp")), "42P01", "the neighbour's view of it")
        a.execute("drop table conformance_temp")


@SUITE.check
def advisory_locks_stay_with_their_client():
    with connect() as a, connect() as b:
        a.execute("select pg_advisory_lock(770077)")
        for _ in range(10):
            equal(b.execute("select pg_try_advisory_lock(770077)").fetchone(), (False,), "the neighbour's try")
        equal(a.execute("select pg_advisory_unlock(770077)").fetchone(), (True,), "the owner's unlock")
        equal(b.execute("select pg_try_advisory_lock(770077), pg_advisory_unlock(770077)").fetchone(), (True, True), "the neighbour's turn")


@SUITE.check
def closing_in_a_transaction_rolls_back():
    fresh_table("conformance_tx", "v int")
    for _ in range(10):
        c = connect(autocommit=False)
        c.execute("insert into conformance_tx values (1)")
        c.close()
    with connect() as c:
        equal(c.info.transaction_status, pq.TransactionStatus.IDLE, "a newcomer's transaction status")
        equal(c.execute("select count(*) from conformance_tx").fetchone(), (0,), "rows")


@SUITE.check(deadline=60)
def async_connections_by_the_dozen():
    login = TARGET.login

    async def one(i):
        c = await psycopg.AsyncConnection.connect(host=login.host, port=login.port, user=login.user, password=login.password,
                                                  dbname=login.database, sslmode="disable", autocommit=True, prepare_threshold=2)
        async with c:
            for j in range(10):
                k = await c.execute("select %s::text", (f"{i}.{j}",))
                equal(await k.fetchone(), (f"{i}.{j}",), "own answer")

    async def all_of_them():
        await asyncio.gather(*(one(i) for i in range(40)))

    asyncio.run(all_of_them())


@SUITE.check(deadline=60)
def many_clients_read_their_own_answers():
    """64 threads on few backends, each with prepared statements, transactions and its own application_name."""
    rounds = 8 if TARGET.quick else 60

    def client(i):
        with connect(prepare_threshold=i % 3, application_name=f"client {i}") as c:
            for j in range(rounds):
                tag = f"client {i} round {j}"
                equal(c.execute("select %s::text, current_setting('application_name')", (tag,)).fetchone(), (tag, f"client {i}"), "own answer")
                with c.transaction():
                    equal(c.execute(f"select '{tag}', %s::int", (j,)).fetchone(), (tag, j), "own answer in a transaction")
                    equal(c.execute("select %s::text", (tag,), prepare=True).fetchone(), (tag,), "own prepared answer")

    with ThreadPoolExecutor(64) as pool:
        for done in [pool.submit(client, i) for i in range(64)]:
            done.result()


@SUITE.check
def nothing_is_left_behind():
    """After all that no transaction of ours is open."""
    with connect() as c:
        question = "select count(*) from pg_stat_activity where usename = current_user and state like 'idle in transaction%' and pid <> pg_backend_pid()"
        eventually(lambda: c.execute(question).fetchone() == (0,), 5, "no transaction is open")


SUITE.run()
