"""Every figure of `/metrics` against the truth: what the script did, and what the database says of its own connections.

A Forebay of the suite's own with two workers, so that nobody else is counted. Four proxies: `own` with an endpoint for plain
clients and one for TLS, `strict` that requires TLS, `narrow` with a single backend, `lost` whose database is not there. Checks build on one another and run in order.
Units: a request is a Query, an Execute or a FunctionCall; an exchange ends with ReadyForQuery; a lease is a backend borrowed.
"""

import contextlib
import socket
import ssl
import tempfile
import time

from kit import target, wire
from kit.certificates import Authority
from kit.connection import Connection, eventually, send_cancel
from kit.conversations import LO_UNLINK, TWO, one
from kit.crowd import Crowd, Member, enter_all, refusal
from kit.metrics import Metrics
from kit.proxy import Forebay, secret
from kit.report import Skip, Suite, equal, true
from kit.wire import SYNC, bind, describe, execute, function_call, parse, query

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
PLAIN_CLIENTS, TLS_CLIENTS, ROUNDS = (240, 120, 2) if TARGET.quick else (500, 250, 8)
POOL, MAX = 12, 20
WAIT_SECONDS = 3
DATABASE = "conformance_metrics"
PLAIN, TLS = {"proxy": "own", "endpoint": "plain"}, {"proxy": "own", "endpoint": "tls"}
OWN, STRICT, NARROW, LOST = ({"proxy": name} for name in ("own", "strict", "narrow", "lost"))

COUNTERS = """client_connections_closed client_connections_received client_connections_setup_failed_auth client_connections_setup_succeeded
    client_connections_with_previous_password
    query_requests query_requests_no_tls query_requests_tls client_refusals clients_throttled borrow_timeouts session_unpins
    cancels_delivered cancels_unmatched client_bytes_received client_bytes_sent session_pins session_pins_ended
    database_connection_requests database_connection_requests_with_tls database_connections_setup_failed
    database_connections_setup_succeeded backends_moved settings_replayed statements_reprepared backends_not_clean
    backends_unsuitable""".split()
GAUGES = """client_connections client_connections_in_setup client_connections_no_tls client_connections_tls clients_waiting session_pins_current
    database_connections database_connections_with_tls database_connections_currently_borrowed
    database_connections_currently_in_transaction database_connections_currently_session_pinned""".split()
HISTOGRAMS = """session_pin_duration query_response_latency query_database_response_latency database_connections_borrow_latency""".split()

# What a client writes, requests, exchanges, leases.
WORK = [
    (query("select 1"), 1, 1, 1),
    (query("select 1; select 2; select 3"), 1, 1, 1),
    (query("select 1/0"), 1, 1, 1),
    (query("selec"), 1, 1, 1),
    (query(""), 1, 1, 1),
    (one("select 1") + SYNC, 1, 1, 1),
    (one("select 1") + one("select 2") + one("select 3") + SYNC, 3, 1, 1),
    (one("select 1") + SYNC + one("select 1/0") + SYNC, 2, 2, 1),
    (parse("", "select now()") + describe("S", "") + SYNC, 0, 1, 1),
    (SYNC, 0, 0, 0),
    (query("begin") + query("select 1") + query("commit"), 3, 3, 1),
    (query("begin; select 1; rollback"), 1, 1, 1),
    (query("copy (select generate_series(1, 100)) to stdout"), 1, 1, 1),
    (function_call(LO_UNLINK, (TWO,)), 1, 1, 1),
    (query("set work_mem = '1234kB'"), 1, 1, 1),
    (query("select repeat('x', 20000)"), 1, 1, 1),
]
# The first statement of each pins for its reason; no other is on its way.
PINS = {
    "temporary_object": "create temporary table conformance_pin (v int)",
    "holdable_cursor": "begin; declare conformance_pin cursor with hold for select 1; commit",
    "advisory_lock": "select pg_advisory_lock(4711)",
    "listen": "listen U&\"conformance_pin\"",
    "set_config": "select set_config(n, '7MB', false) from (values ('work_mem')) v (n)",
    "sql_prepare": "prepare U&\"conformance_pin\" as select 1",
}


