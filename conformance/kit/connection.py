"""A blocking client over one socket, for checks that must say exactly which bytes go out and which come back.

It never hides anything: messages are returned as they arrive, and an unexpected end of the connection is
`Gone`. Every read has a deadline.
"""

import socket
import ssl
import struct
import time

from kit import wire

READ_SECONDS = 15.0


class ServerError(Exception):
    """ErrorResponse, with its fields."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('C')} {fields.get('M')}")
        self.fields = fields
        self.code = fields.get("C")


class Gone(Exception):
    """The server closed the connection."""


class Socket:
    """Bytes out, messages in, before and after login."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=READ_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.decoder = wire.Decoder()
        self.ready = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Writes all of `data`."""
        self.socket.sendall(data)

    def receive(self, most=65536):
        """Raw bytes; empty at the end of the stream. A reset counts as the end."""
        try:
            return self.socket.recv(most)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError, ssl.SSLEOFError):
            return b""

    def message(self):
        """The next message."""
        while not self.ready:
            data = self.receive()
            if not data:
                raise Gone("the server closed the connection")
            self.ready = self.decoder.feed(data)
        return self.ready.pop(0)

    def messages_until(self, kinds):
        """Messages up to and with the first whose kind is in `kinds`."""
        messages = [self.message()]
        while messages[-1].kind not in kinds:
            messages.append(self.message())
        return messages

    def messages_to_end(self):
        """Everything until the server closes."""
        messages = []
        try:
            while True:
                messages.append(self.message())
        except Gone:
            return messages

    def silent_for(self, seconds):
        """Whether nothing arrives for so long."""
        if self.ready:
            return False
        self.socket.settimeout(seconds)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(READ_SECONDS)

    def reset(self):
        """Ends the connection with RST, as a client that was killed on a lossy network would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Connection(Socket):
    """A logged-in client."""

    def __init__(self, login, version=wire.VERSION_3_0, tls=None, **parameters):
        super().__init__(login.host, login.port)
        if tls:
            self.start_tls(tls)
        self.login = login
        self.greet(version, parameters)

    def start_tls(self, context):
        """SSLRequest and the handshake."""
        self.send(wire.SSL_REQUEST)
        answer = self.receive(1)
        if answer != b"S":
            raise ServerError({"C": "08001", "M": f"answer to SSLRequest: {answer!r}"})
        self.socket = context.wrap_socket(self.socket, server_hostname=self.socket.getpeername()[0])

    def greet(self, version, parameters):
        """The login; raises the server's refusal."""
        self.greeting = wire.Greeting(self.login.user, self.login.password)
        base = {"user": self.login.user, "database": self.login.database}
        self.send(wire.startup(base | parameters, version))
        while not self.greeting.done:
            self.send(self.greeting.on_message(self.message()))
            if self.greeting.error:
                raise ServerError(self.greeting.error)

    def answers(self, data, ready=1):
        """Writes `data` and returns all messages up to the `ready`-th ReadyForQuery."""
        self.send(data)
        messages = []
        for _ in range(ready):
            messages += self.messages_until("Z")
        return messages

    def query(self, sql):
        """A simple query's rows as text; raises its error after ReadyForQuery."""
        return rows(self.answers(wire.query(sql)))

    def value(self, sql):
        """The single value of a simple query."""
        return self.query(sql)[0][0]

    def cancel(self):
        """Sends a CancelRequest for this connection and waits until the server has closed it."""
        send_cancel(self.login, self.greeting.key)

    def close(self):
        """A polite end."""
        self.send(wire.TERMINATE)
        self.socket.close()


def send_cancel(login, key):
    """One CancelRequest; returns the bytes that came back, which must be none."""
    with Socket(login.host, login.port) as s:
        s.send(wire.cancel(key))
        return s.receive()


def rows(messages):
    """The rows of a conversation; its first error is raised instead."""
    for message in messages:
        if message.kind == "E":
            raise ServerError(message.fields())
    return [tuple(v if v is None else v.decode() for v in m.row()) for m in messages if m.kind == "D"]


def eventually(condition, seconds, what):
    """Polls `condition` until it holds; fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        last = condition()
        if last is True:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{what} within {seconds} s (last: {last!r})")
        time.sleep(0.02)


def await_running(login, marker, seconds=10.0):
    """Waits until a statement that contains `marker` runs on the server."""
    sql = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and position('%s' in query) > 0"
    with Connection(login) as watcher:
        eventually(lambda: watcher.value(sql % marker) != "0", seconds, f"statement {marker} runs")
