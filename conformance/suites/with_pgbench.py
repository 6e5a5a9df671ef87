"""pgbench in each of its protocols, with many more clients than backends: no transaction may fail, and its books must balance.

pgbench prepares by a blocking call, which stops all clients of its thread. Where it prepares inside transactions each
client therefore gets a thread of its own; else those that hold every backend could wait for one that wants a backend.
"""

import re
import tempfile
import threading
from pathlib import Path

from kit import target
from kit.connection import Connection
from kit.report import Suite, equal, true
from kit.tools import Tools

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
TOOLS = Tools(TARGET)
CLIENTS = "16" if TARGET.quick else "48"
# A count where the run is short: the time of `-T` includes connecting, which can use all of it up on a busy machine.
LENGTH = ("-t", "50") if TARGET.quick else ("-T", "4")


def bench(*arguments):
    """Runs pgbench; it must end well, without a failed transaction, and have done something."""
    status, output, errors = TOOLS.run("pgbench", "-n", *arguments, seconds=50)
    complaints = [line for line in errors.splitlines() if re.search(r"error|fatal|aborted|warning", line, re.IGNORECASE)]
    true(status == 0 and not complaints, f"pgbench ends well; status {status}: {complaints[:3] or errors[-300:]}")
    done = int(re.search(r"number of transactions actually processed: (\d+)", output).group(1))
    failed = re.search(r"number of failed transactions: (\d+)", output)
    true(done > 0, "transactions were done")
    equal(failed.group(1) if failed else "0", "0", "failed transactions")


def for_a_while(*arguments, threads="2"):
    """Many clients, as long as usual."""
    bench("-c", CLIENTS, "-j", threads, *LENGTH, *arguments)


def script(text):
    """A pgbench script file, removed with the suite's directory."""
    path = Path(DIRECTORY.name, f"{abs(hash(text))}.sql")
    path.write_text(text, encoding="ascii")
    return str(path)


DIRECTORY = tempfile.TemporaryDirectory()


@SUITE.check
def initialises_its_tables():
    status, _, errors = TOOLS.run("pgbench", "-i", "-s", "1", "-I", "dtgvp", "-q")
    true(status == 0, f"initialisation: {errors[-300:]}")
    with Connection(TARGET.login) as c:
        equal(c.value("select count(*) from pgbench_accounts"), "100000", "accounts")


@SUITE.check(deadline=55)
def selects_in_the_simple_protocol():
    for_a_while("-S", "-M", "simple")


@SUITE.check(deadline=55)
def selects_in_the_extended_protocol():
    for_a_while("-S", "-M", "extended")


@SUITE.check(deadline=55)
def selects_by_prepared_statements():
    for_a_while("-S", "-M", "prepared")


@SUITE.check(deadline=55)
def transactions_in_the_simple_protocol():
    for_a_while("-M", "simple")


@SUITE.check(deadline=55)
def transactions_in_the_extended_protocol():
    for_a_while("-M", "extended")


@SUITE.check(deadline=55)
def transactions_by_prepared_statements():
    for_a_while("-M", "prepared", threads=CLIENTS)


@SUITE.check
def the_books_balance():
    """Every committed transfer is in all four tables, once."""
    with Connection(TARGET.login) as c:
        sums = {t: c.value(f"select coalesce(sum({v}), 0) from pgbench_{t}") for t, v in
                (("accounts", "abalance"), ("tellers", "tbalance"), ("branches", "bbalance"), ("history", "delta"))}
        equal(len(set(sums.values())), 1, f"one sum in all tables, they are {sums}")


@SUITE.check(deadline=55)
def a_new_connection_for_each_transaction():
    bench("-c", "8", "-j", "2", "-t", "15" if TARGET.quick else "60", "-S", "-C")


@SUITE.check(deadline=55)
def a_new_connection_for_each_prepared_transaction():
    bench("-c", "8", "-j", "8", "-t", "10", "-M", "prepared", "-C")


@SUITE.check(deadline=55)
def pipelines():
    """Three statements in flight in each client; their answers are checked against the client's own number."""
    text = ("\\startpipeline\nselect :client_id as a;\nselect abalance from pgbench_accounts where aid = 1 + :client_id;\n"
            "select :client_id + 1 as b;\n\\endpipeline\n")
    for_a_while("-M", "prepared", "-f", script(text))
    for_a_while("-M", "extended", "-f", script(text))


@SUITE.check(deadline=55)
def each_client_reads_its_own_answer():
    """A foreign answer makes the script divide by zero."""
    text = "select :client_id as own \\gset\nselect 1 / (case when :own = :client_id then 1 else 0 end) as fine;\n"
    for mode in ("simple", "extended", "prepared"):
        for_a_while("-M", mode, "-f", script(text))


@SUITE.check(deadline=55)
def clients_with_think_time_share_backends():
    text = "\\sleep 20 ms\nbegin;\nselect :client_id as own \\gset\nselect 1 / (case when :own = :client_id then 1 else 0 end) as fine;\nend;\n"
    count = "40" if TARGET.quick else "120"
    bench("-c", count, "-j", count, *LENGTH, "-M", "prepared", "-f", script(text))


@SUITE.check(deadline=55)
def mixed_protocols_of_several_programs_at_once():
    """Three pgbench processes, one per protocol, on the same backends."""


    wrong = []

    def program(mode):
        try:
            bench("-c", "8", *LENGTH, "-S", "-M", mode)
        except Exception as error:
            wrong.append(f"{mode}: {error}")

    threads = [threading.Thread(target=program, args=(m,), daemon=True) for m in ("simple", "extended", "prepared")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(wrong, [], "programs that failed")


@SUITE.check
def removes_its_tables():
    status, _, errors = TOOLS.run("pgbench", "-i", "-I", "d", "-q")
    true(status == 0, f"dropping: {errors[-300:]}")


SUITE.run()
