"""What keeps a backend for one session, what a session may find on it, and what operators see of both.

Each check starts a Forebay with few backends and comes to it with raw connections: pins in log, metrics and `forebay sessions`;
pinning filters; custom settings; functions that taint; settings that bound time. docs/operating/settings-and-pinning.md says what is right.
"""

import contextlib
import json
import subprocess
import time

from kit import target, wire
from kit.connection import Connection, ServerError, eventually
from kit.metrics import Metrics
from kit.proxy import Forebay
from kit.report import Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)


def proxy(backends=1, workers=1, **group):
    """A Forebay with so many backends."""
    return Forebay(TARGET, workers=workers, group={"pool_size_max": backends} | group)


def figure(forebay, name, **labels):
    """One figure of /metrics, over all endpoints."""
    return Metrics(forebay.get("/metrics")[1]).value(name, **labels)


def sessions(forebay, *arguments):
    """What `forebay sessions` prints."""
    command = [TARGET.forebay, "sessions", "--url", forebay.http, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


def failure(c, sql):
    """SQLSTATE and text of a statement's failure."""
    try:
        c.query(sql)
    except ServerError as error:
        return error.code, error.fields["M"]
    raise AssertionError(f"{sql} succeeded")


def backend(c):
    """The process that serves the client now."""
    return int(c.value("select pg_backend_pid()"))


def ending(c, seconds):
    """What the server says unasked before it closes the connection, and after how long."""
    begun = time.monotonic()
    c.socket.settimeout(seconds)
    error = next(m for m in c.messages_until("E") if m.kind == "E").fields()
    return error["S"], error["C"], error["M"], time.monotonic() - begun


@contextlib.contextmanager
def function(body, name="conformance_rule()"):
    """A function of the database, for the time of the block."""
    with Connection(TARGET.direct) as c:
        c.query(f"create or replace function {name} returns text language plpgsql as $$ begin {body} end $$")
    try:
        yield
    finally:
        with Connection(TARGET.direct) as c:
            c.query(f"drop function {name}")


@SUITE.check
def a_pin_is_seen_with_its_statement_its_age_and_its_end():
    """In the log, in the metrics and by `forebay sessions`, and nowhere with its constants."""
    with proxy(backends=2) as f:
        c = Connection(f.login(), application_name="locker")
        other = Connection(f.login(), application_name="idler")
        other.query("select 1")
        c.query("SELECT pg_advisory_lock(424242)")
        pid = backend(c)
        time.sleep(0.3)
        row, = json.loads(sessions(f, "--pinned", "--json"))["sessions"]
        pin = row["pin"]
        equal((row["application_name"], row["state"], pin["reason"]), ("locker", "idle", "advisory_lock"), "the pinned session")
        equal(pin["statement"], "select pg_advisory_lock(?)", "its statement")
        true(0.25 < pin["seconds"] < 10, f"its age is {pin['seconds']}")
        equal((row["backend"]["pid"], row["user"], row["database"]), (pid, f.database.user, f.database.database), "its backend")
        table = sessions(f, "--pinned", "--sort", "age")
        true("locker" in table and "idler" not in table and pin["fingerprint"] in table, f"the table of pins: {table}")
        table = sessions(f)
        true("locker" in table and "idler" in table and "2 clients in all" in table, f"the table: {table}")
        eventually(lambda: figure(f, "session_pins_current", reason="advisory_lock") == 1 or figure(f, "session_pins_current", reason="advisory_lock"), 5, "pins now")
        c.query("select 1")
        c.close()
        eventually(lambda: figure(f, "session_pins_ended", reason="advisory_lock") == 1, 5, "the pin's end is counted")
        equal(figure(f, "session_pins_current", reason="advisory_lock"), 0, "pins now")
        true(figure(f, "session_pinned_seconds", reason="advisory_lock") > 0.25, "seconds pinned")
        equal(figure(f, "session_pin_duration_seconds_count"), 1, "durations")
        eventually(lambda: "The client session ended, and with it its pin" in f.log_text(), 5, "the log says so")
        pins = [line for line in f.log_text().splitlines() if "pin" in line and "advisory" in line]
        equal(len(pins), 2, f"lines about the pin: {pins}")
        true(all(pin["fingerprint"] in line and "pg_advisory_lock(?)" in line for line in pins), f"they name the statement: {pins}")
        true("424242" not in f.log_text() + table, "no constant is told")
        other.close()


@SUITE.check
def sessions_are_told_by_what_they_do():
    with proxy() as f, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(Connection(f.login(), application_name=name)) for name in ("holder", "waiter"))
        idle = stack.enter_context(Connection(f.login(), application_name="idler"))
        idle.query("select 1")
        first.query("begin")
        second.send(wire.query("select 1"))

        def states():
            return {row["application_name"]: row["state"] for row in json.loads(sessions(f, "--json"))["sessions"]}

        eventually(lambda: states() == {"holder": "in_transaction", "waiter": "waiting", "idler": "idle"}, 5, "states of all")
        first.send(wire.query("select pg_sleep(1)"))
        eventually(lambda: states()["holder"] == "active", 5, "the database is at work")
        row = next(r for r in json.loads(sessions(f, "--json"))["sessions"] if r["application_name"] == "holder")
        true(row["transaction_seconds"] >= row["state_seconds"], "its transaction is older than its request")
        first.messages_until("Z")
        first.query("commit")
        second.messages_until("Z")


