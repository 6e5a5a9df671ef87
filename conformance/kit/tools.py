"""Runs PostgreSQL's own programs (psql, pgbench, pg_dump) against the target.

The environment is emptied of PG* variables first, so that only what a check sets can matter.
"""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

SECONDS = 25.0


class Tools:
    """Programs of one installation, pointed at one login."""

    def __init__(self, target, bindir=None):
        self.login = target.login
        self.bindir = bindir or target.bindir

    def path(self, name):
        """Where the program is, or None."""
        return shutil.which(name, path=self.bindir) if self.bindir else shutil.which(name)

    def version(self, name):
        """Major version of a program."""
        said = subprocess.run([self.path(name), "--version"], env=self.environment(), capture_output=True, text=True, check=True)
        return int(re.search(r"\) (\d+)", said.stdout).group(1))

    def environment(self, **settings):
        """Where to connect, and what the check wants besides."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        base = {"PGHOST": self.login.host, "PGPORT": str(self.login.port), "PGUSER": self.login.user, "PGPASSWORD": self.login.password,
                "PGDATABASE": self.login.database, "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "15", "LC_ALL": "C", "HOME": "/nonexistent"}
        if self.bindir and (libraries := Path(self.bindir).parent / "lib").is_dir():
            base["LD_LIBRARY_PATH"] = str(libraries)  # Relocated builds find their own libpq only so.
        return kept | base | settings

    def run(self, name, *arguments, stdin="", seconds=SECONDS, binary=False, **settings):
        """Runs to the end; returns (status, output, errors)."""
        done = subprocess.run([self.path(name), *arguments], env=self.environment(**settings), capture_output=True, timeout=seconds,
                              input=stdin if binary else stdin.encode(), check=False)
        output = done.stdout if binary else done.stdout.decode("utf-8", "replace")
        return done.returncode, output, done.stderr.decode("utf-8", "replace")

    def start(self, name, *arguments, **settings):
        """Starts a program that a check will interrupt."""
        return subprocess.Popen([self.path(name), *arguments], env=self.environment(**settings), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(process, seconds=8.0):
    """SIGINT, as Ctrl-C does; returns (status, output, errors)."""
    process.send_signal(signal.SIGINT)
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still running {seconds} s after SIGINT") from None
    return process.returncode, output, errors
