"""Runs a program in another language over backends that neighbours keep dirty (kit/mysql_place.py): its checks are lines; the sibling of stock_program.py.

The program is the JSON list of words in FOREBAY_STOCK_PROGRAM; it gets the address as options. If FOREBAY_MAY_PIN is empty no check may pin. FOREBAY_DOORS
names the program a JSON file with ways to log in: {name, method, host, port, user, password, database, ca} each.
"""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

from kit import target
from kit.mysql_place import Doors, Place
from kit.report import Skip, Unequal, tell

TARGET = target.from_command_line(__doc__)
MAY_PIN = bool(os.environ["FOREBAY_MAY_PIN"])
METHODS = ("mysql_native_password", "caching_sha2_password", "mysql_clear_password", "ed25519", "parsec")
SECONDS = 240
# Reasons that pin by nature, for as long as their cause lasts, by check.
# What holds for the next transaction keeps its backend until that transaction ends, which begins at once.
ISOLATED = ("knex_migrates_and_queries", "sequelize_syncs_and_queries", "typeorm_synchronizes_and_queries", "active_record_in_a_transaction_of_its_own_isolation")
ALLOWED = {check: {"one_shot_setting"} for check in ISOLATED} | {"a_migration_of_active_record": {"named_lock"}}


def command(login):
    """The program with what suites are told."""
    words = json.loads(os.environ["FOREBAY_STOCK_PROGRAM"])
    options = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "database": login.database, "match": TARGET.match}
    words += [word for name, value in options.items() if value is not None for word in ("--" + name, str(value))]
    return words + (["--quick"] if TARGET.quick else [])


def verdict(place, before, name):
    """What becomes of a check that says it is well."""
    try:
        if not MAY_PIN:
            place.nothing_pinned_since(before, ALLOWED.get(name, ()))
    except Unequal as why:
        return "FAIL", str(why)
    return "ok", None


def follow(place, lines):
    """Passes the lines on; returns whether all is well, and whether the program came to its end."""
    well, ended = True, False
    before = place.pins()
    for line in lines:
        word, _, rest = line.rstrip("\n").partition(" ")
        name, _, reason = rest.partition(": ")
        if word == "ok":
            word, reason = verdict(place, before, name)
        elif word == "done":
            ended = True
            continue
        if word in ("ok", "FAIL", "skip"):
            tell(word, name, reason)
            well &= word != "FAIL"
            before = place.pins()
        else:
            print(line.rstrip("\n"), flush=True)
    return well, ended


def doors_as_json(doors, folder):
    """The ways to log in, in a file."""
    try:
        ways = doors.all(METHODS)
    except Skip:
        ways = []
    told = [vars(door.login) | {"name": door.name, "method": door.method, "ca": door.ca} for door in ways]
    file = Path(folder) / "doors.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(told), encoding="utf-8")
    return str(file)


def main():
    """Runs the program and the neighbours."""
    with Doors(TARGET) as doors, Place(TARGET) as place, tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"FOREBAY_DOORS": doors_as_json(doors, folder)}
        child = subprocess.Popen(command(place.login), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=environment)
        said = []
        threading.Thread(target=lambda: said.extend(child.stderr), daemon=True).start()
        watchdog = threading.Timer(SECONDS, child.kill)
        watchdog.daemon = True
        watchdog.start()
        well, ended = follow(place, child.stdout)
        status = child.wait()
        if not ended:
            tell("FAIL", "the_program_reaches_its_end", f"status {status}; {' '.join(''.join(said[-15:]).split())[-800:]}")
        if place.neighbours and not TARGET.match:
            try:
                place.the_neighbours_were_left_alone()
                tell("ok", "the_neighbours_were_left_alone")
            except Unequal as why:
                well = False
                tell("FAIL", "the_neighbours_were_left_alone", str(why))
    tell("done", "")
    os._exit(0 if well and ended else 1)


main()
