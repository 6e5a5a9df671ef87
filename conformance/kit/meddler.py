"""A relay between proxy and database that can be told to spoil what passes, as a faulty network or somebody on the way would."""

import contextlib
import socket
import threading


class Meddler:
    """Passes bytes both ways on a port of its own, until `spoil()`: then one byte of the next answer of each connection is turned."""

    def __init__(self, host, port):
        self.there = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.spoilt = threading.Event()
        self.open = []

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for s in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def spoil(self):
        """From now on, until `mend()`."""
        self.spoilt.set()

    def mend(self):
        """From now on all passes as it is."""
        self.spoilt.clear()

    def accept(self):
        """Connects each who comes."""
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                there = socket.create_connection(self.there)
                self.open += [here, there]
                threading.Thread(target=self.carry, args=(here, there, False), daemon=True).start()
                threading.Thread(target=self.carry, args=(there, here, True), daemon=True).start()

    def carry(self, source, sink, answers):
        """One direction."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.spoilt.is_set():
                    data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
