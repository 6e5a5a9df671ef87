"""A PostgreSQL of a check's own, which it may stop and start again with other limits. Needs `--xtask`.

`xtask db up` keeps no data: what comes back is a server at the same port with the same roles, but empty. For a proxy it is the
same database after a restart.
"""

import os
import signal
import socket
import subprocess
import threading

from kit.connection import eventually
from kit.report import Skip
from kit.target import Login, login_from_url

START_SECONDS = 60.0


class Database:
    """One server; leaving the context stops it."""

    def __init__(self, target, version, max_connections, *arguments):
        if not target.xtask:
            raise Skip("needs --xtask, the program, to start a database of its own")
        self.command = [target.xtask, "db", "up", "--version", str(version), *arguments]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = None
        self.start(max_connections)

    def start(self, max_connections):
        """Starts it and waits until it is ready."""
        command = [*self.command, "--port", str(self.port), "--max-connections", str(max_connections)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        said = []
        threading.Thread(target=lambda p: said.extend(p.stdout), args=(self.process,), daemon=True).start()
        eventually(lambda: self.is_ready(said), START_SECONDS, "the database is ready")
        words = dict(line.split(maxsplit=1) for line in said if " " in line)
        self.folder = words["folder"].strip()
        self.app, self.admin = (login_from_url(words[role].strip()) for role in ("app", "superuser"))

    def is_ready(self, said):
        """Whether it said so."""
        if self.process.poll() is not None:
            raise AssertionError(f"the database ended: {' '.join(' '.join(said).split())[-400:]}")
        return any(line.startswith("ready") for line in said)

    def stop(self):
        """Ends it as an operator would: sessions are told 57P01."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(START_SECONDS)

    def login(self, database="app"):
        """The user `app`, straight at it."""
        return Login("127.0.0.1", self.port, self.app.user, self.app.password, database)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
