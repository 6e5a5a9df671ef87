"""Messages of the PostgreSQL protocol version 3 as bytes: what a client writes and what it reads.

No socket here: `Decoder` is fed with bytes, `Greeting` is fed with messages and says what to write next.
`connection.py` moves the bytes for the checks, the soak moves its own. Chapter "Frontend/Backend Protocol"
of the PostgreSQL documentation is the source of every layout.
"""

import hashlib
import struct
from dataclasses import dataclass

from kit.scram import Scram

VERSION_3_0 = 3 << 16
VERSION_3_2 = 3 << 16 | 2
VERSION_3_9 = 3 << 16 | 9
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
CANCEL_CODE = 80877102


@dataclass(frozen=True)
class Message:
    """One message from the server."""

    kind: str
    body: bytes

    def fields(self):
        """ErrorResponse or NoticeResponse as {letter: text}."""
        parts = (p for p in self.body.split(b"\0") if p)
        return {chr(p[0]): p[1:].decode("utf-8", "replace") for p in parts}

    def row(self):
        """DataRow as a tuple of bytes or None."""
        values, at = [], 2
        for _ in range(struct.unpack_from("!H", self.body)[0]):
            (size,) = struct.unpack_from("!i", self.body, at)
            at += 4
            values.append(None if size < 0 else self.body[at : at + size])
            at += max(size, 0)
        return tuple(values)

    def tag(self):
        """CommandComplete's text."""
        return self.body[:-1].decode()

    def parameter(self):
        """ParameterStatus as (name, value)."""
        name, value, _ = self.body.split(b"\0")
        return name.decode(), value.decode()

    def columns(self):
        """RowDescription as a list of (name, type OID, format)."""
        columns, at = [], 2
        for _ in range(struct.unpack_from("!H", self.body)[0]):
            end = self.body.index(b"\0", at)
            _, _, oid, _, _, code = struct.unpack_from("!IHIhih", self.body, end + 1)
            columns.append((self.body[at:end].decode(), oid, code))
            at = end + 19
        return columns


class Decoder:
    """Cuts the server's bytes into messages."""

    def __init__(self):
        self.pending = bytearray()

    def feed(self, data):
        """Adds bytes; returns the messages that are now whole."""
        self.pending += data
        messages = []
        at = 0
        while len(self.pending) - at >= 5:
            kind, length = struct.unpack_from("!cI", self.pending, at)
            if len(self.pending) - at < 1 + length:
                break
            messages.append(Message(kind.decode("latin-1"), bytes(self.pending[at + 5 : at + 1 + length])))
            at += 1 + length
        del self.pending[:at]
        return messages


class Greeting:
    """A login after the startup packet: give it each message, write what it returns."""

    def __init__(self, user, password):
        self.user, self.password = user, password
        self.scram = None
        self.parameters = {}
        self.key = None
        self.negotiated = None
        self.error = None
        self.done = False

    def on_message(self, message):
        """Returns the bytes to answer with (often none). `done` or `error` ends the login."""
        if message.kind == "R":
            return self.on_authentication(message.body)
        if message.kind == "S":
            name, value = message.parameter()
            self.parameters[name] = value
        elif message.kind == "K":
            self.key = message.body
        elif message.kind == "v":
            self.negotiated = message.body
        elif message.kind == "E":
            self.error = message.fields()
        elif message.kind == "Z":
            self.done = True
        elif message.kind != "N":
            raise ValueError(f"message {message.kind!r} during login")
        return b""

    def on_authentication(self, body):
        """One step of the authentication the server chose."""
        (code,) = struct.unpack_from("!I", body)
        if code == 0:
            return b""
        if code == 3:
            return frame("p", self.password.encode() + b"\0")
        if code == 5:
            return frame("p", md5_answer(self.user, self.password, body[4:]) + b"\0")
        if code == 10:
            self.scram = Scram(self.password)
            first = self.scram.first()
            return frame("p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        if code == 11:
            return frame("p", self.scram.final(body[4:]))
        if code == 12 and self.scram.verify(body[4:]):
            return b""
        raise ValueError(f"authentication step {code} cannot be answered")


def md5_answer(user, password, salt):
    """The MD5 password answer."""
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt).hexdigest().encode()


def frame(kind, body=b""):
    """A typed message."""
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def startup(parameters, version=VERSION_3_0):
    """StartupMessage."""
    body = struct.pack("!I", version)
    for name, value in parameters.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel(key):
    """CancelRequest for the body of a BackendKeyData message."""
    return struct.pack("!II", 8 + len(key), CANCEL_CODE) + key


def text(value):
    """A zero-terminated string; bytes pass as they are."""
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def query(sql):
    """Query."""
    return frame("Q", text(sql))


def parse(name, sql, types=()):
    """Parse with declared parameter type OIDs."""
    return frame("P", text(name) + text(sql) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal, name, values=(), result_formats=()):
    """Bind of text parameters."""
    body = text(portal) + text(name) + struct.pack("!HH", 0, len(values))
    for value in values:
        raw = value.encode() if isinstance(value, str) else value
        body += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    return frame("B", body + struct.pack(f"!H{len(result_formats)}H", len(result_formats), *result_formats))


def describe(kind, name):
    """Describe of a statement ('S') or a portal ('P')."""
    return frame("D", kind.encode() + text(name))


def execute(portal="", rows_max=0):
    """Execute."""
    return frame("E", text(portal) + struct.pack("!I", rows_max))


def close(kind, name):
    """Close of a statement ('S') or a portal ('P')."""
    return frame("C", kind.encode() + text(name))


def function_call(oid, values):
    """FunctionCall with binary arguments and a binary result."""
    body = struct.pack("!IHHH", oid, 1, 1, len(values))
    for value in values:
        body += struct.pack("!i", len(value)) + value
    return frame("F", body + struct.pack("!H", 1))


def copy_data(data):
    """CopyData."""
    return frame("d", data)


SYNC = frame("S")
FLUSH = frame("H")
COPY_DONE = frame("c")
TERMINATE = frame("X")


def copy_fail(reason):
    """CopyFail."""
    return frame("f", text(reason))
