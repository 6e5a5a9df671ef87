"""TLS as clients ask for it: certificates that must be right, channel binding, direct handshakes, and refusals.

Needs `--tls-ca`; the server's certificate must name the host given by `--host`.
"""

import os
import socket
import ssl
import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import pq

from kit import scram_faults, target, wire
from kit.connection import Connection, Socket, await_running, send_cancel
from kit.report import Skip, Suite, equal, true
from kit.tools import Tools

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
LOGIN = target.Login(TARGET.login.host, TARGET.tls_port, TARGET.login.user, TARGET.login.password, TARGET.login.database)
BASE = {"user": LOGIN.user, "database": LOGIN.database}


def connect(**options):
    """psycopg over TLS with the certificate checked, unless told otherwise."""
    if not TARGET.tls_ca:
        raise Skip("needs --tls-ca")
    given = {"host": LOGIN.host, "port": LOGIN.port, "user": LOGIN.user, "password": LOGIN.password, "dbname": LOGIN.database,
             "sslmode": "verify-full", "sslrootcert": TARGET.tls_ca, "autocommit": True, "connect_timeout": 15}
    return psycopg.connect(**given | options)


def context(**versions):
    """A TLS context that trusts the given authority."""
    if not TARGET.tls_ca:
        raise Skip("needs --tls-ca")
    c = ssl.create_default_context(cafile=TARGET.tls_ca)
    for name, value in versions.items():
        setattr(c, name, value)
    return c


def refusal(**options):
    """The text a connection attempt fails with."""
    try:
        connect(**options).close()
    except psycopg.OperationalError as error:
        return str(error)
    raise AssertionError(f"connected with {options}")


@SUITE.check
def the_certificate_is_verified_in_full():
    with connect() as c:
        true(c.pgconn.ssl_in_use, "TLS is in use")
        equal(c.execute("select %s::text", ("over tls",)).fetchone(), ("over tls",), "answer")


@SUITE.check
def every_lesser_mode_works_too():
    for mode in ("prefer", "require", "verify-ca"):
        with connect(sslmode=mode) as c:
            true(c.pgconn.ssl_in_use, f"TLS is in use with sslmode={mode}")


@SUITE.check
def an_authority_of_someone_else_is_not_trusted():
    with tempfile.TemporaryDirectory() as d:
        other = os.path.join(d, "other.pem")
        command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {d}/k -out {other} -days 2 -subj /CN=other >{d}/log 2>&1"
        if os.system(command) != 0:
            raise Skip("needs openssl to make a certificate")
        true("certificate verify failed" in refusal(sslrootcert=other), "the client refuses the certificate")
    with connect() as c:
        equal(c.execute("select 1").fetchone(), (1,), "the next client")


@SUITE.check
def channel_binding_can_be_required():
    """SCRAM-SHA-256-PLUS: the login proves that nobody sits between, so the proxy must bind to its own certificate."""
    with connect(channel_binding="require") as c:
        equal(c.execute("select 1").fetchone(), (1,), "answer")
    with connect(channel_binding="disable") as c:
        equal(c.execute("select 1").fetchone(), (1,), "answer without it")


@SUITE.check
def faults_of_channel_binding_are_told_as_postgresql_tells_them():
    for mechanism, first, last, wanted in scram_faults.UNDER_TLS:
        with Socket(LOGIN.host, LOGIN.port) as s:
            s.send(wire.SSL_REQUEST)
            equal(s.receive(1), b"S", "answer to SSLRequest")
            s.socket = context().wrap_socket(s.socket, server_hostname=LOGIN.host)
            got = scram_faults.answer(s, LOGIN.user, mechanism, first, last)
        equal(got, wanted, f"SQLSTATE and text for {mechanism} {first} {last}")


@SUITE.check
def scram_is_what_is_asked_for():
    with connect(require_auth="scram-sha-256") as c:
        equal(c.execute("select 1").fetchone(), (1,), "answer")


@SUITE.check
def a_wrong_password_is_refused_over_tls():
    for binding in ("require", "disable"):
        text = refusal(password="wrong", channel_binding=binding)
        true("FATAL" in text and "password" in text, f"the reason (channel_binding={binding}), got {text}")


@SUITE.check
def direct_tls_without_a_request():
    """libpq 17's sslnegotiation=direct: a handshake first thing, with the protocol's name in ALPN."""
    if pq.version() < 170000:
        raise Skip(f"needs libpq 17, this is {pq.version()}")
    if not TARGET.is_proxy:
        with connect() as c:
            if c.info.server_version < 170000:
                raise Skip("PostgreSQL understands it from 17 on")
    with connect(sslnegotiation="direct", channel_binding="require") as c:
        true(c.pgconn.ssl_in_use, "TLS is in use")
        equal(c.execute("select 1").fetchone(), (1,), "answer")


@SUITE.check
def direct_tls_needs_its_protocol_name():
    """Without ALPN `postgresql` the bytes may be another protocol's, led here to confuse; the server must not answer as PostgreSQL."""
    for alpn in ([], ["http/1.1"]):
        c = context()
        if alpn:
            c.set_alpn_protocols(alpn)
        with socket.create_connection((LOGIN.host, LOGIN.port), timeout=10) as s:
            try:
                with c.wrap_socket(s, server_hostname=LOGIN.host) as t:
                    t.sendall(wire.startup(BASE))
                    true(not t.recv(100).startswith(b"R"), f"no login with ALPN {alpn}")
            except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
                pass


