"""A relay in front of a proxy that notes how its clients begin: their capabilities and collation, which say whose backends they share.

Clients that agree on something else with the server have backends of their own. A neighbour that is to leave its dirt on the backends of whatever
client is under test has to begin as that client does; which is not known before it has begun.
"""

import contextlib
import socket
import threading
from dataclasses import replace

HEADER_AND_BEGINNING = 13  # Length and number of the packet, capabilities, largest packet, collation.


class Relay:
    """Listens at `login`, carries to another login's address; `manner` is (capabilities, collation) of who came last."""

    def __init__(self, to):
        self.to = to
        self.manner = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.login = replace(to, host="127.0.0.1", port=self.listener.getsockname()[1])
        threading.Thread(target=self.listen, daemon=True).start()

    def close(self):
        """Nobody is let in any more."""
        self.listener.close()

    def listen(self):
        """Lets clients in until it is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        """One client's life."""
        with contextlib.suppress(OSError), client, socket.create_connection((self.to.host, self.to.port)) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            first = b""
            while len(first) < HEADER_AND_BEGINNING and (data := client.recv(1 << 16)):
                first += data
            if len(first) >= HEADER_AND_BEGINNING:
                self.manner = (int.from_bytes(first[4:8], "little"), first[12])
            server.sendall(first)
            pump(client, server)
            back.join()


def pump(source, sink):
    """Bytes to the end of the source, and then the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 18):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
