"""Python's stock software untuned: SQLAlchemy on four drivers, the pools of asyncpg and psycopg, as their documentation has them used.

Nothing pins (kit/stock.py), and every answer is right although two backends are shared with neighbours who leave them dirty.
"""

import asyncio
import contextlib
import datetime
import decimal
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from kit import target
from kit.report import equal, true
from kit.stock import Stock

TARGET = target.from_command_line(__doc__)
STOCK = Stock(TARGET)
DRIVERS = ("psycopg2", "psycopg", "pg8000")


def address(driver, **query):
    """SQLAlchemy's."""
    to = STOCK.login
    return sa.URL.create(f"postgresql+{driver}", to.user, to.password, to.host, to.port, to.database, query=query)


@contextlib.contextmanager
def engine(driver, **options):
    """An engine, disposed of afterwards."""
    e = sa.create_engine(address(driver), **options)
    try:
        yield e
    finally:
        e.dispose()


class Base(orm.DeclarativeBase):
    """Tables of these checks."""


class Author(Base):
    """A parent."""

    __tablename__ = "conformance_author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50), unique=True, nullable=False)
    books = orm.relationship("Book", back_populates="author", order_by="Book.id")


class Book(Base):
    """A child, with a sequence of its own and values whose text depends on settings."""

    __tablename__ = "conformance_book"
    id = sa.Column(sa.Integer, sa.Sequence("conformance_book_seq"), primary_key=True)
    author_id = sa.Column(sa.ForeignKey(Author.id), nullable=False)
    title = sa.Column(sa.Text, index=True)
    price = sa.Column(sa.Numeric(10, 2))
    printed = sa.Column(sa.DateTime(timezone=True), server_default=sa.func.now())
    on = sa.Column(sa.Date)
    cover = sa.Column(sa.LargeBinary)
    lent = sa.Column(sa.Interval)
    author = orm.relationship(Author, back_populates="books")


def books():
    """Rows with values of many types."""
    return [Book(title=f"book {i}", price=decimal.Decimal("12.30"), on=datetime.date(2001, 2, 3), cover=b"\x00\xff\\", lent=datetime.timedelta(days=1, hours=2)) for i in range(5)]


def the_orm_writes_and_reads(e):
    """Tables, reflection, units of work, savepoints, failures."""
    Base.metadata.drop_all(e)
    Base.metadata.create_all(e)
    equal({c["name"] for c in sa.inspect(e).get_columns("conformance_book")}, {c.name for c in Book.__table__.columns}, "columns by reflection")
    equal([k["referred_table"] for k in sa.inspect(e).get_foreign_keys("conformance_book")], ["conformance_author"], "foreign keys by reflection")
    with orm.Session(e) as s:
        s.add_all([Author(name="Ünal", books=books()), Author(name="Ortiz", books=books())])
        s.commit()
        for a in s.scalars(sa.select(Author).options(orm.selectinload(Author.books)).order_by(Author.id)):
            equal([(b.title, b.price, b.on, bytes(b.cover), b.lent) for b in a.books], [(b.title, b.price, b.on, b.cover, b.lent) for b in books()], f"books of {a.name}")
            true(abs(a.books[0].printed - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5), "the time of the server")
        with s.begin_nested():
            s.add(Author(name="kept"))
        try:
            with s.begin_nested():
                s.add(Author(name="kept"))
                s.flush()
        except sa.exc.IntegrityError:
            pass
        s.commit()
        s.add(Author(name="undone"))
        s.flush()
        s.rollback()
        equal(s.scalars(sa.select(Author.name).order_by(Author.id)).all(), ["Ünal", "Ortiz", "kept"], "names")
        equal(s.execute(sa.update(Book).where(Book.title == "book 1").values(price=1).returning(Book.price)).scalars().all(), [1, 1], "rows updated")
        s.commit()
    Base.metadata.drop_all(e)


