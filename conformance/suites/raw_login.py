"""Before and around login, byte for byte: negotiation, encryption requests, keys, refusals, and bytes no honest client sends.

After every hostile conversation a plain client must still be served, and with `--proxy-pid` the proxy's memory must
not have followed a length that somebody merely claimed.
"""

import socket
import struct
import time

from kit import scram_faults, target, wire
from kit.connection import Connection, Gone, ServerError, Socket, await_running, eventually, rows, send_cancel
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
LOGIN = TARGET.login
BASE = {"user": LOGIN.user, "database": LOGIN.database}


def still_serves():
    """A newcomer is served."""
    with Connection(LOGIN) as c:
        equal(c.value("select 'served'"), "served", "a newcomer's answer")


def raw():
    """A connection on which nothing was said yet."""
    return Socket(LOGIN.host, LOGIN.port)


def login_on(s, parameters, version=wire.VERSION_3_0):
    """Logs in on an open socket; returns the greeting and what was said in it."""
    greeting = wire.Greeting(LOGIN.user, LOGIN.password)
    s.send(wire.startup(parameters, version))
    while not greeting.done and not greeting.error:
        s.send(greeting.on_message(s.message()))
    return greeting


def refused(data, *codes, half_close=False):
    """Sends `data` first thing; the server must close, with an error of `codes` or (None) without one."""
    with raw() as s:
        try:
            s.send(data)
            if half_close:
                s.socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        messages = s.messages_to_end()
        got = [m.fields().get("C") for m in messages if m.kind == "E"]
        true([m.kind for m in messages] in ([], ["E"]), f"an error and the end, got {[m.kind for m in messages]}")
        true((got[0] if got else None) in codes, f"refusal {got}, wanted one of {codes}")
    still_serves()


@SUITE.check
def a_login_says_what_postgresql_says():
    """Drivers read server_version, integer_datetimes and others: none may be missing or differ."""
    if not TARGET.direct:
        raise Skip("needs --direct-port to compare with")
    with Connection(LOGIN, application_name="x") as here, Connection(TARGET.direct, application_name="x") as there:
        equal(here.greeting.parameters, there.greeting.parameters, "ParameterStatus at login")
        equal(len(here.greeting.key), len(there.greeting.key), "length of the key in 3.0")


@SUITE.check
def startup_parameters_are_announced():
    wanted = {"application_name": "Fore 'bay\"", "client_encoding": "LATIN1", "DateStyle": "German, DMY", "TimeZone": "Asia/Tokyo", "IntervalStyle": "iso_8601"}
    with Connection(LOGIN, **wanted) as c:
        got = {n: c.greeting.parameters.get(n) for n in wanted}
        equal(got, wanted, "ParameterStatus")
        for name, value in wanted.items():
            equal(c.value(f"show {name}"), value, name)


@SUITE.check
def options_of_the_startup_packet_apply():
    with Connection(LOGIN, options="-c work_mem=1234kB --statement_timeout=54321 -c search_path=\"a\\ b\",public") as c:
        equal(c.value("show work_mem"), "1234kB", "work_mem")
        equal(c.value("show statement_timeout"), "54321ms", "statement_timeout")
        equal(c.value("show search_path"), '"a b",public', "search_path")


@SUITE.check
def what_only_the_start_of_a_connection_can_set_applies():
    """SET cannot bring these about, so the client must have a connection that was started with them, and nobody else."""
    names = ("ignore_system_indexes", "post_auth_delay", "work_mem", "TimeZone")
    for parameters in ({"options": "-P -c work_mem=1234kB", "TimeZone": "Asia/Tokyo"},
                       {"Ignore_System_Indexes": "true", "work_mem": "1234kB", "TimeZone": "Asia/Tokyo", "post_auth_delay": "0"}):
        with Connection(LOGIN, **parameters) as c, Connection(LOGIN) as other:
            process = c.value("select pg_backend_pid()")
            for _ in range(3):
                equal([c.value(f"show {name}") for name in names], ["on", "0", "1234kB", "Asia/Tokyo"], "settings")
                equal(c.value("select pg_backend_pid()"), process, "one connection from start to end")
                equal(other.value("show ignore_system_indexes"), "off", "another client's")
            c.query("set work_mem = '5MB'")
            c.query("begin")
            c.query("set local work_mem = '6MB'")
            c.query("rollback")
            equal(c.value("show work_mem"), "5MB", "after a rollback")
            c.query("discard all")
            equal([c.value(f"show {name}") for name in names], ["on", "0", "1234kB", "Asia/Tokyo"], "settings after DISCARD ALL")
    if TARGET.admin:
        with Connection(TARGET.admin) as admin:
            running = f"select count(*) from pg_stat_activity where pid = {process}"
            eventually(lambda: admin.value(running) == "0", 5, "the connection ends with its client")
    with Connection(LOGIN) as other:
        equal(other.value("show ignore_system_indexes"), "off", "a newcomer's")


