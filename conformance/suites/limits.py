"""What clients see at each bound: SQLSTATE and text, that nobody else is harmed, and that the bound gives way when its cause does.

Each check starts a Forebay with a bound low enough to reach, and comes to it with psycopg or psql. What is bounded and how it is called:
docs/operating/configuration.md; the words: docs/ledger/errors.md.
"""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from kit import target, wire
from kit.connection import Connection, ServerError, Socket, eventually
from kit.metrics import Metrics
from kit.proxy import Forebay
from kit.report import Suite, equal, true
from kit.tools import Tools

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)


def connect(login, **options):
    """psycopg, in autocommit."""
    given = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "dbname": login.database,
             "sslmode": "disable", "connect_timeout": 15, "autocommit": True}
    return psycopg.connect(**given | options)


def refused(login):
    """The text that libpq shows for a failed login."""
    try:
        connect(login).close()
    except psycopg.OperationalError as error:
        return str(error)
    raise AssertionError("logged in")


def refused_fields(login, **parameters):
    """Severity, SQLSTATE and text that a login fails with."""
    try:
        Connection(login, **parameters).close()
    except ServerError as error:
        return error.fields["S"], error.fields["C"], error.fields["M"]
    raise AssertionError("logged in")


def works(c, value=1):
    """The connection answers."""
    equal(c.execute("select %s::int", (value,)).fetchone(), (value,), "answer")


def figure(forebay, name):
    """One figure of /metrics, over all endpoints."""
    return Metrics(forebay.get("/metrics")[1]).value(name)


def failure(c, sql):
    """SQLSTATE and text of a statement's failure."""
    try:
        c.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary
    raise AssertionError(f"{sql} succeeded")


@SUITE.check
def an_idle_client_is_closed_and_an_active_one_is_not():
    """57P05 without having asked; whatever is asked starts the time again; the database's connections are left alone."""
    with Forebay(TARGET, workers=1, idle_client_timeout=1) as f, connect(f.login()) as active, connect(f.login()) as idle:
        works(idle)
        works(active)
        before, begun = figure(f, "database_connections"), time.monotonic()
        while time.monotonic() - begun < 2.6:
            works(active)
            time.sleep(0.25)
        equal(failure(idle, "select 1"), ("57P05", "terminating connection due to idle-session timeout"), "the idle client's end")
        true(idle.closed, "its connection is closed")
        works(active)
        equal(figure(f, "client_connections"), 1, "clients left")
        equal(figure(f, "database_connections"), before, "database connections")


@SUITE.check
def an_idle_client_in_a_transaction_is_closed_and_rolled_back():
    """A pause between two requests counts, wherever it is; a long answer is no pause."""
    with Connection(TARGET.direct) as c:
        c.query("drop table if exists conformance_limits; create table conformance_limits (v int)")
    with Forebay(TARGET, idle_client_timeout=1) as f, connect(f.login()) as idle, connect(f.login()) as busy:
        idle.execute("begin")
        idle.execute("insert into conformance_limits values (1)")
        equal(busy.execute("select 'slow' from pg_sleep(2.5)").fetchone(), ("slow",), "an answer that takes longer than the timeout")
        equal(failure(idle, "commit")[0], "57P05", "the pausing client's end")
        with connect(f.login()) as other:
            equal(other.execute("select count(*) from conformance_limits").fetchone(), (0,), "rows of its transaction")
        eventually(lambda: figure(f, "database_connections_currently_in_transaction") == 0, 5, "no transaction is left open")
    with Connection(TARGET.direct) as c:
        c.query("drop table conformance_limits")


@SUITE.check
def a_client_too_many_is_refused_and_harms_nobody():
    with Forebay(TARGET, max_clients=4) as f:
        clients = [connect(f.login()) for _ in range(4)]
        text = "The maximum number of client connections to the proxy exceeded 4."
        for _ in range(5):
            equal(refused_fields(f.login()), ("FATAL", "53300", text), "the refusal")
        true(text in refused(f.login()), "libpq shows the text")
        [works(c) for c in clients]
        # A cancel request is no client: it must get through just when everything is full.
        slow = threading.Thread(target=lambda: equal(failure(clients[0], "select pg_sleep(20), 'too many'")[0], "57014", "the end"))
        slow.start()
        eventually(lambda: figure(f, "database_connections_currently_borrowed") == 1, 5, "it runs")
        begun = time.monotonic()
        clients[0].cancel_safe(timeout=10)
        slow.join(10)
        true(time.monotonic() - begun < 8, "it was cancelled")
        clients.pop().close()
        eventually(lambda: figure(f, "client_connections") == 3, 5, "a place is free")
        clients.append(connect(f.login()))
        [works(c) for c in clients]
        equal(figure(f, "clients_throttled"), 6, "refusals counted")
        [c.close() for c in clients]


@SUITE.check
def logins_above_the_rate_are_refused_and_harm_nobody():
    with Forebay(TARGET, connect_rate_max=5) as f, connect(f.login()) as early:
        def attempt(_):
            try:
                Connection(f.login()).close()
                return "in"
            except ServerError as error:
                return error.code, error.fields["M"]

        begun = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            said = list(pool.map(attempt, range(60)))
        seconds = int(time.monotonic() - begun) + 2
        entered = said.count("in")
        equal({s for s in said if s != "in"}, {("53300", "Rate of connection to proxy exceeded 5.")}, "the refusal")
        true(4 <= entered <= 5 * seconds, f"five a second, {entered} came in within {seconds} s")
        works(early)
        time.sleep(1.1)  # A rate is about time: the next second has to come.
        with connect(f.login()) as late:
            works(late)


