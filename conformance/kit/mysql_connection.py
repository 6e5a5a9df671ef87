"""A blocking client of MySQL and MariaDB over one socket, for checks that must say which packets go out and which come back; the sibling of `connection`.

Answers are tuples: ("ok", affected, insert id, status, warnings, info), ("error", number, SQLSTATE, text), ("columns", names, types), ("row", values), ("end", status,
warnings), ("prepared", columns, parameters). Every read has a deadline; an unexpected end of the connection is `Gone`. It logs in by native or caching_sha2
passwords, the latter by the short answer or under TLS, which it uses, unchecked, wherever it is offered.
"""

import hashlib
import socket
import ssl
import struct

from kit.connection import Gone

READ_SECONDS = 15.0
PACKET_MAX = 0xFFFFFF

# Capabilities that a client may ask for.
FOUND_ROWS, CONNECT_WITH_DB, LOCAL_FILES, SSL = 1 << 1, 1 << 3, 1 << 7, 1 << 11
MULTI_STATEMENTS, PLUGIN_AUTH, CONNECT_ATTRS = 1 << 16, 1 << 19, 1 << 20
SESSION_TRACK, DEPRECATE_EOF = 1 << 23, 1 << 24
# LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH, PLUGIN_AUTH_LENENC_CLIENT_DATA.
LEAST = 1 << 0 | 1 << 2 | 1 << 9 | 1 << 13 | 1 << 15 | PLUGIN_AUTH | 1 << 21
MULTI_RESULTS, PS_MULTI_RESULTS = 1 << 17, 1 << 18
USUAL = LEAST | MULTI_RESULTS | PS_MULTI_RESULTS | MULTI_STATEMENTS | DEPRECATE_EOF | CONNECT_ATTRS
# What makes clients share backends when they agree in it, besides the collation: those above, and NO_SCHEMA, ODBC, IGNORE_SPACE, INTERACTIVE.
SHARED = FOUND_ROWS | LOCAL_FILES | MULTI_STATEMENTS | MULTI_RESULTS | PS_MULTI_RESULTS | DEPRECATE_EOF | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10

COM_QUIT, COM_INIT_DB, COM_QUERY, COM_FIELD_LIST, COM_STATISTICS, COM_PROCESS_KILL, COM_PING, COM_CHANGE_USER = 1, 2, 3, 4, 9, 12, 14, 17
COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE, COM_STMT_RESET, COM_SET_OPTION, COM_STMT_FETCH, COM_RESET_CONNECTION = 22, 23, 24, 25, 26, 27, 28, 31
IN_TRANSACTION, MORE_RESULTS = 1, 8
UTF8MB4 = 45
LONG, LONGLONG, VAR_STRING = 3, 8, 253


class ServerError(Exception):
    """An error packet."""

    def __init__(self, number, state, text):
        super().__init__(f"{number} ({state}) {text}")
        self.number, self.state, self.text = number, state, text


def sha1(*parts):
    """SHA-1 of what is given, one behind the other."""
    return hashlib.sha1(b"".join(parts)).digest()


def sha256(*parts):
    """SHA-256 of the same."""
    return hashlib.sha256(b"".join(parts)).digest()


def xor(one, other):
    """Byte by byte."""
    return bytes(a ^ b for a, b in zip(one, other))


def proof(plugin, password, nonce):
    """What a client sends first."""
    secret = password.encode()
    if not secret:
        return b""
    if plugin == "mysql_native_password":
        return xor(sha1(secret), sha1(nonce, sha1(sha1(secret))))
    if plugin == "caching_sha2_password":
        return xor(sha256(secret), sha256(sha256(sha256(secret)), nonce))
    raise AssertionError(f"the server wants {plugin}, which this client does not know")


def lenenc(data):
    """A string behind its length."""
    size = len(data)
    if size < 251:
        return bytes([size]) + data
    return (b"\xfc" + struct.pack("<H", size) if size < 1 << 16 else b"\xfd" + struct.pack("<I", size)[:3]) + data


