"""Clients by the hundred on one event loop, each of which knows how many bytes it has written and read.

The blocking `Connection` is for one conversation; this is for counting many.
"""

import asyncio
import contextlib
import socket
import threading

from kit import wire
from kit.connection import Gone, ServerError

ANSWER_SECONDS = 20.0
RUN_SECONDS = 100.0


class Crowd:
    """An event loop on its own thread: clients live as long as it does, over several checks."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, work):
        """Runs a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(RUN_SECONDS)

    def all(self, work):
        """Runs coroutines side by side; returns their results in order."""

        async def gathered():
            return await asyncio.gather(*work)

        return self.run(gathered())


class Member:
    """One client."""

    def __init__(self, login):
        self.login = login
        self.decoder = wire.Decoder()
        self.messages = []
        self.written = self.read = 0

    async def connect(self, tls=None):
        """The connection, encrypted if there is a context; no login yet."""
        self.reader, self.writer = await asyncio.open_connection(self.login.host, self.login.port)
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.writer.write(wire.SSL_REQUEST)
            if await self.reader.readexactly(1) != b"S":
                raise ServerError({"C": "08001", "M": "TLS was not offered"})
            await self.writer.start_tls(tls, server_hostname=self.login.host)
        return self

    async def enter(self, tls=None, **parameters):
        """Connects and logs in; raises the refusal."""
        await self.connect(tls)
        self.greeting = wire.Greeting(self.login.user, self.login.password)
        self.send(wire.startup({"user": self.login.user, "database": self.login.database} | parameters))
        while not self.greeting.done:
            self.send(self.greeting.on_message(await self.message()))
            if self.greeting.error:
                raise ServerError(self.greeting.error)
        return self

    def send(self, data):
        """Writes; what a check sends is small enough for the kernel's buffers."""
        self.writer.write(data)
        self.written += len(data)

    async def message(self):
        """The next message."""
        while not self.messages:
            async with asyncio.timeout(ANSWER_SECONDS):
                data = await self.reader.read(65536)
            if not data:
                raise Gone("the server closed the connection")
            self.read += len(data)
            self.messages = self.decoder.feed(data)
        return self.messages.pop(0)

    async def answers(self, data, ready=1):
        """Writes and returns all messages up to the `ready`-th ReadyForQuery."""
        self.send(data)
        got = []
        while ready:
            got.append(await self.message())
            ready -= got[-1].kind == "Z"
        return got

    async def ask(self, sql):
        """A simple query; returns the SQLSTATE it fails with, or None."""
        errors = [m.fields()["C"] for m in await self.answers(wire.query(sql)) if m.kind == "E"]
        return errors[0] if errors else None

    async def rest(self):
        """Everything until the server closes."""
        got = []
        with contextlib.suppress(Gone, ConnectionResetError):
            while True:
                got.append(await self.message())
        return got

    async def leave(self):
        """A polite end."""
        with contextlib.suppress(ConnectionError):
            self.send(wire.TERMINATE)
            self.writer.close()
            await self.writer.wait_closed()


async def enter_all(logins, tls=None, at_once=32, **parameters):
    """Logs in a crowd, some at a time: a machine's listen queue is not what is tested."""
    gate = asyncio.Semaphore(at_once)

    async def one(login):
        async with gate:
            return await Member(login).enter(tls, **parameters)

    return await asyncio.gather(*map(one, logins))


async def refusal(login, tls=None, **parameters):
    """The fields of the error that a login ends with; None when it succeeds."""
    member = Member(login)
    try:
        await member.enter(tls, **parameters)
        return None
    except ServerError as error:
        return error.fields
    finally:
        member.writer.close()