@SUITE.check
def what_the_start_of_a_connection_cannot_set_is_refused_in_postgresqls_words():
    wrong = ({"ignore_system_indexes": "banana"}, {"log_connections": "on"}, {"options": "-W x"}, {"options": "-F"}, {"options": "-B 100"},
             {"options": "-q"}, {"local_preload_libraries": "conformance_nothing"})
    for parameters in wrong:
        errors = []
        for login in (LOGIN, TARGET.direct or LOGIN):
            try:
                Connection(login, **parameters).close()
                errors.append(None)
            except ServerError as error:
                errors.append((error.fields.get("S"), error.code, error.fields.get("M")))
        equal(errors[0], errors[1], f"severity, SQLSTATE and text for {parameters}")
        true(errors[0] is not None, f"{parameters} is refused")
    still_serves()


@SUITE.check
def the_database_defaults_to_the_user():
    """A database named as the user may or may not exist; the answer must be one of PostgreSQL's two."""
    with raw() as s:
        greeting = login_on(s, {"user": LOGIN.user})
        true(greeting.done or greeting.error["C"] == "3D000", f"logged in or 3D000, got {greeting.error}")


@SUITE.check
def the_key_of_protocol_3_0_has_four_bytes():
    with Connection(LOGIN) as c:
        equal(len(c.greeting.key), 8, "bytes of process id and key")


@SUITE.check
def protocol_3_2_is_granted_or_negotiated():
    with Connection(LOGIN, version=wire.VERSION_3_2) as c:
        if c.greeting.negotiated:
            version, options = struct.unpack_from("!II", c.greeting.negotiated)
            equal((version, options), (wire.VERSION_3_0, 0), "version offered and options refused")
            equal(len(c.greeting.key), 8, "bytes of process id and key in 3.0")
        else:
            true(8 <= len(c.greeting.key) <= 260, f"a key of 4 to 256 bytes, got {len(c.greeting.key) - 4}")
        equal(c.value("select 32"), "32", "an answer")


@SUITE.check
def an_unknown_minor_version_and_option_are_negotiated():
    with Connection(LOGIN, version=wire.VERSION_3_9, **{"_pq_.conformance": "on"}) as c:
        true(c.greeting.negotiated is not None, "NegotiateProtocolVersion came")
        version, count = struct.unpack_from("!II", c.greeting.negotiated)
        true(version in (wire.VERSION_3_0, wire.VERSION_3_2), f"version 3.0 or 3.2, got {version:#x}")
        equal((count, c.greeting.negotiated[8:]), (1, b"_pq_.conformance\0"), "options refused")
        equal(c.value("select 39"), "39", "an answer")


@SUITE.check
def an_unknown_option_of_protocol_3_0_is_named():
    with Connection(LOGIN, **{"_pq_.other": "1"}) as c:
        true(c.greeting.negotiated is not None, "NegotiateProtocolVersion came")
        equal(c.greeting.negotiated[4:], struct.pack("!I", 1) + b"_pq_.other\0", "options refused")


@SUITE.check
def protocol_4_is_refused():
    refused(wire.startup(BASE, 4 << 16), "0A000")


@SUITE.check
def protocol_2_is_refused():
    """In words of its own framing, so the bytes are not looked into."""
    with raw() as s:
        s.send(wire.startup(BASE, 2 << 16))
        true(s.receive(1) in (b"E", b""), "an error or the end")
        while s.receive():
            pass
    still_serves()


