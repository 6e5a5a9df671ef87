"""Python's drivers for MySQL and MariaDB as their users use them; FOREBAY_PYTHON_DRIVER names one of kit/mysql_drivers.py.

Over a few backends that neighbours keep dirty: logins of every kind, both protocols, transactions, several statements at once, large packets, files, streams,
another user on the same connection, KILL, errors.
"""

import contextlib
import datetime
import decimal
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from kit import mysql_drivers, target
from kit.mysql_place import Doors, Place
from kit.report import Skip, Unequal, equal, tell, true
from kit.target import Login

TARGET = target.from_command_line(__doc__)
PLACE = Place(TARGET)
ROWS = 2000 if TARGET.quick else 50_000
# Libraries in C do not send a password without TLS, unless told to ask for the server's key; some do not know by what MariaDB asks those whom it does not know.
REFUSES_ITSELF = (2059, 2061)
check = PLACE.any_check

try:
    DRIVER = mysql_drivers.chosen()
except Skip as why:
    tell("skip", "all", str(why))
    tell("done", "")
    raise SystemExit(0) from None
print(DRIVER.version, flush=True)


def connect(**more):
    """A connection of the driver's, closed afterwards."""
    return contextlib.closing(DRIVER.connect(PLACE.login, **more))


def execute(c, *statements):
    """Statements whose rows nobody wants; gives the last one's."""
    rows = []
    for sql in statements:
        rows = DRIVER.rows(c, sql)
    return rows


def value(c, sql, values=None):
    """The only value of the only row."""
    return DRIVER.rows(c, sql, values)[0][0]


def fails(number, function, *arguments):
    """Sees that it fails with that number, or one of those; gives the error."""
    try:
        function(*arguments)
    except DRIVER.error() as error:
        true(DRIVER.number(error) in (number if isinstance(number, tuple) else (number,)), f"wanted error {number}, got {error!r}")
        return error
    raise Unequal(f"no error {number}")


def texts(value):
    """Text, whether the driver gives bytes or not."""
    return value.decode() if isinstance(value, bytes) else value


@contextlib.contextmanager
def table(columns, name):
    """A table of a check's own, made and dropped straight at the database."""
    PLACE.direct(f"drop table if exists {name}")
    PLACE.direct(f"create table {name} ({columns})")
    try:
        yield name
    finally:
        PLACE.direct(f"drop table if exists {name}")


@check
def logs_in_by_every_method():
    """With and without TLS, whatever the database wants; a wrong password and an unknown user are told so, twice."""
    with Doors(TARGET) as doors:
        for door in doors.all(DRIVER.methods):
            try:
                with contextlib.closing(DRIVER.connect(door.login, door.ca)) as c:
                    equal(texts(value(c, "select substring_index(current_user(), '@', 1)")), door.login.user, f"who one is by {door.name}")
            except DRIVER.error() as error:
                raise Unequal(f"{door.name}: {error!r}") from error
            for wrong in (Login(door.login.host, door.login.port, door.login.user, "wrong", door.login.database), Login(door.login.host, door.login.port, "nobody", "wrong", door.login.database),
                          Login(door.login.host, door.login.port, door.login.user, "", door.login.database)):
                error = fails((1045, 1698, *REFUSES_ITSELF), DRIVER.connect, wrong, door.ca)
                true("Access denied" in str(error) or DRIVER.number(error) in REFUSES_ITSELF, f"the refusal by {door.name} says so: {error}")


@check
def an_unknown_database_is_refused():
    """By the login and by USE, with the server's own words."""
    to = PLACE.login
    for name in ("no_such_database", "mysql"):
        number = (1044, 1049)
        fails(number, DRIVER.connect, Login(to.host, to.port, to.user, to.password, name))
        with connect() as c:
            fails(number, execute, c, f"use {name}")
            equal(texts(value(c, "select database()")), to.database, "the database afterwards")