class Scene:
    """What all checks share: the proxy, its clients, and how many of each thing there were."""

    def __init__(self):
        self.cleanup = contextlib.ExitStack()
        self.crowd = Crowd()
        self.plain, self.tls, self.silent = [], [], []

    def start(self):
        """Database, certificate, proxy."""
        if not TARGET.admin:
            raise Skip("needs --admin-url to ask the database what it sees")
        folder = self.cleanup.enter_context(tempfile.TemporaryDirectory())
        authority = Authority(folder, "authority")
        certificate, key = authority.server()
        self.context = ssl.create_default_context(cafile=str(authority.certificate))
        recreate_database()
        self.backend_tls = asked("show ssl") == "on"
        there = {"tls": {"mode": "require" if self.backend_tls else "disable"}}
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nowhere = closed.getsockname()[1]
        f = Forebay(TARGET)
        tls = {"certificate": certificate, "private_key": key}
        f.secrets += [secret("conformance_unknown", "secret")]
        limits = {"max_connections": MAX, "pool_size_max": POOL, "connection_borrow_timeout": f"{WAIT_SECONDS}s"}
        f.proxies = [
            f.proxy("own", users=[TARGET.login.user, "conformance_unknown"], endpoints=("plain", "tls"), tls=tls, group=limits, to=there),
            f.proxy("strict", tls=tls, require_tls=True, group={"max_connections_percent": 50}),
            f.proxy("narrow", group={"pool_size_max": 1}),
            f.proxy("lost", group={"connection_borrow_timeout": 1}, to={"port": nowhere}),
        ]
        self.forebay = self.cleanup.enter_context(f)
        self.before = scrape()

    def login(self, **labels):
        """At an endpoint, in the database that only this suite uses."""
        return self.forebay.login(database=DATABASE, **labels)


SCENE = Scene()


def recreate_database():
    """An empty database whose connections are all ours."""
    with Connection(TARGET.admin) as c:
        c.query(f"drop database if exists {DATABASE} with (force)")
        c.query(f"create database {DATABASE} owner {TARGET.login.user}")


def asked(sql):
    """One value from the database itself."""
    with Connection(TARGET.admin) as c:
        return c.value(sql)


def backends(condition="true"):
    """Connections of the proxy `own` as the database sees them."""
    sql = f"select count(*) from pg_stat_activity a join pg_stat_ssl s using (pid) where datname = '{DATABASE}' and backend_type = 'client backend' and ({condition})"
    return int(asked(sql))


def scrape():
    """All figures now."""
    status, text = SCENE.forebay.get("/metrics")
    equal(status, 200, "status of /metrics")
    found = Metrics(text)
    true(found.whole, "the text ends with # EOF")
    return found


def settle(wanted, seconds=5):
    """Waits until figures are as they should be: {(name, labels…): number, or what asks for the number now}."""

    def wrong():
        truth = {key: value() if callable(value) else value for key, value in wanted.items()}
        now = scrape()
        found = {key: now.value(key[0], **dict(key[1:])) for key in truth}
        return {key: f"{found[key]}, not {value}" for key, value in truth.items() if found[key] != value} or True

    eventually(wrong, seconds, "the figures are the truth")


def figure(name, labels):
    """A key of `settle`."""
    return (name, *labels.items())


def grown(after, before, name, labels):
    """By how much a counter grew."""
    return after.value(name, **labels) - before.value(name, **labels)


