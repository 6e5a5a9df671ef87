"""Exchanges of SCRAM-SHA-256 that a client gets wrong, one fault each, and what a server says to each.

The same table as in `crates/postgres/tests/logins/sasl_faults.rs`, so that what is expected there is what a real server answers. Only
SQLSTATE and text are looked at: the detail speaks of the bytes.
"""

import base64
import struct

from kit import wire
from kit.scram import attributes

PLAIN = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"
PROOF = base64.b64encode(b"x" * 32)
MALFORMED = ("08P01", "malformed SCRAM message")
CHECK = ("28000", "SCRAM channel binding check failed")
UNEXPECTED = ("08P01", "unexpected SCRAM channel-binding attribute in client-final-message")
BOUND = b"p=tls-server-end-point,,n=,r=abc"

# Mechanism, first message, last message (N is the nonce, P a proof), SQLSTATE and text.
IN_CLEAR = [
    (PLAIN, b"n,,n=,r=abc", b"c=eSws,r=N,p=P", UNEXPECTED),
    (PLAIN, b"n,,n=,r=abc", b"c=!!,r=N,p=P", UNEXPECTED),
    (PLAIN, b"n,,n=,r=abc", b"c=biws,r=Nx,p=P", ("08P01", "invalid SCRAM response")),
    (PLAIN, b"n,,n=,r=abc", b"c=biws,r=N,p=AAAA", MALFORMED),
    (PLAIN, b"n,,n=,r=abc", b"c=biws,r=N,p=P,x=1", MALFORMED),
    (PLAIN, b"n,,n=,r=abc", b"c=biws,r=N", MALFORMED),
    (PLAIN, b"n,,n=,r=abc", b"m=1,c=biws,r=N,p=P", MALFORMED),
    (PLAIN, b"n,a=x,n=,r=abc", b"", ("0A000", "client uses authorization identity, but it is not supported")),
    (PLAIN, b"n,b=x,n=,r=abc", b"", MALFORMED),
    (PLAIN, b"n,,m=x,n=,r=abc", b"", ("0A000", "client requires an unsupported SCRAM extension")),
    (PLAIN, b"n,,r=abc", b"", MALFORMED),
    (PLAIN, b"n,,n=,q=abc", b"", MALFORMED),
    (PLAIN, b"n,,n=,r=abc,x", b"", MALFORMED),
    (PLAIN, b"n,,n=,r=a\1c", b"", ("08P01", "non-printable characters in SCRAM nonce")),
    (PLAIN, b"n,,n=,r=a\0c", b"", MALFORMED),
    (PLAIN, b"x,,n=,r=abc", b"", MALFORMED),
    (PLAIN, b"nn,,n=,r=abc", b"", MALFORMED),
    (PLAIN, b"n", b"", MALFORMED),
    (PLAIN, b"", b"", MALFORMED),
]
UNDER_TLS = [
    (PLAIN, b"y,,n=,r=abc", b"", ("28000", "SCRAM channel binding negotiation error")),
    (PLUS, b"n,,n=,r=abc", b"", MALFORMED),
    (PLUS, b"y,,n=,r=abc", b"", MALFORMED),
    (PLAIN, BOUND, b"", MALFORMED),
    (PLUS, BOUND, b"c=biws,r=N,p=P", CHECK),
    (PLUS, BOUND, b"c=!!,r=N,p=P", CHECK),
]


def answer(s, user, mechanism, first, last):
    """Plays one exchange on a connection on which nothing was said yet (but TLS); SQLSTATE and text of its end, or None without SCRAM."""
    s.send(wire.startup({"user": user}))
    if struct.unpack_from("!I", s.message().body) != (10,):
        return None
    s.send(wire.frame("p", mechanism.encode() + b"\0" + struct.pack("!I", len(first)) + first))
    message = s.message()
    if message.kind == "R" and last:
        nonce = attributes(message.body[4:])["r"].encode()
        s.send(wire.frame("p", last.replace(b"P", PROOF).replace(b"N", nonce)))
        message = s.message()
    fields = message.fields() if message.kind == "E" else {}
    return fields.get("C"), fields.get("M")
