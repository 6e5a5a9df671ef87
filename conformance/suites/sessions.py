"""What a client may rely on while it shares backends: its settings follow it, leak to nobody, and obey transactions.

All checks hold against PostgreSQL itself, where each client has its own backend; a pool must look the same. Neighbours
that set other values run all the time, so that a backend that was not made clean or not made ours is noticed.
"""

import contextlib
import random
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import psycopg.sql

from kit import target, wire
from kit.connection import Connection, eventually
from kit.proxy import Forebay
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
WATCHED = ("application_name", "TimeZone", "DateStyle", "search_path", "work_mem", "statement_timeout", "extra_float_digits",
           "bytea_output", "enable_seqscan", "default_transaction_isolation", "client_min_messages", "role")


def connect(**options):
    """A psycopg connection in autocommit."""
    login = TARGET.login
    given = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "dbname": login.database,
             "sslmode": "disable", "autocommit": True, "connect_timeout": 15}
    return psycopg.connect(**given | options)


def settings(c):
    """The watched settings as this client sees them."""
    return dict(zip(WATCHED, c.execute("select " + ", ".join(f"current_setting('{n}')" for n in WATCHED)).fetchone()))


@contextlib.contextmanager
def dirty_neighbours(count=4):
    """Clients that change everything, run something, and come and go, until the block ends."""
    stop, failures = threading.Event(), []
    changes = ("set application_name = 'dirty'", "set timezone = 'Pacific/Apia'", "set datestyle = 'SQL, DMY'", "set search_path = dirty", "set work_mem = '9MB'",
               "set statement_timeout = '9s'", "set extra_float_digits = 0", "set bytea_output = 'escape'", "set enable_seqscan = off",
               "set session characteristics as transaction isolation level repeatable read", "set client_min_messages = 'error'")

    def neighbour(seed):
        dice = random.Random(seed)
        try:
            while not stop.is_set():
                with connect(application_name=f"neighbour {seed}") as c:
                    for change in dice.sample(changes, 6):
                        c.execute(change)
                        c.execute("select 1")
                    time.sleep(0.005)
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=neighbour, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        stop.set()
        for t in threads:
            t.join(10)
    equal([str(f) for f in failures], [], "failures of the neighbours")


@SUITE.check(deadline=60)
def set_follows_the_client_and_leaks_to_nobody():
    """Two clients set different values by plain SET; a third sets nothing."""
    with dirty_neighbours(), connect() as a, connect() as b, connect() as c:
        untouched = settings(c)
        own = {}
        for client, name, zone, path in ((a, "App", "Asia/Tokyo", "a1, public"), (b, "app", "Europe/Rome", "b1")):
            client.execute(f"set application_name = '{name}'")
            client.execute(f"set timezone to '{zone}'")
            client.execute(f"set search_path = {path}")
            client.execute("set statement_timeout = '11s'")
            own[client] = untouched | {"application_name": name, "TimeZone": zone, "search_path": path, "statement_timeout": "11s"}
        for _ in range(30):
            for client in (a, c, b):
                equal(settings(client), own.get(client, untouched), "settings")


@SUITE.check
def values_that_differ_in_case_or_emptiness_are_told_apart():
    with connect() as a, connect() as b, connect() as c:
        a.execute("set application_name = 'Case'")
        b.execute("set application_name = 'case'")
        c.execute("set application_name = ''")
        for _ in range(20):
            for client, value in ((a, "Case"), (b, "case"), (c, "")):
                equal(client.execute("show application_name").fetchone(), (value,), "application_name")


@SUITE.check
def values_with_quotes_and_other_traps_come_through():
    odd = ("it's", 'say "so"', "back\\slash", "x; drop table x", "$$", "-- no comment", " blank ", "a,b", "100%", "E'\\n'")
    clients = [(connect(), value) for value in odd]
    for client, value in clients:
        client.execute(psycopg.sql.SQL("set application_name = {}").format(psycopg.sql.Literal(value)))
    for _ in range(5):
        for client, value in clients:
            equal(client.execute("show application_name").fetchone(), (value,), "value")
    for client, _ in clients:
        client.close()


@SUITE.check
def custom_settings_follow_their_client():
    with connect() as a, connect() as b:
        for client, value in ((a, "tenant é 1"), (b, "tenant 2")):
            client.execute(f"set conformance.tenant = '{value}'")
        for _ in range(20):
            for client, value in ((a, "tenant é 1"), (b, "tenant 2")):
                equal(client.execute("select current_setting('conformance.tenant')").fetchone(), (value,), "value")


