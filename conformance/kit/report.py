"""Checks and how they are told: one line each on standard output, `ok NAME`, `FAIL NAME: reason` or `skip NAME: reason`.

A check is a function, or a coroutine function, whose name is the sentence it proves. Each has a deadline,
because the usual fault of a proxy is to answer nothing: a check that overruns is reported and left behind on
its thread, and the suite goes on. The last line, `done`, tells `run.py` that the suite reached its end.
"""

import asyncio
import inspect
import os
import socket
import sys
import threading
import traceback

DEADLINE_SECONDS = 30.0
HANGING_UP = threading.Lock()
HANG_UPS = []  # One entry each time that all connections were ended, for threads that outlive a check.


class Skip(Exception):
    """The check cannot be made here; the text says what is missing."""


class Unequal(Exception):
    """An observation that is not what it should be."""


def equal(got, wanted, what):
    """Fails the check unless `got == wanted`."""
    if got != wanted:
        raise Unequal(f"{what}: got {short(got)}, wanted {short(wanted)}")


def true(condition, what):
    """Fails the check unless `condition` holds; `what` says what should have held."""
    if not condition:
        raise Unequal(what)


def short(value, most=400):
    """`repr` cut to a length that fits a report line."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


class Suite:
    """The checks of one file, in the order they are written."""

    def __init__(self, target):
        self.target = target
        self.checks = []

    def check(self, function=None, *, deadline=DEADLINE_SECONDS):
        """Registers a check; usable bare or as `@suite.check(deadline=60)`."""
        if function is None:
            return lambda f: self.check(f, deadline=deadline)
        self.checks.append((function, deadline))
        return function

    def run(self, clean_up=lambda: None):
        """Runs the checks, cleans up and ends the process: stuck threads must not keep it alive."""
        failures = 0
        for function, deadline in self.checks:
            name = function.__name__
            if self.target.match and self.target.match not in name:
                continue
            word, reason = outcome(function, deadline)
            failures += word == "FAIL"
            if word != "ok":
                hang_up()
            tell(word, name, reason)
        clean_up()
        tell("done", "")
        sys.stdout.flush()
        os._exit(1 if failures else 0)


def tell(word, name, reason=None):
    """Prints one report line at once."""
    line = f"{word} {name}".rstrip()
    print(f"{line}: {' '.join(reason.split())}" if reason else line, flush=True)


def hang_up():
    """Shuts every TCP connection down: what a failed check left open would hold backends and fail the next ones too."""
    with HANGING_UP:
        HANG_UPS.append(True)
        for name in os.listdir("/proc/self/fd"):
            try:
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as s:
                    if s.family in (socket.AF_INET, socket.AF_INET6) and not s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def hang_ups():
    """How often it was done; not while it is being done."""
    with HANGING_UP:
        return len(HANG_UPS)


def outcome(function, deadline):
    """Runs one check on its own thread and says how it ended."""
    result = []
    thread = threading.Thread(target=lambda: result.append(attempt(function, deadline)), daemon=True)
    thread.start()
    thread.join(deadline + 2)
    if result:
        return result[0]
    return "FAIL", f"no end after {deadline:.0f} s; it waits at {where_is(thread)}"


def attempt(function, deadline):
    """One call, its exception turned into a word and a reason."""
    try:
        if inspect.iscoroutinefunction(function):
            asyncio.run(asyncio.wait_for(function(), deadline))
        else:
            function()
    except Skip as why:
        return "skip", str(why)
    except Unequal as why:
        return "FAIL", f"{why} ({innermost(why)})"
    except asyncio.TimeoutError as why:
        return "FAIL", f"no end after {deadline:.0f} s ({innermost(why)})"
    except BaseException as why:  # Whatever a driver raises is a failed check, never the end of the suite.
        return "FAIL", f"{type(why).__name__}: {short(str(why))} ({innermost(why)})"
    return "ok", None


def innermost(error):
    """File and line of the newest frame that is ours: drivers' frames say nothing to a reader."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "conformance" in f.filename and "site-packages" not in f.filename]
    ours = [f for f in ours if not f.filename.endswith("report.py")] or ours
    return f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "no frame of ours"


def where_is(thread):
    """File and line where a stuck thread waits."""
    frame = sys._current_frames().get(thread.ident)
    stack = traceback.extract_stack(frame) if frame else []
    ours = [f for f in stack if "conformance" in f.filename and "site-packages" not in f.filename and not f.filename.endswith("report.py")]
    return f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "an unknown place"
