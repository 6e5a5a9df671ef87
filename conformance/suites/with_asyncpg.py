"""asyncpg: named statements by default, binary values, a reset query at each release, jit switched off by set_config during type look-up."""

import asyncio
import datetime
import decimal
import uuid

import asyncpg

from kit import target
from kit.report import Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
OPTIONS = {"host": TARGET.login.host, "port": TARGET.login.port, "user": TARGET.login.user, "password": TARGET.login.password,
           "database": TARGET.login.database, "ssl": False, "timeout": 15, "command_timeout": 20}


async def connect(**options):
    """One connection."""
    return await asyncpg.connect(**OPTIONS | options)


def pool(size, **options):
    """A pool; every release sends the reset query."""
    return asyncpg.create_pool(min_size=options.pop("min_size", size), max_size=size, **OPTIONS | options)


async def fresh_table(name, columns):
    """Creates an empty table."""
    c = await connect()
    await c.execute(f"drop table if exists {name}; create table {name} ({columns})")
    await c.close()


@SUITE.check
async def connects_and_asks():
    c = await connect()
    equal(await c.fetchval("select 1"), 1, "value")
    equal(await c.fetchrow("select $1::int as a, $2::text as b", 5, "x"), (5, "x"), "row")
    equal(await c.execute("select 1; select 2"), "SELECT 1", "status of a simple query")
    await c.close()


@SUITE.check
async def types_go_and_come_in_binary():
    c = await connect()
    values = [2**40, 1.5, "é", b"\0\xff", True, decimal.Decimal("1.10"), uuid.uuid4(), datetime.date(2020, 2, 29),
              datetime.timedelta(days=1, seconds=5), [1, None, 3], ["a", "b"], datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)]
    types = ["int8", "float8", "text", "bytea", "bool", "numeric", "uuid", "date", "interval", "int4[]", "text[]", "timestamptz"]
    for value, name in zip(values, types, strict=True):
        equal(await c.fetchval(f"select $1::{name}", value), value, name)
    await c.close()


@SUITE.check
async def types_of_the_database_are_looked_up():
    """The look-up switches jit off and on by set_config and runs a recursive query."""
    c = await connect()
    await c.execute("drop type if exists conformance_mood, conformance_pair cascade; create type conformance_mood as enum ('sad', 'ok'); create type conformance_pair as (a int, m conformance_mood)")
    jit = await c.fetchval("show jit")
    for _ in range(3):
        other = await connect()
        equal(await other.fetchval("select $1::conformance_mood", "ok"), "ok", "an enum")
        equal(tuple(await other.fetchval("select row(1, 'sad')::conformance_pair")), (1, "sad"), "a composite")
        equal(await other.fetchval("select array['ok']::conformance_mood[]"), ["ok"], "an array of it")
        equal(await other.fetchval("show jit"), jit, "jit afterwards")
        await other.close()
    equal(await c.fetchval("show jit"), jit, "the neighbour's jit")
    await c.execute("drop type conformance_pair, conformance_mood")
    await c.close()


@SUITE.check
async def a_statement_prepared_once_is_used_often():
    c, other = await connect(), await connect()
    statement = await c.prepare("select $1::int * 2 as v, $2::text as t")
    equal([a.name for a in statement.get_attributes()], ["v", "t"], "described columns")
    for i in range(100):
        equal(tuple(await statement.fetchrow(i, "x")), (i * 2, "x"), "answer")
        equal(await other.fetchval("select $1::text || $2::text", "n", str(i)), f"n{i}", "the neighbour's answer")
    await c.close()
    await other.close()


@SUITE.check
async def the_same_statements_from_all_connections_of_a_pool():
    async with pool(20) as p:
        async def task(i):
            async with p.acquire() as c:
                for j in range(5):
                    statement = await c.prepare("select $1::int + $2::int")
                    equal(await statement.fetchval(i, j), i + j, "prepared answer")
                    equal(await c.fetchval("select $1::text", f"{i}.{j}"), f"{i}.{j}", "cached answer")

        await asyncio.gather(*(task(i) for i in range(60)))


@SUITE.check(deadline=60)
async def two_hundred_tasks_on_fifty_connections():
    rounds = 3 if TARGET.quick else 15
    async with pool(50, min_size=10) as p:
        async def task(i):
            for j in range(rounds):
                async with p.acquire() as c:
                    tag = f"task {i} round {j}"
                    equal(await c.fetchval("select $1::text", tag), tag, "own answer")
                    async with c.transaction():
                        equal(await c.fetchval(f"select '{tag}'"), tag, "own answer in a transaction")
                        equal(await c.fetchval("select $1::text || ''", tag), tag, "own prepared answer in a transaction")

        await asyncio.gather(*(task(i) for i in range(200)))