@SUITE.check
def all_ways_to_write_set():
    forms = (("set work_mem to '2MB'", "work_mem", "2MB"), ("SET SESSION work_mem = 3072", "work_mem", "3MB"), ("set time zone 'Asia/Seoul'", "TimeZone", "Asia/Seoul"),
             ("set time zone -3", "TimeZone", "<-03>+03"), ("set names 'LATIN1'", "client_encoding", "LATIN1"), ("/* why */ set /* not */ datestyle = german -- so", "DateStyle", "German, DMY"),
             ("set search_path = a, \"B c\", public", "search_path", 'a, "B c", public'), ("set enable_seqscan to off", "enable_seqscan", "off"), ("set work_mem to default", "work_mem", None),
             ("select set_config('work_mem', '5MB', false)", "work_mem", "5MB"), ("set xmloption = document", "xmloption", "document"), ("set seed to 0.5", None, None))
    with connect() as other:
        defaults = {n: other.execute(f"show {n}").fetchone()[0] for n in {f[1] for f in forms if f[1]}}
        for statement, name, value in forms:
            with connect() as c:
                c.execute(statement)
                for _ in range(4 if name else 0):
                    equal(c.execute(f"show {name}").fetchone()[0], value or defaults[name], f"after {statement}")
                    equal(other.execute(f"show {name}").fetchone()[0], defaults[name], f"the neighbour's after {statement}")


@SUITE.check(deadline=60)
def set_obeys_transactions():
    """Undone by ROLLBACK and ROLLBACK TO, kept by COMMIT and COMMIT AND CHAIN; the neighbours see none of it."""
    with dirty_neighbours(2), connect(application_name="start") as c:
        def name():
            return [c.execute("show application_name").fetchone()[0] for _ in range(6)]

        def say(*statements):
            for s in statements:
                try:
                    c.execute(s)
                except psycopg.Error:
                    pass
            return name()

        for statements, wanted in (
            (("begin", "set application_name = 'x'", "rollback"), "start"),
            (("begin", "set application_name = 'a'", "commit"), "a"),
            (("begin", "set application_name = 'b'", "savepoint s", "set application_name = 'c'", "rollback to s", "commit"), "b"),
            (("begin", "savepoint s", "set application_name = 'd'", "release s", "commit"), "d"),
            (("begin", "savepoint s", "set application_name = 'e'", "savepoint s", "set application_name = 'f'", "rollback to s", "release s", "commit"), "e"),
            (("begin", "set application_name = 'g'", "select 1/0", "commit"), "e"),
            (("begin", "set application_name = 'h'", "commit and chain", "set application_name = 'i'", "rollback"), "h"),
            (("begin", "set application_name = 'j'", "rollback and chain", "commit"), "h"),
            (("set application_name = 'k'; select 1/0",), "h"),
            (("begin; set application_name = 'l'; commit; select 1/0",), "l"),
            (("begin", "set local application_name = 'm'", "commit"), "l"),
            (("begin", "set application_name = 'n'", "reset application_name", "rollback"), "l"),
            (("begin", "reset application_name", "commit"), "start"),
        ):
            equal(set(say(*statements)), {wanted}, f"application_name after {'; '.join(statements)}")


@SUITE.check
def set_local_and_set_transaction_end_with_the_transaction():
    with connect() as a, connect() as b:
        before = settings(a)
        for _ in range(10):
            with a.transaction():
                a.execute("set local work_mem = '17MB'")
                a.execute("set local search_path = local_only")
                a.execute("select set_config('application_name', 'local', true)")
                equal(settings(a), before | {"work_mem": "17MB", "search_path": "local_only", "application_name": "local"}, "inside")
            equal(settings(a), before, "afterwards")
            equal(settings(b), before, "the neighbour's")


@SUITE.check
def a_set_in_a_pipeline_segment_that_fails_is_undone():
    with Connection(TARGET.login) as c:
        segment = b"".join(wire.parse("", s) + wire.bind("", "") + wire.execute() for s in ("set work_mem = '18MB'", "select 1/0"))
        before = c.value("show work_mem")
        c.answers(segment + wire.SYNC)
        for _ in range(6):
            equal(c.value("show work_mem"), before, "work_mem")


@SUITE.check
def the_session_default_of_isolation_applies_to_the_next_transaction():
    with dirty_neighbours(2), connect() as a, connect() as b:
        a.execute("set default_transaction_isolation = 'serializable'")
        b.execute("set session characteristics as transaction read only")
        for _ in range(15):
            equal(a.execute("show transaction_isolation").fetchone(), ("serializable",), "isolation of the one")
            equal(b.execute("select current_setting('transaction_isolation'), current_setting('transaction_read_only')").fetchone(), ("read committed", "on"), "of the other")