@check
def values_come_as_they_are():
    """Of every kind, by the text protocol."""
    with connect() as c:
        row = DRIVER.rows(c, "select 1, -9223372036854775808, 18446744073709551615, cast('12.30' as decimal(10,2)), 1.5e0, cast('2001-02-03' as date), cast('2001-02-03 04:05:06.789' as datetime(3)),"
                          " cast('-12:34:56' as time), null, 'Ünal 🐟', x'00ff5c', ''")[0]
        equal(row, (1, -(1 << 63), (1 << 64) - 1, decimal.Decimal("12.30"), 1.5, datetime.date(2001, 2, 3), datetime.datetime(2001, 2, 3, 4, 5, 6, 789000),
                    -datetime.timedelta(hours=12, minutes=34, seconds=56), None, "Ünal 🐟", b"\x00\xff\\", ""), "values")
        row = DRIVER.rows(c, "select %s, %s, %s, %s", ("it's \\ \" % 🐟", 7, None, datetime.datetime(2001, 2, 3, 4, 5, 6)))[0]
        equal((texts(row[0]), row[1], row[2], str(texts(row[3]))), ("it's \\ \" % 🐟", 7, None, "2001-02-03 04:05:06"), "what was sent")
        equal(len(DRIVER.rows(c, "select " + ", ".join(f"{i} as c{i}" for i in range(1000)))[0]), 1000, "columns")


@check
def prepared_statements_of_several_clients():
    """The binary protocol: the same and other texts on connections that share backends, executed in turns."""
    if not DRIVER.prepared:
        raise Skip("the driver has no prepared statements")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect()) for _ in range(5)]
        sums = [DRIVER.prepared(c) for c in clients]
        others = [DRIVER.prepared(c) for c in clients]
        for turn in range(12):
            for number, (one, other) in enumerate(zip(sums, others)):
                one.execute("select ? + ?, ?", (turn, number, f"client {number} 🐟"))
                row = one.fetchall()[0]
                equal((int(row[0]), texts(row[1])), (turn + number, f"client {number} 🐟"), f"row of client {number} in turn {turn}")
                other.execute(f"select 'of {number}', ?, ?", (None, datetime.date(2001, 2, 3)))
                row = other.fetchall()[0]
                equal((texts(row[0]), row[1], str(texts(row[2]))), (f"of {number}", None, "2001-02-03"), f"another row of client {number} in turn {turn}")
        fails(1146, sums[0].execute, "select * from no_such_table where 1 = ?", (1,))
        for cursor in sums + others:
            cursor.close()
        equal(value(clients[0], "select 1"), 1, "an answer afterwards")


@check
def prepared_statements_write():
    """Inserts in bulk, NULL and blobs, and a duplicate in their midst."""
    if not DRIVER.prepared:
        raise Skip("the driver has no prepared statements")
    with table("id int primary key, v varchar(50), b longblob", "conformance_prepared") as name, connect() as c:
        cursor = DRIVER.prepared(c)
        for i in range(30):
            cursor.execute(f"insert into {name} values (?, ?, ?)", (i, f"v{i}" if i % 2 else None, bytes(range(256)) * i))
            equal(cursor.rowcount, 1, "rows")
        fails(1062, cursor.execute, f"insert into {name} values (?, ?, ?)", (3, "again", b""))
        cursor.close()
        equal(int(value(c, f"select sum(length(b)) + count(v) from {name}")), 256 * sum(range(30)) + 15, "bytes and values")


@check
def transactions():
    """Commit, rollback, savepoints, DDL that commits; what others see of them."""
    with table("v int primary key", "conformance_transactions") as name, connect() as a, connect() as b:
        count = f"select count(*) from {name}"
        execute(a, "begin", f"insert into {name} values (1), (2)", "savepoint s", f"insert into {name} values (3)", "rollback to savepoint s")
        equal((value(a, count), value(b, count)), (2, 0), "rows seen by the writer, and by others")
        a.commit()
        equal((value(a, count), value(b, count)), (2, 2), "rows after COMMIT")
        execute(a, "start transaction", f"delete from {name}")
        a.rollback()
        equal(value(b, count), 2, "rows after ROLLBACK")
        execute(a, "begin", f"insert into {name} values (4)", f"alter table {name} comment 'commits'")
        equal(value(b, count), 3, "rows after DDL")
        execute(a, "begin")
        fails(1062, execute, a, f"insert into {name} values (4)")
        execute(a, f"insert into {name} values (5)")
        a.commit()
        equal(value(b, count), 4, "rows of a transaction that has seen an error")
        execute(a, "start transaction read only")
        fails(1792, execute, a, f"insert into {name} values (6)")
        a.rollback()