@SUITE.check
def tls_versions():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Connection(LOGIN, tls=context(minimum_version=version, maximum_version=version)) as c:
            equal((c.socket.version(), c.value("select 1")), (version.name.replace("_", "."), "1"), "version and answer")


@SUITE.check
def old_tls_is_refused():
    old = context()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    try:
        Connection(LOGIN, tls=old)
        raise AssertionError("TLS 1.1 was accepted")
    except (ssl.SSLError, ConnectionResetError):
        pass


@SUITE.check
def plain_bytes_before_the_handshake_are_not_let_in():
    """A startup packet smuggled in behind the SSLRequest, then a proper handshake: the smuggled one must not count."""
    c = context()
    with Socket(LOGIN.host, LOGIN.port) as s:
        s.send(wire.SSL_REQUEST + wire.startup(BASE))
        try:
            answer = s.receive(1)
            if answer in (b"E", b""):
                return  # Refused at once, which is as good.
            equal(answer, b"S", "answer to SSLRequest")
            s.socket = c.wrap_socket(s.socket, server_hostname=LOGIN.host)
            s.socket.settimeout(1)
            answer = s.receive()
            true(not answer.startswith(b"R"), f"no answer to the smuggled packet, got {answer}")
        except (ssl.SSLError, ConnectionResetError, BrokenPipeError, TimeoutError):
            pass


@SUITE.check
def a_handshake_that_never_comes_harms_nobody():
    context()
    silent = []
    for first in (b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x80" * 50):
        s = Socket(LOGIN.host, LOGIN.port)
        s.send(wire.SSL_REQUEST)
        s.receive(1)
        if first:
            s.send(first)
        silent.append(s)
    with connect() as c:
        equal(c.execute("select 1").fetchone(), (1,), "a newcomer's answer")
    for s in silent:
        s.reset()


@SUITE.check
def a_second_ssl_request_inside_tls_is_refused():
    c = context()
    with Socket(LOGIN.host, LOGIN.port) as s:
        s.send(wire.SSL_REQUEST)
        equal(s.receive(1), b"S", "answer to SSLRequest")
        s.socket = c.wrap_socket(s.socket, server_hostname=LOGIN.host)
        s.send(wire.SSL_REQUEST)
        true(s.receive(1) != b"S", "TLS is not offered twice")


@SUITE.check
def a_cancel_request_over_tls_and_in_plain_text():
    for encrypted in (True, False):
        with Connection(LOGIN, tls=context()) as c:
            c.send(wire.query(f"select pg_sleep(60), 'tls cancel {encrypted}'"))
            await_running(TARGET.login, f"tls cancel {encrypted}")
            if encrypted:
                with Socket(LOGIN.host, LOGIN.port) as s:
                    s.send(wire.SSL_REQUEST)
                    s.receive(1)
                    s.socket = context().wrap_socket(s.socket, server_hostname=LOGIN.host)
                    s.send(wire.cancel(c.greeting.key))
                    s.receive()
            else:
                send_cancel(LOGIN, c.greeting.key)
            equal([m.fields()["C"] for m in c.messages_until("Z") if m.kind == "E"], ["57014"], f"the query's end (encrypted: {encrypted})")


@SUITE.check(deadline=60)
def large_values_over_tls():
    text = "t" * 10_000_000
    with connect() as c:
        true(c.execute("select %s::text", (text,)).fetchone()[0] == text, "the text comes back")
        with c.cursor() as k, k.copy("copy (select generate_series(1, 300000)) to stdout") as copy:
            equal(sum(len(bytes(d)) for d in copy), 1988895, "bytes of the copy")


@SUITE.check(deadline=60)
def a_message_in_many_small_records():
    """One TLS record per byte, as a slow writer makes them."""
    with Connection(LOGIN, tls=context()) as c:
        for byte in wire.query("select 'slow writer'"):
            c.send(struct.pack("B", byte))
        equal([m.kind for m in c.messages_until("Z")], ["T", "D", "C", "Z"], "answer")


@SUITE.check(deadline=60)
def many_tls_clients_on_few_backends():
    def client(i):
        with connect(prepare_threshold=i % 2) as c:
            for j in range(5 if TARGET.quick else 40):
                equal(c.execute("select %s::text", (f"{i}.{j}",)).fetchone(), (f"{i}.{j}",), "own answer")

    with ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(client, i) for i in range(32)]:
            done.result()


@SUITE.check
def tls_clients_cut_off_at_any_byte():
    for i in range(30):
        c = Connection(LOGIN, tls=context())
        c.send(wire.query(f"select repeat('cut {i}', 5000)"))
        if i % 2:
            c.socket.recv(100 * i)
        c.reset()
    with connect() as c:
        for i in range(10):
            equal(c.execute("select %s::int", (i,)).fetchone(), (i,), "a newcomer's answer")


@SUITE.check
def psql_and_the_system_libpq():
    tools = Tools(TARGET)
    if not TARGET.tls_ca or not tools.path("psql"):
        raise Skip("needs --tls-ca and psql")
    status, output, errors = tools.run("psql", "-XAtc", "select 'psql'", PGPORT=str(LOGIN.port), PGSSLMODE="verify-full", PGSSLROOTCERT=TARGET.tls_ca, PGCHANNELBINDING="require")
    equal((status, output.strip()), (0, "psql"), f"psql ({errors.strip()})")


SUITE.run()