@SUITE.check(deadline=60)
def search_path_decides_what_a_name_means():
    """Two clients prepare the same text over tables of different shape."""
    with connect() as c:
        for schema, columns in (("conformance_s1", "v int"), ("conformance_s2", "v text, w int")):
            c.execute(f"drop schema if exists {schema} cascade; create schema {schema}; create table {schema}.t ({columns})")
        c.execute("insert into conformance_s1.t values (1); insert into conformance_s2.t values ('two', 2)")
    with connect(prepare_threshold=0) as a, connect(prepare_threshold=0) as b:
        a.execute("set search_path = conformance_s1")
        b.execute("set search_path = conformance_s2")
        for _ in range(20):
            equal(a.execute("select * from t").fetchall(), [(1,)], "rows of the first schema")
            equal(b.execute("select * from t").fetchall(), [("two", 2)], "rows of the second schema")
    with connect() as c:
        c.execute("drop schema conformance_s1, conformance_s2 cascade")


@SUITE.check
def discard_all_and_reset_all_return_to_the_startup_packet():
    start = {"application_name": "start", "options": "-c work_mem=1500kB -c timezone=Asia/Tokyo"}
    with dirty_neighbours(2), connect(**start) as c:
        before = settings(c)
        for word in ("reset all", "discard all"):
            c.execute("set application_name = 'y'")
            c.execute("set work_mem = '7MB'")
            c.execute("set timezone = 'UTC'")
            c.execute("set search_path = nowhere")
            equal({k: v for k, v in settings(c).items() if before[k] != v},
                  {"application_name": "y", "work_mem": "7MB", "TimeZone": "UTC", "search_path": "nowhere"}, "changed settings")
            c.execute(word)
            for _ in range(6):
                equal(settings(c), before, f"settings after {word}")


@SUITE.check(deadline=60)
def random_programs_of_settings():
    """Clients run random SET, RESET, savepoint and rollback programs; the same ones run alone (on PostgreSQL itself if we may) are the oracle."""
    count, steps = (6, 60) if TARGET.quick else (24, 250)
    values = {"application_name": ("a", "A", "b b"), "TimeZone": ("UTC", "Asia/Tokyo", "America/Lima"), "work_mem": ("1MB", "2MB", "3MB"),
              "search_path": ("x", "y", "public"), "DateStyle": ("ISO, DMY", "German, DMY", "SQL, MDY")}

    def program(seed):
        dice, lines, depth = random.Random(seed), [], 0
        for _ in range(steps):
            name = dice.choice(list(values))
            pick = dice.randrange(12)
            if depth == 0:
                line = ("begin", "reset all", "discard all")[pick % 3] if pick < 5 else None
                depth += line == "begin"
            else:
                line = ("commit", "rollback", "savepoint s", "rollback to s", "release s", "select 1/0", "commit and chain")[pick] if pick < 7 else None
            if line in ("commit", "rollback"):
                depth = 0
            lines.append(line or dice.choice((f"set {name} = '{dice.choice(values[name])}'", f"set local {name} = '{dice.choice(values[name])}'", f"reset {name}")))
        return lines

    def observe(seed, **where):
        seen = []
        with connect(application_name=f"seed {seed}", **where) as c:
            for line in program(seed):
                try:
                    c.execute(line)
                    seen.append(tuple(c.execute("select " + ", ".join(f"current_setting('{n}')" for n in values)).fetchone()))
                except psycopg.Error as error:
                    seen.append(error.sqlstate)
        return seen

    oracle = TARGET.direct or TARGET.login
    alone = [observe(seed, port=oracle.port) for seed in range(count)]
    with ThreadPoolExecutor(count) as pool:
        together = list(pool.map(observe, range(count)))
    for seed in range(count):
        for step, (got, wanted) in enumerate(zip(together[seed], alone[seed], strict=True)):
            equal(got, wanted, f"seed {seed}, step {step}: {program(seed)[step]!r}")