@check
def without_autocommit():
    """Each statement begins what COMMIT or ROLLBACK ends; switching autocommit on commits."""
    with table("v int", "conformance_autocommit") as name, connect() as a, connect() as b:
        switch = (lambda on: a.autocommit(on)) if callable(a.autocommit) else (lambda on: setattr(a, "autocommit", on))
        count = f"select count(*) from {name}"
        switch(False)
        for turn in range(3):
            execute(a, f"insert into {name} values ({turn})")
            equal(value(b, count), turn, "rows that others see")
            a.commit()
            execute(a, f"delete from {name}")
            a.rollback()
        execute(a, f"insert into {name} values (9)")
        switch(True)
        equal(value(b, count), 4, "rows when it is switched on")


@check
def isolation_levels():
    """For the next transaction and for the session."""
    with connect() as c:
        shown = "transaction_isolation" if DRIVER.rows(c, "show variables like 'transaction_isolation'") and "MariaDB" not in texts(value(c, "select version()")) else "tx_isolation"
        shown = shown if DRIVER.rows(c, f"show variables like '{shown}'") else "transaction_isolation"
        for level in ("READ-UNCOMMITTED", "READ-COMMITTED", "SERIALIZABLE", "REPEATABLE-READ"):
            execute(c, "set session transaction isolation level " + level.replace("-", " "), "begin")
            equal(texts(value(c, f"select @@{shown}")), level, "isolation in a transaction")
            c.rollback()
            equal(texts(value(c, f"select @@{shown}")), level, "isolation between transactions")


@check
def several_statements_at_once():
    """All results in order; an error ends them, and what was done stays done."""
    with table("v int primary key", "conformance_several") as name, connect() as c:
        equal(DRIVER.results(c, f"select 1; insert into {name} values (1), (2); select 'a', 'b'; select v from {name} order by v"), [[(1,)], 2, [("a", "b")], [(1,), (2,)]], "results")
        fails(1062, DRIVER.results, c, f"insert into {name} values (3); insert into {name} values (1); insert into {name} values (4)")
        equal(DRIVER.results(c, f"set @a = 5, time_zone = '+03:00'; begin; insert into {name} values (9); rollback; select @a, @@time_zone, count(*) from {name}")[-1], [(5, "+03:00", 3)], "what is left")
        equal(tuple(map(texts, DRIVER.rows(c, "select @@time_zone, @a + 1")[0]))[0], "+03:00", "settings afterwards")


@check
def procedures():
    """Several results, OUT parameters, errors that are signalled, commits inside."""
    with table("v int", "conformance_called") as name, connect() as c:
        bodies = {
            "conformance_results": "() begin select 1; select 'two', 2; end", "conformance_out": "(in a int, out b int) set b = a * 2",
            "conformance_signals": "() begin set @@session.sort_buffer_size = 100000; signal sqlstate '45000' set message_text = 'no more'; end",
            "conformance_commits": f"() begin start transaction; insert into {name} values (1); commit; end",
        }
        try:
            for procedure, body in bodies.items():
                execute(c, f"drop procedure if exists {procedure}", f"create procedure {procedure}{body}")
            equal([r for r in DRIVER.results(c, "call conformance_results()") if isinstance(r, list)], [[(1,)], [("two", 2)]], "results")
            execute(c, "call conformance_out(21, @twice)")
            equal(value(c, "select @twice"), 42, "the OUT parameter")
            true("no more" in str(fails(1644, execute, c, "call conformance_signals()")), "what was signalled")
            DRIVER.results(c, "call conformance_commits()")
            execute(c, "rollback")
            equal(value(c, f"select count(*) from {name}"), 1, "rows that the procedure committed")
        finally:
            with connect() as again:
                execute(again, *[f"drop procedure if exists {procedure}" for procedure in bodies])


