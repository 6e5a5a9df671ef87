"""Runs the chosen suites one after the other and counts what they say; `run.py` and `run_mysql.py` have the suites.

A suite is a program that prints a line per check (kit/report.py). `SUITES` of a caller has a function for each, which prepares what it needs and
says how it is started, or raises `install.Missing`.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from kit import install, target

HERE = Path(__file__).resolve().parent.parent
SUITE_SECONDS_MAX = 300
PASSED_ON = ("tls_ca", "tls_port", "direct_port", "admin_url", "proxy_pid", "pool_max", "bindir", "bindirs", "forebay", "driver", "xtask", "server_file", "seconds", "seed")


@dataclass
class Prepared:
    """How a suite is started."""

    command: list
    environment: dict


def plain(name):
    """A suite that needs Python alone."""
    return lambda options: Prepared([sys.executable, str(HERE / "suites" / name)], {})


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


class Runner:
    """The suites of one kind of database. Those in `full_only` are not part of the short form, unless asked for by name."""

    def __init__(self, description, suites, full_only=(), own_options=lambda parser: None):
        self.description, self.suites, self.full_only, self.own_options = description, suites, set(full_only), own_options

    def main(self):
        """Prepares and runs the chosen suites in order; ends the process."""
        options = self.arguments()
        tally = Tally()
        begun = time.monotonic()
        for name in self.chosen(options):
            self.run_suite(name, options, tally)
        for failure in tally.failures:
            print(f"failed: {failure}")
        skipped = f", {tally.skipped} skipped" if tally.skipped else ""
        print(f"{tally.passed} passed, {tally.failed} failed{skipped} in {time.monotonic() - begun:.0f} s")
        failed = tally.failed or options.no_skips and tally.skipped
        raise SystemExit(1 if failed else 0)

    def arguments(self):
        """The command line; `--only` and what follows it are ours, the rest every suite knows too."""
        p = target.parser(self.description)
        p.add_argument("--only", action="append", metavar="NAME", help="a suite, or SUITE/TEXT for its checks that contain TEXT; may be repeated")
        p.add_argument("--skip", action="append", default=[], metavar="SUITE", help="leave a suite out; may be repeated")
        p.add_argument("--no-skips", action="store_true", help="a check that had to be skipped counts as failed in the exit status")
        p.add_argument("--list", action="store_true", help=argparse.SUPPRESS)
        self.own_options(p)
        options = p.parse_args()
        unknown = [n for n in [o.split("/")[0] for o in options.only or []] + options.skip if n not in self.suites]
        if unknown:
            p.error(f"no suite named {', '.join(unknown)}; there are {', '.join(self.suites)}")
        target.from_options(options)  # Reports a bad --admin-url before anything is installed.
        return options

    def chosen(self, options):
        """The suites to run, in the table's order."""
        all_of_them = set(self.suites) - (self.full_only if options.quick else set())
        wanted = {o.split("/")[0] for o in options.only} if options.only else all_of_them
        return [name for name in self.suites if name in wanted and name not in options.skip]

    def run_suite(self, name, options, tally):
        """Runs one suite and counts its lines; a suite that stops early is a failure."""
        begun = time.monotonic()
        try:
            prepared = self.suites[name](options)
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
    for name in PASSED_ON:
        value = getattr(options, name)
        if value is not None:
            arguments += ["--" + name.replace("_", "-"), str(value)]
    if options.quick:
        arguments.append("--quick")
    return arguments + (["--match", match] if match else [])


def follow(name, prepared, arguments, tally):
    """Starts the suite, counts what it prints; returns its status, whether it ended well, and what it said last on standard error."""
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"} | prepared.environment
    environment = {k: v for k, v in environment.items() if not k.startswith(("PG", "MYSQL"))}
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