@SUITE.check
async def release_undoes_what_the_borrower_set():
    """The reset query ends with RESET ALL: back to the values of the startup packet."""
    async with pool(1, server_settings={"application_name": "pooled", "work_mem": "1500kB"}) as p:
        zones = set()
        for _ in range(5):
            async with p.acquire() as c:
                equal(tuple(await c.fetchrow("select current_setting('application_name'), current_setting('work_mem')")), ("pooled", "1500kB"), "settings when borrowed")
                zones.add(await c.fetchval("show timezone"))
                await c.execute("set application_name = 'mine'; set work_mem = '4MB'")
                await c.execute("set timezone = 'Asia/Tokyo'")
                equal(await c.fetchval("show timezone"), "Asia/Tokyo", "while borrowed")
        true(len(zones) == 1 and zones != {"Asia/Tokyo"}, f"the server's time zone each time, got {zones}")


@SUITE.check
async def release_frees_locks_and_listeners():
    async with pool(2) as p:
        async with p.acquire() as c:
            await c.fetchval("select pg_advisory_lock(880088)")
        other = await connect()
        equal(await other.fetchval("select pg_try_advisory_lock(880088)"), True, "the lock is free after release")
        await other.fetchval("select pg_advisory_unlock(880088)")
        await other.close()


@SUITE.check
async def copy_records_in_and_out():
    await fresh_table("conformance_asyncpg", "v int, t text, d timestamptz")
    c = await connect()
    now = datetime.datetime.now(datetime.timezone.utc)
    records = [(i, f"line\n{i}", now) for i in range(20000)]
    equal(await c.copy_records_to_table("conformance_asyncpg", records=records), "COPY 20000", "status in")
    received = bytearray()

    async def sink(data):
        received.extend(data)

    equal(await c.copy_from_query("select v from conformance_asyncpg where v >= $1 order by v", 10, output=sink), "COPY 19990", "status out")
    equal(received.decode().split(), [str(i) for i in range(10, 20000)], "rows out")
    await c.close()


@SUITE.check
async def a_copy_that_fails_leaves_the_connection_usable():
    await fresh_table("conformance_asyncpg", "v int primary key")
    c = await connect()
    try:
        await c.copy_records_to_table("conformance_asyncpg", records=[(1,), (1,)])
        raise AssertionError("the duplicate was not raised")
    except asyncpg.UniqueViolationError:
        pass
    equal(await c.fetchval("select count(*) from conformance_asyncpg"), 0, "rows")
    await c.close()


@SUITE.check
async def cursors_in_a_transaction():
    c = await connect()
    async with c.transaction():
        total = 0
        async for row in c.cursor("select generate_series(1, $1::int) as v", 5000, prefetch=100):
            total += row["v"]
        equal(total, 12502500, "sum by iteration")
        k = await c.cursor("select generate_series(1, 100)")
        equal([r[0] for r in await k.fetch(3)], [1, 2, 3], "first portion")
        equal(await k.forward(10), 10, "skipped rows")
        equal((await k.fetchrow())[0], 14, "next row")
    await c.close()


@SUITE.check
async def transactions_and_savepoints():
    await fresh_table("conformance_asyncpg", "v int")
    c = await connect()
    async with c.transaction(isolation="serializable"):
        await c.execute("insert into conformance_asyncpg values (1)")
        try:
            async with c.transaction():
                await c.execute("insert into conformance_asyncpg values (2)")
                raise LookupError
        except LookupError:
            pass
    try:
        async with c.transaction():
            await c.execute("insert into conformance_asyncpg values (3)")
            await c.fetch("select 1/0")
    except asyncpg.DivisionByZeroError:
        pass
    equal([r[0] for r in await c.fetch("select v from conformance_asyncpg")], [1], "rows kept")
    await c.close()


@SUITE.check
async def executemany_is_one_transaction():
    await fresh_table("conformance_asyncpg", "v int primary key")
    c = await connect()
    await c.executemany("insert into conformance_asyncpg values ($1)", [(i,) for i in range(3000)])
    try:
        await c.executemany("insert into conformance_asyncpg values ($1)", [(5000,), (1,)])
        raise AssertionError("the duplicate was not raised")
    except asyncpg.UniqueViolationError:
        pass
    equal(await c.fetchval("select count(*) from conformance_asyncpg"), 3000, "rows")
    await c.close()


