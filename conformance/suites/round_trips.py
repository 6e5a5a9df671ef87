"""What sharing costs in round trips: none. Between Forebay and PostgreSQL stands a relay that takes 5 ms each way and counts.

One backend, which a neighbour leaves with settings, a search path and statements of its own before each of the client's messages.
What the client needs there has to travel with its message. Flights are counted, which does not depend on the machine; that a slow network
shows only once is measured besides. The second half is what goes wrong when such a replay is done carelessly.
"""

import contextlib
import statistics
import time

from kit import conversations, target, wire
from kit.connection import Connection, Gone, ServerError, rows
from kit.meddler import Meddler
from kit.metrics import Metrics
from kit.proxy import Forebay
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
ONE_WAY_SECONDS = 0.005
ROUND_TRIP_SECONDS = 2 * ONE_WAY_SECONDS

# Values that a server which took them once takes again.
SURE = {
    "application_name": ("App", "app"), "timezone": ("Asia/Tokyo", "Europe/Rome"), "datestyle": ("SQL, DMY", "German, DMY"), "search_path": ("pg_catalog, a1", "b1"),
    "work_mem": ("5MB", "7MB"), "statement_timeout": ("11s", "12s"), "lock_timeout": ("13s", "14s"), "extra_float_digits": ("0", "3"),
    "bytea_output": ("escape", "hex"), "intervalstyle": ("iso_8601", "sql_standard"), "client_min_messages": ("error", "warning"),
    "default_transaction_isolation": ("serializable", "repeatable read"), "default_transaction_read_only": ("off", "on"), "jit": ("off", "on"), "enable_seqscan": ("off", "on"),
    "idle_in_transaction_session_timeout": ("21s", "22s"), "row_security": ("on", "off"), "xmloption": ("document", "content"), "client_encoding": ("UTF8", "LATIN1"),
    "standard_conforming_strings": ("on", "off"), "random_page_cost": ("2", "3"), "plan_cache_mode": ("force_custom_plan", "auto"),
}


class Pool:
    """Forebay with few backends, and the way to the database watched."""

    def __init__(self, backends=1, delay=ONE_WAY_SECONDS, **group):
        if not TARGET.direct:
            raise Skip("needs --direct-port")
        self.way = Meddler(TARGET.direct.host, TARGET.direct.port, delay)
        group = {"max_connections": backends, "lease_order": "rotate"} | group
        self.forebay = Forebay(TARGET, workers=1, to={"port": self.way.port}, group=group)
        self.open = []

    def __enter__(self):
        self.way.__enter__()
        try:
            self.forebay.__enter__()
        except BaseException:
            self.way.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for c in self.open:
            with contextlib.suppress(OSError):
                c.socket.close()
        self.forebay.__exit__()
        self.way.__exit__()

    def client(self, *statements, **parameters):
        """A client that has run these."""
        c = Connection(self.forebay.login(), **parameters)
        self.open.append(c)
        for sql in statements:
            c.query(sql)
        return c

    def neighbour(self, *statements):
        """A client that leaves the backend as nobody else wants it, each time it is called."""
        c = self.client(*statements)
        for name, (_, other) in SURE.items():
            c.query(f"set {name} to {other if ',' in other else quoted(other)}")
        return lambda sql="select 'left behind'": c.query(sql)

    def exchange(self, c, data, ready=1):
        """What came back, in how many flights, in how many seconds, and what the database was sent."""
        flights, asked = self.way.flights(), len(self.way.asked())
        begun = time.monotonic()
        messages = c.answers(data, ready)
        seconds = time.monotonic() - begun
        return messages, self.way.flights() - flights, seconds, self.way.asked()[asked:]

    def flights(self, c, sql):
        """The value of a query and the flights it took."""
        messages, flights, _, _ = self.exchange(c, wire.query(sql))
        return rows(messages)[0][0], flights

    def figure(self, name, **labels):
        """One figure of /metrics."""
        return Metrics(self.forebay.get("/metrics")[1]).value(name, **labels)


def quoted(value):
    """A text constant."""
    return "'" + value.replace("'", "''") + "'"


def extended(sql, *values, name=""):
    """Parse, Bind, Execute, Sync."""
    return wire.parse(name, sql) + wire.bind("", name, values) + wire.execute() + wire.SYNC


def use(name, *values):
    """Bind, Execute, Sync of a statement that was prepared before."""
    return wire.bind("", name, values) + wire.execute() + wire.SYNC