@SUITE.check
def every_metric_is_there_from_the_start():
    SCENE.start()
    for name in COUNTERS + GAUGES:
        found = [SCENE.before.value(name, **labels) for labels in (OWN, STRICT, NARROW, LOST)]
        equal(found, [0, 0, 0, 0], f"{name} before anybody came")
    for name in HISTOGRAMS:
        equal([SCENE.before.count(name, **labels) for labels in (PLAIN, TLS, STRICT)], [0, 0, 0], f"count of {name}")
    for name in ("availability_percentage", "max_database_connections_allowed"):
        equal(SCENE.before.value(name, **OWN), None, f"{name}, which nobody can know yet")


@SUITE.check(deadline=90)
def connections_are_counted_by_endpoint_and_tls():
    """Logged in, in set-up, and how many of them with TLS."""
    plain, tls = SCENE.login(endpoint="plain"), SCENE.login(endpoint="tls")
    SCENE.plain = SCENE.crowd.run(enter_all([plain] * PLAIN_CLIENTS))
    SCENE.tls = SCENE.crowd.run(enter_all([tls] * TLS_CLIENTS, tls=SCENE.context))
    SCENE.silent = SCENE.crowd.all([Member(plain).connect() for _ in range(7)])
    everybody = PLAIN_CLIENTS + len(SCENE.silent)
    settle({
        figure("client_connections", PLAIN): everybody, figure("client_connections", TLS): TLS_CLIENTS,
        figure("client_connections_received", PLAIN): everybody, figure("client_connections_received", TLS): TLS_CLIENTS,
        figure("client_connections_setup_succeeded", PLAIN): PLAIN_CLIENTS, figure("client_connections_setup_succeeded", TLS): TLS_CLIENTS,
        figure("client_connections_in_setup", PLAIN): len(SCENE.silent), figure("client_connections_in_setup", TLS): 0,
        figure("client_connections_no_tls", PLAIN): everybody, figure("client_connections_no_tls", TLS): 0,
        figure("client_connections_tls", PLAIN): 0, figure("client_connections_tls", TLS): TLS_CLIENTS,
        figure("client_connections_closed", OWN): 0, figure("client_connections_setup_failed_auth", OWN): 0,
        figure("query_requests", OWN): 0, figure("client_refusals", OWN): 0,
    } | counted_bytes())


def counted_bytes():
    """Bytes of all clients since the start."""
    return {
        figure("client_bytes_received", PLAIN): sum(m.written for m in SCENE.plain),
        figure("client_bytes_sent", PLAIN): sum(m.read for m in SCENE.plain),
        # Besides what is inside TLS there are the request for it and its one byte of an answer.
        figure("client_bytes_received", TLS): sum(m.written for m in SCENE.tls) + len(wire.SSL_REQUEST) * len(SCENE.tls),
        figure("client_bytes_sent", TLS): sum(m.read for m in SCENE.tls) + len(SCENE.tls),
    }


async def work(member, number):
    """One client's share: every piece of work, each client beginning elsewhere."""
    for i in range(len(WORK) * ROUNDS):
        data, _, exchanges, _ = WORK[(i + number) % len(WORK)]
        await member.answers(data, max(exchanges, 1))