class Reader:
    """One packet's fields."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        """So many bytes."""
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count):
        """An integer of so many bytes."""
        return int.from_bytes(self.take(count), "little")

    def lenenc(self):
        """An integer that tells its own length; None stands for NULL."""
        first = self.number(1)
        if first < 251:
            return first
        return None if first == 251 else self.number({252: 2, 253: 3, 254: 8}[first])

    def string(self):
        """A string behind its length; None for NULL."""
        size = self.lenenc()
        return None if size is None else self.take(size)

    def until_zero(self):
        """A string that a zero ends."""
        end = self.data.index(b"\0", self.at)
        found = self.take(end - self.at)
        self.at += 1
        return found

    def rest(self):
        """All that is left."""
        return self.take(len(self.data) - self.at)


class Connection:
    """A logged-in client."""

    def __init__(self, login, capabilities=USUAL, collation=UTF8MB4, attributes=(("_client_name", "forebay-conformance"),)):
        self.login = login
        self.socket = socket.create_connection((login.host, login.port), timeout=READ_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.sequence = b"", 0
        try:
            self.greet(capabilities, collation, attributes)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """As clients do."""
        try:
            self.send(bytes([COM_QUIT]), 0)
        except OSError:
            pass
        self.socket.close()

    def read(self, count):
        """So many bytes from the socket."""
        while len(self.buffer) < count:
            data = self.socket.recv(1 << 16)
            if not data:
                raise Gone("the server closed the connection")
            self.buffer += data
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def packet(self):
        """The next packet, put together when it came in parts."""
        whole = b""
        while True:
            header = self.read(4)
            size = int.from_bytes(header[:3], "little")
            if header[3] != self.sequence & 255:
                raise AssertionError(f"packet number {header[3]} where {self.sequence & 255} was expected")
            self.sequence += 1
            whole += self.read(size)
            if size < PACKET_MAX:
                return whole

    def send(self, data, sequence=None):
        """One packet, split where it is too long."""
        self.sequence = self.sequence if sequence is None else sequence
        parts = [data[i : i + PACKET_MAX] for i in range(0, len(data) + 1, PACKET_MAX)]
        out = b""
        for part in parts:
            out += struct.pack("<I", len(part))[:3] + bytes([self.sequence & 255]) + part
            self.sequence += 1
        self.socket.sendall(out)

    def greet(self, capabilities, collation, attributes):
        """The login; raises the server's refusal."""
        hello = Reader(self.packet())
        if hello.data[:1] == b"\xff":
            raise self.error(hello.data)
        hello.take(1)
        self.version = hello.until_zero().decode()
        self.id = hello.number(4)
        nonce = hello.take(8)
        hello.take(1)
        offered = hello.number(2)
        hello.take(3)
        offered |= hello.number(2) << 16
        hello.take(11)
        nonce += hello.take(12)
        hello.take(1)
        plugin = hello.until_zero().decode()
        self.capabilities = capabilities & (offered | 1) | (CONNECT_WITH_DB if self.login.database else 0)
        if offered & SSL:
            self.capabilities |= SSL
            self.start_tls(collation)
        plugin = plugin if plugin in ("mysql_native_password", "caching_sha2_password") else "mysql_native_password"
        answer = self.opening(collation) + self.login.user.encode() + b"\0" + lenenc(proof(plugin, self.login.password, nonce))
        answer += self.login.database.encode() + b"\0" if self.login.database else b""
        answer += plugin.encode() + b"\0"
        if self.capabilities & CONNECT_ATTRS:
            answer += lenenc(b"".join(lenenc(word.encode()) for pair in attributes for word in pair))
        self.send(answer)
        self.prove(plugin, nonce)

    def opening(self, collation):
        """The beginning of a client's first packet."""
        return struct.pack("<IIB23x", self.capabilities, 1 << 30, collation & 255)

    def start_tls(self, collation):
        """Under TLS from here; whose certificate it is does not matter."""
        self.send(self.opening(collation))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def prove(self, plugin, nonce):
        """What follows the first proof, until the server is content."""
        while True:
            said = self.packet()
            if said[:1] == b"\0":
                return
            if said[:1] == b"\xff":
                raise self.error(said)
            if said[:1] == b"\xfe":
                switch = Reader(said[1:])
                plugin, nonce = switch.until_zero().decode(), switch.rest()[:20]
                self.send(proof(plugin, self.login.password, nonce))
            elif said == b"\x01\x04":
                if not self.capabilities & SSL:
                    raise AssertionError("the server wants the password itself, without TLS")
                self.send(self.login.password.encode() + b"\0")

    @staticmethod
    def error(data):
        """The exception of an error packet."""
        number = int.from_bytes(data[1:3], "little")
        state, text = (data[4:9], data[9:]) if data[3:4] == b"#" else (b"HY000", data[3:])
        return ServerError(number, state.decode(), text.decode("utf-8", "replace"))

    def command(self, code, body=b""):
        """Sends a command."""
        self.send(bytes([code]) + body, 0)

    def ask(self, code, body=b""):
        """A command and all of its answer, as tuples; errors among them."""
        self.command(code, body)
        return self.prepared() if code == COM_STMT_PREPARE else self.answers(code == COM_STMT_EXECUTE)

    def answers(self, binary=False):
        """Results to the last one."""
        found = []
        while True:
            status = self.result(found, binary)
            if not status & MORE_RESULTS:
                return found

    def result(self, found, binary):
        """One result; gives its status."""
        data = self.packet()
        if data[:1] == b"\xff":
            error = self.error(data)
            found.append(("error", error.number, error.state, error.text))
            return 0
        if data[:1] == b"\0" or data[:1] == b"\xfe" and len(data) < 8:
            found.append(self.okay(data))
            return found[-1][3]
        columns = self.definitions(data[0])
        found.append(("columns", [name for name, _ in columns], [kind for _, kind in columns]))
        while True:
            data = self.packet()
            if data[:1] == b"\xff":
                error = self.error(data)
                found.append(("error", error.number, error.state, error.text))
                return 0
            if data[:1] == b"\xfe" and len(data) < PACKET_MAX:
                found.append(self.end(data))
                return found[-1][1]
            found.append(("row", (data,) if binary else self.values(data, len(columns))))

    def definitions(self, count):
        """Names and types of columns, with the packet that ends them where there is one."""
        found = []
        for _ in range(count):
            definition = Reader(self.packet())
            for _ in range(4):
                definition.string()
            name = definition.string().decode("utf-8", "replace")
            definition.string()
            definition.take(7)
            found.append((name, definition.number(1)))
        if count and not self.capabilities & DEPRECATE_EOF:
            self.packet()
        return found

    @staticmethod
    def values(data, count):
        """A row of the text protocol."""
        row = Reader(data)
        found = (row.string() for _ in range(count))
        return tuple(value if value is None else value.decode("utf-8", "replace") for value in found)

    @staticmethod
    def okay(data):
        """The packet of a command that went well."""
        ok = Reader(data[1:])
        affected, insert_id, status, warnings = ok.lenenc(), ok.lenenc(), ok.number(2), ok.number(2)
        return ("ok", affected, insert_id, status, warnings, ok.rest().decode("utf-8", "replace"))

    def end(self, data):
        """What ends the rows."""
        if self.capabilities & DEPRECATE_EOF:
            okay = self.okay(data)
            return ("end", okay[3], okay[4])
        return ("end", int.from_bytes(data[3:5], "little"), int.from_bytes(data[1:3], "little"))

    def prepared(self):
        """The answer to a statement that is to be prepared; `statement` has its number."""
        data = self.packet()
        if data[:1] == b"\xff":
            error = self.error(data)
            return [("error", error.number, error.state, error.text)]
        head = Reader(data[1:])
        self.statement, columns, parameters = head.number(4), head.number(2), head.number(2)
        self.definitions(parameters)
        return [("prepared", [name for name, _ in self.definitions(columns)], parameters)]

    def execute(self, statement, *values, types=True, flags=0):
        """The body of COM_STMT_EXECUTE; numbers and strings as parameters."""
        body = struct.pack("<IBI", statement, flags, 1)
        if values:
            nulls = sum(1 << i for i, value in enumerate(values) if value is None)
            body += nulls.to_bytes((len(values) + 7) // 8, "little") + bytes([types])
            if types:
                body += b"".join(struct.pack("<H", LONGLONG if isinstance(value, int) else VAR_STRING) for value in values)
            for value in values:
                body += b"" if value is None else struct.pack("<q", value) if isinstance(value, int) else lenenc(value.encode())
        return body

    def query(self, sql):
        """The rows of all results of a statement; raises its error."""
        found = self.ask(COM_QUERY, sql.encode())
        for one in found:
            if one[0] == "error":
                raise ServerError(*one[1:])
        return [one[1] for one in found if one[0] == "row"]

    def value(self, sql):
        """The first column of the only row."""
        return self.query(sql)[0][0]
