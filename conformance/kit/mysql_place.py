"""Where clients of MySQL and MariaDB are run: over a few backends that neighbours keep dirty; the sibling of `stock`, from which it has its shape.

`--server-file` names a JSON file with what is known of the server besides: `users`, a list of {plugin, user, password} with a user for each way of logging in,
and `programs`, the paths of `mysql`, `mariadb` and others of their kin. `cargo xtask conformance mysql-clients` writes it.
"""

import itertools
import json
import tempfile
from pathlib import Path

from kit import mysql_connection as my
from kit.certificates import Authority
from kit.connection import Gone
from kit.mysql_connection import Connection, ServerError
from kit.mysql_relay import Relay
from kit.proxy import Forebay, secret
from kit.report import Skip, Unequal, equal, hang_ups
from kit.stock import BACKENDS, Neighbour, Stock
from kit.target import Login

# What a neighbour has set, as SQL has it. `sql_select_limit` alone would falsify most answers of anybody who inherited it.
DIRT = {
    "time_zone": "'-11:00'", "sql_mode": "'ANSI_QUOTES,PIPES_AS_CONCAT'", "foreign_key_checks": "0", "unique_checks": "0", "sql_select_limit": "1",
    "group_concat_max_len": "5", "lc_time_names": "'de_DE'", "div_precision_increment": "1", "sql_safe_updates": "1", "innodb_lock_wait_timeout": "1",
}
DIRTY = "set session transaction isolation level serializable, read only; set names latin1; use information_schema; set @x = 1, @name = 'of a neighbour'"
SEEN = "select concat_ws(' ', @@time_zone, @@sql_mode, @@sql_select_limit, @@foreign_key_checks + 0, @name, database(), @@character_set_client, @@autocommit + 0)"
STATEMENTS = ("select 'first of a neighbour'", "select ? + 1")
METHODS = {
    "mysql_native_password": "MYSQL_NATIVE_PASSWORD", "caching_sha2_password": "MYSQL_CACHING_SHA2_PASSWORD", "mysql_clear_password": "MYSQL_CLEAR_PASSWORD",
    "ed25519": "MARIADB_ED25519", "parsec": "MARIADB_PARSEC",
}


def known(target):
    """What `--server-file` says."""
    if not target.server_file:
        return {"users": [], "programs": {}}
    return json.loads(Path(target.server_file).read_text(encoding="utf-8"))


class Place(Stock):
    """`Stock.check` registers a check that must not pin anybody, `any_check` one that may."""

    def __init__(self, target, neighbours=2, backends=None, method=None, **group):
        self.method = method
        self.relay = None
        super().__init__(target, neighbours, max_connections=backends or target.pool_max or BACKENDS, **group)

    def new_forebay(self, group):
        # As `forebay run` has it for URLs of the two.
        with Connection(self.target.direct) as c:
            method = self.method or ("mysql_native_password" if "MariaDB" in c.version else "caching_sha2_password")
        auth = [{"secret": self.target.direct.user, "client_password_auth_type": METHODS[method]}]
        return Forebay(self.target, engine_family="MYSQL", auth=auth, group=group)

    def new_neighbour(self, number):
        return DirtyNeighbour(self, number)

    def __enter__(self):
        already = self.running
        super().__enter__()
        if self.forebay and not already:
            self.relay = Relay(self.login)
            self.login = self.relay.login
        return self

    def __exit__(self, *what):
        super().__exit__(*what)
        if self.relay:
            self.relay.close()

    def prepare(self):
        with Connection(self.target.direct) as c:
            for n in self.neighbours:
                c.query(f"create table if not exists conformance_dirt_{n.number} (v int auto_increment primary key)")

    def tidy(self):
        with Connection(self.target.direct) as c:
            for n in self.neighbours:
                c.query(f"drop table if exists conformance_dirt_{n.number}")

    def any_check(self, function=None, *, deadline=60):
        """Registers a check of a client, which may use what pins."""
        return self.suite.check(function, deadline=deadline)

    def direct(self, sql):
        """Straight at the database."""
        with Connection(self.target.direct or self.target.login) as c:
            return c.query(sql)


