"""What a running Forebay does to its clients when an operator acts: reload, drain, a database that restarts with other limits.

Each check starts a Forebay, and for restarts a database, of its own; clients are psycopg's.
"""

import base64
import hashlib
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg

from kit import target, wire
from kit.connection import Connection, Socket, eventually
from kit.database import Database
from kit.metrics import Metrics
from kit.proxy import Forebay, secret
from kit.report import Suite, equal, true
from kit.scram import Scram, attributes, keys

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
CLIENTS, RELOADS = (24, 4) if TARGET.quick else (48, 12)


def connect(login, **options):
    """psycopg, in autocommit."""
    given = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "dbname": login.database,
             "sslmode": "disable", "connect_timeout": 15, "autocommit": True}
    return psycopg.connect(**given | options)


def figure(forebay, name):
    """One figure of /metrics, over all endpoints."""
    return Metrics(forebay.get("/metrics")[1]).value(name)


def table(login):
    """An empty table to commit to."""
    with connect(login) as c:
        c.execute("drop table if exists conformance_life")
        c.execute("create table conformance_life (v int)")


def rows(login):
    """What was committed; the table goes."""
    with connect(login) as c:
        found = [v for v, in c.execute("select v from conformance_life order by v")]
        c.execute("drop table conformance_life")
        return found


