"""A Forebay of a suite's own, for what one shared proxy cannot show: limits, refusals, reload, drain, exact counts.

It runs `forebay serve` on a configuration file that the suite writes, in front of the database of `--direct-port`, and needs
`--forebay`. Configurations are Python values in the shape of the file; `docs/operating/configuration.md` explains them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

from kit.connection import eventually
from kit.report import Skip
from kit.target import Login

START_SECONDS = 20.0
STOP_SECONDS = 20.0


def toml(value):
    """A TOML value; tables are written inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def secret(user, password, name=None):
    """A secret, named as its user unless told otherwise."""
    return {"name": name or user, "username": user, "password": password}


class Forebay:
    """One running proxy; leaving the context stops it."""

    def __init__(self, target, proxies=None, secrets=None, drain="20s", workers=2, **limits):
        if not target.forebay:
            raise Skip("needs --forebay, the program, to start one with a configuration of its own")
        if not target.direct:
            raise Skip("needs --direct-port")
        self.target = target
        self.database = target.direct
        self.workers, self.drain = workers, drain
        self.folder = Path(tempfile.mkdtemp(prefix="forebay-conformance-"))
        self.proxies = proxies if proxies is not None else [self.proxy(**limits)]
        self.secrets = secrets if secrets is not None else [secret(self.database.user, self.database.password)]
        self.said = []

    def proxy(self, name="own", users=None, endpoints=("default",), tls=None, group=None, to=None, **settings):
        """A `[[proxies]]` table: `group` are keys of its target group, `to` of its target."""
        here = {"host": self.database.host, "port": self.database.port, "tls": {"mode": "disable"}}
        table = {"name": name, "engine_family": "POSTGRESQL", "auth": [{"secret": u} for u in users or [self.database.user]]}
        table["endpoints"] = [{"name": e, "listen": "127.0.0.1:0"} for e in endpoints]
        if tls:
            table["tls"] = tls
        return table | settings | {"target_group": (group or {}) | {"targets": [here | (to or {})]}}

    def write(self):
        """The configuration file, anew."""
        server = {"workers": self.workers, "metrics": "127.0.0.1:0", "drain_timeout": self.drain}
        if self.target.driver:
            server["driver"] = self.target.driver
        lines = [f"{key} = {toml(value)}" for key, value in (("server", server), ("secrets", self.secrets), ("proxies", self.proxies))]
        path = self.folder / "forebay.toml"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def __enter__(self):
        command = [self.target.forebay, "serve", "--config", str(self.write()), "--log-level", "debug"]
        self.log = self.folder / "log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True).start()
        try:
            eventually(self.announced, START_SECONDS, "forebay says where it is")
            text = "".join(self.said)
            self.ports = {m[2]: int(m[1]) for m in re.finditer(r"listening on \S+:(\d+) \((proxy [^)]+)\)", text)}
            self.http = re.search(r"metrics on (http://\S+)/metrics", text)[1]
            eventually(lambda: self.get("/readyz")[0] == 200, START_SECONDS, "forebay is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def announced(self):
        """Whether it has printed all it prints at the start."""
        if self.process.poll() is not None:
            raise AssertionError(f"forebay ended with status {self.process.returncode}: {self.last_words()}")
        return any(line.startswith("driver ") for line in self.said)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self, count=8):
        """The end of its log."""
        return " | ".join(self.log_text().splitlines()[-count:])

    def log_text(self):
        """Its whole log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def login(self, user=None, password=None, database=None, proxy="own", endpoint="default"):
        """How to log in at one of its endpoints; by default as the configured user."""
        there = self.database
        port = self.ports[f"proxy {proxy}, endpoint {endpoint}"]
        return Login("127.0.0.1", port, user or there.user, password or there.password, database or there.database)

    def get(self, path):
        """Status and body of a GET at its metrics port; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def reload(self, proxies=None, secrets=None):
        """New configuration by SIGHUP; returns when it is in effect."""
        self.proxies, self.secrets = proxies or self.proxies, secrets or self.secrets
        before = self.log_text().count("SIGHUP: configuration")
        self.write()
        os.kill(self.process.pid, signal.SIGHUP)
        eventually(lambda: self.log_text().count("SIGHUP: configuration") > before or self.last_words(2), 10, "the new configuration is in effect")

    def terminate(self):
        """SIGTERM: drain."""
        os.kill(self.process.pid, signal.SIGTERM)

    def ended(self, seconds=STOP_SECONDS):
        """Waits for the process to end; returns its status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"forebay runs {seconds} s after it should have ended: {self.last_words()}") from None

    def memory(self):
        """Its resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """Its open descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