def exact(messages):
    """A stream to compare. In which order a server reports several changes depends on what it did before."""
    stream = [*map(conversations.exact, messages)]
    for at, to in reports(stream):
        stream[at:to] = sorted(stream[at:to])
    return stream


def reports(stream):
    """Where runs of ParameterStatus begin and end."""
    starts = [i for i, m in enumerate(stream) if m[0] == "S" and (i == 0 or stream[i - 1][0] != "S")]
    return [(i, next((j for j in range(i, len(stream)) if stream[j][0] != "S"), len(stream))) for i in starts]


def direct_stream(steps, **parameters):
    """What PostgreSQL itself answers to these writes, one after the other."""
    with Connection(TARGET.direct, **parameters) as c:
        return [exact(c.answers(data, ready)) for data, ready in steps]


@SUITE.check(deadline=60)
def settings_of_all_kinds_cost_no_round_trip():
    """One flight each, whatever the neighbour left; and the answer is there after one round trip."""
    with Pool() as pool:
        dirty = pool.neighbour()
        taken = []
        for name, (own, _) in SURE.items():
            c = pool.client(f"set {name} to {own if ',' in own else quoted(own)}")
            shown = c.value(f"show {name}")
            dirty()
            messages, flights, seconds, _ = pool.exchange(c, wire.query(f"show {name}"))
            equal((rows(messages), flights), ([(shown,)], 1), f"value of {name} and flights")
            taken.append(seconds)
            c.close()
        ratio = statistics.median(taken) / ROUND_TRIP_SECONDS
        true(ratio < 1.6, f"the median answer took {ratio:.2f} round trips")
        equal(pool.figure("session_pins"), 0, "pins")


@SUITE.check(deadline=60)
def many_settings_cost_no_more_than_one():
    """All at once, by the startup message and by SET, simple and extended, in and out of transactions."""
    with Pool() as pool:
        dirty = pool.neighbour()
        c = pool.client(*(f"set {name} to {own if ',' in own else quoted(own)}" for name, (own, _) in SURE.items()), options="-c geqo=off -c work_mem=3MB")
        sql = "select " + " || '|' || ".join(f"current_setting('{name}')" for name in [*SURE, "geqo"])
        wanted = c.value(sql)
        for data, ready in ((wire.query(sql), 1), (extended(sql), 1), (wire.query("begin") + wire.query(sql) + wire.query("commit"), 3), (wire.query("begin; " + sql + "; commit"), 1)):
            dirty()
            messages, flights, _, _ = pool.exchange(c, data, ready)
            equal((rows(messages), flights), ([(wanted,)], 1), "values and flights")


@SUITE.check
def after_a_write_of_the_neighbour_there_is_no_round_trip_more():
    """Nobody knows what the neighbour's function did: the backend is reset in the same flight."""
    with Pool() as pool:
        pool.client("drop table if exists public.conformance_round", "create or replace function public.conformance_hidden() returns text language sql as $$ select set_config('work_mem', '17MB', false) $$")
        dirty = pool.neighbour()
        c = pool.client("set application_name = 'mine'")
        for left in ("select public.conformance_hidden()", "create table public.conformance_round (v int)", "insert into public.conformance_round values (1)", "drop table public.conformance_round"):
            dirty("set default_transaction_read_only = off")
            dirty(left)
            # The first times, the database is asked what it did: that flight is nobody's.
            dirty("select 1")
            equal(pool.flights(c, "select current_setting('application_name') || current_setting('work_mem')"), ("mine4MB", 1), f"after {left}")
        c.query("drop function public.conformance_hidden()")


@SUITE.check(deadline=60)
def a_statement_prepared_elsewhere_costs_no_round_trip():
    """Two backends in turn: named and unnamed statements are found where they were never prepared."""
    with Pool(backends=2) as pool:
        c, other = pool.client(), pool.client()
        for one in (c, other):  # Both backends are open from here on.
            one.query("begin")
        for one in (c, other):
            one.query("commit")
        c.answers(wire.parse("named", "select $1::int + 1") + wire.SYNC)
        for i in range(4):
            messages, flights, _, _ = pool.exchange(c, use("named", str(i)))
            equal((rows(messages), flights), ([(str(i + 1),)], 1), "named: value and flights")
        c.answers(wire.parse("", "select $1::int + 2") + wire.SYNC)
        for i in range(4):
            messages, flights, _, _ = pool.exchange(c, use("", str(i)))
            equal((rows(messages), flights), ([(str(i + 2),)], 1), "unnamed: value and flights")
        messages, flights, _, _ = pool.exchange(c, wire.describe("S", "") + wire.SYNC)
        equal(([m.kind for m in messages], flights), (["t", "T", "Z"], 1), "unnamed: Describe and flights")
        true(all(b"select $1::int + 1\0" in bytes(link.asked) for link in pool.way.links), "each backend had to prepare it")
        equal(len(pool.way.links), 2, "backends")