@SUITE.check
def gss_encryption_is_declined_and_plain_goes_on():
    with raw() as s:
        s.send(wire.GSSENC_REQUEST)
        answer = s.receive(1)
        if answer == b"G" and not TARGET.is_proxy:
            raise Skip("this PostgreSQL was built with GSS and offers it")
        equal(answer, b"N", "answer to GSSENCRequest")
        true(login_on(s, BASE).done, "a plain login after it")
        equal(rows_of(s, "select 1"), [("1",)], "an answer")


@SUITE.check
def gss_then_tls_requests_are_answered_in_turn():
    with raw() as s:
        s.send(wire.GSSENC_REQUEST)
        if s.receive(1) == b"G":
            raise Skip("this PostgreSQL was built with GSS and offers it")
        s.send(wire.SSL_REQUEST)
        true(s.receive(1) in (b"S", b"N"), "answer to SSLRequest")


@SUITE.check
def bytes_written_together_with_an_ssl_request_are_not_served():
    """Plain bytes behind an SSLRequest could be injected by a third party, so they must never count as the client's."""
    with raw() as s:
        s.send(wire.SSL_REQUEST + wire.startup(BASE))
        answer = s.receive(1)
        if answer == b"S":
            s.socket.shutdown(socket.SHUT_WR)
        after = s.receive()
        true(answer in (b"S", b"N", b"E", b"") and not after.startswith(b"R"), f"no login, got {answer + after}")
    still_serves()


@SUITE.check
def plain_bytes_where_a_tls_handshake_is_due_are_refused():
    with raw() as s:
        s.send(wire.SSL_REQUEST)
        if s.receive(1) != b"S":
            raise Skip("this port does not offer TLS")
        s.send(wire.startup(BASE))
        true(not s.receive().startswith(b"R"), "no login in plain text")
    still_serves()


@SUITE.check
def a_wrong_password_is_28P01():
    for user, password in ((LOGIN.user, "wrong"), ("conformance_nobody", LOGIN.password)):
        try:
            Connection(target.Login(LOGIN.host, LOGIN.port, user, password, LOGIN.database))
            raise AssertionError("logged in")
        except ServerError as error:
            equal(error.fields.get("S"), "FATAL", "severity")
            # An unknown user: a proxy with the contract of RDS Proxy says 28000, that it has no credentials.
            known = user == LOGIN.user
            true(error.code == "28P01" or not known and error.code == "28000", f"SQLSTATE {error.code}")
            text = error.fields.get("M", "")
            true(("password" in text or not known) and user in text, f"the text names the cause and the user, got {text!r}")


@SUITE.check
def an_unknown_database_is_3D000():
    try:
        Connection(target.Login(LOGIN.host, LOGIN.port, LOGIN.user, LOGIN.password, "conformance_nowhere"))
        raise AssertionError("logged in")
    except ServerError as error:
        equal((error.fields.get("S"), error.code), ("FATAL", "3D000"), "severity and SQLSTATE")
        equal(error.fields.get("M"), 'database "conformance_nowhere" does not exist', "text")


@SUITE.check
def a_startup_packet_without_user_is_refused():
    refused(wire.startup({"database": LOGIN.database}), "28000")


@SUITE.check
def a_startup_packet_without_terminator_is_refused():
    body = struct.pack("!I", wire.VERSION_3_0) + b"user\0" + LOGIN.user.encode() + b"\0"
    refused(struct.pack("!I", len(body) + 4) + body, "08P01")


@SUITE.check
def a_startup_packet_of_impossible_length_is_refused():
    """Longest is 10,000 bytes; the shortest holds a version. Nothing is said to bytes that may be of another protocol."""
    for length in (0, 3, 7, 10_005, 1 << 30, 0xFFFFFFFF):
        refused(struct.pack("!II", length, wire.VERSION_3_0), None, half_close=True)
    refused(b"X\0\0\0\4", None)


@SUITE.check
def a_startup_packet_just_under_the_limit_is_accepted():
    padding = "x" * (9_000 - len(LOGIN.user))
    with Connection(LOGIN, options=f"-c conformance.padding={padding}") as c:
        equal(c.value("select length(current_setting('conformance.padding'))"), str(len(padding)), "length of the option")


