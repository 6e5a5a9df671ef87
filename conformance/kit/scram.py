"""The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

Bytes in, bytes out. Derived keys are remembered per (password, salt, rounds), because the soak logs in
thousands of times and the derivation would be most of its work.
"""

import base64
import functools
import hashlib
import hmac
import secrets


class Scram:
    """One login: `first()`, then `final(server_first)`, then `verify(server_final)`."""

    def __init__(self, password):
        self.password = password
        self.first_bare = f"n=,r={secrets.token_urlsafe(18)}"
        self.server_signature = b""

    def first(self):
        """client-first-message; PostgreSQL takes the user name from the startup packet."""
        return f"n,,{self.first_bare}".encode()

    def final(self, server_first):
        """client-final-message with the proof."""
        fields = attributes(server_first)
        nonce = fields["r"]
        if not nonce.startswith(self.first_bare.split("r=", 1)[1]):
            raise ValueError("the server's nonce does not continue ours")
        client_key, server_key = keys(self.password, base64.b64decode(fields["s"]), int(fields["i"]))
        bare = f"c=biws,r={nonce}"
        message = ",".join((self.first_bare, server_first.decode(), bare)).encode()
        signature = digest(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server_signature = digest(server_key, message)
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final):
        """Whether the server proved that it knows the password too."""
        return base64.b64decode(attributes(server_final)["v"]) == self.server_signature


@functools.lru_cache(maxsize=64)
def keys(password, salt, rounds):
    """ClientKey and ServerKey. Passwords of the tests are ASCII, so SASLprep changes nothing."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return digest(salted, b"Client Key"), digest(salted, b"Server Key")


def digest(key, message):
    """HMAC-SHA-256."""
    return hmac.new(key, message, hashlib.sha256).digest()


def attributes(message):
    """`a=…,b=…` as a dictionary."""
    return dict(part.split("=", 1) for part in message.decode().split(","))
