"""Where the server under test is, as every suite is told on its command line.

`run.py` parses the same options once and passes them on, so one suite can also be run alone:
`python3 conformance/suites/raw_protocol.py --host 127.0.0.1 --port 6432 --user app ...` with
PYTHONPATH=conformance.
"""

import argparse
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Login:
    """One address and identity a client can log in with."""

    host: str
    port: int
    user: str
    password: str
    database: str


@dataclass(frozen=True)
class Target:
    """The server under test and what is known about it."""

    login: Login
    tls_ca: str | None
    tls_port: int
    direct: Login | None
    admin: Login | None
    proxy_pid: int | None
    pool_max: int | None
    bindir: str | None
    bindirs: str | None
    forebay: str | None
    driver: str | None
    xtask: str | None
    server_file: str | None
    quick: bool
    seconds: float | None
    seed: int | None
    match: str | None

    @property
    def is_proxy(self):
        """Whether something stands between us and the database: some promises are the proxy's alone."""
        return self.proxy_pid is not None or self.direct is not None and self.direct.port != self.login.port


def parser(description):
    """The options that `run.py` and every Python suite understand."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--user", required=True)
    p.add_argument("--password", required=True)
    p.add_argument("--database", required=True)
    p.add_argument("--tls-ca", metavar="FILE", help="certificate of the authority that signed the server's; without it TLS is not tried")
    p.add_argument("--tls-port", type=int, help="port that speaks TLS (default: --port)")
    p.add_argument("--direct-port", type=int, help="the database itself on the same host, to compare answers with")
    p.add_argument("--admin-url", metavar="URL", help="a superuser straight at the database: postgres://user:password@host:port/db")
    p.add_argument("--proxy-pid", type=int, help="process of the proxy, to watch its memory and descriptors")
    p.add_argument("--pool-max", type=int, help="backends the proxy may open for --user; the soak checks it")
    p.add_argument("--bindir", metavar="DIR", help="where psql, pgbench and pg_dump are (default: PATH)")
    p.add_argument("--bindirs", metavar="DIR,…", help="where psql of several versions is, for the suite that compares them")
    p.add_argument("--forebay", metavar="FILE", help="the program: suites about limits, counts and life start it with configurations of their own")
    p.add_argument("--driver", choices=("uring", "epoll"), help="driver of those (default: the best that works)")
    p.add_argument("--xtask", metavar="FILE", help="the built xtask, to start databases that a check may stop")
    p.add_argument("--server-file", metavar="FILE", help="MySQL and MariaDB: JSON with the server's users by plugin and the clients' programs, see kit/mysql_place.py")
    p.add_argument("--quick", action="store_true", help="fewer rounds: the whole run takes about a minute and a half")
    p.add_argument("--seconds", type=float, help="length of the soak (default 60, with --quick 8)")
    p.add_argument("--seed", type=int, help="seed of the soak, to repeat one")
    p.add_argument("--match", metavar="TEXT", help="only checks whose name contains TEXT")
    return p


def from_options(options):
    """Turns parsed options into a `Target`."""
    login = Login(options.host, options.port, options.user, options.password, options.database)
    direct = None
    if options.direct_port:
        direct = Login(options.host, options.direct_port, options.user, options.password, options.database)
    return Target(
        login=login,
        tls_ca=options.tls_ca,
        tls_port=options.tls_port or options.port,
        direct=direct,
        admin=login_from_url(options.admin_url) if options.admin_url else None,
        proxy_pid=options.proxy_pid,
        pool_max=options.pool_max,
        bindir=options.bindir,
        bindirs=options.bindirs,
        forebay=options.forebay,
        driver=options.driver,
        xtask=options.xtask,
        server_file=options.server_file,
        quick=options.quick,
        seconds=options.seconds,
        seed=options.seed,
        match=options.match,
    )


def login_from_url(url):
    """Reads `postgres://user:password@host:port/database`, or `mysql://…`, or `mariadb://…`."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql", "mysql", "mariadb") or not parts.hostname or not parts.username:
        raise SystemExit(f"--admin-url: {url.split('@')[-1]!r} is not postgres://user:password@host:port/database, nor with mysql:// or mariadb://")
    return Login(
        parts.hostname,
        parts.port or (5432 if parts.scheme.startswith("postgres") else 3306),
        unquote(parts.username),
        unquote(parts.password or ""),
        unquote(parts.path.lstrip("/")) or unquote(parts.username),
    )


def from_command_line(description):
    """The target of a suite that was started on its own or by `run.py`."""
    return from_options(parser(description).parse_args())