@SUITE.check
def statements_and_settings_together_cost_no_round_trip():
    """Another search path, another meaning of the same text, and a neighbour who has the same names for other texts."""
    with Connection(TARGET.direct) as c:
        for schema in ("conformance_one", "conformance_two"):
            c.query(f"drop schema if exists {schema} cascade; create schema {schema}; create table {schema}.t as select '{schema}' as v")
    with Pool() as pool:
        clients = {schema: pool.client(f"set search_path = {schema}") for schema in ("conformance_one", "conformance_two")}
        for schema, c in clients.items():
            c.answers(wire.parse("s", "select v from t where v = $1") + wire.parse("", "select v || 'unnamed' from t") + wire.SYNC)
        for _ in range(3):
            for schema, c in clients.items():
                messages, flights, _, _ = pool.exchange(c, use("s", schema))
                equal((rows(messages), flights), ([(schema,)], 1), "named")
            for schema, c in clients.items():
                messages, flights, _, _ = pool.exchange(c, use(""))
                equal((rows(messages), flights), ([(schema + "unnamed",)], 1), "unnamed")
    with Connection(TARGET.direct) as c:
        c.query("drop schema conformance_one cascade; drop schema conformance_two cascade")


@SUITE.check
def values_that_may_fail_are_waited_for():
    """A role, a setting of an extension: one flight more, no more than that."""
    with Pool() as pool, fallible_role() as (role, _):
        dirty = pool.neighbour()
        custom, lesser = pool.client("set conformance.own = 'mine'"), pool.client(f"set role {role}")
        for c, sql, wanted in ((custom, "show conformance.own", "mine"), (lesser, "select current_user", role)):
            dirty()
            equal(pool.flights(c, sql), (wanted, 2), sql)
            equal(pool.flights(c, sql), (wanted, 1), f"{sql} again, on the backend that has it")


@contextlib.contextmanager
def fallible_role():
    """A role that the client may take, until it is taken away."""
    if not TARGET.admin:
        raise Skip("needs --admin-url, to make a role")
    role, user = "conformance_lesser", TARGET.login.user
    with Connection(TARGET.admin) as admin:
        admin.query(f"drop role if exists {role}; create role {role}; grant {role} to {user}")
        try:
            yield role, lambda: admin.query(f"revoke {role} from {user}")
        finally:
            admin.query(f"drop role {role}")


@SUITE.check
def a_value_that_fails_fails_before_the_statement():
    """The role was taken away: the client is told, and what it sent has not run, neither as itself nor as somebody else."""
    fresh_table()
    for data in (wire.query("insert into conformance_round values (1)"), extended("insert into conformance_round values (1)"), wire.query("begin") + wire.query("insert into conformance_round values (1)") + wire.query("commit")):
        with Pool() as pool, fallible_role() as (role, take_away):
            dirty, c = pool.neighbour(), pool.client(f"set role {role}")
            dirty()
            take_away()
            c.send(data)
            last = c.messages_to_end()[-1]
            equal((last.kind, last.fields().get("C")), ("E", "42501"), "the end")
            dirty("set default_transaction_read_only = off")
            equal(dirty("select count(*) from public.conformance_round"), [("0",)], "rows written")
    drop_table()


def fresh_table():
    """An empty table that everybody sees."""
    with Connection(TARGET.direct) as c:
        c.query("drop table if exists public.conformance_round; create table public.conformance_round (v int); grant all on public.conformance_round to public")


def drop_table():
    """It goes."""
    with Connection(TARGET.direct) as c:
        c.query("drop table public.conformance_round")


@SUITE.check
def a_rollback_does_not_undo_the_replay():
    """Nor does a statement that fails, alone, in a string, or in a pipeline: trap 1, a and b."""
    failing = (
        (wire.query("begin") + wire.query("rollback"), 2),
        (wire.query("begin; select 1/0") + wire.query("rollback"), 2),
        (wire.query("begin") + wire.query("select 1/0") + wire.query("rollback"), 3),
        (wire.query("select 1/0"), 1),
        (wire.query("selec"), 1),
        (wire.query("select 1; select 1/0"), 1),
        (extended("select 1/0"), 1),
        (extended("begin") + extended("select 1/0") + extended("rollback"), 3),
        (wire.parse("", "selec") + wire.SYNC, 1),
        (wire.query("copy conformance_none to stdout"), 1),
        (wire.SYNC, 1),
    )
    with Pool(delay=0.0) as pool:
        dirty, c = pool.neighbour(), pool.client("set application_name = 'mine'", "set search_path = own")
        for data, ready in failing:
            dirty()
            c.answers(data, ready)
            equal(c.value("select current_setting('application_name') || current_setting('search_path')"), "mineown", f"after {data!r}")


