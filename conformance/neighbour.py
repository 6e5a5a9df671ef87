#!/usr/bin/env python3
"""A client that leaves the backends it is lent as nobody else wants them, until SIGTERM: for whoever shares a pool with it, see `cargo xtask suites`.

It changes every setting that its user may change, again and again, prepares statements under the names that drivers use, rolls transactions back,
and checks on each visit that its own session is as it left it. When it is told to end it prints how many visits it made and exits with 1 if it
ever found something that it had not done.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kit import wire  # noqa: E402  (the path is set above)
from kit.connection import Connection, Gone, ServerError, rows  # noqa: E402
from kit.stock import DIRT, NAMES  # noqa: E402
from kit.target import Login  # noqa: E402

PAUSE_SECONDS = 0.003
VISITS_OF_ONE_CONNECTION = 150
SETTINGS_AT_ONCE = 12
# The login's own; what ends a session at its first error or after a moment; what makes the server's log or its plans enormous; what only goes one way.
LEFT_ALONE = ("transaction_", "log_", "debug_", "trace_", "exit_on_error", "seed", "role", "session_authorization", "idle_", "ignore_system_indexes", "backtrace_")
CANDIDATES = """
    select name, vartype, setting, coalesce(min_val, ''), coalesce(max_val, ''), array_to_string(enumvals, ',')
    from pg_settings where context in ('user', 'superuser') and vartype <> 'string' order by name
"""


class Wrong(Exception):
    """The session was not as this client had left it."""


def other_value(kind, now, least, most, choices):
    """A legal value that differs from the present one; None if there is none at hand."""
    if kind == "bool":
        return "off" if now == "on" else "on"
    if kind == "enum":
        return next((c for c in choices.split(",") if c != now), None)
    for value in (float(now) + 1, float(now) - 1):
        if float(least) <= value <= float(most):
            return str(int(value)) if kind == "integer" else str(value)
    return None


def settings(login):
    """Every setting that this user may change, each with a value that nobody else has."""
    found = dict(DIRT)
    with Connection(login) as c:
        for name, kind, now, least, most, choices in c.query(CANDIDATES):
            value = other_value(kind, now, least, most, choices or "")
            if name in found or value is None or name.startswith(LEFT_ALONE):
                continue
            try:
                c.query(f"set {name} to '{value}'")
            except ServerError:
                continue
            found[name] = value
    # Limits of time that a busy machine does not reach.
    return found | {name: "50s" for name in found if name.endswith("_timeout") and name not in DIRT}


def assignment(name, value):
    """The SET that a list such as search_path takes, too."""
    return f"set {name} to {value if ',' in value else repr(value)}"


class Neighbour:
    """Its visits, and what it found."""

    def __init__(self, login):
        self.login = login
        self.visits, self.found = 0, []
        self.stopped = False
        self.settings = list(settings(login).items())

    def stop(self, *_):
        """Ends after the present visit."""
        self.stopped = True

    def live(self):
        """Connects again and again."""
        while not self.stopped and not self.found:
            try:
                with Connection(self.login, application_name="dirty") as c:
                    self.stay(c)
            except Wrong as error:
                self.found.append(str(error))
            except (ServerError, Gone, OSError):
                # No backend for a while, or one that somebody has terminated: come again.
                time.sleep(0.05)

    def stay(self, c):
        """One connection's life."""
        for name, value in self.settings:
            c.query(assignment(name, value))
        shown = self.all_shown(c)
        for name in NAMES:
            c.answers(wire.parse(name, f"select 'the neighbour''s {name}'") + wire.SYNC)
        for visit in range(VISITS_OF_ONE_CONNECTION):
            if self.stopped:
                return
            time.sleep(PAUSE_SECONDS)
            self.visit(c, visit, shown)
            self.visits += 1

    def visit(self, c, number, shown):
        """A few statements, each of which may be given another backend."""
        name = NAMES[number % len(NAMES)]
        answer = rows(c.answers(wire.bind("", name) + wire.execute() + wire.SYNC))
        if answer != [(f"the neighbour's {name}",)]:
            raise Wrong(f"its statement {name} answered {answer!r}")
        now = self.all_shown(c)
        if now != shown:
            raise Wrong(f"settings (name, value that it gave, shown before, shown now): {[(*n, b, a) for n, a, b in zip(self.settings, now, shown) if a != b]!r}")
        start = number * SETTINGS_AT_ONCE % len(self.settings)
        again = "; ".join(assignment(*pair) for pair in self.settings[start : start + SETTINGS_AT_ONCE])
        c.query(f"{again}; begin read write; set local work_mem = '11MB'; select pg_current_xact_id(); rollback")
        c.answers(wire.parse("", "select 'unnamed of a neighbour'") + wire.SYNC)

    def all_shown(self, c):
        """What the session says of its settings, in their order; without quotes, with which `quote_all_identifiers` adorns search_path when it is set."""
        shown = c.query("select " + ", ".join(f"current_setting('{name}')" for name, _ in self.settings))[0]
        return [value.replace('"', "") for value in shown]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("host", "port", "user", "password", "database"):
        p.add_argument(f"--{name}", required=True)
    o = p.parse_args()
    neighbour = Neighbour(Login(o.host, int(o.port), o.user, o.password, o.database))
    signal.signal(signal.SIGTERM, neighbour.stop)
    print(f"settings {len(neighbour.settings)}", flush=True)
    neighbour.live()
    print(f"visits {neighbour.visits}", flush=True)
    for found in neighbour.found:
        print(f"found {found}", flush=True)
    return 1 if neighbour.found else 0


if __name__ == "__main__":
    sys.exit(main())