@SUITE.check(deadline=60)
def a_client_killed_in_a_transaction_leaves_no_lock():
    """Another client updates the same row within five seconds."""
    with connect() as c:
        c.execute("drop table if exists conformance_lock; create table conformance_lock (v int); insert into conformance_lock values (0)")
    for times, how in enumerate(("reset", "close", "half a message", "with an answer unread"), 1):
        victim = Connection(TARGET.login)
        victim.query("begin; update conformance_lock set v = -1")
        if how == "half a message":
            victim.send(wire.query("update conformance_lock set v = -2")[:-7])
        elif how == "with an answer unread":
            victim.send(wire.query("update conformance_lock set v = -3; select repeat('x', 1000) from generate_series(1, 20000)"))
        victim.socket.close() if how == "close" else victim.reset()
        with connect() as c:
            c.execute("set statement_timeout = '5s'")
            c.execute("update conformance_lock set v = v + 1")
            equal(c.execute("select v from conformance_lock").fetchone(), (times,), f"value without the victim's update ({how})")


@SUITE.check(deadline=60)
def a_client_killed_while_its_query_waits_leaves_no_lock():
    """It waited for a lock itself; when the lock comes free, the dead must not take it."""
    with connect() as holder:
        holder.execute("drop table if exists conformance_lock; create table conformance_lock (v int); insert into conformance_lock values (0)")
        holder.execute("begin")
        holder.execute("update conformance_lock set v = 1")
        victim = Connection(TARGET.login)
        victim.send(wire.query("begin; update conformance_lock set v = 2"))
        time.sleep(0.3)
        victim.reset()
        holder.execute("commit")
    with connect() as c:
        def free():
            try:
                c.execute("set statement_timeout = '1s'")
                c.execute("update conformance_lock set v = 10")
                return True
            except psycopg.errors.QueryCanceled:
                return False

        eventually(free, 8, "the row can be updated")


@SUITE.check
def nobody_inherits_a_failed_transaction():
    for _ in range(20):
        with Connection(TARGET.login) as victim:
            victim.answers(wire.query("begin") + wire.query("select 1/0"), 2)
            victim.reset()
        with Connection(TARGET.login) as c:
            equal(c.value("select 'clean'"), "clean", "a newcomer's first answer")


@SUITE.check(deadline=60)
def statements_of_a_dead_client_are_not_answered_to_the_next():
    for i in range(40):
        with Connection(TARGET.login) as victim:
            victim.send(b"".join(wire.query(f"select 'dead {i}.{j}'") for j in range(20)))
            victim.reset()
        with Connection(TARGET.login) as c:
            for j in range(3):
                equal(c.query(f"select 'alive {i}.{j}'"), [(f"alive {i}.{j}",)], "a newcomer's answer")


@SUITE.check(deadline=60)
def clients_wait_their_turn_for_a_backend():
    """More long transactions than backends: all get done, none is refused."""
    count = 12

    def client(i):
        with connect() as c:
            with c.transaction():
                equal(c.execute("select pg_sleep(0.1), %s::int", (i,)).fetchone()[1], i, "own answer")
        return i

    with ThreadPoolExecutor(count) as pool:
        equal(sorted(pool.map(client, range(count))), list(range(count)), "clients that got done")


@SUITE.check
def idle_clients_hold_nobody_up():
    idle = [connect() for _ in range(30 if TARGET.quick else 100)]
    for c in idle:
        c.execute("select 1")
    begun = time.monotonic()
    with connect() as c:
        for i in range(100):
            equal(c.execute("select %s::int", (i,)).fetchone(), (i,), "answer")
    true(time.monotonic() - begun < 5, "a hundred queries in under 5 s")
    for c in idle:
        equal(c.execute("select 'back'").fetchone(), ("back",), "the idle one's answer")
        c.close()


@contextlib.contextmanager
def two_in_turn():
    """Two backends, lent in turn, and two clients that have had both."""
    group = {"pool_size_max": 2, "min_connections": 2, "lease_order": "rotate"}
    with Forebay(TARGET, workers=1, group=group) as f, Connection(f.login()) as a, Connection(f.login()) as b:
        for c in (a, b):
            c.query("begin")
        for c in (a, b):
            c.query("commit")
        yield a, b


@SUITE.check
def columns_that_a_table_has_no_more_are_refused_on_every_backend():
    """A client that was told int4 never reads text: 0A000, also where the statement is prepared again."""
    with two_in_turn() as (a, b):
        b.query("drop table if exists conformance_columns; create table conformance_columns (v int); insert into conformance_columns values (7)")
        told = a.answers(wire.parse("s", "select v from conformance_columns") + wire.describe("S", "s") + wire.SYNC)
        equal([m.kind for m in told], ["1", "t", "T", "Z"], "what is told")
        b.query("alter table conformance_columns alter v type text using 'abcd'")
        run = wire.bind("", "s") + wire.execute() + wire.SYNC
        for turn in range(2):
            got = a.answers(run)
            if got[0].kind == "E":
                fields = got[0].fields()
                equal((fields["C"], fields["R"]), ("0A000", "RevalidateCachedQuery"), "the refusal, as drivers know it")
                break
            raise AssertionError(f"turn {turn}: rows of other columns than were told: {[m.kind for m in got]}")
        equal([m.row() for m in a.answers(run) if m.kind == "D"], [(b"abcd",)], "what it is prepared anew as")
        b.query("drop table conformance_columns")


