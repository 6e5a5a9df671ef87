"""Runs a program in another language where stock software is run (kit/stock.py): its checks are lines, and none of them may pin.

The program is the JSON list of words in FOREBAY_STOCK_PROGRAM. It gets the address as options and prints `ok NAME`, `FAIL NAME: reason` or
`skip NAME: reason`, and last `done`, as suites do.
"""

import json
import os
import subprocess
import threading

from kit import target
from kit.report import Unequal, tell
from kit.stock import Stock

TARGET = target.from_command_line(__doc__)
SECONDS = 240
# Reasons that pin by nature, for as long as their cause lasts.
ALLOWED = {
    "a_migration_of_active_record": {"advisory_lock"},
    "sequelize_syncs_and_queries": {"temporary_object"},  # A function in pg_temp, dropped with the next statement.
}


def command(login):
    """The program with what suites are told."""
    words = json.loads(os.environ["FOREBAY_STOCK_PROGRAM"])
    options = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "database": login.database, "match": TARGET.match}
    words += [word for name, value in options.items() if value is not None for word in ("--" + name, str(value))]
    return words + (["--quick"] if TARGET.quick else [])


def follow(stock, lines):
    """Passes the lines on; a check that pinned is no good. Returns whether all is well, and whether the program came to its end."""
    well, ended = True, False
    before = stock.pins()
    for line in lines:
        word, _, rest = line.rstrip("\n").partition(" ")
        name, _, reason = rest.partition(": ")
        if word == "ok":
            word, reason = verdict(stock, before, name)
        elif word == "done":
            ended = True
            continue
        if word in ("ok", "FAIL", "skip"):
            tell(word, name, reason)
            well &= word != "FAIL"
            before = stock.pins()
        else:
            print(line.rstrip("\n"), flush=True)
    return well, ended


def verdict(stock, before, name):
    """What becomes of a check that says it is well."""
    try:
        stock.nothing_pinned_since(before, ALLOWED.get(name, ()))
    except Unequal as why:
        return "FAIL", str(why)
    return "ok", None


def main():
    """Runs the program and the neighbours."""
    with Stock(TARGET) as stock:
        child = subprocess.Popen(command(stock.login), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        said = []
        threading.Thread(target=lambda: said.extend(child.stderr), daemon=True).start()
        watchdog = threading.Timer(SECONDS, child.kill)
        watchdog.daemon = True
        watchdog.start()
        well, ended = follow(stock, child.stdout)
        status = child.wait()
        if not ended:
            tell("FAIL", "the_program_reaches_its_end", f"status {status}; {' '.join(''.join(said[-15:]).split())[-800:]}")
        if stock.neighbours and not TARGET.match:
            try:
                stock.the_neighbours_were_left_alone()
                tell("ok", "the_neighbours_were_left_alone")
            except Unequal as why:
                well = False
                tell("FAIL", "the_neighbours_were_left_alone", str(why))
    tell("done", "")
    os._exit(0 if well and ended else 1)


main()
