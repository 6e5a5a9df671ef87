"""Certificates that must be right on every side: clients', the proxy's, the database's; with psycopg and psql.

Each check starts a Forebay with certificates made for it. What does not need a configuration of its own is in with_tls.py.
"""

import contextlib
import tempfile

import psycopg

from kit import target, wire
from kit.certificates import Authority
from kit.connection import Connection, eventually
from kit.database import Database
from kit.meddler import Meddler
from kit.metrics import Metrics
from kit.proxy import Forebay, secret
from kit.report import Suite, equal, true
from kit.tools import Tools

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
REQUIRED = "This proxy requires TLS connections."


class Place:
    """A folder with an authority for servers, one for clients, and a stranger."""

    def __init__(self):
        self.cleanup = contextlib.ExitStack()

    def __enter__(self):
        self.folder = self.cleanup.enter_context(tempfile.TemporaryDirectory())
        self.servers, self.clients, self.stranger = (Authority(self.folder, n) for n in ("servers", "clients", "stranger"))
        self.certificate, self.key = self.servers.server()
        self.tls = {"certificate": self.certificate, "private_key": self.key}
        return self

    def __exit__(self, *_):
        self.cleanup.close()

    def connect(self, forebay, **options):
        """psycopg with the proxy's certificate and name verified, unless told otherwise."""
        at = forebay.login()
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "dbname": at.database, "autocommit": True,
                 "sslmode": "verify-full", "sslrootcert": str(self.servers.certificate), "sslcert": "/nonexistent", "connect_timeout": 15}
        return psycopg.connect(**given | options)

    def serves(self, forebay, **options):
        """A connection with these options works, with TLS."""
        with self.connect(forebay, **options) as c:
            true(c.pgconn.ssl_in_use, "TLS is in use")
            equal(c.execute("select %s::text", ("served",)).fetchone(), ("served",), "answer")

    def refuses(self, forebay, *words, **options):
        """A connection with these options fails, and its reason contains one of the words."""
        try:
            self.connect(forebay, **options).close()
        except psycopg.OperationalError as error:
            true(any(word in str(error) for word in words), f"a reason with one of {words}, got {error}")
            return
        raise AssertionError(f"connected with {options}")

    def psql(self, forebay, **settings):
        """Status, output and errors of psql; settings are environment variables."""
        base = {"PGPORT": str(forebay.login().port), "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.servers.certificate), "PGSSLCERT": "/nonexistent"}
        status, output, errors = Tools(TARGET).run("psql", "-XAtc", "select 'psql'", **base | settings)
        return status, output.strip(), errors


def failed_auth(forebay):
    """How many logins failed for authentication or TLS."""
    return Metrics(forebay.get("/metrics")[1]).value("client_connections_setup_failed_auth")


@SUITE.check
def client_certificates_are_asked_for_where_an_authority_is_named():
    """One of ours is let in, with its password and channel binding; none, a stranger's, and one for servers are not."""
    with Place() as p, Forebay(TARGET, tls=p.tls | {"client_ca": str(p.clients.certificate)}) as f:
        good, key = p.clients.issue("client", usage="clientAuth")
        p.serves(f, sslcert=good, sslkey=key)
        p.serves(f, sslcert=good, sslkey=key, channel_binding="require")
        p.refuses(f, "wrong", sslcert=good, sslkey=key, password="wrong")
        p.refuses(f, "connection requires a valid client certificate")
        # Which alert the library sends is its own affair; that the client hears of a certificate is not.
        words = ("certificate", "unknown ca", "alert", "SSL")
        bad, bad_key = p.stranger.issue("strange", usage="clientAuth")
        p.refuses(f, *words, sslcert=bad, sslkey=bad_key)
        server, server_key = p.clients.issue("not-a-client", usage="serverAuth")
        p.refuses(f, *words, sslcert=server, sslkey=server_key)
        p.refuses(f, REQUIRED, "certificate", sslmode="disable")
        eventually(lambda: failed_auth(f) == 5 or failed_auth(f), 5, "five failed authentications are counted")
        p.serves(f, sslcert=good, sslkey=key)
        equal(p.psql(f, PGSSLCERT=good, PGSSLKEY=key)[:2], (0, "psql"), "psql with its certificate")
        status, _, errors = p.psql(f)
        true(status == 2 and "connection requires a valid client certificate" in errors, f"psql without one, got {status} {errors}")


@SUITE.check
def a_proxy_that_requires_tls_refuses_those_without():
    with Place() as p, Forebay(TARGET, tls=p.tls, require_tls=True) as f:
        p.refuses(f, REQUIRED, sslmode="disable")
        for mode in ("allow", "prefer", "require", "verify-ca", "verify-full"):
            p.serves(f, sslmode=mode)
        status, _, errors = p.psql(f, PGSSLMODE="disable")
        true(status == 2 and f"FATAL:  {REQUIRED}" in errors, f"psql without TLS, got {status} {errors}")
        equal(p.psql(f)[:2], (0, "psql"), "psql with TLS")
        # Plain refusals: libpq without TLS, psql without TLS, and libpq's first attempt of `allow`.
        equal(failed_auth(f), 3, "failed authentications")


@SUITE.check
def clients_that_verify_see_through_a_wrong_certificate():
    """Another authority, or another name, is refused by the client; the proxy counts it and serves the next."""
    with Place() as p:
        certificate, key = p.servers.issue("elsewhere", alternative="DNS:elsewhere.example.org")
        with Forebay(TARGET, tls={"certificate": certificate, "private_key": key}) as f:
            p.refuses(f, "does not match host name", sslmode="verify-full")
            p.serves(f, sslmode="verify-ca")
            p.refuses(f, "certificate verify failed", sslmode="verify-ca", sslrootcert=str(p.stranger.certificate))
            status, _, errors = p.psql(f, PGSSLROOTCERT=str(p.stranger.certificate))
            true(status == 2 and "certificate verify failed" in errors, f"psql with another authority, got {status} {errors}")
            p.serves(f, sslmode="require", sslrootcert="")


@SUITE.check
def a_certificate_is_exchanged_by_reload():
    """Who is connected stays; who comes is shown the new one."""
    with Place() as p, Forebay(TARGET, tls=p.tls) as f, p.connect(f) as early:
        certificate, key = p.stranger.server("renewed")
        f.reload([f.proxy(tls={"certificate": certificate, "private_key": key})])
        p.refuses(f, "certificate verify failed")
        p.serves(f, sslrootcert=str(p.stranger.certificate), channel_binding="require")
        equal(early.execute("select 'early'").fetchone(), ("early",), "the connection from before")


@SUITE.check(deadline=60)
def the_database_is_verified_as_the_target_says():
    """verify-full with its authority serves; with another one, or another name, nobody is sent there."""
    with Connection(TARGET.direct) as c:
        version = int(c.value("show server_version_num")) // 10000
    with Place() as p, Database(TARGET, version, 30, "--tls") as database:
        f = Forebay(TARGET)
        f.database = database.login()
        f.secrets = [secret(f.database.user, f.database.password)]
        right = f.proxy(tls=p.tls, to={"tls": {"mode": "verify-full", "ca": f"{database.folder}/server.crt"}})
        wrong = f.proxy(tls=p.tls, to={"tls": {"mode": "verify-full", "ca": str(p.stranger.certificate)}})
        f.proxies = [right]
        with f:
            with p.connect(f) as c:
                equal(c.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()").fetchone(), (True,), "TLS at the database")
            equal(Metrics(f.get("/metrics")[1]).value("database_connections_with_tls"), 1, "database connections with TLS")
        f = Forebay(TARGET, proxies=[wrong], secrets=f.secrets)
        f.database = database.login()
        with f:
            p.refuses(f, "The proxy cannot connect to the database.")
            eventually(lambda: "ertificate" in f.log_text(), 5, "the log says that it is the certificate")


@SUITE.check(deadline=60)
def a_record_spoilt_on_the_way_ends_one_lease_and_no_other():
    """Who waited for it is told; those who come get backends of their own and never each other's answers."""
    with Connection(TARGET.direct) as c:
        version = int(c.value("show server_version_num")) // 10000
    with Database(TARGET, version, 30, "--tls") as database, Meddler("127.0.0.1", database.port) as way:
        f = Forebay(TARGET, workers=1)
        f.database = database.login()
        f.secrets = [secret(f.database.user, f.database.password)]
        f.proxies = [f.proxy(to={"port": way.port, "tls": {"mode": "require"}}, group={"max_connections": 3})]
        with f:
            first = Connection(f.login())
            first.query("begin")
            way.spoil()
            first.send(wire.query("select 'first'"))
            kinds = [m.kind for m in first.messages_to_end()]
            true("D" not in kinds and kinds[-1:] in (["E"], []), f"no row and at most an error, got {kinds}")
            way.mend()
            others = [Connection(f.login()) for _ in range(3)]
            for i, c in enumerate(others):
                c.query("begin")
                equal(c.value(f"select 'mine {i}'"), f"mine {i}", "answer")
            with contextlib.suppress(OSError):
                first.send(wire.query("select 'late'"))
            first.socket.close()
            for turn in range(5):
                for i, c in enumerate(others):
                    equal(c.value(f"select 'mine {i} {turn}'"), f"mine {i} {turn}", "answer in the same transaction")
            [c.query("commit") for c in others]
            [c.close() for c in others]
            equal(Metrics(f.get("/metrics")[1]).value("database_connections_currently_borrowed"), 0, "leases left")
            true("tls" in f.log_text(), "the log says that it was TLS")


@SUITE.check(deadline=60)
def a_reload_changes_the_way_to_the_database():
    """What is open is given up between transactions; nobody is dropped, and what is opened afterwards speaks TLS."""
    with Connection(TARGET.direct) as c:
        version = int(c.value("show server_version_num")) // 10000
    encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    with Database(TARGET, version, 30, "--tls") as database:
        f = Forebay(TARGET, workers=1)
        f.database = database.login()
        f.secrets = [secret(f.database.user, f.database.password)]
        f.proxies = [f.proxy()]
        with f:
            inside, between = Connection(f.login()), Connection(f.login())
            equal(between.value(encrypted), "f", "TLS before")
            inside.query("begin")
            equal(inside.value(encrypted), "f", "TLS before")
            f.reload([f.proxy(to={"tls": {"mode": "verify-full", "ca": f"{database.folder}/server.crt"}})])
            eventually(lambda: between.value(encrypted) == "t", 5, "what is opened from now on speaks TLS")
            equal(inside.value(encrypted), "f", "TLS of the transaction under way")
            inside.query("commit")
            equal(inside.value(encrypted), "t", "TLS of its next one")


SUITE.run()