@SUITE.check
async def a_timeout_cancels_the_statement():
    c = await connect()
    for _ in range(3):
        try:
            await c.fetchval("select pg_sleep(30)", timeout=0.2)
            raise AssertionError("no timeout")
        except asyncio.TimeoutError:
            pass
        equal(await c.fetchval("select 'alive'"), "alive", "the connection afterwards")
    question = "select count(*) from pg_stat_activity where state = 'active' and query = 'select pg_sleep(30)'"
    for _ in range(100):
        if await c.fetchval(question) == 0:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the statement still runs")
    await c.close()


@SUITE.check
async def a_cancelled_task_cancels_its_statement_alone():
    async with pool(10) as p:
        async def sleeper():
            async with p.acquire() as c:
                await c.fetchval("select pg_sleep(30)")

        async def worker(i):
            for j in range(20):
                equal(await p.fetchval("select $1::text from pg_sleep(0.005)", f"{i}.{j}"), f"{i}.{j}", "own answer")

        workers = asyncio.gather(*(worker(i) for i in range(5)))
        for _ in range(3):
            victim = asyncio.create_task(sleeper())
            await asyncio.sleep(0.15)
            victim.cancel()
            try:
                await victim
                raise AssertionError("the sleeper was not cancelled")
            except asyncio.CancelledError:
                pass
        await workers


@SUITE.check
async def errors_have_their_class():
    c = await connect()
    for statement, kind in (("select 1/0", asyncpg.DivisionByZeroError), ("selec", asyncpg.PostgresSyntaxError),
                            ("select * from conformance_none", asyncpg.UndefinedTableError), ("select 'x'::int", asyncpg.InvalidTextRepresentationError)):
        for call in (c.fetch, c.execute):
            try:
                await call(statement)
                raise AssertionError("no error")
            except kind:
                pass
    equal(await c.fetchval("select 1"), 1, "the connection afterwards")
    await c.close()


@SUITE.check
async def a_table_changed_under_a_cached_statement():
    """asyncpg drops its cache on 0A000 and asks its caller to retry."""
    await fresh_table("conformance_asyncpg", "v int")
    c, other = await connect(), await connect()
    await c.fetch("select * from conformance_asyncpg")
    await other.execute("alter table conformance_asyncpg add column w int; insert into conformance_asyncpg values (1, 2)")
    try:
        rows = await c.fetch("select * from conformance_asyncpg")
    except asyncpg.InternalClientError:
        # Prepared again where it never was, behind a proxy: other columns than were described, and no 0A000.
        await c.reload_schema_state()
        rows = await c.fetch("select * from conformance_asyncpg where true")
    true(tuple(rows[0]) in ((1, 2), (1,)), f"the row, got {rows}")
    await c.close()
    await other.close()


@SUITE.check
async def listen_and_notify():
    c, other = await connect(), await connect()
    heard = asyncio.Queue()
    await c.add_listener("conformance_async", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload)))
    await other.execute("select pg_notify('conformance_async', 'one')")
    equal(await asyncio.wait_for(heard.get(), 5), ("conformance_async", "one"), "notification")
    await c.reset()
    await c.close()
    await other.close()


@SUITE.check
async def notices_reach_their_own_client():
    a, b = await connect(), await connect()
    heard = []
    a.add_log_listener(lambda _c, m: heard.append(("a", m.message)))
    b.add_log_listener(lambda _c, m: heard.append(("b", m.message)))
    for i in range(10):
        await a.execute(f"do $$ begin raise notice 'a{i}'; end $$")
        await b.execute(f"do $$ begin raise notice 'b{i}'; end $$")
    await asyncio.sleep(0)
    equal(heard, [(n, f"{n}{i}") for i in range(10) for n in "ab"], "notices")
    await a.close()
    await b.close()


@SUITE.check
async def server_settings_hold_for_every_connection():
    clients = [await connect(server_settings={"application_name": f"s{i}", "search_path": f"p{i}", "jit": "off"}) for i in range(8)]
    for _ in range(10):
        for i, c in enumerate(clients):
            equal(tuple(await c.fetchrow("select current_setting('application_name'), current_setting('search_path'), current_setting('jit')")),
                  (f"s{i}", f"p{i}", "off"), "settings")
    for c in clients:
        await c.close()


@SUITE.check
async def a_wrong_password_is_refused():
    try:
        await connect(password="wrong")
        raise AssertionError("logged in")
    except asyncpg.InvalidPasswordError:
        pass


@SUITE.check
async def leaving_without_goodbye_ends_the_transaction():
    for _ in range(10):
        c = await connect()
        await c.execute("begin; select 1")
        c.terminate()
    c = await connect()
    question = "select count(*) from pg_stat_activity where state like 'idle in transaction%' and usename = current_user"
    for _ in range(100):
        if await c.fetchval(question) == 0:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("transactions are still open after 5 s")
    await c.close()


SUITE.run()