@check
def settings_follow_their_client():
    """Of two clients, each sees its own all the time; so do the database, variables, character sets and flags of the login."""
    with connect() as a, connect() as b, connect(found_rows=True) as c:
        mine = ("set time_zone = '+05:00'", "set sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'", "set @x = 'of a', @n = 12.50", "set group_concat_max_len = 8", "use information_schema", "set lc_time_names = 'fr_FR'")
        execute(a, *mine)
        show = "select @@time_zone, @@sql_mode, @x, @n, @@group_concat_max_len, database(), @@lc_time_names, @@sql_select_limit > 1"
        plain = DRIVER.rows(b, show)
        for _ in range(10):
            equal(tuple(map(texts, DRIVER.rows(a, show)[0])), ("+05:00", "NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES", "of a", decimal.Decimal("12.50"), 8, "information_schema", "fr_FR", 1), "the settings of one")
            equal(DRIVER.rows(b, show), plain, "the settings of another")
        with table("v int", "conformance_found") as name:
            execute(b, f"insert into {name} values (1), (1)")
            for client, wanted in ((b, 0), (c, 2), (b, 0), (c, 2)):
                cursor = client.cursor()
                cursor.execute(f"update {name} set v = 1")
                equal(cursor.rowcount, wanted, "rows of an UPDATE that changes nothing")
                cursor.close()


@check
def keys_that_the_server_makes():
    """The last key, from the answer and by asking, with others writing meanwhile."""
    with table("id int auto_increment primary key, v int", "conformance_keys") as name, connect() as a, connect() as b:
        for turn in range(8):
            for client in (a, b):
                cursor = client.cursor()
                cursor.execute(f"insert into {name} (v) values ({turn})")
                made = cursor.lastrowid
                cursor.close()
                equal(value(client, "select last_insert_id()"), made, "the last key")
                equal(value(client, f"select v from {name} where id = %s", (made,)), turn, "its row")


@check
def character_sets():
    """What is written in one is read in another."""
    with table("v varchar(50) character set utf8mb4", "conformance_charsets") as name, connect() as a, connect(charset="latin1") as b:
        for text in ("Ünal", "ÿþ", "it's"):
            execute(a, f"delete from {name}")
            cursor = b.cursor()
            cursor.execute(f"insert into {name} values (%s)", (text,))
            cursor.close()
            equal(texts(value(a, f"select hex(v) from {name}")), text.encode().hex().upper(), "bytes that were written")
            for _ in range(3):
                equal((value(a, f"select v from {name}"), value(b, f"select v from {name}")), (text, text), "what both read")


@check
def temporary_tables_and_locks():
    """Stay with their session, and are gone with it."""
    with connect() as a, connect() as b:
        execute(a, "create temporary table conformance_temporary (v int)", "insert into conformance_temporary values (7)")
        fails(1146, execute, b, "select * from conformance_temporary")
        equal(value(a, "select v from conformance_temporary"), 7, "the row")
        execute(a, "drop temporary table conformance_temporary")
        equal((value(a, "select get_lock('conformance', 0)"), value(b, "select get_lock('conformance', 0)")), (1, 0), "the lock and the second to want it")
        equal(value(a, "select release_lock('conformance')"), 1, "released")
        equal(value(b, "select get_lock('conformance', 1)"), 1, "the lock of the second")
        equal(value(a, "select is_free_lock('conformance')"), 0, "whether it is free")
    with connect() as c:
        deadline = time.monotonic() + 10
        while value(c, "select is_free_lock('conformance')") != 1:
            true(time.monotonic() < deadline, "the lock is free when its client has gone")


def sizes(c):
    """Lengths of values that the server takes, at the borders of packets."""
    most = value(c, "select @@max_allowed_packet")
    return [n for n in (1 << 16, 1 << 20, (1 << 24) - 60, (1 << 24) - 1, (1 << 24) + 5, 40 << 20) if n + 1000 < most]


@check
def large_values():
    """Across the packets of 16 MiB, both ways."""
    with connect() as c:
        for size in sizes(c):
            equal(value(c, "select length(%s)", ("x" * size,)), size, "length of what was sent")
            got = value(c, f"select repeat('y', {size})")
            equal((len(got), set(texts(got)) if size < 1 << 20 else texts(got[:3])), (size, {"y"} if size < 1 << 20 else "yyy"), "what came")
            equal(value(c, "select 1"), 1, "an answer afterwards")