@SUITE.check
def strict_custom_settings_show_nobody_that_another_was_there():
    """What is absent on a connection of one's own is absent here, although one backend serves all."""
    seen = "select coalesce(current_setting('conformance.tenant', true), 'absent')"
    with proxy() as f:
        with Connection(f.login()) as a, Connection(f.login()) as b:
            a.query("set conformance.tenant = 'one'")
            equal(b.value(seen), "absent", "what the one who never set it sees")
            equal(a.value(seen), "one", "what the owner sees")
            equal(b.value(seen), "absent", "what the other one sees afterwards")
            b.query("begin; set local conformance.tenant = 'x'; commit")
            equal(b.value(seen), "", "what one sees who has had it for a transaction")
            equal(a.value(seen), "one", "what the owner sees")
            true(figure(f, "backends_unsuitable") >= 2, "backends were replaced")
            equal(figure(f, "backends_not_clean"), 0, "none was in doubt")
            equal(figure(f, "database_connections"), 1, "backends")
        true("It knew custom settings of other sessions" in f.log_text(), "the log says so")


@SUITE.check
def sessions_that_set_the_same_custom_settings_share_backends_at_no_cost():
    """Each begins with its SET, as row-level security has it."""
    with proxy(backends=2) as f, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(f.login())) for _ in range(12)]
        for round_ in range(5):
            for number, c in enumerate(clients):
                c.query(f"begin; set local conformance.tenant = '{number}'; set local conformance.role = 'r'")
                equal(c.value("select current_setting('conformance.tenant')"), str(number), f"round {round_}")
                c.query("commit")
        equal(figure(f, "backends_unsuitable"), 0, "backends replaced")
        true(figure(f, "database_connection_requests") <= 2, "connections opened")


@SUITE.check
def a_backend_that_suits_is_taken_before_one_is_replaced():
    with proxy(backends=2) as f, Connection(f.login()) as a, Connection(f.login()) as b:
        a.query("begin")
        b.query("select 1")
        clean = backend(b)
        a.query("set local conformance.tenant = 'one'")
        a.query("commit")
        for _ in range(5):
            equal(backend(b), clean, "the backend of the one who never set it")
        equal(figure(f, "backends_unsuitable"), 0, "backends replaced")


@SUITE.check
def shared_custom_settings_are_empty_to_others():
    with proxy(custom_settings="shared") as f, Connection(f.login()) as a, Connection(f.login()) as b:
        a.query("set conformance.tenant = 'one'")
        pid = backend(a)
        equal(b.value("select current_setting('conformance.tenant', true)"), "", "what the other one sees")
        equal(backend(b), pid, "the backend of both")
        equal(figure(f, "backends_unsuitable"), 0, "backends replaced")


@SUITE.check(deadline=60)
def idle_session_timeout_is_the_clients_own():
    """Its silence ends it, in PostgreSQL's words; a backend that waits for its next client is not ended by it."""
    with proxy() as f:
        c = Connection(f.login())
        busy = Connection(f.login())
        c.query("set idle_session_timeout = '700ms'")
        equal(c.value("show idle_session_timeout"), "700ms", "what the client sees")
        pid = backend(busy)
        equal(busy.value("show idle_session_timeout"), "0", "what another sees")
        for _ in range(6):
            time.sleep(0.3)
            equal(c.value("select current_setting('idle_session_timeout')"), "700ms", "what the client sees while it is not silent")
        c.query("begin")
        time.sleep(1.2)
        equal(c.value("select 1"), "1", "a pause in a transaction is none of its business")
        c.query("commit")
        severity, code, text, after = ending(c, 5)
        equal((severity, code, text), ("FATAL", "57P05", "terminating connection due to idle-session timeout"), "the end")
        true(0.5 < after < 2.5, f"it came after {after:.2f} s")
        time.sleep(1)
        equal(backend(busy), pid, "the backend")
        equal(figure(f, "client_refusals", reason="idle_session_timeout"), 1, "refusals")
        busy.close()


@SUITE.check
def idle_session_timeout_of_a_startup_packet_ends_a_client_that_never_asks():
    with proxy() as f:
        c = Connection(f.login(), options="-c idle_session_timeout=600")
        begun = time.monotonic()
        equal(ending(c, 5)[1], "57P05", "the end")
        true(0.4 < time.monotonic() - begun < 2.5, "when")


@SUITE.check
def idle_session_timeout_of_a_pinned_client_is_kept_by_the_database():
    with proxy() as f:
        c = Connection(f.login())
        c.query("set idle_session_timeout = '500ms'")
        c.query("select pg_advisory_lock(1)")
        equal(ending(c, 5)[:3], ("FATAL", "57P05", "terminating connection due to idle-session timeout"), "the end")