@SUITE.check
def types_that_a_client_was_told_are_kept_on_every_backend():
    """A binary int4 is never read as float4."""
    with two_in_turn() as (a, b):
        b.query("drop table if exists conformance_types; create table conformance_types (v int)")
        a.answers(wire.parse("i", "insert into conformance_types values ($1)") + wire.describe("S", "i") + wire.SYNC)
        b.query("alter table conformance_types alter v type real")
        values = struct.pack("!HHHi", 1, 1, 1, 4) + struct.pack("!i", 1078530011) + struct.pack("!H", 0)
        bind = wire.frame("B", b"\0i\0" + values)
        for _ in range(4):
            a.answers(bind + wire.execute() + wire.SYNC)
        equal(b.query("select distinct v = 1078530011::real, count(*) from conformance_types group by 1"), [("t", "4")], "what was written")
        b.query("drop table conformance_types")


@SUITE.check
def a_role_that_alter_role_sets_is_the_sessions_own():
    """ALTER ROLE … SET ROLE is what a session begins with and RESET brings back, whatever a neighbour took on."""
    if not TARGET.admin:
        raise Skip("needs --admin-url")
    user = TARGET.login.user
    with Connection(TARGET.admin) as admin:
        admin.query("drop role if exists conformance_role; create role conformance_role")
        admin.query(f'grant conformance_role to "{user}"; alter role "{user}" set role = conformance_role')
        try:
            with Forebay(TARGET, group={"pool_size_max": 1}) as f, Connection(f.login()) as a, Connection(f.login()) as b:
                for sql in ("set role none", "reset role", "discard all", "set session authorization default", "begin; set local role none; rollback"):
                    b.query(sql)
                    equal(a.value("select current_user"), "conformance_role", f"behind a neighbour's {sql}")
                b.query("set role none")
                equal(b.value("select current_user"), user, "behind SET ROLE NONE")
                b.query("reset role")
                equal(b.value("select current_user"), "conformance_role", "behind RESET ROLE")
        finally:
            admin.query(f'alter role "{user}" reset role; revoke conformance_role from "{user}"; drop role conformance_role')


@SUITE.check
def sequences_serve_each_client():
    with connect() as c:
        c.execute("drop table if exists conformance_serial; create table conformance_serial (id serial primary key, own text)")

    def client(i):
        with connect() as c:
            ids = [c.execute("insert into conformance_serial (own) values (%s) returning id", (str(i),)).fetchone()[0] for _ in range(10)]
            with c.transaction():
                c.execute("insert into conformance_serial (own) values (%s)", (str(i),))
                last = c.execute("select currval('conformance_serial_id_seq'), max(id) from conformance_serial where own = %s", (str(i),)).fetchone()
                equal(last[0], last[1], "currval in the same transaction")
            return ids

    with ThreadPoolExecutor(8) as pool:
        got = [i for ids in pool.map(client, range(8)) for i in ids]
    equal(len(set(got)), 80, "different ids")


@SUITE.check
def values_of_sequences_are_found_in_later_transactions():
    """lastval behind an INSERT of a transaction of its own: at first there may be none, and never another client's."""
    with connect() as c:
        c.execute("drop table if exists conformance_lastval; create table conformance_lastval (id serial primary key, own int)")

    def client(i):
        missing = 0
        with connect() as c:
            for _ in range(20):
                c.execute("insert into conformance_lastval (own) values (%s)", (i,))
                try:
                    last = c.execute("select lastval()").fetchone()[0]
                except psycopg.errors.ObjectNotInPrerequisiteState:
                    missing += 1
                    continue
                own = c.execute("select own, max(id) over () = id from conformance_lastval where own = %s and id >= %s", (i, last)).fetchall()
                equal(own, [(i, True)], "whose value it is, and whether it is the last")
        return missing

    with ThreadPoolExecutor(8) as pool:
        missing = list(pool.map(client, range(8)))
    true(max(missing) <= 1, f"a client misses a value once at the most: {missing}")
    with connect() as c:
        c.execute("drop table conformance_lastval")


SUITE.run()
