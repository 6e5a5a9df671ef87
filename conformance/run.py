#!/usr/bin/env python3
"""Conformance with PostgreSQL's own tools and with the drivers people use, against one server that already runs.

Point it at Forebay, or straight at PostgreSQL: every check passes there, which is what makes it a check. One line per
check (`ok SUITE/NAME`, `FAIL SUITE/NAME: reason`, `skip …`), a summary, and exit status 1 if anything failed.
README.md in this directory lists the suites.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kit import install, target  # noqa: E402  (the path is set above)

SUITE_SECONDS_MAX = 300


@dataclass
class Prepared:
    """How a suite is started."""

    command: list
    environment: dict


def plain(name):
    """A suite that needs Python alone."""
    return lambda options: Prepared([sys.executable, str(HERE / "suites" / name)], {})


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


class Tally:
    """Counts report lines and prints them under their suite's name."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def line(self, suite, line):
        """One line of a suite. Returns whether it is the one that ends it."""
        word, _, rest = line.partition(" ")
        if word == "ok":
            self.passed += 1
        elif word == "FAIL":
            self.failed += 1
            self.failures.append(f"{suite}/{rest}")
        elif word == "skip":
            self.skipped += 1
        elif word == "done":
            return True
        else:
            print(f"   {suite}: {line}", flush=True)
            return False
        print(f"{word} {suite}/{rest}", flush=True)
        return False


def main():
    """Prepares and runs the chosen suites in order."""
    options = arguments()
    tally = Tally()
    begun = time.monotonic()
    for name in chosen(options):
        run_suite(name, options, tally)
    for failure in tally.failures:
        print(f"failed: {failure}")
    skipped = f", {tally.skipped} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {tally.failed} failed{skipped} in {time.monotonic() - begun:.0f} s")
    failed = tally.failed or options.no_skips and tally.skipped
    raise SystemExit(1 if failed else 0)


def arguments():
    """The command line; `--only` and what follows it are ours, the rest every suite knows too."""
    p = target.parser(__doc__)
    p.add_argument("--only", action="append", metavar="NAME", help="a suite, or SUITE/TEXT for its checks that contain TEXT; may be repeated")
    p.add_argument("--skip", action="append", default=[], metavar="SUITE", help="leave a suite out; may be repeated")
    p.add_argument("--rust-binary", metavar="FILE", help="the built forebay-conformance (default: the newest below target/)")
    p.add_argument("--no-skips", action="store_true", help="a check that had to be skipped counts as failed in the exit status")
    p.add_argument("--list", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args()
    unknown = [n for n in [o.split("/")[0] for o in options.only or []] + options.skip if n not in SUITES]
    if unknown:
        p.error(f"no suite named {', '.join(unknown)}; there are {', '.join(SUITES)}")
    target.from_options(options)  # Reports a bad --admin-url before anything is installed.
    return options


def chosen(options):
    """The suites to run, in the table's order."""
    all_of_them = set(SUITES) - (FULL_ONLY if options.quick else set())
    wanted = {o.split("/")[0] for o in options.only} if options.only else all_of_them
    return [name for name in SUITES if name in wanted and name not in options.skip]


def run_suite(name, options, tally):
    """Runs one suite and counts its lines; a suite that stops early is a failure."""
    begun = time.monotonic()
    try:
        prepared = SUITES[name](options)
    except install.Missing as what:
        tally.line(name, f"skip all: {what}")
        return
    for match in matches(name, options):
        status, ended, last_words = follow(name, prepared, passed_on(options, match), tally)
        if not ended:
            tally.line(name, f"FAIL reaches_its_end: exit status {status}; {last_words}")
    print(f"   {name}: {time.monotonic() - begun:.1f} s", flush=True)


def matches(name, options):
    """The parts of `--only SUITE/TEXT` for this suite, or the plain `--match`."""
    texts = [o.partition("/")[2] for o in options.only or [] if o.split("/")[0] == name]
    return texts if texts and all(texts) else [options.match]


def passed_on(options, match):
    """The options every suite understands, as arguments."""
    arguments = ["--host", options.host, "--port", str(options.port), "--user", options.user,
                 "--password", options.password, "--database", options.database]
    for name in ("tls_ca", "tls_port", "direct_port", "admin_url", "proxy_pid", "pool_max", "bindir", "bindirs", "forebay", "driver", "xtask", "seconds", "seed"):
        value = getattr(options, name)
        if value is not None:
            arguments += ["--" + name.replace("_", "-"), str(value)]
    if options.quick:
        arguments.append("--quick")
    return arguments + (["--match", match] if match else [])


def follow(name, prepared, arguments, tally):
    """Starts the suite, counts what it prints; returns its status, whether it ended well, and what it said last on standard error."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"} | prepared.environment
    environment = {k: v for k, v in environment.items() if not k.startswith("PG")}
    child = subprocess.Popen([*prepared.command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, errors="replace", env=environment, start_new_session=True)
    said = []
    listener = threading.Thread(target=lambda: said.extend(child.stderr), daemon=True)
    listener.start()
    watchdog = threading.Timer(SUITE_SECONDS_MAX + (options_seconds(arguments)), child.kill)
    watchdog.start()
    ended = False
    for line in child.stdout:
        ended = tally.line(name, line.rstrip("\n")) or ended
    status = child.wait()
    watchdog.cancel()
    listener.join(1)
    return status, ended, " ".join("".join(said[-15:]).split())[-1500:]


def options_seconds(arguments):
    """How long the soak was asked to be, which its watchdog has to allow."""
    return float(arguments[arguments.index("--seconds") + 1]) if "--seconds" in arguments else 60.0


if __name__ == "__main__":
    main()