@SUITE.check
def a_password_of_claimed_gigabytes_costs_no_memory():
    before = memory_kb()
    sockets = [raw() for _ in range(20)]
    for s in sockets:
        s.send(wire.startup(BASE))
        s.message()
        try:
            s.send(b"p" + struct.pack("!I", 1 << 30) + b"x" * 70_000)
        except (BrokenPipeError, ConnectionResetError):
            pass
    for s in sockets:
        messages = s.messages_to_end()
        true(all(m.kind == "E" for m in messages), "no login")
        s.socket.close()
    if before is not None:
        true(memory_kb() - before < 30_000, f"memory grew by {memory_kb() - before} kB")
    still_serves()


@SUITE.check
def a_message_of_another_kind_during_login_is_refused():
    for data in (wire.query("select 1"), wire.SYNC, wire.frame("d", b"x"), b"\0" * 20):
        with raw() as s:
            s.send(wire.startup(BASE))
            equal(s.message().kind, "R", "the request for a proof")
            s.send(data)
            kinds = [m.kind for m in s.messages_to_end()]
            true(kinds in ([], ["E"]), f"an error and the end, got {kinds}")
    still_serves()


@SUITE.check
def garbage_in_the_scram_exchange_is_refused():
    mechanism = b"SCRAM-SHA-256\0"
    for body in (b"", b"\0", mechanism, mechanism + struct.pack("!i", 1 << 20), mechanism + struct.pack("!i", 3) + b"n,,",
                 mechanism + struct.pack("!i", 8) + b"n,,n=,r=", b"SCRAM-NONE\0" + struct.pack("!i", 0)):
        with raw() as s:
            s.send(wire.startup(BASE))
            s.message()
            s.send(wire.frame("p", body))
            kinds = []
            try:
                kinds.append(s.message().kind)
                if kinds == ["R"]:  # A server may answer an odd first message; the proof is then wrong.
                    s.send(wire.frame("p", b"c=biws,r=x,p=eA=="))
                kinds += [m.kind for m in s.messages_to_end()]
            except (Gone, BrokenPipeError, ConnectionResetError):
                pass
            true("Z" not in kinds and kinds[-1:] in ([], ["E"]), f"a refusal of {body[:40]}, got {kinds}")
    still_serves()


@SUITE.check
def faults_of_a_scram_exchange_are_told_as_postgresql_tells_them():
    for mechanism, first, last, wanted in scram_faults.IN_CLEAR:
        with raw() as s:
            got = scram_faults.answer(s, LOGIN.user, mechanism, first, last)
        if got is None:
            raise Skip("needs SCRAM")
        equal(got, wanted, f"SQLSTATE and text for {first} {last}")
    still_serves()


@SUITE.check
def a_login_left_half_way_harms_nobody():
    first = wire.startup(BASE)
    for cut in range(0, len(first), 3):
        with raw() as s:
            s.send(first[:cut])
            s.reset()
    still_serves()


@SUITE.check
def a_message_length_below_four_ends_the_session():
    for length in (0, 3):
        with Connection(LOGIN) as c:
            c.send(b"Q" + struct.pack("!I", length) + b"select 1\0")
            got = [(m.kind, m.fields().get("S"), m.fields().get("C")) for m in c.messages_to_end()]
            true(got in ([], [("E", "FATAL", "08P01")]), f"the end, with or without its reason, got {got}")
    still_serves()


@SUITE.check
def an_unknown_message_type_ends_the_session():
    for kind in ("!", "R", "\x16"):
        with Connection(LOGIN) as c:
            c.send(wire.frame(kind, b"junk"))
            got = [(m.kind, m.fields().get("S"), m.fields().get("C")) for m in c.messages_to_end()]
            equal(got, [("E", "FATAL", "08P01")], f"the end after {kind!r}")
    still_serves()


@SUITE.check
def malformed_messages_are_protocol_violations():
    """Either an error after which Sync goes on, as PostgreSQL does, or the end of this session."""
    extended = (wire.frame("D", b"X\0"), wire.frame("C", b"X\0"), wire.frame("B", b"\0\0\0\1"), wire.frame("P", b"no zero"), wire.frame("E", b"\0"))
    for data in (*(wire.parse("", "select 1") + e + wire.SYNC for e in extended), wire.frame("Q", b"select 1"), wire.frame("F", b"\0")):
        with Connection(LOGIN) as c:
            c.send(data)
            got = []
            try:
                while not got or got[-1].kind != "Z":
                    got.append(c.message())
                equal(c.value("select 1"), "1", "the session afterwards")
            except Gone:
                pass
            equal([m.fields()["C"] for m in got if m.kind == "E"], ["08P01"], f"answer to {data[:40]}")
    still_serves()