@SUITE.check(deadline=120)
def requests_exchanges_and_leases_are_counted():
    """What several hundred clients do at once, as counters and as numbers of values in the histograms."""
    before, begun = scrape(), time.monotonic()
    SCENE.crowd.all([work(m, i) for i, m in enumerate(SCENE.plain + SCENE.tls)])
    seconds = time.monotonic() - begun
    # What is pipelined waits for what is before it, and each counts its own wait.
    deepest = max(w[2] for w in WORK)
    requests, exchanges, leases = (ROUNDS * sum(w[i] for w in WORK) for i in (1, 2, 3))
    settle({
        figure("query_requests", PLAIN): requests * PLAIN_CLIENTS, figure("query_requests", TLS): requests * TLS_CLIENTS,
        figure("query_requests_no_tls", PLAIN): requests * PLAIN_CLIENTS, figure("query_requests_tls", PLAIN): 0,
        figure("query_requests_no_tls", TLS): 0, figure("query_requests_tls", TLS): requests * TLS_CLIENTS,
        figure("clients_waiting", OWN): 0, figure("database_connections_currently_borrowed", OWN): 0,
        figure("session_pins", OWN): 0,
    } | counted_bytes())
    after = scrape()
    for labels, clients in ((PLAIN, PLAIN_CLIENTS), (TLS, TLS_CLIENTS)):
        for name, each in (("query_response_latency", exchanges), ("query_database_response_latency", exchanges), ("database_connections_borrow_latency", leases)):
            equal(after.count(name, **labels) - before.count(name, **labels), each * clients, f"values in {name} at {labels['endpoint']}")
            spent = after.sum(name, **labels) - before.sum(name, **labels)
            true(0 <= spent <= seconds * clients * deepest, f"{clients} clients cannot have spent {spent:.1f} s in {seconds:.1f} s: {name}")
    name = "target_query_database_response_latency"
    equal(after.count(name, **OWN) - before.count(name, **OWN), exchanges * (PLAIN_CLIENTS + TLS_CLIENTS), f"values in {name}")
    spent = {n: after.sum(n, **OWN) - before.sum(n, **OWN) for n in (*HISTOGRAMS, name)}
    true(spent["query_database_response_latency"] <= spent["query_response_latency"], f"the database took less than the whole: {spent}")
    true(spent[name] <= seconds * POOL * deepest, f"{POOL} backends cannot have worked {spent[name]:.1f} s in {seconds:.1f} s")


@SUITE.check
def a_known_wait_falls_into_its_bucket():
    before = scrape()
    SCENE.crowd.all([m.ask("select pg_sleep(0.3)") for m in SCENE.plain[:4]])
    after = scrape()
    for name in ("query_response_latency", "query_database_response_latency"):
        spent = after.sum(name, **PLAIN) - before.sum(name, **PLAIN)
        true(1.2 <= spent < 12, f"four times 0.3 s, got {spent:.2f} s in {name}")
        steps = [(bound, now - then) for (bound, now), (_, then) in zip(after.buckets(name, **PLAIN), before.buckets(name, **PLAIN))]
        equal([n for bound, n in steps if bound < 0.3], [0] * sum(bound < 0.3 for bound, _ in steps), f"shorter values in {name}")
        equal((steps[-1][0], steps[-1][1]), (float("inf"), 4), f"all values in {name}")


@SUITE.check
def backends_are_what_the_database_sees():
    """Held, in transaction, failed or busy, each against pg_stat_activity, while it lasts."""
    true(backends() > 0, "the database sees connections")
    settle({figure("database_connections", OWN): backends, figure("database_connections_with_tls", OWN): lambda: backends("ssl")})
    equal(backends("ssl"), backends() if SCENE.backend_tls else 0, "connections with TLS at the database")
    SCENE.crowd.all([m.ask("begin") for m in SCENE.plain[:3] + SCENE.tls[:2]])
    SCENE.crowd.run(SCENE.tls[1].ask("select 1/0"))
    busy = SCENE.plain[3:6]
    for m in busy:
        m.send(query("select pg_sleep(60)"))
    eventually(lambda: backends("state like 'idle in transaction%'") == 5 and backends("state = 'active'") == 3, 5, "five transactions, three busy backends")
    settle({
        figure("database_connections_currently_borrowed", OWN): 8, figure("database_connections_currently_in_transaction", OWN): 5,
        figure("database_connections", OWN): backends, figure("clients_waiting", OWN): 0,
    })
    for m in busy:
        send_cancel(m.login, m.greeting.key)
    SCENE.crowd.all([m.answers(b"") for m in busy])
    SCENE.crowd.all([m.ask("rollback") for m in SCENE.plain[:3] + SCENE.tls[:2]])
    settle({figure("database_connections_currently_borrowed", OWN): 0, figure("database_connections_currently_in_transaction", OWN): 0})
    equal(backends("state <> 'idle'"), 0, "backends at work afterwards")


