"""Software as it comes, over two backends that neighbours keep dirty: it must get right answers, and nothing that it does may pin.

`Stock` starts a Forebay of its own with a pool of two, which are lent in turn, and neighbours who change settings, prepare statements
under the names that drivers use, and write. Each of its checks fails if a session was pinned meanwhile; the reasons and the log's lines are in
the report. Without a proxy there is nothing to pin and nobody to be disturbed by: then the checks show that they are right themselves.
"""

import asyncio
import inspect
import itertools
import threading

from kit import wire
from kit.connection import Connection, Gone, ServerError, rows
from kit.metrics import Metrics
from kit.proxy import Forebay
from kit.report import Suite, Unequal, equal, hang_ups

BACKENDS = 2
SECONDS = 60

# As pgjdbc, asyncpg, psycopg, pgx, Rails and others name theirs.
NAMES = ("S_1", "__asyncpg_stmt_1__", "_pg3_0", "stmtcache_1", "a1", "pdo_stmt_00000001", "_p1", "lrupsc_1_0")
DIRT = {
    "application_name": "dirty", "timezone": "Pacific/Apia", "datestyle": "SQL, DMY", "search_path": "dirty", "work_mem": "9MB", "statement_timeout": "9s",
    "extra_float_digits": "0", "bytea_output": "escape", "intervalstyle": "sql_standard", "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on", "client_min_messages": "error", "client_encoding": "LATIN1", "enable_seqscan": "off", "standard_conforming_strings": "off",
}


class Stock:
    """The place where stock software is run."""

    def __init__(self, target, neighbours=2, **group):
        self.target = target
        self.suite = Suite(target)
        self.forebay = None
        if target.forebay and target.direct:
            self.forebay = self.new_forebay({"max_connections": BACKENDS, "lease_order": "rotate"} | group)
        self.neighbours = [self.new_neighbour(i) for i in range(neighbours if self.forebay else 0)]
        self.login = target.login
        self.running = False

    def new_forebay(self, group):
        """The proxy, not started yet."""
        return Forebay(self.target, group=group)

    def new_neighbour(self, number):
        """One of those who share it, not started yet."""
        return Neighbour(self, number)

    def prepare(self):
        """What the neighbours need in the database."""
        with Connection(self.target.direct) as c:
            c.query("create table if not exists public.conformance_dirt (v int)")

    def tidy(self):
        """Takes it away."""
        with Connection(self.target.direct) as c:
            c.query("drop table if exists public.conformance_dirt")

    def __enter__(self):
        if self.running:
            return self
        self.running = True
        if self.forebay:
            self.forebay.__enter__()
            self.login = self.forebay.login()
            self.prepare()
        for n in self.neighbours:
            n.start()
        return self

    def __exit__(self, *_):
        for n in self.neighbours:
            n.end()
        if self.forebay:
            self.forebay.__exit__()
            self.tidy()

    def run(self):
        """Runs all checks, and last what the neighbours have to say."""
        if self.neighbours:
            self.check(self.the_neighbours_were_left_alone)
        with self:
            self.suite.run(self.__exit__)

    def the_neighbours_were_left_alone(self):
        """Each has seen its own settings and statements all the time."""
        for n in self.neighbours:
            n.end()
        equal([n.failure for n in self.neighbours], [None] * len(self.neighbours), "failures of the neighbours")
        equal([n for n in self.neighbours if n.rounds == 0], [], "neighbours that never had a turn")

    def check(self, function=None, *, deadline=SECONDS):
        """Registers a check during which nothing may pin."""
        if function is None:
            return lambda f: self.check(f, deadline=deadline)

        def watched():
            before = self.pins()
            outcome = function()
            if inspect.iscoroutine(outcome):
                asyncio.run(asyncio.wait_for(outcome, deadline))
            self.nothing_pinned_since(before)

        watched.__name__ = function.__name__
        return self.suite.check(watched, deadline=deadline)

    def pins(self):
        """Sessions that became pinned so far, by reason."""
        if not self.forebay:
            return {}
        metrics = Metrics(self.forebay.get("/metrics")[1])
        return {labels["reason"]: int(value) for labels, value in metrics.samples.get("session_pins", [])}

    def nothing_pinned_since(self, before, allowed=()):
        """Fails if a session became pinned but for `allowed` reasons."""
        new = {reason: count - before.get(reason, 0) for reason, count in self.pins().items() if count > before.get(reason, 0) and reason not in allowed}
        if new:
            told = [line for line in self.forebay.log_text().splitlines() if "pin" in line]
            raise Unequal(f"pins: {new}; {' | '.join(told[-3:])}")


class Neighbour:
    """A client that leaves its backends as nobody else wants them, and notices if somebody does so to its own."""

    def __init__(self, stock, number):
        self.stock, self.number = stock, number
        self.stopped = threading.Event()
        self.rounds, self.failure = 0, None
        self.thread = threading.Thread(target=self.live, daemon=True)

    def start(self):
        """Begins."""
        self.thread.start()

    def end(self):
        """Ends, after the round that it is at."""
        self.stopped.set()
        self.thread.join(15)

    def live(self):
        """Visits until it is told to end."""
        while not self.stopped.is_set() and not self.failure:
            ended = hang_ups()
            try:
                self.visit()
            except (ServerError, Gone, OSError, AssertionError, Unequal) as error:
                if ended == hang_ups():
                    self.failure = f"{type(error).__name__}: {error}"

    def visit(self):
        """One connection's life."""
        with Connection(self.stock.login) as c:
            for name, value in DIRT.items():
                c.query(f"set {name} to {value if ',' in value else repr(value)}")
            for name in NAMES:
                c.answers(wire.parse(name, f"select '{name} of {self.number}'") + wire.SYNC)
            for name in itertools.islice(itertools.cycle(NAMES), 20):
                if self.stopped.wait(0.005):
                    return
                self.dirty(c, name)
                self.rounds += 1

    def dirty(self, c, name):
        """A few statements of a neighbour's."""
        use = wire.bind("", name) + wire.execute() + wire.SYNC
        equal(rows(c.answers(use)), [(f"{name} of {self.number}",)], f"answer of the neighbour's {name}")
        equal(c.value("select current_setting('application_name') || current_setting('search_path')"), "dirtydirty", "the neighbour's settings")
        c.answers(wire.parse("", "select 'unnamed of a neighbour'") + wire.SYNC)
        for sql in ("begin read write", "insert into public.conformance_dirt values (1)", "set local work_mem = '11MB'", "rollback"):
            c.query(sql)