@check
def files_of_the_client():
    """LOAD DATA LOCAL: streamed; one that is not there, and rows that do not fit, leave the connection as it was."""
    with table("i int, v varchar(20)", "conformance_load") as name, tempfile.TemporaryDirectory() as folder, connect() as c:
        if texts(value(c, "select @@local_infile")) not in (1, "1", "ON"):
            raise Skip("the server does not allow LOCAL")
        file = os.path.join(folder, "rows.tsv")
        with open(file, "w", encoding="utf-8") as out:
            out.writelines(f"{i}\tvalue {i}\n" for i in range(ROWS))
        for turn in range(2):
            execute(c, f"load data local infile '{file}' into table {name}")
            equal(DRIVER.rows(c, f"select count(*), cast(sum(i) as signed) from {name}")[0], (ROWS * (turn + 1), sum(range(ROWS)) * (turn + 1)), "rows of the file")
        # Some drivers give the connection up when they find no file.
        with contextlib.suppress(*DRIVER.error(), OSError), connect() as other:
            execute(other, f"load data local infile '{folder}/nothing' into table {name}")
            raise Unequal("a file that is not there was loaded")
        fails(1146, execute, c, f"load data local infile '{file}' into table no_such_table")
        equal(value(c, f"select count(*) from {name}"), ROWS * 2, "rows afterwards")


@check
def rows_are_streamed():
    """From a result that is left on the wire, to its end or not."""
    with connect() as c, connect() as other:
        # Longer than any session is to wait for the only backend that is free.
        numbers = " union all ".join(f"select {i} as v" for i in range(10))
        sql = f"select a.v + 10 * b.v + 100 * c.v + 1000 * d.v as n, repeat('x', 100) from ({numbers}) a, ({numbers}) b, ({numbers}) c, ({numbers}) d"
        for turn in range(2):
            cursor = DRIVER.streaming(c)
            cursor.execute(sql)
            seen = sum(cursor.fetchone()[0] for _ in range(10_000)) if turn else [cursor.fetchone() for _ in range(50)]
            equal(value(other, "select 'meanwhile'"), "meanwhile", "what another client gets")
            if turn:
                equal((int(seen), cursor.fetchone()), (sum(range(10_000)), None), "the sum, and the end")
            else:
                for _ in iter(cursor.fetchone, None):
                    pass
            cursor.close()
            equal(value(c, "select 1"), 1, "an answer afterwards")


@check
def another_user_on_the_same_connection():
    """COM_CHANGE_USER: nothing is left of the one before; with a wrong password it is refused."""
    if not DRIVER.change_user:
        raise Skip("the driver has no call for it")
    with connect() as c, connect() as other:
        for _ in range(3):
            execute(c, "set time_zone = '+05:00'", "set @x = 5", "create temporary table conformance_changed (v int)", "begin")
            DRIVER.change_user(c, PLACE.login)
            equal(tuple(map(texts, DRIVER.rows(c, "select @x, @@time_zone = @@global.time_zone, database()")[0])), (None, 1, PLACE.login.database), "what is left")
            fails(1146, execute, c, "select * from conformance_changed")
            equal(value(other, "select 1"), 1, "what another client gets")
        to = PLACE.login
        fails((1045, *REFUSES_ITSELF), DRIVER.change_user, c, Login(to.host, to.port, to.user, "wrong", to.database))


@check
def a_connection_is_reset():
    """COM_RESET_CONNECTION: settings, variables, temporary tables, transactions and statements end, the database stays."""
    if not DRIVER.reset:
        raise Skip("the driver has no call for it")
    with table("v int", "conformance_reset") as name, connect() as c:
        for _ in range(3):
            execute(c, "set time_zone = '+05:00', @x = 5", "create temporary table conformance_changed (v int)", "begin", f"insert into {name} values (1)")
            DRIVER.reset(c)
            equal(tuple(map(texts, DRIVER.rows(c, "select @x, @@time_zone = @@global.time_zone, database()")[0])), (None, 1, PLACE.login.database), "what is left")
            fails(1146, execute, c, "select * from conformance_changed")
            equal(value(c, f"select count(*) from {name}"), 0, "rows of the transaction that was open")


def sleeper(c):
    """A statement that KILL ends with an error, and not with an early answer as a bare SLEEP would; what became of it, and when."""
    begun = time.monotonic()
    try:
        execute(c, "select count(*) from (select sleep(20) union all select sleep(20)) s")
        return "an answer", time.monotonic() - begun
    except DRIVER.error() as error:
        return DRIVER.number(error), time.monotonic() - begun