def isolation_is_what_was_asked(e):
    """Per engine and per connection; given back afterwards."""
    show = sa.text("select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')")
    for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"):
        for _ in range(3):
            with e.connect().execution_options(isolation_level=level) as c:
                wanted = "read committed" if level == "AUTOCOMMIT" else level.lower()
                equal(c.scalar(show), f"{wanted} off", f"isolation under {level}")
        with e.connect() as c:
            equal(c.scalar(show), "read committed off", "isolation afterwards")
    with e.connect().execution_options(postgresql_readonly=True, postgresql_deferrable=True, isolation_level="SERIALIZABLE") as c:
        equal(c.scalar(show), "serializable on", "a read-only transaction")
    with e.connect() as c:
        equal(c.scalar(show), "read committed off", "afterwards")


def rows_are_streamed(e):
    """By a server-side cursor, and in a session of many statements."""
    with e.connect() as c:
        found = c.execution_options(stream_results=True, max_row_buffer=100).execute(sa.text("select g from generate_series(1, 3000) g"))
        equal(sum(row.g for row in found), 3000 * 3001 // 2, "sum")
        equal(c.scalar(sa.text("select 'after'")), "after", "the next answer")


def settings_of_events_stay(e):
    """What an application sets at connect, as the documentation shows it."""

    @sa.event.listens_for(e, "connect", insert=True)
    def on_connect(connection, _):
        cursor = connection.cursor()
        cursor.execute("SET SESSION search_path='conformance_a', public")
        cursor.execute("SET TIME ZONE 'Asia/Tokyo'")
        cursor.execute("SET application_name TO 'it''s mine'")
        connection.commit()
        cursor.close()

    for _ in range(5):
        with e.connect() as c:
            equal(tuple(c.execute(sa.text("select current_setting('search_path'), current_setting('timezone'), current_setting('application_name')")).one()),
                  ("conformance_a, public", "Asia/Tokyo", "it's mine"), "settings")
        e.dispose()


def a_pool_of_threads(e):
    """More threads than connections, more connections than backends."""

    def work(i):
        with e.begin() as c:
            return c.scalar(sa.text("select :a || current_setting('datestyle')"), {"a": f"{i} "})

    with ThreadPoolExecutor(12) as threads:
        equal(list(threads.map(work, range(60))), [f"{i} ISO, MDY" for i in range(60)], "answers")


def register_sqlalchemy():
    """Every check with every driver."""
    options = {the_orm_writes_and_reads: {"pool_pre_ping": True}, isolation_is_what_was_asked: {"pool_size": 1}, a_pool_of_threads: {"pool_size": 4, "pool_pre_ping": True}}
    for driver in DRIVERS:
        for check in (the_orm_writes_and_reads, isolation_is_what_was_asked, rows_are_streamed, settings_of_events_stay, a_pool_of_threads):
            def run(driver=driver, check=check):
                with engine(driver, **options.get(check, {})) as e:
                    check(e)

            run.__name__ = f"sqlalchemy_on_{driver}_{check.__name__}"
            STOCK.check(run)


register_sqlalchemy()


@STOCK.check
def sqlalchemy_on_psycopg2_in_large_batches():
    """Rows inserted by the thousand, with keys that come back."""
    with engine("psycopg2", executemany_mode="values_plus_batch") as e:
        Base.metadata.drop_all(e)
        Base.metadata.create_all(e)
        with e.begin() as c:
            keys = c.scalars(sa.insert(Author).returning(Author.id, sort_by_parameter_order=True), [{"name": f"a{i}"} for i in range(3000)]).all()
            equal(len(set(keys)), 3000, "keys")
            c.execute(sa.update(Author).where(Author.id == sa.bindparam("k")).values(name=sa.bindparam("n")), [{"k": k, "n": f"b{k}"} for k in keys[:500]])
        with e.connect() as c:
            equal(c.scalar(sa.text("select count(*) from conformance_author where name like 'b%'")), 500, "rows updated")
        Base.metadata.drop_all(e)


@STOCK.check
async def sqlalchemy_on_asyncpg():
    """Tables, units of work, isolation, streams, and what its pool does with a connection."""
    e = create_async_engine(address("asyncpg"), pool_pre_ping=True, pool_size=3)
    async with e.begin() as c:
        await c.run_sync(Base.metadata.drop_all)
        await c.run_sync(Base.metadata.create_all)
        await c.run_sync(lambda sync: equal(len(sa.inspect(sync).get_columns("conformance_book")), 8, "columns by reflection"))
    for turn in range(3):
        async with AsyncSession(e) as s:
            s.add(Author(name=f"a{turn}", books=books()))
            await s.commit()
            equal((await s.scalars(sa.select(sa.func.count()).select_from(Book))).one(), 5 * (turn + 1), "books")
            await s.rollback()
    for level in ("SERIALIZABLE", "AUTOCOMMIT", "REPEATABLE READ"):
        async with e.connect() as c:
            c = await c.execution_options(isolation_level=level)
            equal(await c.scalar(sa.text("show transaction_isolation")), "read committed" if level == "AUTOCOMMIT" else level.lower(), "isolation")
    async with e.connect() as c:
        found = await c.stream(sa.text("select g from generate_series(1, 1000) g"))
        equal(sum([row.g async for row in found]), 500500, "sum")

    async def work(i):
        async with e.connect() as c:
            return await c.scalar(sa.text("select :i || current_setting('intervalstyle')"), {"i": f"{i} "})

    equal(await asyncio.gather(*map(work, range(30))), [f"{i} postgres" for i in range(30)], "answers")
    async with e.begin() as c:
        await c.run_sync(Base.metadata.drop_all)
    await e.dispose()


def to_asyncpg(**more):
    """asyncpg's arguments."""
    to = STOCK.login
    return {"host": to.host, "port": to.port, "user": to.user, "password": to.password, "database": to.database, "ssl": False, "timeout": 15} | more


@STOCK.check
async def the_pool_of_asyncpg_resets_its_connections():
    """Its reset query (unlock, close, UNLISTEN, RESET ALL) at every release; what a user of the pool has set is gone."""
    async with asyncpg.create_pool(**to_asyncpg(min_size=2, max_size=5)) as pool:
        async def work(i):
            async with pool.acquire() as c:
                equal(await c.fetchval("select current_setting('application_name') || current_setting('work_mem')"), "4MB", "what the one before had set")
                await c.execute(f"set application_name = 'w{i}'; set work_mem = '5MB'")
                async with c.transaction(isolation="serializable", readonly=True):
                    equal(await c.fetchval("select $1::int + $2::int", i, 1), i + 1, "sum")
                    equal(len(await c.fetch("select * from generate_series(1, $1::int)", 300)), 300, "rows")
                return await c.fetchval("show application_name")

        equal(await asyncio.gather(*map(work, range(40))), [f"w{i}" for i in range(40)], "own names")


@STOCK.check
async def asyncpg_reads_types_it_does_not_know():
    """Introspection, which switches jit off and on, and codecs."""
    c = await asyncpg.connect(**to_asyncpg(server_settings={"application_name": "typed", "jit": "off"}))
    await c.execute("drop type if exists conformance_mood cascade; create type conformance_mood as enum ('sad', 'glad'); drop type if exists conformance_pair cascade; create type conformance_pair as (a int, b conformance_mood[])")
    await c.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")
    for _ in range(5):
        found = await c.fetchrow("select row(1, array['sad', 'glad']::conformance_mood[])::conformance_pair as p, '[1]'::json as j, '1 day'::interval as i")
        equal((tuple(found["p"]), found["j"], found["i"]), ((1, ["sad", "glad"]), "[1]", datetime.timedelta(days=1)), "values")
        equal(await c.fetchval("select current_setting('application_name') || current_setting('jit')"), "typedoff", "settings")
    await c.reset()
    await c.reload_schema_state()
    await c.execute("drop type conformance_pair; drop type conformance_mood")
    async with c.transaction():
        equal(len([r async for r in c.cursor("select generate_series(1, 200)", prefetch=20)]), 200, "rows by a cursor")
    await c.copy_records_to_table("conformance_dirt", records=[(i,) for i in range(10)]) if STOCK.forebay else None
    await c.close()


@STOCK.check
async def asyncpg_switches_jit_off_and_on():
    """Around its introspection, where the database has it on."""
    c = await asyncpg.connect(**to_asyncpg(server_settings={"jit": "on"}))
    for _ in range(3):
        equal(await c.fetchval("select '{a}'::information_schema.sql_identifier[]"), ["a"], "a value of a type that it has to look up")
        equal(await c.fetchval("show jit"), "on", "jit")
        await c.reload_schema_state()
    await c.close()


@STOCK.check
def the_pool_of_psycopg_with_discard_all():
    """Configured at connect, checked at checkout, DISCARD ALL at return."""

    def configure(c):
        c.execute("set time zone 'Europe/Rome'")
        c.autocommit = True

    with psycopg_pool.ConnectionPool(to_psycopg(), min_size=2, max_size=4, open=True, configure=lambda c: (setattr(c, "autocommit", True), configure(c)),
                                     reset=lambda c: c.execute("DISCARD ALL"), check=psycopg_pool.ConnectionPool.check_connection) as pool:
        def work(i):
            with pool.connection() as c:
                c.execute("set application_name = 'other'")
                c.execute("set statement_timeout = 5000")
                for k in range(8):  # At the fifth it is prepared.
                    equal(c.execute("select %s::int + %s::int", (i, k)).fetchone(), (i + k,), "sum")
                with c.transaction():
                    return c.execute("select current_setting('statement_timeout'), current_setting('application_name')").fetchone()

        with ThreadPoolExecutor(8) as threads:
            equal(set(threads.map(work, range(40))), {("5s", "other")}, "own settings")
        with pool.connection() as c:
            equal(c.execute("select current_setting('statement_timeout'), current_setting('application_name')").fetchone(), ("0", ""), "settings after DISCARD ALL")


def to_psycopg(**more):
    """libpq's arguments."""
    to = STOCK.login
    return psycopg.conninfo.make_conninfo(host=to.host, port=to.port, user=to.user, password=to.password, dbname=to.database, sslmode="disable", connect_timeout=15, **more)


@STOCK.check
def psycopg_with_its_defaults():
    """Transactions, prepared statements from the first use, pipelines, server-side cursors, COPY."""
    with psycopg.connect(to_psycopg(application_name="stock", options="-c search_path=public"), prepare_threshold=0) as c:
        c.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        c.read_only = True
        for i in range(10):
            equal(c.execute("select %s::text || current_setting('transaction_isolation') || current_setting('transaction_read_only')", (str(i),)).fetchone(), (f"{i}repeatable readon",), "answer")
            c.commit()
        c.isolation_level = c.read_only = None
        with c.pipeline():
            cursors = [c.execute("select %s::int * 2", (i,)) for i in range(50)]
        equal([cursor.fetchone()[0] for cursor in cursors], [i * 2 for i in range(50)], "pipelined answers")
        c.commit()
        with c.cursor(name="server_side") as cursor:
            cursor.execute("select generate_series(1, 500)")
            equal(sum(row[0] for row in cursor), 125250, "sum")
        with c.cursor().copy("copy (select g from generate_series(1, 100) g) to stdout") as copy:
            equal(sum(int(row[0]) for row in copy.rows()), 5050, "sum of a COPY")
        equal(c.info.parameter_status("application_name"), "stock", "its name as libpq knows it")


def versions():
    """What was run, for the log."""
    names = ("sqlalchemy", "psycopg2-binary", "psycopg", "psycopg-pool", "asyncpg", "pg8000")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names), flush=True)


versions()
STOCK.run()