@SUITE.check
def what_may_not_be_in_a_transaction_works_as_the_first_statement():
    """Trap 1, c: VACUUM and the like, simple and extended, right behind a replay."""
    fresh_table()
    with Pool() as pool:
        dirty, c = pool.neighbour(), pool.client("set application_name = 'mine'", "set search_path = public")
        for sql, tag in (("vacuum (truncate false) conformance_round", "VACUUM"), ("create index concurrently conformance_round_v on conformance_round (v)", "CREATE INDEX"),
                         ("reindex index concurrently conformance_round_v", "REINDEX"), ("discard all", "DISCARD ALL")):
            for data in (wire.query(sql), extended(sql)):
                if data[:1] == b"P" and tag == "CREATE INDEX":
                    c.query("drop index conformance_round_v")
                dirty()
                messages, flights, _, _ = pool.exchange(c, data)
                said = [m.tag() if m.kind == "C" else m.fields()["M"] for m in messages if m.kind in "CE"]
                # Behind its answer the database may be asked what it did.
                equal((said, flights in (1, 2)), ([tag], True), f"answer to {sql}, {flights} flights")
                c.query("set search_path = public")
    drop_table()


@SUITE.check
def defaults_of_transactions_apply_to_the_first_one():
    """Trap 1, d: they are read when a transaction begins."""
    fresh_table()
    with Pool() as pool:
        dirty = pool.neighbour()
        c = pool.client("set default_transaction_isolation = 'serializable'", "set session characteristics as transaction read only, deferrable", "set search_path = public")
        show = "select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only') || ' ' || current_setting('transaction_deferrable')"
        for data, ready in ((wire.query(show), 1), (extended(show), 1), (wire.query("begin") + wire.query(show) + wire.query("commit"), 3), (extended("begin") + extended(show) + extended("commit"), 3)):
            dirty("set session characteristics as transaction not deferrable")
            messages, flights, _, _ = pool.exchange(c, data, ready)
            equal((rows(messages), flights), ([("serializable on on",)], 1), "the transaction and flights")
        dirty("set default_transaction_read_only = off")
        equal([m.fields()["C"] for m in c.answers(wire.query("insert into conformance_round values (1)")) if m.kind == "E"], ["25006"], "a write as first statement")
    drop_table()


@SUITE.check(deadline=60)
def a_replay_that_fails_stops_the_statement():
    """Trap 2: what is sent along without waiting, fails against all expectation: no statement of the client runs under settings that are not its own."""
    fresh_table()
    insert = "insert into public.conformance_round values (1)"
    for data in (wire.query(insert), extended(insert), wire.query("begin") + wire.query(insert) + wire.query("commit"), wire.query(f"begin; {insert}; commit"),
                 wire.parse("s", insert) + wire.SYNC + use("s") + use("s"), wire.query("copy public.conformance_round from stdin") + wire.copy_data(b"1\n") + wire.COPY_DONE):
        with Pool() as pool:
            dirty, c = pool.neighbour("set default_transaction_read_only = off"), pool.client("set work_mem = '5MB'")
            dirty("set default_transaction_read_only = off")
            pool.way.rewrite(b"work_mem", b"work_mum")
            c.send(data)
            messages = c.messages_to_end()
            pool.way.mend()
            equal((messages[-1].kind, [m.kind for m in messages if m.kind in "DCG"]), ("E", []), f"the end of {data[:30]!r}")
            equal(dirty("select count(*) from public.conformance_round"), [("0",)], f"rows written by {data[:30]!r}")
    drop_table()


@SUITE.check
def an_unnamed_statement_outlives_replays():
    """Trap 3: a Query of the proxy's own would end it, on a backend where it was and on one where it was not."""
    with Pool() as pool:
        dirty, c = pool.neighbour(), pool.client("set application_name = 'mine'")
        c.answers(wire.parse("", "select current_setting('application_name') || $1::text") + wire.describe("S", "") + wire.SYNC)
        for i in range(3):
            dirty()
            messages, flights, _, _ = pool.exchange(c, use("", str(i)))
            equal((rows(messages), flights), ([(f"mine{i}",)], 1), "value and flights")
        dirty()
        messages, flights, _, _ = pool.exchange(c, extended("select $1::text || current_setting('application_name')", "new "))
        equal((rows(messages), flights), ([("new mine",)], 1), "prepared behind a replay")
        c.query("select 1")  # A Query of its own does end it.
        dirty()
        equal([m.fields()["C"] for m in c.answers(use("", "x")) if m.kind == "E"], ["26000"], "after a Query of the client's own")