class Crowd:
    """Clients that work until told to stop, and what went wrong with them."""

    def __init__(self, logins, turn):
        self.stop, self.wrong, self.turns, self.turn = threading.Event(), [], [0] * len(logins), turn
        self.threads = [threading.Thread(target=self.client, args=(i, login), daemon=True) for i, login in enumerate(logins)]

    def client(self, i, login):
        """One client's life."""
        try:
            with connect(login, prepare_threshold=i % 3) as c:
                while not self.stop.is_set():
                    self.turn(c, i)
                    self.turns[i] += 1
        except Exception as error:  # Whatever a driver raises went wrong.
            self.wrong.append(f"client {i}: {type(error).__name__} {error}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        eventually(lambda: min(self.turns) > 0 or self.wrong, 20, "everybody works")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(20)

    def moves_on(self):
        """Waits until everybody has worked since now."""
        before = list(self.turns)
        eventually(lambda: all(now > then for now, then in zip(self.turns, before)) or self.wrong[:2], 20, "everybody goes on")


def transfer(c, i):
    """A setting, a prepared statement, a transaction."""
    c.execute(f"set application_name = 'life {i}'")
    with c.transaction():
        equal(c.execute("select %s::int + 1", (i,)).fetchone(), (i + 1,), "own answer")
        equal(c.execute("show application_name").fetchone(), (f"life {i}",), "own setting")


@SUITE.check(deadline=90)
def a_reload_drops_no_one():
    """Limits, timeouts and endpoints change under clients at work; nobody hears of it, and what is new holds."""
    with Forebay(TARGET, group={"max_connections": 10}) as f:
        with Crowd([f.login()] * CLIENTS, transfer) as crowd:
            for turn in range(RELOADS):
                most = (4, 12, 3, 8)[turn % 4]
                endpoints = ("default", "second") if turn % 2 else ("default",)
                f.reload([f.proxy(endpoints=endpoints, idle_client_timeout=60 + turn, group={"max_connections": most, "connection_borrow_timeout": 30 + turn})])
                crowd.moves_on()
                eventually(lambda: figure(f, "max_database_connections_allowed") == most, 5, f"{most} connections are allowed")
                eventually(lambda: figure(f, "database_connections") <= most or figure(f, "database_connections"), 10, f"no more than {most} are open")
        equal(crowd.wrong[:2], [], "what went wrong")
        equal(figure(f, "client_connections_closed"), CLIENTS, "connections closed, none but by their clients")


@SUITE.check
def a_reload_takes_new_secrets_for_new_logins():
    """Who is in stays in; who comes needs what is true now."""
    with Connection(TARGET.admin) as c:
        c.query("drop role if exists conformance_rotated; create role conformance_rotated login password 'first'")
    f = Forebay(TARGET)
    f.secrets, f.proxies = [secret("conformance_rotated", "first")], [f.proxy(users=["conformance_rotated"])]
    with f:
        old, new = (f.login("conformance_rotated", p) for p in ("first", "second"))
        with connect(old) as early:
            early.execute("set work_mem = '1357kB'")
            with Connection(TARGET.admin) as c:
                c.query("alter role conformance_rotated password 'second'")
            f.reload(secrets=[secret("conformance_rotated", "second")])
            equal(early.execute("show work_mem").fetchone(), ("1357kB",), "the session from before")
            with connect(new) as late:
                equal(late.execute("select 'late'").fetchone(), ("late",), "a newcomer's answer")
            try:
                connect(old).close()
                raise AssertionError("logged in with the old password")
            except psycopg.OperationalError as error:
                true("password" in str(error), f"the reason, got {error}")
            equal(early.execute("show work_mem").fetchone(), ("1357kB",), "the session from before")
    with Connection(TARGET.admin) as c:
        c.query("drop role conformance_rotated")


@SUITE.check
def a_secret_that_the_database_refuses_harms_its_own_user_alone():
    """Another user's, which two proxies have, works all the while."""
    with Connection(TARGET.admin) as c:
        c.query("drop role if exists conformance_stale; create role conformance_stale login password 'changed'")
    f = Forebay(TARGET)
    f.secrets = [secret(f.database.user, f.database.password), secret("conformance_stale", "stale")]
    f.proxies = [f.proxy(users=[f.database.user, "conformance_stale"]), f.proxy(name="other")]
    with f, connect(f.login()) as one, connect(f.login(proxy="other")) as other:
        for turn in range(3):
            try:
                connect(f.login("conformance_stale", "stale")).close()
                raise AssertionError("logged in with a password that the database does not take")
            except psycopg.OperationalError as error:
                true("refused the credentials" in str(error), f"the reason, got {error}")
            equal([c.execute("select %s::int", (turn,)).fetchone() for c in (one, other)], [(turn,)] * 2, "answers to those who have a good secret")
            connect(f.login()).close()
    with Connection(TARGET.admin) as c:
        c.query("drop role conformance_stale")


@SUITE.check
def a_reload_that_takes_a_user_away_ends_what_is_its():
    """Its backends go, its clients hear why at their next transaction; everybody else goes on."""
    with Connection(TARGET.admin) as c:
        c.query("drop role if exists conformance_leaver; create role conformance_leaver login password 'leaver'")
    backends = "select count(*) from pg_stat_activity where usename = 'conformance_leaver'"
    f = Forebay(TARGET)
    stays, leaves = secret(f.database.user, f.database.password), secret("conformance_leaver", "leaver")
    f.secrets, f.proxies = [stays, leaves], [f.proxy(users=[f.database.user, "conformance_leaver"], group={"min_connections": 2})]
    with f, Connection(TARGET.admin) as admin:
        with connect(f.login()) as other, connect(f.login("conformance_leaver", "leaver")) as leaver:
            equal(leaver.execute("select 1").fetchone(), (1,), "answer")
            eventually(lambda: admin.value(backends) == "2" or admin.value(backends), 10, "its two warm backends")
            f.reload([f.proxy(group={"min_connections": 2})], [stays])
            eventually(lambda: admin.value(backends) == "0" or admin.value(backends), 10, "its backends are closed")
            try:
                leaver.execute("select 1")
                raise AssertionError("it is still served")
            except psycopg.OperationalError as error:
                true("no credentials" in str(error), f"the reason, got {error}")
            equal(other.execute("select 2").fetchone(), (2,), "the other's answer")
            equal(admin.value(backends), "0", "its backends afterwards")
    with Connection(TARGET.admin) as c:
        c.query("drop role conformance_leaver")


@SUITE.check
def an_endpoint_gets_another_name_at_its_address():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    f = Forebay(TARGET)
    old, new = f.proxy(), f.proxy(name="renamed")
    old["endpoints"], new["endpoints"] = [{"name": "old", "listen": address}], [{"name": "new", "listen": address}]
    f.proxies = [old]
    with f:
        login = f.login(endpoint="old")
        with connect(login) as early:
            f.reload([new])
            true("in effect" in f.last_words(20), f"it is in effect: {f.last_words(3)}")
            with connect(login) as late:
                equal(late.execute("select 'late'").fetchone(), ("late",), "a newcomer's answer")
            true("renamed" in f.get("/metrics")[1], "the figures have the new name")
            try:
                early.execute("select 1")
                raise AssertionError("the removed proxy serves")
            except psycopg.OperationalError as error:
                true("cannot connect to the database" in str(error), f"the reason, got {error}")


@SUITE.check
def sigterm_lets_transactions_and_queries_finish():
    """The idle are told 57P01 at once; who is in a transaction or waits for an answer gets to its end, and what it commits counts."""
    table(TARGET.direct)
    with Forebay(TARGET) as f:
        inside, idle, busy = (connect(f.login()) for _ in range(3))
        inside.execute("begin")
        inside.execute("insert into conformance_life values (1)")
        idle.execute("select 1")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(lambda: busy.execute("insert into conformance_life select 2 from pg_sleep(1.5) returning v").fetchone())
            eventually(lambda: figure(f, "database_connections_currently_borrowed") == 2, 5, "it runs")
            f.terminate()
            eventually(lambda: f.get("/readyz")[0] != 200, 5, "/readyz says no")
            equal(f.get("/healthz")[0], 200, "/healthz meanwhile")
            eventually(lambda: outcome(idle) == "57P01", 5, "the idle client is ended, as soon as its worker knows")
            newcomer_is_refused(f)
            inside.execute("insert into conformance_life values (3)")
            true(f.process.poll() is None, "it waits for them")
            equal(answer.result(10), (2,), "the answer that was under way")
            inside.execute("commit")
        equal(f.ended(5), 0, "exit status")
        equal(failure(inside), "57P01", "the end of the one in a transaction, after it")
    equal(rows(TARGET.direct), [1, 2, 3], "what was committed")


def failure(c):
    """SQLSTATE that the next statement fails with."""
    sqlstate = outcome(c)
    true(sqlstate, "the statement fails")
    return sqlstate


def outcome(c):
    """SQLSTATE that the next statement fails with, or None."""
    try:
        c.execute("select 1")
    except psycopg.Error as error:
        return error.sqlstate
    return None


def newcomer_is_refused(f):
    """Nobody new while it drains."""
    try:
        connect(f.login()).close()
        raise AssertionError("a newcomer logged in")
    except psycopg.OperationalError as error:
        true("refused" in str(error) or "administrator command" in str(error), f"the reason, got {error}")


@SUITE.check
def sigterm_lets_a_busy_client_end_one_transaction_and_begin_no_other():
    table(TARGET.direct)
    with Forebay(TARGET, workers=1) as f, Connection(f.login()) as busy:
        busy.query("begin; insert into conformance_life values (1)")
        f.terminate()
        eventually(lambda: f.get("/readyz")[0] != 200, 5, "/readyz says no")
        # Without a pause between the two, so that it is hardly ever found idle.
        busy.query("insert into conformance_life values (2); commit")
        busy.send(wire.query("insert into conformance_life values (3)"))
        errors = [m.fields()["C"] for m in busy.messages_to_end() if m.kind == "E"]
        equal(errors, ["57P01"], "errors")
        equal(f.ended(5), 0, "exit status")
    equal(rows(TARGET.direct), [1, 2], "what was committed")


@SUITE.check
def a_drain_ends_at_its_timeout():
    """Who does not come to an end is closed, and the database rolls back."""
    table(TARGET.direct)
    with Forebay(TARGET, drain="1s") as f, connect(f.login()) as inside:
        inside.execute("begin")
        inside.execute("insert into conformance_life values (1)")
        begun = time.monotonic()
        f.terminate()
        equal(f.ended(8), 0, "exit status")
        true(0.9 <= time.monotonic() - begun < 5, f"after a second, it took {time.monotonic() - begun:.2f} s")
        true(failure(inside) in ("57P01", None), "the client's end")
    equal(rows(TARGET.direct), [], "what was committed")


@SUITE.check
def a_second_sigterm_does_not_wait():
    with Forebay(TARGET, drain="30s") as f:
        inside = connect(f.login())
        inside.execute("begin")
        f.terminate()
        eventually(lambda: f.get("/readyz")[0] != 200, 5, "it drains")
        f.terminate()
        equal(f.ended(5), 0, "exit status")
        inside.close()


@SUITE.check(deadline=100)
def a_database_that_restarts_with_other_limits_is_asked_anew():
    """Fewer connections, then more: the cap follows, and clients between transactions are served as if nothing had been."""
    with Connection(TARGET.direct) as c:
        version = int(c.value("show server_version_num")) // 10000
    with Database(TARGET, version, 30) as database:
        f = Forebay(TARGET)
        f.database = database.login()
        f.secrets, f.proxies = [secret(f.database.user, f.database.password)], [f.proxy(group={"connection_borrow_timeout": 30})]
        with f:
            clients = [connect(f.login(), application_name="conformance_restart") for _ in range(40)]
            for most in (30, 15, 60):
                if most != 30:
                    with clients[0].cursor() as inside:
                        inside.execute("begin")
                        database.stop()
                        database.start(most)
                    true(failure(clients[0]) is not None, "the client in a transaction hears of it")
                    clients[0].close()
                    clients[0] = connect(f.login(), application_name="conformance_restart")
                usable = most - 3
                ask_all(clients)
                eventually(lambda: figure(f, "max_database_connections_allowed") == usable or figure(f, "max_database_connections_allowed"), 10, f"{usable} connections are allowed")
                peak = ask_all(clients, database)
                true(peak <= usable, f"at most {usable} connections at the database, there were {peak}")
                if most == 60:
                    true(peak > 27, f"more connections than before are used, {peak}")
            [c.close() for c in clients]


@SUITE.check(deadline=90)
def a_database_that_goes_over_to_scram_takes_nobody_out():
    """From MD5 to SCRAM alone, then to five times the iterations, each time with all its connections ended: clients are served at once, and see none of it."""
    with Connection(TARGET.direct) as c:
        version = int(c.value("show server_version_num")) // 10000
    with Database(TARGET, version, 40) as database:
        demand(database, "md5", database.app.password)
        f = Forebay(TARGET)
        f.database = database.login()
        f.secrets, f.proxies = [secret(f.database.user, f.database.password)], [f.proxy(group={"connection_borrow_timeout": 10})]
        with f, Connection(database.admin) as admin:
            clients = [connect(f.login()) for _ in range(8)]
            many = 5 * 4096
            for method, password in (("md5", None), ("scram-sha-256", database.app.password), ("scram-sha-256", verifier(database.app.password, many))):
                if password:
                    demand(database, method, password)
                    admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
                    eventually(lambda: figure(f, "database_connections") == 0 or figure(f, "database_connections"), 10, "its connections are gone")
                begun = time.monotonic()
                clients.append(connect(f.login()))
                for number, c in enumerate(clients):
                    equal(c.execute("select %s::int", (number,)).fetchone(), (number,), f"an answer under {method}")
                took = time.monotonic() - begun
                true(took < 5, f"everybody is served at once, it took {took:.2f} s")
                equal(iterations(f.login()), 4096, "iterations that clients are asked for")
            equal(iterations(database.login()), many, "iterations that the database asks for")
            [c.close() for c in clients]


def demand(database, method, password):
    """Has the database keep the password of `app` for this method, and take no other."""
    with Connection(database.admin) as admin:
        path = admin.value("show hba_file")
        with open(path, encoding="utf-8") as file:
            rules = re.sub(r"(?m)\b(md5|scram-sha-256)$", method, file.read())
        with open(path, "w", encoding="utf-8") as file:
            file.write(rules)
        admin.query(f"set password_encryption = '{method}'; alter role app password '{password}'; select pg_reload_conf()")
    wanted = {"md5": 5, "scram-sha-256": 10}[method]
    eventually(lambda: asked(database.login()) == wanted, 10, f"{method} is asked for")


def verifier(password, many):
    """The password as PostgreSQL keeps it for SCRAM with so many iterations."""
    salt = b"0123456789abcdef"
    client, server = keys(password, salt, many)
    stored = hashlib.sha256(client).digest()
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${many}:{salt}${stored}:{server}"


def asked(login):
    """The authentication that is asked for."""
    with Socket(login.host, login.port) as s:
        s.send(wire.startup({"user": login.user, "database": login.database}))
        return struct.unpack_from("!I", s.message().body)[0]


def iterations(login):
    """How often a client is to hash its password."""
    with Socket(login.host, login.port) as s:
        s.send(wire.startup({"user": login.user, "database": login.database}))
        s.message()
        first = Scram(login.password).first()
        s.send(wire.frame("p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first))
        return int(attributes(s.message().body[4:])["i"])


def ask_all(clients, database=None):
    """Everybody asks at once, twice; returns how many connections the database saw."""
    def one(c):
        for _ in range(2):
            equal(c.execute("select count(*) filter (where application_name = 'conformance_restart') > 0 from pg_stat_activity, pg_sleep(0.2)").fetchone(), (True,), "answer")

    with ThreadPoolExecutor(len(clients)) as pool, ExitStack() as stack:
        # One for all looks: the database may have no place for many that still leave.
        admin = stack.enter_context(Connection(database.admin)) if database else None
        futures = [pool.submit(one, c) for c in clients]
        peak = 0
        while admin and not all(future.done() for future in futures):
            peak = max(peak, int(admin.value("select count(*) from pg_stat_activity where usename = 'app'")))
        [future.result() for future in futures]
    return peak


SUITE.run()
