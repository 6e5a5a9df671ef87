"""Clients of every PostgreSQL version at hand, each with the protocol, the negotiation and the TLS that it alone knows.

`--bindirs` lists the installations; psycopg brings a libpq of its own. Protocol 3.2 came with version 18, direct TLS with 17.
"""

import threading

import psycopg
from psycopg import pq

from kit import target
from kit.connection import await_running
from kit.report import Skip, Suite, equal, true
from kit.tools import Tools, interrupt

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
LOGIN = target.Login(TARGET.login.host, TARGET.tls_port, TARGET.login.user, TARGET.login.password, TARGET.login.database)


def installations():
    """Tools of each installation, with the version of its psql."""
    found = [Tools(TARGET, bindir) for bindir in (TARGET.bindirs or "").split(",") if bindir]
    if not found:
        raise Skip("needs --bindirs")
    return [(tools.version("psql"), tools) for tools in found]


def newest(least):
    """The newest installation, which has to be this new."""
    version, tools = max(installations(), key=lambda found: found[0])
    if version < least:
        raise Skip(f"needs psql {least} in --bindirs")
    return tools


def psql(tools, *commands, **settings):
    """Output of psql; it must succeed."""
    status, output, errors = tools.run("psql", "-XAt", *(a for c in commands for a in ("-c", c)), **settings)
    equal(status, 0, f"exit status of psql ({errors.strip()})")
    return output.strip()


def server_has(least):
    """Whether what stands before us speaks what came with this version: Forebay does, whatever is behind it."""
    if TARGET.is_proxy:
        return True
    with psycopg.connect(**parameters()) as c:
        return c.info.server_version >= least * 10000


def parameters(**more):
    """For psycopg."""
    return {"host": LOGIN.host, "port": LOGIN.port, "user": LOGIN.user, "password": LOGIN.password, "dbname": LOGIN.database,
            "autocommit": True, "connect_timeout": 15, "sslmode": "disable"} | more


def encrypted():
    """Environment variables for TLS with everything verified."""
    if not TARGET.tls_ca:
        raise Skip("needs --tls-ca")
    return {"PGPORT": str(LOGIN.port), "PGSSLMODE": "verify-full", "PGSSLROOTCERT": TARGET.tls_ca, "PGCHANNELBINDING": "require"}


@SUITE.check
def psql_of_every_version_works_plain_and_encrypted():
    for version, tools in installations():
        equal(psql(tools, "select 1", "begin", "select 2", "commit"), "1\nBEGIN\n2\nCOMMIT", f"psql {version}")
        equal(psql(tools, "select 'tls'", **encrypted()), "tls", f"psql {version} with TLS")


@SUITE.check
def psql_of_every_version_cancels():
    """Ctrl-C, with the keys that each version knows; over TLS from 17 on the request is encrypted, too."""
    for version, tools in installations():
        for settings in ({}, encrypted()):
            marker = f"cancel {version} {len(settings)}"
            process = tools.start("psql", "-XAtc", f"select pg_sleep(60), '{marker}'", **settings)
            await_running(TARGET.login, marker)
            _, _, errors = interrupt(process)
            true("canceling statement due to user request" in errors, f"psql {version} tells of it, got {errors}")


@SUITE.check
def libpq_18_speaks_protocol_3_2():
    """Asked for the latest, and content with nothing less; a key of 3.2 cancels."""
    if pq.version() < 180000:
        raise Skip(f"needs libpq 18, this is {pq.version()}")
    if not server_has(18):
        raise Skip("PostgreSQL understands it from 18 on")
    with psycopg.connect(**parameters(max_protocol_version="latest", min_protocol_version="3.2")) as c:
        equal(c.pgconn.full_protocol_version if hasattr(c.pgconn, "full_protocol_version") else 30002, 30002, "protocol")
        equal(c.execute("select %s::text", ("3.2",)).fetchone(), ("3.2",), "answer")
        said = []
        query = "select pg_sleep(60), 'libpq 3.2'"
        slow = threading.Thread(target=lambda: said.append(failure(c, query)))
        slow.start()
        await_running(TARGET.login, "libpq 3.2")
        c.cancel_safe(timeout=10)
        slow.join(10)
        equal(said, ["57014"], "the query's end")


def failure(c, sql):
    """SQLSTATE of a statement's failure."""
    try:
        c.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate
    return "none"


@SUITE.check
def libpq_18_is_content_with_protocol_3_0():
    if pq.version() < 180000:
        raise Skip(f"needs libpq 18, this is {pq.version()}")
    with psycopg.connect(**parameters(max_protocol_version="3.0")) as c:
        equal(c.execute("select 30").fetchone(), (30,), "answer")


@SUITE.check
def psql_18_speaks_protocol_3_2():
    tools = newest(18)
    if not server_has(18):
        raise Skip("PostgreSQL understands it from 18 on")
    for settings in ({}, encrypted()):
        said = psql(tools, "\\conninfo", "select 'served'", PGMINPROTOCOLVERSION="3.2", PGMAXPROTOCOLVERSION="latest", **settings)
        true("Protocol Version|3.2" in said and said.endswith("served"), f"protocol 3.2, got {said}")


@SUITE.check
def psql_18_and_libpq_18_use_direct_tls():
    """sslnegotiation=direct: a handshake first thing; with 3.2 and channel binding besides."""
    tools = newest(17)
    if not server_has(17):
        raise Skip("PostgreSQL understands it from 17 on")
    settings = encrypted() | {"PGSSLNEGOTIATION": "direct"}
    equal(psql(tools, "select 'direct'", **settings), "direct", "psql's answer")
    equal(psql(tools, "select 'direct'", **settings | ({"PGMAXPROTOCOLVERSION": "latest"} if server_has(18) else {})), "direct", "psql's answer with 3.2")
    if pq.version() >= 170000:
        with psycopg.connect(**parameters(sslmode="verify-full", sslrootcert=TARGET.tls_ca, sslnegotiation="direct", channel_binding="require")) as c:
            true(c.pgconn.ssl_in_use, "TLS is in use")
            equal(c.execute("select 'direct'").fetchone(), ("direct",), "psycopg's answer")


SUITE.run()