@SUITE.check
def backends_opened_are_the_sessions_the_database_counts():
    """pg_stat_database counts the sessions that were opened in a database; ours alone are in this one."""
    known = scrape()
    opened = int(known.value("database_connections_setup_succeeded", **OWN))
    eventually(lambda: int(asked(f"select sessions from pg_stat_database where datname = '{DATABASE}'")) == opened or f"{opened} were counted", 15, "sessions at the database")
    equal(known.value("database_connection_requests", **OWN), opened, "attempts, of which none failed")
    equal(known.value("database_connection_requests_with_tls", **OWN), opened if SCENE.backend_tls else 0, "attempts with TLS")
    equal(known.value("availability_percentage", **OWN), 100, "availability")


@SUITE.check
def the_most_allowed_is_a_share_of_what_the_database_takes():
    """Without reserved connections; an absolute bound counts when it is lower."""
    usable = int(asked("select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true), '0')::int"))
    member = SCENE.crowd.run(Member(strict()).enter(SCENE.context))
    settle({figure("max_database_connections_allowed", OWN): min(MAX, usable), figure("max_database_connections_allowed", STRICT): usable // 2})
    SCENE.crowd.run(member.leave())


def strict():
    """At the proxy that requires TLS; in another database, so that `backends` sees `own` alone."""
    return SCENE.forebay.login(proxy="strict")


@SUITE.check
def what_is_done_again_for_a_session_is_counted():
    """Two sessions with different settings take turns on one backend; then the database loses it."""
    narrow = SCENE.forebay.login(proxy="narrow")
    a, b = SCENE.crowd.run(enter_all([narrow] * 2))
    equal(SCENE.crowd.run(a.ask("set work_mem = '1111kB'")), None, "SET succeeds")
    before = scrape()
    for member in (b, a) * 5:
        SCENE.crowd.run(member.ask("select 1"))
    settle({figure("settings_replayed", NARROW): before.value("settings_replayed", **NARROW) + 10, figure("database_connections", NARROW): 1})
    SCENE.crowd.run(a.answers(parse("conformance", "select 'prepared'") + SYNC))
    before = scrape()
    again = bind("", "conformance") + execute() + SYNC
    SCENE.crowd.run(a.answers(again))
    pid = [m.row()[0] for m in SCENE.crowd.run(a.answers(query("select pg_backend_pid()"))) if m.kind == "D"][0].decode()
    asked(f"select pg_terminate_backend({pid}, 5000)")
    settle({figure("database_connections", NARROW): 0, figure("statements_reprepared", NARROW): before.value("statements_reprepared", **NARROW)})
    for _ in range(3):
        equal([m.kind for m in SCENE.crowd.run(a.answers(again))], list("2DCZ"), "the statement on another backend")
    settle({figure("statements_reprepared", NARROW): before.value("statements_reprepared", **NARROW) + 1, figure("database_connections", NARROW): 1,
            figure("settings_replayed", NARROW): before.value("settings_replayed", **NARROW) + 1, figure("backends_not_clean", NARROW): 0})
    SCENE.crowd.all([m.leave() for m in (a, b)])


@SUITE.check
def pins_are_counted_by_reason():
    before, pinned = scrape(), []
    for (reason, sql), member in zip(PINS.items(), SCENE.plain):
        equal(SCENE.crowd.run(member.ask(sql)), None, f"{sql} succeeds")
        pinned.append(member)
        settle({figure("session_pins", PLAIN | {"reason": reason}): before.value("session_pins", **PLAIN, reason=reason) + 1,
                figure("session_pins", PLAIN): before.value("session_pins", **PLAIN) + len(pinned),
                figure("database_connections_currently_session_pinned", OWN): len(pinned),
                figure("database_connections_currently_borrowed", OWN): len(pinned)})
    SCENE.crowd.run(pinned[0].ask("discard all"))
    settle({figure("session_unpins", PLAIN): before.value("session_unpins", **PLAIN) + 1, figure("database_connections_currently_session_pinned", OWN): len(pinned) - 1})
    SCENE.crowd.all([m.leave() for m in pinned])
    settle({figure("database_connections_currently_session_pinned", OWN): 0, figure("database_connections_currently_borrowed", OWN): 0,
            figure("client_connections_closed", PLAIN): before.value("client_connections_closed", **PLAIN) + len(pinned)})
    settle({figure("database_connections", OWN): backends})
    SCENE.plain = SCENE.plain[len(pinned):]


@SUITE.check
def cancels_are_counted_by_whether_they_met_somebody():
    before = scrape()
    victims = SCENE.plain[:3]
    for m in victims:
        m.send(query("select pg_sleep(30)"))
    eventually(lambda: backends("state = 'active' and query like '%pg_sleep(30)%'") == 3, 5, "they run")
    for m in victims:
        send_cancel(m.login, m.greeting.key)
    for m in victims:
        codes = [x.fields()["C"] for x in SCENE.crowd.run(m.answers(b"")) if x.kind == "E"]
        equal(codes, ["57014"], "the query's end")
    key = victims[0].greeting.key
    idle = SCENE.plain[5].greeting.key
    for vain in (key[:-1] + bytes([key[-1] ^ 1]), b"\x7f" * 8, idle):
        send_cancel(victims[0].login, vain)
    settle({figure("cancels_delivered", PLAIN): before.value("cancels_delivered", **PLAIN) + 3,
            figure("cancels_unmatched", PLAIN): before.value("cancels_unmatched", **PLAIN) + 3})
    # Connections that only cancel are received and closed as any other.
    equal(grown(scrape(), before, "client_connections_received", PLAIN), 6, "connections for cancel requests")


@SUITE.check
def waits_and_borrow_timeouts_are_counted():
    before = scrape()
    holders, waiters = SCENE.plain[:POOL], SCENE.plain[POOL : POOL + 40]
    SCENE.crowd.all([m.ask("begin") for m in holders])
    begun = time.monotonic()
    cancelled = SCENE.plain[POOL + len(waiters)]
    for m in [*waiters, cancelled]:
        m.send(query("select 1"))
    settle({figure("clients_waiting", PLAIN): len(waiters) + 1, figure("database_connections_currently_borrowed", OWN): POOL}, WAIT_SECONDS - 0.5)
    send_cancel(cancelled.login, cancelled.greeting.key)
    equal([m.fields()["C"] for m in SCENE.crowd.run(cancelled.answers(b"")) if m.kind == "E"], ["57014"], "the end of one that was cancelled as it waited")
    answers = SCENE.crowd.all([m.answers(b"") for m in waiters])
    true(time.monotonic() - begun > WAIT_SECONDS - 0.2, "they waited")
    for got in answers:
        equal([(m.kind, m.fields()["C"]) for m in got[:-1]], [("E", "08000")], "a refusal")
    settle({figure("borrow_timeouts", PLAIN): before.value("borrow_timeouts", **PLAIN) + len(waiters),
            figure("client_refusals", PLAIN): before.value("client_refusals", **PLAIN) + len(waiters) + 1,
            figure("cancels_delivered", PLAIN): before.value("cancels_delivered", **PLAIN) + 1,
            figure("clients_waiting", PLAIN): 0, figure("clients_throttled", OWN): 0})
    SCENE.crowd.all([m.ask("commit") for m in holders])


@SUITE.check
def refused_logins_are_counted_by_cause():
    """Wrong password, unknown user, TLS required, no protocol at all: what concerns authentication, and what does not."""
    before, user = scrape(), TARGET.login.user
    cases = [
        (SCENE.login(endpoint="plain", password="wrong"), None, "28P01", PLAIN, 5),
        (SCENE.login(endpoint="plain", user="conformance_nobody"), None, "28000", PLAIN, 4),
        (SCENE.login(endpoint="tls", password="wrong"), SCENE.context, "28P01", TLS, 3),
        (strict(), None, "28000", STRICT, 6),
    ]
    for login, context, code, _, times in cases:
        for fields in SCENE.crowd.all([refusal(login, context) for _ in range(times)]):
            equal(fields and fields["C"], code, f"refusal of {login.user}")
    for _ in range(2):
        member = SCENE.crowd.run(Member(SCENE.login(endpoint="plain")).connect())
        member.send(wire.startup({"user": user}, 4 << 16))
        equal([m.fields()["C"] for m in SCENE.crowd.run(member.rest())], ["0A000"], "refusal of protocol 4")
    after = scrape()
    for labels in (PLAIN, TLS, STRICT):
        times = sum(c[4] for c in cases if c[3] == labels)
        equal(grown(after, before, "client_connections_setup_failed_auth", labels), times, f"failed authentications {labels}")
        equal(grown(after, before, "client_refusals", labels), times + 2 * (labels == PLAIN), f"refusals {labels}")
        equal(grown(after, before, "client_connections_received", labels), times + 2 * (labels == PLAIN), f"connections {labels}")
        equal(grown(after, before, "client_connections_setup_succeeded", labels), 0, f"logins {labels}")


@SUITE.check
def backends_that_cannot_be_opened_are_counted():
    """The database refuses our credentials; the database is not there."""
    before = scrape()
    fields = SCENE.crowd.run(refusal(SCENE.login(endpoint="plain", user="conformance_unknown", password="secret")))
    equal(fields and fields["C"], "28000", "the client's refusal")
    fields = SCENE.crowd.run(refusal(SCENE.forebay.login(proxy="lost")))
    equal(fields and fields["C"], "08001", "the client's refusal where no database is")
    after = scrape()
    for labels, faults in ((OWN, 1), (LOST, 0)):
        failed = grown(after, before, "database_connections_setup_failed", labels)
        true(1 <= failed <= 3, f"few attempts for one client, got {failed} {labels}")
        equal(grown(after, before, "database_connection_requests", labels), failed, f"attempts {labels}")
        equal(grown(after, before, "client_connections_setup_failed_auth", labels), faults, f"logins that failed for authentication {labels}")
    equal((after.value("availability_percentage", **OWN), after.value("availability_percentage", **LOST)), (100, 0), "availability")


@SUITE.check(deadline=60)
def when_everybody_is_gone_the_books_balance():
    SCENE.crowd.all([m.leave() for m in SCENE.plain + SCENE.tls + SCENE.silent])
    settle({figure(name, labels): 0 for labels in (OWN, STRICT, NARROW, LOST) for name in GAUGES if not name.startswith("database_connections") or "_currently_" in name}
           | {figure("backends_not_clean", OWN): 0, figure("bugs", {}): 0, figure("events_dropped", {}): 0})
    now = scrape()
    for labels in (PLAIN, TLS, STRICT, NARROW, LOST):
        equal(now.value("client_connections_closed", **labels), now.value("client_connections_received", **labels), f"closed and received {labels}")
    for labels in (OWN, STRICT, NARROW, LOST):
        attempts = now.value("database_connection_requests", **labels)
        equal(now.value("database_connections_setup_succeeded", **labels) + now.value("database_connections_setup_failed", **labels), attempts, f"attempts {labels}")
    settle({figure("database_connections", OWN): backends, figure("database_connections_with_tls", OWN): lambda: backends("ssl")})
    SCENE.cleanup.close()
    with Connection(TARGET.admin) as c:
        c.query(f"drop database {DATABASE} with (force)")


SUITE.run()
