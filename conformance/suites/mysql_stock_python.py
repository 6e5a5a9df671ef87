"""Python's stock software on MySQL and MariaDB, untuned: SQLAlchemy on its drivers, as its documentation has it used; the sibling of stock_python.py.

Nothing pins (kit/stock.py), and every answer is right although two backends are shared with neighbours who leave them dirty. FOREBAY_PYTHON_DRIVERS says with
which drivers; the default is what needs no compiler.
"""

import contextlib
import datetime
import decimal
import os
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy import orm

from kit import target
from kit.mysql_place import Place
from kit.report import equal, true

TARGET = target.from_command_line(__doc__)
PLACE = Place(TARGET)
DRIVERS = os.environ.get("FOREBAY_PYTHON_DRIVERS", "pymysql").split(",")
TLS = {"pymysql": {"ssl_disabled": True}, "mysqlconnector": {"ssl_disabled": True, "use_pure": True}, "mysqldb": {}}


def address(driver, **query):
    """SQLAlchemy's."""
    to = PLACE.login
    return sa.URL.create(f"mysql+{driver}", to.user, to.password, to.host, to.port, to.database, query=query)


@contextlib.contextmanager
def engine(driver, connect_args=None, **options):
    """An engine, disposed of afterwards."""
    e = sa.create_engine(address(driver), connect_args=TLS[driver] | (connect_args or {}), **options)
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
    """A child, with values whose text depends on settings."""

    __tablename__ = "conformance_book"
    id = sa.Column(sa.Integer, primary_key=True)
    author_id = sa.Column(sa.ForeignKey(Author.id), nullable=False)
    title = sa.Column(sa.String(50), index=True)
    price = sa.Column(sa.Numeric(10, 2))
    printed = sa.Column(sa.DateTime, server_default=sa.func.now())
    on = sa.Column(sa.Date)
    cover = sa.Column(sa.LargeBinary)
    data = sa.Column(sa.JSON)
    author = orm.relationship(Author, back_populates="books")


def books():
    """Rows with values of many types."""
    return [Book(title=f"book {i}", price=decimal.Decimal("12.30"), on=datetime.date(2001, 2, 3), cover=b"\x00\xff\\'", data={"i": [i, "ü🐟"]}) for i in range(5)]


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
            equal([(b.title, b.price, b.on, bytes(b.cover), b.data) for b in a.books], [(b.title, b.price, b.on, b.cover, b.data) for b in books()], f"books of {a.name}")
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
        equal(s.execute(sa.update(Book).where(Book.title == "book 1").values(price=1)).rowcount, 2, "rows updated")
        equal(s.execute(sa.update(Book).where(Book.title == "book 1").values(price=1)).rowcount, 2, "rows found where nothing changes")
        s.commit()
    with e.begin() as c:
        keys = [c.execute(sa.insert(Author).values(name=f"a{i}")).inserted_primary_key[0] for i in range(5)]
        equal(len(set(keys)), 5, "keys")
        c.execute(sa.insert(Author), [{"name": f"many {i}"} for i in range(1000)])
        equal(c.scalar(sa.select(sa.func.count()).select_from(Author).where(Author.name.like("many%"))), 1000, "rows of a batch")
    Base.metadata.drop_all(e)


def isolation_is_what_was_asked(e):
    """Per engine and per connection; given back afterwards."""
    with e.connect() as c:
        wanted = c.get_isolation_level()
    for level in ("READ COMMITTED", "SERIALIZABLE", "AUTOCOMMIT", "READ UNCOMMITTED", "REPEATABLE READ"):
        for _ in range(3):
            with e.connect().execution_options(isolation_level=level) as c:
                equal(c.get_isolation_level(), wanted if level == "AUTOCOMMIT" else level, f"isolation under {level}")
                equal(c.scalar(sa.text("select @@autocommit + 0")), 1 if level == "AUTOCOMMIT" else 0, f"autocommit under {level}")
        with e.connect() as c:
            equal(c.get_isolation_level(), wanted, "isolation afterwards")


def rows_are_streamed(e):
    """By a cursor of the driver's that leaves them on the wire."""
    ten = " union all ".join(f"select {i} as v" for i in range(10))
    with e.connect() as c:
        found = c.execution_options(stream_results=True, max_row_buffer=100).execute(sa.text(f"select a.v + 10 * b.v + 100 * c.v as n from ({ten}) a, ({ten}) b, ({ten}) c"))
        equal(sum(int(row.n) for row in found), 499500, "sum")
        equal(c.scalar(sa.text("select 'after'")), "after", "the next answer")


def settings_of_events_stay(e):
    """What an application sets at connect, as the documentation shows it."""

    @sa.event.listens_for(e, "connect")
    def on_connect(connection, _):
        cursor = connection.cursor()
        cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'")
        cursor.execute("SET time_zone = '+09:00'")
        cursor.execute("SET NAMES utf8mb4 COLLATE utf8mb4_bin")
        cursor.close()

    for _ in range(5):
        with e.connect() as c:
            equal(tuple(c.execute(sa.text("select @@sql_mode, @@time_zone, @@collation_connection")).one()), ("ANSI_QUOTES,STRICT_ALL_TABLES", "+09:00", "utf8mb4_bin"), "settings")
        e.dispose()


def a_pool_of_threads(e):
    """More threads than connections, more connections than backends; in transactions and out of them."""

    def work(i):
        with e.begin() as c:
            c.execute(sa.text("select 1"))
            found = c.scalar(sa.text("select concat(:a, @@time_zone = @@global.time_zone)"), {"a": f"{i} "})
        with e.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            true(c.scalar(sa.text("select :a"), {"a": i}) in (i, str(i)), "an answer in autocommit")
        return found

    with ThreadPoolExecutor(12) as threads:
        equal(list(threads.map(work, range(60))), [f"{i} 1" for i in range(60)], "answers")


def what_the_pool_does_with_a_connection(e):
    """Connect, check out, ask in and out of a transaction, check in, recycle: nothing that the one before had set is there."""
    for i in range(6):
        with e.connect() as c:
            equal(c.scalar(sa.text("select @mine")), None if i == 0 else i - 1, "what the same connection had before")
            c.execute(sa.text(f"set @mine = {i}"))
            c.commit()
            with c.begin():
                equal(c.scalar(sa.text("select 1")), 1, "an answer in a transaction")
        with e.connect() as c:
            equal(c.exec_driver_sql("select 2").scalar(), 2, "an answer")


def register():
    """Every check with every driver."""
    options = {the_orm_writes_and_reads: {"pool_pre_ping": True}, isolation_is_what_was_asked: {"pool_size": 1}, a_pool_of_threads: {"pool_size": 4, "pool_pre_ping": True},
               what_the_pool_does_with_a_connection: {"pool_size": 1, "pool_pre_ping": True}}
    for driver in DRIVERS:
        for check in (the_orm_writes_and_reads, isolation_is_what_was_asked, rows_are_streamed, settings_of_events_stay, a_pool_of_threads, what_the_pool_does_with_a_connection):
            def run(driver=driver, check=check):
                with engine(driver, **options.get(check, {})) as e:
                    check(e)

            run.__name__ = f"sqlalchemy_on_{driver}_{check.__name__}"
            PLACE.check(run)


register()
print(f"SQLAlchemy {sa.__version__} on {', '.join(DRIVERS)}", flush=True)
PLACE.run()