@SUITE.check
def a_cancel_stops_the_query_and_says_nothing():
    for version in (wire.VERSION_3_0, wire.VERSION_3_2):
        with Connection(LOGIN, version=version) as c:
            marker = f"cancel me {version}"
            c.send(wire.query(f"select pg_sleep(60), '{marker}'"))
            await_running(LOGIN, marker)
            equal(send_cancel(LOGIN, c.greeting.key), b"", "answer to the cancel request")
            codes = [m.fields()["C"] for m in c.messages_until("Z") if m.kind == "E"]
            equal(codes, ["57014"], "the query's end")
            equal(c.value("select 1"), "1", "the session afterwards")


@SUITE.check
def a_cancel_with_a_wrong_key_does_nothing():
    with Connection(LOGIN) as c:
        c.send(wire.query("select pg_sleep(1.5), 'wrong key'"))
        await_running(LOGIN, "wrong key")
        key = c.greeting.key
        for wrong in (key[:-1] + bytes([key[-1] ^ 1]), key[:4] + b"\0" * (len(key) - 4)):
            equal(send_cancel(LOGIN, wrong), b"", "answer to the cancel request")
        for malformed in (key[:4], key + b"\0" * 28, key[:4] + b"\0" * 300):
            true(send_cancel(LOGIN, malformed)[:1] in (b"", b"E"), "no answer to a malformed request, or an error")
        equal([m.kind for m in c.messages_until("Z")], ["T", "D", "C", "Z"], "the query's answer")


@SUITE.check
def a_cancel_of_an_idle_client_hits_nobody():
    """The neighbour runs on a backend that the idle client used a moment ago."""
    with Connection(LOGIN) as idle, Connection(LOGIN) as busy:
        for _ in range(15):
            idle.query("select 1")
            busy.send(wire.query("select pg_sleep(0.02), 'busy'"))
            equal(send_cancel(LOGIN, idle.greeting.key), b"", "answer to the cancel request")
            true("E" not in [m.kind for m in busy.messages_until("Z")], "the neighbour's query was left alone")
        eventually(lambda: "57014" not in codes_of(idle, "select 2"), 2, "the idle client works again")


@SUITE.check
def a_cancel_cut_short_is_ignored():
    with Connection(LOGIN) as c:
        request = wire.cancel(c.greeting.key)
        for cut in (4, 8, 12, 15):
            with raw() as s:
                s.send(request[:cut])
        equal(c.value("select 1"), "1", "the session")


@SUITE.check(deadline=60)
def a_storm_of_logins_is_served():
    count = 60 if TARGET.quick else 190
    begun = time.monotonic()
    clients = []
    for _ in range(count):
        s = raw()
        s.greeting = wire.Greeting(LOGIN.user, LOGIN.password)
        s.send(wire.startup(BASE))
        clients.append(s)
    for s in clients:
        while not s.greeting.done:
            s.send(s.greeting.on_message(s.message()))
            true(not s.greeting.error, f"login refused: {s.greeting.error}")
    for i, s in enumerate(clients):
        s.send(wire.query(f"select 'storm {i}'"))
    for i, s in enumerate(clients):
        equal(rows(s.messages_until("Z")), [(f"storm {i}",)], "answer")
        s.socket.close()
    true(time.monotonic() - begun < 30, "in under 30 s")


def rows_of(s, sql):
    """A simple query on a bare socket."""
    s.send(wire.query(sql))
    return rows(s.messages_until("Z"))


def codes_of(c, sql):
    """SQLSTATEs a query ends with."""
    return [m.fields()["C"] for m in c.answers(wire.query(sql)) if m.kind == "E"]


def memory_kb():
    """Resident memory of the proxy, if we were told which process it is."""
    if TARGET.proxy_pid is None:
        return None
    with open(f"/proc/{TARGET.proxy_pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


SUITE.run()