class DirtyNeighbour(Neighbour):
    """The same as PostgreSQL's in what MySQL has."""

    def live(self):
        while not self.stopped.is_set() and not self.failure:
            ended = hang_ups()
            try:
                self.visit()
            except (ServerError, Gone, OSError, AssertionError, Unequal) as error:
                if ended == hang_ups():
                    self.failure = f"{type(error).__name__}: {error}"

    def visit(self):
        with Connection(self.stock.forebay.login(), *self.manner()) as c:
            for name, value in DIRT.items():
                c.query(f"set {name} = {value}")
            for sql in DIRTY.split("; "):
                c.query(sql)
            numbers = []
            for sql in STATEMENTS:
                equal(c.ask(my.COM_STMT_PREPARE, sql.encode())[0][0], "prepared", "the neighbour's statement")
                numbers.append(c.statement)
            for turn in itertools.islice(itertools.count(), 20):
                if self.stopped.wait(0.005):
                    return
                self.dirty(c, numbers, turn)
                self.rounds += 1

    def manner(self):
        """As the client began that came last, so that its backends are ours."""
        seen = self.stock.relay and self.stock.relay.manner
        return (my.LEAST | seen[0] & my.SHARED, seen[1]) if seen else ()

    def dirty(self, c, numbers, turn):
        """A few statements of a neighbour's."""
        row = c.ask(my.COM_STMT_EXECUTE, c.execute(numbers[1], turn))[1]
        equal(int.from_bytes(row[1][0][2:10], "little"), turn + 1, "answer of the neighbour's prepared statement")
        equal(c.value(SEEN), "-11:00 PIPES_AS_CONCAT,ANSI_QUOTES 1 0 of a neighbour information_schema latin1 1", "the neighbour's settings")
        for sql in ("start transaction read write", f"insert into {self.stock.target.login.database}.conformance_dirt_{self.number} values ()", "rollback", "select cast('of a neighbour' as signed)"):
            c.query(sql)


class Door:
    """One way to log in: what the client has to do, and with which password."""

    def __init__(self, name, method, login, ca=None):
        self.name, self.method, self.login, self.ca = name, method, login, ca


class Doors:
    """All of them: a proxy for each way of clients, with TLS at the side, each to users that log in to the database in every way it has."""

    def __init__(self, target):
        self.target = target
        self.users = known(target)["users"]
        self.folder = tempfile.TemporaryDirectory(prefix="forebay-conformance-")
        self.forebay = None
        if target.forebay and target.direct:
            self.authority = Authority(self.folder.name, "authority")
            self.forebay = self.new_forebay()

    def new_forebay(self):
        """A proxy for each way, not started yet."""
        to = self.target.direct
        people = {to.user: to.password} | {one["user"]: one["password"] for one in self.users}
        certificate, key = self.authority.server()
        forebay = Forebay(self.target, proxies=[], secrets=[secret(user, password) for user, password in people.items()])
        for name in METHODS:
            # What comes from clients under TLS goes on so.
            for suffix, more, way in (("", {}, "disable"), ("-tls", {"tls": {"certificate": certificate, "private_key": key}}, "require")):
                if name == "mysql_clear_password" and not more:
                    continue
                auth = [{"secret": user, "client_password_auth_type": METHODS[name]} for user in people]
                group = {"max_connections": 20}
                forebay.proxies.append(forebay.proxy(name.replace("_", "-") + suffix, engine_family="MYSQL", auth=auth, group=group, to={"tls": {"mode": way}}, **more))
        return forebay

    def __enter__(self):
        if self.forebay:
            self.forebay.__enter__()
        return self

    def __exit__(self, *_):
        if self.forebay:
            self.forebay.__exit__()
        self.folder.cleanup()

    def all(self, methods):
        """Those that a client with these ways can pass; straight at the database its own users are the ways."""
        found = list(self.through(methods) if self.forebay else self.straight(methods))
        if not found:
            raise Skip("needs --forebay, or --server-file with users by plugin")
        return found

    def through(self, methods):
        """Each way of a client, with and without TLS, for each user."""
        people = [(one["plugin"], one["user"], one["password"]) for one in self.users] or [("the default", self.target.login.user, self.target.login.password)]
        for method in methods:
            for suffix, ca in (("", None), ("-tls", str(self.authority.certificate))):
                if method == "mysql_clear_password" and not ca:
                    continue
                for plugin, user, password in people:
                    login = self.forebay.login(user, password, proxy=method.replace("_", "-") + suffix)
                    yield Door(f"{method}{suffix}, {plugin} to the database", method, login, ca)

    def straight(self, methods):
        """The server's own."""
        to = self.target.login
        for one in self.users:
            if one["plugin"] in methods:
                for ca in (None, self.target.tls_ca):
                    login = Login(to.host, to.port, one["user"], one["password"], to.database)
                    yield Door(f"{one['plugin']}{' under TLS' if ca else ''}", one["plugin"], login, ca)