@SUITE.check(deadline=60)
def exactly_the_replays_answers_are_kept_back():
    """Trap 4: every conversation as with PostgreSQL itself, ParameterStatus included, though a neighbour comes between any two steps."""
    fresh_table()
    copy_in = wire.query("copy public.conformance_round from stdin") + wire.copy_data(b"1\n") + wire.COPY_DONE
    steps = (
        (wire.query("select 1"), 1), (wire.query("set application_name = 'mine'"), 1), (wire.query("select 1"), 1), (wire.query("set timezone = 'Asia/Tokyo'"), 1),
        (wire.query("select timestamptz '2000-01-01 00:00Z'"), 1), (wire.query("begin") + wire.query("set datestyle = german") + wire.query("rollback"), 3),
        (wire.query("select date '2000-01-02'"), 1), (wire.query("select 1/0"), 1), (wire.query("reset application_name"), 1), (wire.query(""), 1), (wire.SYNC, 1),
        (extended("select $1::int", "7"), 1), (wire.parse("s", "select $1::date") + wire.describe("S", "s") + wire.SYNC, 1), (use("s", "2000-01-03"), 1),
        (wire.query("set datestyle = 'SQL, DMY'"), 1), (use("s", "04/05/2000"), 1), (wire.close("S", "s") + wire.SYNC, 1), (use("s", "x"), 1),
        (copy_in, 1), (wire.query("copy public.conformance_round to stdout"), 1), (wire.query("set standard_conforming_strings = off"), 1),
        (wire.query("select 'a\\\\b'"), 1), (wire.query("set session characteristics as transaction read only"), 1), (wire.query("show transaction_read_only"), 1),
        (wire.query("reset all"), 1), (wire.query("discard all"), 1), (wire.query("select 1; set application_name = 'x'; select 1/0"), 1), (wire.query("show application_name"), 1),
        (wire.function_call(conversations.INT4PL, [conversations.TWO, conversations.THREE]), 1),
    )
    wanted = direct_stream(steps, TimeZone="UTC", application_name="given")
    with Connection(TARGET.direct) as c:
        c.query("truncate public.conformance_round")
    with Pool(delay=0.0) as pool:
        dirty, c = pool.neighbour(), pool.client(TimeZone="UTC", application_name="given")
        for (data, ready), answer in zip(steps, wanted):
            dirty()
            equal(exact(c.answers(data, ready)), answer, f"answer to {data[:60]!r}")
    drop_table()


@SUITE.check
def nothing_is_sent_where_the_settings_are_the_same():
    """Trap 5: clients with equal settings share a backend byte for byte."""
    with Pool() as pool:
        plain = [pool.client() for _ in range(2)]
        equal_ones = [pool.client("set application_name = 'same'", "set search_path = a, b", TimeZone="UTC") for _ in range(2)]
        for clients in (plain, equal_ones):
            clients[0].query("select 'the backend is as they want it'")
            for c in (*clients, *clients):
                for data in (wire.query("select 1"), wire.query("begin; select 2; commit"), extended("select 3")):
                    _, flights, _, asked = pool.exchange(c, data)
                    equal((flights, asked), (1, data), "flights and what the database was sent")
                equal(pool.exchange(c, wire.SYNC)[1], 0, "flights of a Sync alone")
        sent = wire.parse("s", "select $1::int") + wire.SYNC
        for c in equal_ones:
            c.answers(sent)
        for c in (*equal_ones, *equal_ones):
            _, _, _, asked = pool.exchange(c, use("s", "1"))
            equal([asked.count(b) for b in (b"select $1", b"SET", b"DEALLOCATE")], [0, 0, 0], "statements and settings sent again")


@SUITE.check
def a_difference_is_sent_once():
    """The second message on a backend that has the settings is alone."""
    with Pool() as pool:
        dirty, c = pool.neighbour(), pool.client("set work_mem = '5MB'")
        dirty()
        for wanted in (True, False, False):
            _, flights, _, asked = pool.exchange(c, wire.query("select 1"))
            equal((flights, b"work_mem" in asked), (1, wanted), "flights, and whether the setting was sent")


SUITE.run()
