"""A relay between proxy and database that can be told to spoil, rewrite or delay what passes, as a faulty or distant network would,
and that keeps count of what went to and fro.
"""

import contextlib
import queue
import socket
import threading
import time


class Link:
    """One connection of the proxy to the database, and what passed on it."""

    def __init__(self, here, there):
        self.here, self.there = here, there
        self.lock = threading.Lock()
        self.asked = bytearray()
        self.flights = 0
        self.answered = True

    def on_asked(self, data):
        """The proxy wrote: a new flight, if anything had reached it since it wrote last."""
        with self.lock:
            self.flights += self.answered
            self.answered = False
            self.asked += data

    def on_answered(self):
        """Something reaches the proxy."""
        with self.lock:
            self.answered = True

    def end(self):
        """Ends both sides."""
        for s in (self.here, self.there):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


class Meddler:
    """Passes bytes both ways on a port of its own, each `delay` seconds late.

    With a delay, what the proxy writes before anything has come back is one *flight*: their number is the number of round trips,
    however slow the machine is.
    """

    def __init__(self, host, port, delay=0.0):
        self.there = (host, port)
        self.delay = delay
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.spoilt = threading.Event()
        self.rewritten = None
        self.links = []

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for link in self.links:
            link.end()

    def spoil(self):
        """From now on one byte of the next answer of each connection is turned, until `mend()`."""
        self.spoilt.set()

    def rewrite(self, old, new):
        """From now on the database is sent `new`, of the same length, where the proxy writes `old`, until `mend()`."""
        assert len(old) == len(new)
        self.rewritten = (old, new)

    def mend(self):
        """From now on all passes as it is."""
        self.spoilt.clear()
        self.rewritten = None

    def flights(self):
        """Round trips so far, on all connections."""
        return sum(link.flights for link in self.links)

    def asked(self):
        """All that the proxy has sent so far, one connection after the other; grows at the end where there is one connection."""
        return b"".join(bytes(link.asked) for link in self.links)

    def accept(self):
        """Connects each who comes."""
        with contextlib.suppress(OSError):
            while True:
                here, _ = self.listener.accept()
                there = socket.create_connection(self.there)
                for s in (here, there):
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link = Link(here, there)
                self.links.append(link)
                self.start(link, here, lambda data, link=link: link.there.sendall(self.changed(data)), link.on_asked)
                self.start(link, there, lambda data, link=link: self.answer(link, data), lambda data: None)

    def start(self, link, source, deliver, note):
        """Carries one direction, on a thread that reads and, with a delay, one that writes."""
        if not self.delay:
            return threading.Thread(target=self.carry, args=(link, source, deliver, note), daemon=True).start()
        line = queue.SimpleQueue()
        threading.Thread(target=self.carry, args=(link, source, lambda data: line.put((time.monotonic() + self.delay, data)), note, line), daemon=True).start()
        threading.Thread(target=self.deliver_late, args=(link, line, deliver), daemon=True).start()

    def carry(self, link, source, deliver, note, line=None):
        """Reads one direction to its end."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                note(data)
                deliver(data)
        line.put((0, b"")) if line else link.end()

    def deliver_late(self, link, line, deliver):
        """Writes one direction when it is due."""
        with contextlib.suppress(OSError):
            while (late := line.get())[1]:
                time.sleep(max(0.0, late[0] - time.monotonic()))
                deliver(late[1])
        link.end()

    def changed(self, data):
        """What the database is sent for what the proxy wrote."""
        return data.replace(*self.rewritten) if self.rewritten else data

    def answer(self, link, data):
        """Passes an answer on."""
        if self.spoilt.is_set():
            data = data[:-1] + bytes([data[-1] ^ 1])
        link.on_answered()
        link.here.sendall(data)