@check
def kill_query():
    """Stops the statement of the client with that number, nothing else."""
    with connect() as victim, connect() as killer:
        for _ in range(2):
            number = DRIVER.thread(victim)  # Before another thread uses it.
            with ThreadPoolExecutor(1) as threads:
                asleep = threads.submit(sleeper, victim)
                ended = threading.Event()
                asleep.add_done_callback(lambda _: ended.set())
                deadline = time.monotonic() + 15
                # Until it has begun there is nothing to kill.
                while not ended.wait(0.3) and time.monotonic() < deadline:
                    execute(killer, f"kill query {number}")
                result, seconds = asleep.result()
                true(result in (1317, "an answer") and seconds < 15, f"the statement ends: {result} after {seconds:.1f} s")
            equal((value(victim, "select 1"), value(killer, "select 2")), (1, 2), "answers afterwards")
        fails((1094, 1095), execute, killer, "kill query 4294967000")


@check
def kill_connection():
    """Ends the client with that number."""
    with connect() as killer:
        victim = DRIVER.connect(PLACE.login)
        equal(value(victim, "select 1"), 1, "an answer before")
        execute(killer, f"kill {DRIVER.thread(victim)}")
        # The server tells it at its next statement, as of a connection that is gone, or that it was killed.
        try:
            for _ in range(50):
                execute(victim, "select 1")
                time.sleep(0.02)
            raise Unequal("the client is alive that was killed")
        except (*DRIVER.error(), OSError):
            pass
        equal(value(killer, "select 2"), 2, "what its killer gets")


@check
def numbers_of_sessions():
    """The number of the greeting is the one that SQL tells."""
    with connect() as a, connect() as b:
        true(DRIVER.thread(a) != DRIVER.thread(b), "two clients have two numbers")
        if not PLACE.forebay:
            equal(value(a, "select connection_id()"), DRIVER.thread(a), "its number")


@check
def errors_are_the_servers_own():
    """Number, SQLSTATE and text, the same as straight from the database; the connection lives."""
    with table("v int primary key, t varchar(3) not null", "conformance_errors") as name:
        statements = ("selec 1", "select * from no_such_table", "select no_such_column", f"insert into {name} values (1, 'a'), (1, 'b')", f"insert into {name} values (2, 'long')",
                      f"insert into {name} (v) values (3)", "create database conformance_forbidden", "select 1 from", "set no_such_variable = 1", "kill 4294967000", "select @@no_such", "drop table no_such_table")

        def told(c):
            found = []
            for sql in statements:
                error = fails(tuple(range(1000, 5000)), execute, c, sql)
                found.append((sql, DRIVER.number(error), str(error), getattr(error, "sqlstate", None)))
            equal(value(c, "select 1"), 1, "an answer afterwards")
            return found

        with connect() as c, contextlib.closing(DRIVER.connect(TARGET.direct or TARGET.login)) as direct:
            for got, wanted in zip(told(c), told(direct)):
                equal(got, wanted, "the error")
            execute(c, "set innodb_lock_wait_timeout = 1", "begin", f"insert into {name} values (7, 'c')")
            with connect() as other:
                execute(other, "set innodb_lock_wait_timeout = 1")
                fails(1205, execute, other, f"insert into {name} values (7, 'd')")
            c.rollback()


@check
def many_threads():
    """More of them than backends, each with its own settings, connecting anew now and then."""
    def work(number):
        for _ in range(3):
            with connect() as c:
                execute(c, f"set @mine = {number}, time_zone = '+{number % 12:02}:00'")
                for turn in range(5):
                    equal(tuple(map(texts, DRIVER.rows(c, "select @mine, @@time_zone, %s", (turn,))[0])), (number, f"+{number % 12:02}:00", turn), f"the settings of thread {number}")
        return number

    with ThreadPoolExecutor(12) as threads:
        equal(list(threads.map(work, range(12))), list(range(12)), "threads that came to their end")


@check
def initial_commands_and_pings():
    """What is run at connect stays; a ping is answered; so is the question for statistics, where the driver has it."""
    with connect(init_command="set @@session.sql_mode = 'ANSI_QUOTES', time_zone = '+01:00'") as c:
        for _ in range(4):
            equal(tuple(map(texts, DRIVER.rows(c, 'select @@sql_mode as "quoted", @@time_zone')[0])), ("ANSI_QUOTES", "+01:00"), "settings")
            DRIVER.ping(c)
        try:
            true("Threads" in DRIVER.statistics(c), "statistics")
        except Skip:
            pass


PLACE.run()
