"""Clients killed at random bytes among clients that live: no reply to the wrong client, no lost reply, no leaked backend.

Victims log in, send random work with their own tag and are cut off by RST after a random number of bytes written or read,
at any point from the startup packet on. Stayers keep one connection throughout. Cancellers cancel themselves, often too
late. Inspectors log in anew and look for what others left behind. What each reads must be exactly, or up to its death a prefix of, what its own work is answered with. `--seconds` sets
the length, `--seed` repeats the choices (not the timing).
"""

import asyncio
import os
import random
import socket
import ssl
import struct
import time

from kit import soak_work, target, wire
from kit.connection import Connection, eventually
from kit.conversations import word
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
SECONDS = TARGET.seconds or (8.0 if TARGET.quick else 60.0)
SEED = TARGET.seed if TARGET.seed is not None else random.SystemRandom().randrange(1 << 32)
VICTIMS, STAYERS, CANCELLERS, INSPECTORS, IDLERS = (24, 8, 3, 2, 10) if TARGET.quick else (40, 12, 4, 3, 40)
ANSWER_SECONDS = 20.0


class Cut(Exception):
    """The client has used up its bytes and is dead."""


class Wrong(Exception):
    """A reply that is not the client's own."""


class Client:
    """One connection with a life measured in bytes."""

    def __init__(self, dice, name, life=None):
        self.dice, self.name, self.mortal = dice, name, life is not None
        self.writes_left = self.reads_left = float("inf")
        if life is not None and dice.random() < 0.5:
            self.writes_left = life
        elif life is not None:
            self.reads_left = life * 3
        self.decoder = wire.Decoder()
        self.messages = []
        self.serial = 0

    async def connect(self, encrypted=False):
        """Connects and logs in; may die on the way."""
        port = TARGET.tls_port if encrypted else TARGET.login.port
        self.reader, self.writer = await asyncio.open_connection(TARGET.login.host, port)
        self.socket = self.writer.get_extra_info("socket")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if encrypted:
            self.writer.write(wire.SSL_REQUEST)
            if await self.reader.readexactly(1) != b"S":
                raise Wrong("TLS was not offered")
            await self.writer.start_tls(ssl.create_default_context(cafile=TARGET.tls_ca), server_hostname=TARGET.login.host)
        self.greeting = wire.Greeting(TARGET.login.user, TARGET.login.password)
        await self.send(wire.startup({"user": TARGET.login.user, "database": TARGET.login.database, "application_name": self.name}))
        while not self.greeting.done:
            await self.send(self.greeting.on_message(await self.message()))
            if self.greeting.error:
                raise Wrong(f"login refused: {self.greeting.error.get('C')} {self.greeting.error.get('M')}")

    async def send(self, data):
        """Writes in pieces of random size; dies where its life ends."""
        end = int(min(len(data), self.writes_left))
        at = 0
        while at < end:
            piece = self.dice.choice((1, 7, 60, 1000, end))
            self.writer.write(data[at : min(at + piece, end)])
            at += piece
            await self.writer.drain()
        self.writes_left -= end
        if end < len(data):
            raise Cut

    async def message(self):
        """The next message; dies where its life ends."""
        while not self.messages:
            async with asyncio.timeout(ANSWER_SECONDS):
                data = await self.reader.read(int(min(65536, self.reads_left + 1)))
            if not data:
                raise Wrong("the server closed the connection")
            self.reads_left -= len(data)
            if self.reads_left <= 0:
                raise Cut
            self.messages = self.decoder.feed(data)
        return self.messages.pop(0)

    async def work(self):
        """One random piece of work, its whole answer compared."""
        self.serial += 1
        data, expected = soak_work.unit(self.dice, f"{self.name}.{self.serial}", self.mortal)
        both = {asyncio.ensure_future(self.send(data)), asyncio.ensure_future(self.read(expected))}
        done, pending = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        ends = [task.exception() for task in done if task.exception()]
        if ends:
            raise next((e for e in ends if not isinstance(e, Cut)), ends[0])

    async def read(self, expected):
        """The whole stream of a piece of work."""
        for wanted in expected:
            await self.expect(wanted)

    async def expect(self, wanted):
        """The next word of the stream; a change of settings may be announced before any."""
        got = await self.message()
        while got.kind == "S":
            got = await self.message()
        if word(got) != wanted:
            detail = got.fields().get("M") if got.kind in "EN" else ""
            raise Wrong(f"{self.name}.{self.serial}: got {word(got)[:200]} {detail}, wanted {wanted[:200]}")

    def reset(self):
        """Ends the connection with RST."""
        if hasattr(self, "writer"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()


class Soak:
    """The crowd and what it saw."""

    def __init__(self):
        self.dice = random.Random(SEED)
        self.end = time.monotonic() + SECONDS
        self.wrong = []
        self.killed = self.done = self.cancelled = self.inspected = 0
        self.memory = []
        self.progress = {}
        self.peak = 0

    async def run(self):
        """All actors until the time is over."""
        crowd = [self.victim(i) for i in range(VICTIMS)] + [self.stayer(i) for i in range(STAYERS)]
        crowd += [self.canceller(i) for i in range(CANCELLERS)] + [self.idler(i) for i in range(IDLERS)]
        crowd += [self.inspector(i) for i in range(INSPECTORS)]
        if TARGET.admin or TARGET.direct:
            crowd.append(self.watcher())
        await asyncio.gather(*crowd)

    def going_on(self):
        """Whether there is time left and nothing went wrong yet."""
        return time.monotonic() < self.end and not self.wrong

    async def victim(self, number):
        """One life after the other."""
        dice = random.Random(self.dice.random())
        lives = 0
        while self.going_on():
            lives += 1
            client = Client(dice, f"v{number}.{lives}", life=int(dice.expovariate(1 / dice.choice((300, 2500)))))
            try:
                await client.connect(encrypted=bool(TARGET.tls_ca) and dice.random() < 0.2)
                while self.going_on():
                    await client.work()
                    self.done += 1
            except Cut:
                self.killed += 1
            except (Wrong, OSError, asyncio.IncompleteReadError) as error:
                self.blame(client, error)
            finally:
                client.reset()

    async def stayer(self, number):
        """One connection, work without end; every so often its own setting must still be there."""
        client = Client(random.Random(self.dice.random()), f"s{number}")
        try:
            await client.connect()
            await client.send(wire.query(f"set work_mem = '{1000 + number}kB'"))
            for wanted in ("C(SET)", "Z(I)"):
                await client.expect(wanted)
            while self.going_on():
                await client.work()
                await client.send(wire.query("show work_mem"))
                for wanted in ("T(work_mem)", f"D({1000 + number}kB)", "C(SHOW)", "Z(I)"):
                    await client.expect(wanted)
                self.done += 1
                self.progress[number] = self.progress.get(number, 0) + 1
        except (Wrong, Cut, OSError) as error:
            self.blame(client, error)
        finally:
            client.reset()

    async def canceller(self, number):
        """Cancels its own query, too early or too late; only itself may be hit."""
        client = Client(random.Random(self.dice.random()), f"c{number}")
        try:
            await client.connect()
            while self.going_on():
                client.serial += 1
                tag = f"{client.name}.{client.serial}"
                await client.send(wire.query(f"select '{tag}' as v from pg_sleep({client.dice.choice((0, 0.02, 0.2))})"))
                cancel = asyncio.ensure_future(self.cancel(client.greeting.key, client.dice.random() * 0.05))
                got = [word(await client.message())]
                while not got[-1].startswith("Z"):
                    got.append(word(await client.message()))
                if got not in (["T(v)", f"D({tag})", "C(SELECT 1)", "Z(I)"], ["E(57014)", "Z(I)"], ["T(v)", "E(57014)", "Z(I)"], ["T(v)", f"D({tag})", "E(57014)", "Z(I)"]):
                    raise Wrong(f"{tag}: {got}")
                self.cancelled += "E(57014)" in got
                await cancel
        except (Wrong, Cut, OSError) as error:
            self.blame(client, error)
        finally:
            client.reset()

    async def inspector(self, number):
        """A newcomer again and again, whose session must look new."""
        lives = 0
        while self.going_on():
            lives += 1
            client = Client(random.Random(number), f"n{number}.{lives}")
            try:
                await client.connect()
                for _ in range(3):
                    data, expected = soak_work.inspection()
                    await client.send(data)
                    await client.read(expected)
                    self.inspected += 1
            except (Wrong, Cut, OSError) as error:
                self.blame(client, error)
            finally:
                client.reset()

    async def cancel(self, key, delay):
        """A CancelRequest after a while; waits for the server to close."""
        await asyncio.sleep(delay)
        reader, writer = await asyncio.open_connection(TARGET.login.host, TARGET.login.port)
        writer.write(wire.cancel(key))
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await reader.read()
        writer.close()
        if answer:
            raise Wrong(f"a cancel request was answered: {answer[:100]}")

    async def idler(self, number):
        """Logs in, waits, and finds its session as it was."""
        client = Client(random.Random(number), f"i{number}")
        try:
            await client.connect()
            while self.going_on():
                await asyncio.sleep(0.1)
            await client.work()
        except (Wrong, Cut, OSError) as error:
            self.blame(client, error)
        finally:
            client.reset()

    async def watcher(self):
        """Counts backends at the database while the crowd works."""
        while self.going_on():
            self.peak = max(self.peak, await asyncio.to_thread(lambda: counted("application_name <> 'forebay listener'")))
            if TARGET.proxy_pid:
                self.memory.append(memory_kb())
            await asyncio.sleep(0.3)

    def blame(self, client, error):
        """Keeps the first things that went wrong."""
        self.wrong.append(f"{type(error).__name__} {error} (client {client.name})")


def counted(condition):
    """Backends of the user for which `condition` holds, our own left out."""
    where = TARGET.admin or TARGET.direct or TARGET.login
    with Connection(where) as c:
        name = TARGET.login.user.replace("'", "''")
        return int(c.value(f"select count(*) from pg_stat_activity where usename = '{name}' and pid <> pg_backend_pid() and backend_type = 'client backend' and ({condition})"))


def descriptors():
    """Open descriptors of the proxy."""
    return len(os.listdir(f"/proc/{TARGET.proxy_pid}/fd"))


def without_backends():
    """Open descriptors of the proxy, but for those that are connections to the database."""
    return descriptors() - counted("true")


def memory_kb():
    """Resident memory of the proxy."""
    with open(f"/proc/{TARGET.proxy_pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


SOAK = Soak()
BEFORE = {}


@SUITE.check(deadline=SECONDS + 60)
def every_client_hears_exactly_its_own_answers():
    with Connection(TARGET.login) as c:
        c.query(f"drop table if exists {soak_work.TABLE}; create table {soak_work.TABLE} (own text, part int)")
    if TARGET.proxy_pid:
        BEFORE.update(descriptors=without_backends(), memory=memory_kb())
    SOAK.end = time.monotonic() + SECONDS
    asyncio.run(SOAK.run())
    print(f"seed {SEED}, {SECONDS:.0f} s: {SOAK.done} pieces of work, {SOAK.killed} clients killed, {SOAK.cancelled} queries cancelled, {SOAK.inspected} inspections, at most {SOAK.peak} backends", flush=True)
    equal(SOAK.wrong[:3], [], f"what went wrong (--seed {SEED})")
    true(SOAK.killed > 0 and SOAK.done > 0 and SOAK.inspected > 0, "clients were killed, work was done, sessions were inspected")


@SUITE.check
def no_stayer_starved():
    counts = [SOAK.progress.get(i, 0) for i in range(STAYERS)]
    true(min(counts) > 0 and min(counts) * 20 >= max(counts), f"each gets its share, they got {counts}")


@SUITE.check
def no_transaction_is_left_open():
    eventually(lambda: counted("state like 'idle in transaction%'") == 0 or counted("state like 'idle in transaction%'"), 5, "no backend is in a transaction")


@SUITE.check
def no_statement_of_the_dead_runs_on():
    eventually(lambda: counted("state = 'active'") == 0 or counted("state = 'active'"), 5, "no backend is busy")


@SUITE.check
def backends_fall_to_the_idle_set():
    """Straight at PostgreSQL nobody may be left; behind a pool no more than it may hold."""
    if TARGET.is_proxy and TARGET.pool_max is None:
        raise Skip("needs --pool-max to know how many may stay")
    most = TARGET.pool_max or 0
    eventually(lambda: counted("true") <= most or counted("true"), 5, f"at most {most} backends are left")


@SUITE.check
def the_pool_was_never_exceeded():
    if TARGET.pool_max is None:
        raise Skip("needs --pool-max")
    if not TARGET.admin and not TARGET.direct:
        raise Skip("needs --admin-url or --direct-port to count at the database")
    true(SOAK.peak <= TARGET.pool_max, f"at most {TARGET.pool_max} backends at any time, there were {SOAK.peak}")


@SUITE.check
def every_transaction_is_whole_or_absent():
    with Connection(TARGET.login) as c:
        torn = c.query(f"select own, count(*) from {soak_work.TABLE} group by own having count(*) <> 2 or min(part) <> 1 limit 3")
        equal(torn, [], "transactions of which a part is there")
        true(int(c.value(f"select count(*) from {soak_work.TABLE}")) > 0, "some were committed")
        c.query(f"drop table {soak_work.TABLE}")


@SUITE.check
def the_proxy_gave_everything_back():
    if not TARGET.proxy_pid:
        raise Skip("needs --proxy-pid")
    most = BEFORE["descriptors"]
    eventually(lambda: without_backends() <= most or without_backends(), 10, f"no more than {most} descriptors besides those of backends are open, as before")
    grown = memory_kb() - BEFORE["memory"]
    later = memory_kb() - (SOAK.memory[len(SOAK.memory) // 3] if SOAK.memory else BEFORE["memory"])
    print(f"memory: {BEFORE['memory']} kB before, {grown:+} kB since, of which {later:+} kB in the last two thirds; {most} descriptors", flush=True)
    true(grown < 64_000, f"memory grew by {grown} kB")
    # Buffers and tables grow to what the crowd needs at once, and then no more.
    true(later < 16_000, f"memory still grew by {later} kB in the last two thirds")


@SUITE.check
def newcomers_are_served():
    for i in range(50):
        with Connection(TARGET.login) as c:
            equal(c.value(f"select 'after {i}'"), f"after {i}", "answer")


SUITE.run()