@SUITE.check
def a_wait_for_a_backend_ends_at_the_borrow_timeout():
    """08000 for a session, which goes on afterwards, and for a newcomer whose login needs a backend."""
    with Forebay(TARGET, group={"pool_size_max": 1, "connection_borrow_timeout": 1}) as f:
        with connect(f.login()) as holder, connect(f.login()) as waiter:
            holder.execute("begin")
            begun = time.monotonic()
            equal(failure(waiter, "select 1"), ("08000", "Timed-out waiting to acquire database connection."), "the waiting session")
            true(0.9 <= time.monotonic() - begun < 3, f"after a second, it took {time.monotonic() - begun:.2f} s")
            words = ("FATAL", "08000", "Timed-out waiting to acquire database connection.")
            equal(refused_fields(f.login(), work_mem="77MB"), words, "a newcomer with settings of its own")
            works(holder)
            holder.execute("commit")
            if not waiter.closed:
                works(waiter)
            with connect(f.login()) as later:
                works(later)


@SUITE.check
def a_wait_for_a_database_that_says_nothing_ends_at_the_borrow_timeout():
    """The database takes the connection and never answers: opening it is part of the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        with Forebay(TARGET, group={"connection_borrow_timeout": 1}, to=to) as f:
            begun = time.monotonic()
            words = ("FATAL", "08000", "Timed-out waiting to acquire database connection.")
            equal(refused_fields(f.login()), words, "a newcomer")
            true(0.9 <= time.monotonic() - begun < 5, f"after a second, it took {time.monotonic() - begun:.2f} s")


@SUITE.check
def a_full_queue_refuses_and_serves_those_in_it_in_order():
    with Forebay(TARGET, group={"pool_size_max": 1, "queue_max": 3, "connection_borrow_timeout": 20}) as f:
        with connect(f.login()) as holder, connect(f.login()) as extra:
            waiters = [connect(f.login()) for _ in range(3)]
            holder.execute("begin")
            with ThreadPoolExecutor(3) as pool:
                futures = []
                for c in waiters:
                    futures.append(pool.submit(lambda c: c.execute("select clock_timestamp() from pg_sleep(0.01)").fetchone()[0], c))
                    eventually(lambda: figure(f, "clients_waiting") == len(futures), 5, "it waits")
                begun = time.monotonic()
                text = "The number of clients waiting for a database connection exceeded 3."
                equal(failure(extra, "select 1"), ("53300", text), "one too many")
                true(time.monotonic() - begun < 5, "at once")
                holder.execute("commit")
                served = [future.result(10) for future in futures]
            equal(served, sorted(served), "times at which they were served, in order of arrival")
            [c.close() for c in waiters]


@SUITE.check
def a_login_that_stalls_is_ended():
    with Forebay(TARGET, login_timeout="1s") as f, connect(f.login()) as c:
        with Socket(f.login().host, f.login().port) as silent:
            begun = time.monotonic()
            codes = [m.fields()["C"] for m in silent.messages_to_end() if m.kind == "E"]
            true(codes in ([], ["08006"]), f"its end, with or without a reason, got {codes}")
            true(0.8 <= time.monotonic() - begun < 5, f"after a second, it took {time.monotonic() - begun:.2f} s")
        works(c)


@SUITE.check
def psql_tells_its_user():
    """The words reach whoever sits in front of psql, and its exit status is that of a lost connection."""
    with Forebay(TARGET, max_clients=1) as f, connect(f.login()) as c:
        tools = Tools(TARGET)
        status, _, errors = tools.run("psql", "-XAtc", "select 1", PGPORT=str(f.login().port))
        equal(status, 2, "exit status")
        true("FATAL:  The maximum number of client connections to the proxy exceeded 1." in errors, f"the text, got {errors}")
        works(c)


@SUITE.check
def a_client_that_never_reads_is_not_read_from():
    """Answers that the proxy gives by itself are bounded like the database's: whoever takes none may ask no more."""
    most = 64 << 20
    with Forebay(TARGET, workers=1) as f, connect(f.login()) as other:
        for what in (wire.SYNC * 4096, (wire.close("S", "none") + wire.SYNC) * 2048):
            memory = f.memory()
            with Connection(f.login()) as deaf:
                deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                deaf.socket.settimeout(2)
                sent = 0
                with contextlib.suppress(TimeoutError):
                    while sent < most:
                        sent += deaf.socket.send(what)
                true(sent < most, f"it can be stopped, {sent} bytes were taken")
                works(other)
                true(f.memory() - memory < 16 << 20, f"little memory for it, got {f.memory() - memory}")


@SUITE.check
def the_percentage_bounds_what_the_database_sees():
    """Sixty clients at once on a share of a few connections: never more, and everybody is served."""
    with Connection(TARGET.admin or TARGET.direct) as c:
        usable = int(c.value("select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true), '0')::int"))
    percent = 6
    with Forebay(TARGET, group={"max_connections_percent": percent}) as f:
        stop, peak = threading.Event(), [0]

        def watch():
            with Connection(TARGET.direct) as c:
                sql = "select count(*) from pg_stat_activity where application_name = 'conformance_share' and pid <> pg_backend_pid()"
                while not stop.is_set():
                    peak[0] = max(peak[0], int(c.value(sql)))

        watcher = threading.Thread(target=watch)
        watcher.start()

        def client(i):
            with connect(f.login(), application_name="conformance_share") as c:
                for _ in range(4):
                    c.execute("select pg_sleep(0.01)")
                    works(c, i)

        try:
            with ThreadPoolExecutor(60) as pool:
                list(pool.map(client, range(60)))
        finally:
            stop.set()
            watcher.join()
        most = usable * percent // 100
        equal(figure(f, "max_database_connections_allowed"), most, "MaxDatabaseConnectionsAllowed")
        true(2 <= peak[0] <= most, f"at most {most} connections at the database, there were {peak[0]}")


SUITE.run()
