#!/usr/bin/env python3
"""Conformance with PostgreSQL's own tools and with the drivers people use, against one server that already runs.

Point it at Forebay, or straight at PostgreSQL: every check passes there, which is what makes it a check. One line per
check (`ok SUITE/NAME`, `FAIL SUITE/NAME: reason`, `skip …`), a summary, and exit status 1 if anything failed.
README.md in this directory lists the suites.
"""

import json
import sys
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kit import install  # noqa: E402  (the path is set above)
from kit.runner import Prepared, Runner, plain  # noqa: E402


def with_tools(name, *tools):
    """A suite around programs that come with PostgreSQL."""

    def prepare(options):
        for tool in tools:
            install.tool(tool, options.bindir)
        return plain(name)(options)

    return prepare


def with_drivers(name):
    """A suite that runs in the Python with the drivers."""
    return lambda options: Prepared([install.python(), str(HERE / "suites" / name)], {})


def stock(command):
    """A program in another language, run where stock software is run. `command` gives its words and environment."""

    def prepare(options):
        words, environment = command(options)
        return Prepared([sys.executable, str(HERE / "suites" / "stock_program.py")], {"FOREBAY_STOCK_PROGRAM": json.dumps(words)} | environment)

    return prepare


def stock_node(options):
    """node-postgres, postgres.js and what is built on them."""
    return ["node", str(HERE / "node" / "stock.js")], {"NODE_PATH": str(install.node_modules())}


def stock_prisma(options):
    """Prisma, whose install is large."""
    return ["node", str(HERE / "prisma" / "stock.js")], {"NODE_PATH": str(install.prisma_modules())}


HIBERNATE_JARS = ("HikariCP", "hibernate-core", "hibernate-commons-annotations", "geronimo-jpa_2.0_spec", "geronimo-jta-1.2-spec", "dom4j", "antlr", "commons-collections3",
                  "javassist", "slf4j-api", "slf4j-nop")


def stock_hibernate(options):
    """HikariCP and Hibernate, as Debian has them."""
    path = install.jdbc_class_path() + ":" + install.jars(("libhikaricp-java", "libhibernate3-java", "libslf4j-java"), HIBERNATE_JARS)
    return ["java", "-Xmx256m", "--add-opens", "java.base/java.lang=ALL-UNNAMED", "-cp", path, str(HERE / "stock" / "Hibernate.java")], {}


def stock_rails(options):
    """Rails' ActiveRecord, as Debian has it."""
    install.debian_program("ruby", "ruby-activerecord", "ruby-pg")
    return ["ruby", str(HERE / "stock" / "active_record.rb")], {}


def stock_php(options):
    """PHP, as Debian has it."""
    install.debian_program("php", "php-cli", "php-pgsql")
    return ["php", str(HERE / "stock" / "pdo.php")], {}


def stock_go(options):
    """pgx and lib/pq, as Debian has them."""
    return [str(install.go_program("pgx", "golang-go", "golang-github-jackc-pgx-v4-dev", "golang-github-lib-pq-dev"))], {}


def node(options):
    """node-postgres."""
    return Prepared(["node", str(HERE / "node" / "suite.js")], {"NODE_PATH": str(install.node_modules())})


def jdbc(options):
    """pgjdbc, compiled by the source launcher."""
    path = install.jdbc_class_path()
    return Prepared(["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", path, str(HERE / "jdbc" / "Conformance.java")], {})


def rust(options):
    """tokio-postgres, built by cargo beforehand."""
    if options.rust_binary:
        built = [Path(options.rust_binary)]
    else:
        profiles = install.CACHE.parent.glob("*/forebay-conformance")
        built = sorted(profiles, key=lambda p: p.stat().st_mtime, reverse=True)
    if not built or not built[0].exists():
        raise install.Missing("build it first: cargo build -p forebay-conformance")
    return Prepared([str(built[0])], {})


SUITES: dict[str, Callable] = {
    "raw-login": plain("raw_login.py"),
    "raw-exchange": plain("raw_exchange.py"),
    "psql": with_tools("with_psql.py", "psql"),
    "pgbench": with_tools("with_pgbench.py", "pgbench"),
    "psycopg": with_drivers("with_psycopg.py"),
    "sessions": with_drivers("sessions.py"),
    "round-trips": plain("round_trips.py"),
    "sql-prepare": plain("sql_prepare.py"),
    "hidden": plain("hidden.py"),
    "listen": with_drivers("listen.py"),
    "tls": with_drivers("with_tls.py"),
    "certificates": with_drivers("certificates.py"),
    "versions": with_drivers("versions.py"),
    "asyncpg": with_drivers("with_asyncpg.py"),
    "node": node,
    "rust": rust,
    "jdbc": jdbc,
    "stock-python": with_drivers("stock_python.py"),
    "stock-django": with_drivers("stock_django.py"),
    "stock-tools": with_tools("stock_tools.py", "psql"),
    "stock-replayed": plain("stock_replayed.py"),
    "stock-node": stock(stock_node),
    "stock-prisma": stock(stock_prisma),
    "stock-hibernate": stock(stock_hibernate),
    "stock-rails": stock(stock_rails),
    "stock-php": stock(stock_php),
    "stock-go": stock(stock_go),
    "metrics": plain("metrics.py"),
    "rules": plain("rules.py"),
    "limits": with_drivers("limits.py"),
    "life": with_drivers("life.py"),
    "soak": plain("soak.py"),
}

# Not part of the short form, unless asked for by name: what they install is large or takes long.
FULL_ONLY = {"stock-prisma", "stock-hibernate", "stock-rails", "stock-php", "stock-go"}


def own_options(parser):
    """What these suites alone know."""
    parser.add_argument("--rust-binary", metavar="FILE", help="the built forebay-conformance (default: the newest below target/)")


if __name__ == "__main__":
    Runner(__doc__, SUITES, FULL_ONLY, own_options).main()
