"""sysbench over one to three backends: many more clients than those, every script, prepared statements and none, no failed statement, balanced books.

Fails are what sysbench calls errors, reconnects and checks of its own; what pins is not looked at, since its clients hold nothing.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from kit import target
from kit.mysql_place import Place
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
METHOD = "mysql_native_password"  # Threads of MariaDB's library that load the other one at the same time get in each other's way.
SECONDS = 2
BANK = """
sysbench.cmdline.options = { accounts = {"Accounts", 20} }
function prepare()
  local c = sysbench.sql.driver():connect()
  c:query("drop table if exists conformance_bank")
  c:query("create table conformance_bank (id int primary key, money int not null)")
  for i = 1, sysbench.opt.accounts do c:query("insert into conformance_bank values (" .. i .. ", 100)") end
end
function thread_init()
  connection = sysbench.sql.driver():connect()
  connection:query("set @client = " .. sysbench.tid)
end
function event()
  local one, other = sysbench.rand.uniform(1, sysbench.opt.accounts), sysbench.rand.uniform(1, sysbench.opt.accounts)
  if other < one then one, other = other, one end
  connection:query("begin")
  connection:query("update conformance_bank set money = money - 1 where id = " .. one)
  connection:query("update conformance_bank set money = money + 1 where id = " .. other)
  connection:query(sysbench.rand.uniform(1, 4) == 1 and "rollback" or "commit")
  local client = connection:query_row("select @client")
  if tonumber(client) ~= sysbench.tid then error("another client's variable: " .. client) end
end
function cleanup() sysbench.sql.driver():connect():query("drop table conformance_bank") end
"""


def sysbench(place, script, command, *options):
    """Runs it to its end; gives what it prints."""
    program = shutil.which("sysbench")
    if not program:
        raise Skip("sysbench is not installed: apt-get install sysbench")
    to = place.login
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config")
        config.touch(mode=0o600)
        config.write_text(f"mysql-host={to.host}\nmysql-port={to.port}\nmysql-user={to.user}\nmysql-password={to.password}\nmysql-db={to.database}\n", encoding="utf-8")
        done = subprocess.run([program, f"--config-file={config}", "--db-driver=mysql", *options, str(script), command], capture_output=True, text=True, timeout=SECONDS + 60, check=False)
    equal(done.returncode, 0, f"status of {command} ({' '.join((done.stdout + done.stderr).split())[-600:]})")
    return done.stdout


def untroubled(said):
    """Sees that it did something and counted no error."""
    figures = {name: int(count) for name, count in re.findall(r"(queries|ignored errors|reconnects): +(\d+)", said)}
    true(figures.get("queries", 0) > 50, f"it asked something: {figures}")
    equal((figures["ignored errors"], figures["reconnects"]), (0, 0), "errors and reconnects")


def scripts(backends):
    """Each of its own scripts, on so many backends."""
    with Place(TARGET, backends=backends, method=METHOD) as place:
        tables = ("--tables=1", "--table-size=1000", "--threads=16", f"--time={SECONDS}")
        sysbench(place, "oltp_read_only", "prepare", "--tables=1", "--table-size=1000")
        try:
            for script in ("oltp_point_select", "oltp_read_only", "oltp_update_non_index", "select_random_ranges"):
                for mode in ("auto", "disable"):
                    if script == "select_random_ranges" and mode == "disable":
                        continue
                    untroubled(sysbench(place, script, "run", *tables, f"--db-ps-mode={mode}"))
        finally:
            sysbench(place, "oltp_read_only", "cleanup", "--tables=1")
        if place.neighbours:
            place.the_neighbours_were_left_alone()


def bank(backends):
    """Money that goes to and fro, sometimes undone: none is made or lost, and each client keeps its variable."""
    with Place(TARGET, backends=backends, method=METHOD) as place, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "bank.lua")
        script.write_text(BANK, encoding="utf-8")
        sysbench(place, script, "prepare")
        try:
            untroubled(sysbench(place, script, "run", "--threads=16", f"--time={SECONDS}"))
            equal(place.direct("select sum(money) from conformance_bank"), [("2000",)], "the money")
        finally:
            sysbench(place, script, "cleanup")


for count in (2,) if TARGET.quick else (1, 2, 3):
    for work in (scripts, bank):
        def one(work=work, count=count):
            work(count)

        one.__name__ = f"{work.__name__}_over_{count}_backends"
        SUITE.check(one, deadline=120)
SUITE.run()