def bounded(setting, value, exceed, code):
    """A client's own bound on time hits that client alone, and not its backend while that is between clients."""
    with proxy() as f, Connection(f.login()) as a, Connection(f.login()) as b:
        pid = backend(b)
        a.query(f"set {setting} = '{value}'")
        time.sleep(0.6)
        equal(backend(b), pid, f"the backend, {setting} after its client has left it")
        b.query("begin")
        time.sleep(0.6)
        equal(b.value("select 1 from pg_sleep(0.5)"), "1", "another's transaction and statement")
        b.query("commit")
        equal(exceed(a), code, f"what {setting} does to its own client")
        equal(b.value("show " + setting), "0", "what another sees")
        equal(figure(f, "client_refusals"), 0, "refusals")


@SUITE.check
def statement_timeout_ends_its_own_clients_statements_alone():
    bounded("statement_timeout", "300ms", lambda c: failure(c, "select pg_sleep(5)")[0], "57014")


@SUITE.check
def lock_timeout_ends_its_own_clients_waits_alone():
    def exceed(c):
        with Connection(TARGET.direct) as other:
            other.query("begin; select pg_advisory_xact_lock(815)")
            code = failure(c, "begin; select pg_advisory_xact_lock(815)")[0]
            c.query("rollback")
            other.query("commit")
            return code

    bounded("lock_timeout", "300ms", exceed, "55P03")


@SUITE.check
def idle_in_transaction_session_timeout_ends_its_own_client_alone():
    def exceed(c):
        c.query("begin")
        return ending(c, 5)[1]

    bounded("idle_in_transaction_session_timeout", "300ms", exceed, "25P03")


@SUITE.check
def transaction_timeout_ends_its_own_clients_transactions_alone():
    with Connection(TARGET.direct) as c:
        if int(c.value("show server_version_num")) < 170000:
            return

    def exceed(c):
        c.query("begin")
        return ending(c, 5)[1]

    bounded("transaction_timeout", "300ms", exceed, "25P04")


@SUITE.check
def exclude_variable_sets_turns_pins_into_resets():
    """What cannot be followed may be lost to its client; it is never another's."""
    odd = "select set_config(n, '7MB', false) from (values ('work_mem')) v (n)"
    with proxy() as pinning, Connection(pinning.login()) as c:
        c.query(odd)
        eventually(lambda: figure(pinning, "database_connections_currently_session_pinned") == 1 or figure(pinning, "database_connections_currently_session_pinned"), 5, "pins without the filter")
    with proxy(session_pinning_filters=["EXCLUDE_VARIABLE_SETS"]) as f, Connection(f.login()) as a, Connection(f.login()) as b:
        before = b.value("show work_mem")
        a.query(odd)
        equal(figure(f, "session_pins"), 0, "pins")
        for _ in range(3):
            equal(b.value("show work_mem"), before, "what another sees")
        a.query("set work_mem = '9MB'")
        b.query("select 1")
        equal(a.value("show work_mem"), "9MB", "a plain SET still follows")
        a.query("select pg_advisory_lock(1)")
        eventually(lambda: figure(f, "session_pins") == 1 or figure(f, "session_pins"), 5, "other reasons still pin")


@SUITE.check
def the_other_filters_turn_pins_into_resets():
    with proxy(session_pinning_filters=["EXCLUDE_PROCEDURE_CALLS", "EXCLUDE_TEMPORARY_OBJECTS"]) as f:
        with Connection(f.login()) as a, Connection(f.login()) as b:
            a.query("do $$ begin perform set_config('work_mem', '7MB', false); end $$")
            true(b.value("show work_mem") != "7MB", "what another sees")
            a.query("create temporary table conformance_filter (v int)")
            equal(b.value("select to_regclass('pg_temp.conformance_filter') is null"), "t", "another's temporary objects")
            equal(figure(f, "session_pins"), 0, "pins")


@SUITE.check
def what_taints_a_backend_for_good_ends_it_with_its_client():
    """Nobody else gets it, whatever its client does to be clean again."""
    tainting = ("load 'auto_explain'", "select setseed(0.5)", "set seed to 0.5", "SELECT conformance_rule()", "do $$ begin perform conformance_rule(); end $$")
    with function("return 'x';"), proxy(tainting_functions=["conformance_rule"]) as f:
        for statement in tainting:
            with Connection(f.login()) as c:
                try:
                    c.query(statement)
                except ServerError as error:
                    # Whoever may not load a library has not done so; its backend is closed all the same.
                    equal(error.code, "42501", statement)
                pid = backend(c)
                c.query("discard all")
                eventually(lambda: figure(f, "database_connections_currently_session_pinned") == 1 or figure(f, "database_connections_currently_session_pinned"), 5, f"pins after {statement} and DISCARD ALL")
            eventually(lambda: figure(f, "database_connections_currently_session_pinned") == 0, 5, "its client is gone")
            with Connection(f.login()) as other:
                true(backend(other) != pid, f"another backend after {statement}")
        eventually(lambda: figure(f, "session_pins", reason="tainting_function") == 2 or figure(f, "session_pins", reason="tainting_function"), 5, "pins for the function that is named")


SUITE.run()
