"""The command lines `mysql` and `mariadb`, and mariadb-dump, mariadb-admin and mariadb-import where the machine has them; over backends that neighbours keep dirty.

Scripts are run straight at the database, too, and have to print the same.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from kit import target
from kit.connection import eventually
from kit.mysql_connection import Connection
from kit.mysql_place import Doors, Place, known
from kit.report import Skip, Unequal, equal, true

TARGET = target.from_command_line(__doc__)
PLACE = Place(TARGET)
SECONDS = 40.0
PROGRAMS = {name: path for name, path in known(TARGET)["programs"].items() if name in ("mysql", "mariadb")} or {name: path for name in ("mysql", "mariadb") if (path := shutil.which(name))}


def version(program):
    """Numbers of a client's version: of `mysql  Ver 9.7.4 …`, `mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, …`, `mariadb from 11.8.9-MariaDB, …`."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(?:Distrib|from|Ver) (\d+)\.(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups()))


def is_mysqls(program):
    """Whether it is MySQL's own, whose options have other names."""
    return version(program) < (10, 0, 0)


def way(program, login, ca=None, tls=False):
    """How to connect; the password is in the environment."""
    options = ["--no-defaults", "--protocol=TCP", f"--host={login.host}", f"--port={login.port}", f"--user={login.user}"] + ([f"--database={login.database}"] if login.database else [])
    if is_mysqls(program):
        return options + ([f"--ssl-ca={ca}", "--ssl-mode=VERIFY_IDENTITY"] if ca else ["--ssl-mode=DISABLED", "--get-server-public-key"])
    return options + ([f"--ssl-ca={ca}", "--ssl-verify-server-cert"] if ca else [] if tls else ["--skip-ssl"])


def run(program, *arguments, login=None, stdin="", ca=None, tls=False):
    """To its end: (status, output, errors)."""
    login = login or PLACE.login
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MYSQL")} | {"MYSQL_PWD": login.password, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([program, *way(program, login, ca, tls), *arguments], input=stdin.encode(), capture_output=True, timeout=SECONDS, env=environment, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def same(program, *arguments, stdin="", status=0):
    """Sees that it prints what it prints straight at the database."""
    wanted = run(program, *arguments, stdin=stdin, login=TARGET.direct or TARGET.login)
    equal(wanted[0], status, f"exit status straight at the database ({wanted[2]})")
    equal(run(program, *arguments, stdin=stdin), wanted, "exit status, output and errors")
    return wanted[1]


def each(function):
    """A check for each of the command lines."""
    for name, path in PROGRAMS.items():
        def check(path=path):
            function(path)

        check.__name__ = f"{name}_{function.__name__}"
        PLACE.any_check(check)
    return function


SCRIPT = """
drop table if exists conformance_script;
create table conformance_script (id int auto_increment primary key, name varchar(30), price decimal(10,2), raw varbinary(10), at timestamp default '2001-02-03 04:05:06') character set utf8mb4;
insert into conformance_script (name, price, raw) values ('Ünal 🐟', 12.3, x'00ff'), (null, -1, null), ('tab\\tnew\\nline', 0, '');
select *, hex(raw) from conformance_script order by id;
start transaction; update conformance_script set price = price + 1; select row_count(); rollback;
select sum(price), last_insert_id() from conformance_script;
delimiter //
drop procedure if exists conformance_script_p //
create procedure conformance_script_p(in n int) begin declare i int default 0; while i < n do insert into conformance_script (price) values (i); set i = i + 1; end while; select count(*) as there from conformance_script; end //
delimiter ;
call conformance_script_p(3);
set @a = 5, time_zone = '+05:00', sql_mode = 'ANSI_QUOTES';
select @a, @@time_zone, @@sql_mode, "name" from conformance_script where id = 1;
select * from no_such_table;
selec nonsense;
insert into conformance_script (id) values (1);
prepare s from 'select ? + 1'; execute s using @a; deallocate prepare s;
use information_schema;
select database();
drop procedure app.conformance_script_p; drop table app.conformance_script;
select 'the end';
"""


@each
def runs_a_script(program):
    """From standard input: delimiters, procedures, errors that it goes on after, every form of output."""
    script = SCRIPT.replace("app.", f"{PLACE.login.database}.")
    for form in ((), ("--table",), ("--batch",), ("--vertical",), ("--html",), ("--xml",), ("--raw", "--skip-column-names"), ("--quick", "--unbuffered")):
        output = same(program, "--default-character-set=utf8mb4", "--force", *form, stdin=script)
        true("the end" in output, "it comes to its end")


@each
def stops_at_an_error(program):
    """Without --force, with the number of the line."""
    same(program, stdin="select 1;\nselect 2;\nselect no_such_column;\nselect 3;\n", status=1)
    same(program, "--execute", "select 1; select * from no_such_table; select 2", status=1)


@each
def keeps_what_it_was_started_with(program):
    """Initial commands, character sets, the maximum of packets, safe updates."""
    show = "select @@time_zone, @@sql_mode, @@character_set_client, @@character_set_results, @@collation_connection, hex('ü')"
    for options in (("--init-command=set time_zone = '+03:00', sql_mode = 'ANSI'",), ("--default-character-set=latin1",), ("--default-character-set=utf8mb4",), ("--compress",),
                    ("--max-allowed-packet=32M",), ("--reconnect",), ("--line-numbers", "--comments")):
        same(program, *options, "--execute", f"{show}; {show}; {show}")
    PLACE.direct("drop table if exists conformance_safe")
    PLACE.direct("create table conformance_safe (id int primary key, v int)")
    try:
        same(program, "--safe-updates", "--execute", "select @@sql_safe_updates, @@sql_select_limit; delete from conformance_safe", status=1)
    finally:
        PLACE.direct("drop table conformance_safe")


@each
def knows_its_own_commands(program):
    r"""`\s`, `connect`, `use`, `source`, `resetconnection`, `\W`."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "file.sql")
        source.write_text("select 'from a file', @a;\n", encoding="utf-8")
        script = f"set @a = 1;\nsource {source}\nconnect {PLACE.login.database}\nselect @a, database();\nset @a = 2;\n" + ("resetconnection\n" if is_mysqls(program) else "") + "select @a;\nuse information_schema;\nselect database();\n"
        # What connects anew says by what number.
        got, wanted = ([re.sub(r"Connection id: +\d+", "", text) for text in run(program, "--loose-commands", stdin=script, login=to)[1:]] for to in (PLACE.login, TARGET.direct or TARGET.login))
        equal(got, wanted, "output and errors")
        status, said, errors = run(program, "--loose-commands", stdin="status\nselect 'after';\n")
        true(status == 0 and "Threads:" in said and "after" in said, f"the status: {said} {errors}")


@each
def shows_warnings(program):
    """After each statement, when it is asked to."""
    same(program, "--show-warnings", stdin="select 1;\nselect cast('x' as signed);\nselect cast('y' as signed), cast('z' as signed);\nselect 2;\n")


@each
def loads_files(program):
    """LOAD DATA LOCAL, as often as it takes to have met every backend."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.tsv")
        rows.write_text("".join(f"{i}\tvalue {i}\n" for i in range(2000)), encoding="utf-8")
        script = f"create table conformance_loaded (i int, v varchar(20));\nload data local infile '{rows}' into table conformance_loaded;\n" \
                 "select count(*), sum(i) from conformance_loaded;\nload data local infile '/nonexistent/rows' into table conformance_loaded;\nselect count(*) from conformance_loaded;\n"
        for _ in range(3):
            PLACE.direct("drop table if exists conformance_loaded")
            wanted = run(program, "--local-infile=1", "--force", stdin=script, login=TARGET.direct or TARGET.login)
            PLACE.direct("drop table conformance_loaded")
            equal(run(program, "--local-infile=1", "--force", stdin=script), wanted, "exit status, output and errors")
            true("2000\t1999000" in wanted[1], f"the rows are there: {wanted}")
        PLACE.direct("drop table conformance_loaded")


@each
def prints_large_results(program):
    """A value of 20 MiB, 100,000 rows; at once and row by row."""
    ten = " union all ".join(f"select {i} as v" for i in range(10))
    rows = f"select concat(a.v, b.v, c.v, d.v, e.v) as n from ({ten}) a, ({ten}) b, ({ten}) c, ({ten}) d, ({ten}) e"
    for options in ((), ("--quick",)):
        status, output, errors = run(program, "--batch", "--skip-column-names", *options, "--max-allowed-packet=64M", stdin=f"{rows};\nselect repeat('x', 10 << 20);\nselect 'the end';\n")
        equal((status, len(output.splitlines()), output.endswith("the end\n"), errors), (0, 100_002, True, ""), "what it prints")


@each
def ctrl_c_stops_the_statement(program):
    """And nothing is left of it in the database."""
    mark = f"conformance {os.getpid()}"
    environment = dict(os.environ) | {"MYSQL_PWD": PLACE.login.password, "HOME": "/nonexistent"}
    statement = f"select /* {mark} */ count(*) from (select sleep(30) union all select sleep(30)) s"
    child = subprocess.Popen([program, *way(program, PLACE.login), "--comments", "--execute", statement], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True)

    def running():
        return PLACE.direct(f"select id from information_schema.processlist where info like '%{mark}%' and info not like '%processlist%'")

    try:
        eventually(lambda: bool(running()), 15, "the statement runs")
        begun = time.monotonic()
        os.killpg(child.pid, signal.SIGINT)
        child.communicate(timeout=15)
        eventually(lambda: not running(), 10, "it runs no more")
        true(time.monotonic() - begun < 12, "it ended at once")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@each
def logs_in_by_every_method(program):
    """That it knows, with and without TLS, its certificate checked; wrong passwords are refused."""
    new = not is_mysqls(program) and version(program) >= (11, 4, 0)
    methods = ("mysql_native_password", "caching_sha2_password") if is_mysqls(program) else ("mysql_native_password", "caching_sha2_password", "ed25519", *(("parsec",) if new else ()))
    with Doors(TARGET) as doors:
        for door in doors.all(methods):
            status, output, errors = run(program, "--batch", "--skip-column-names", "--execute", "select substring_index(current_user(), '@', 1)", login=door.login, ca=door.ca)
            equal((status, output), (0, door.login.user + "\n"), f"status and user by {door.name} ({errors})")
            to = door.login
            status, _, errors = run(program, "--execute", "select 1", login=replace(to, password="wrong"), ca=door.ca)
            true(status == 1 and ("ERROR 1045" in errors or "ERROR 2061" in errors), f"a wrong password by {door.name}: {errors}")
            if new and door.ca and door.method != "caching_sha2_password":
                status, output, errors = run(program, "--batch", "--skip-column-names", "--execute", "select 1", login=to, tls=True)
                equal((status, output), (0, "1\n"), f"status and answer by {door.name}, whose certificate it trusts by the password ({errors})")


@each
def answers_when_nothing_is_asked(program):
    """Comments, empty statements, delimiters alone."""
    same(program, "--comments", stdin="-- nothing\n;\n/* nothing */;\nselect 1;\n# nothing\n/*! select 2 */;\nselect 3 /* end */", status=0)


def tool(name):
    """A further program of MariaDB's, as the machine has it."""
    path = known(TARGET)["programs"].get(name) or shutil.which(name)
    if not path:
        raise Skip(f"{name} is not installed: apt-get install mariadb-client")
    return path


TABLES = """
create table conformance_dumped (id int auto_increment primary key, name varchar(30), raw blob, at timestamp(3) default '2001-02-03 04:05:06.789', j json, key (name)) default charset utf8mb4;
insert into conformance_dumped (name, raw, j) values ('Ünal 🐟', x'00ff5c27', '{"a": [1, 2]}'), (null, null, null), ("it's", '', '"x"');
create view conformance_view as select name, count(*) as n from conformance_dumped group by name;
create trigger conformance_trigger before insert on conformance_dumped for each row set new.name = coalesce(new.name, 'nobody');
create procedure conformance_routine() select 'from a routine';
"""
GONE = ("drop view if exists conformance_view", "drop table if exists conformance_dumped", "drop procedure if exists conformance_routine")


def without_hours(dump):
    """A dump without what says when it was made, and the numbers of GTIDs."""
    return re.sub(r"(?m)^-- (Dump completed|Host:|MariaDB dump|MySQL dump|GTID).*$", "", dump)


@PLACE.any_check
def mariadb_dump_dumps_the_same():
    """In a transaction, with locks, row by row; and what it wrote can be run."""
    dump, program = tool("mariadb-dump"), next(iter(PROGRAMS.values()))
    with Connection(TARGET.direct or TARGET.login) as c:
        for sql in (*GONE, *filter(str.strip, TABLES.split(";\n"))):
            c.query(sql)
    name = PLACE.login.database
    try:
        for options in (("--single-transaction", "--routines"), ("--lock-tables",), ("--skip-extended-insert", "--complete-insert", "--hex-blob"), ("--quick", "--skip-opt", "--xml"), ("--no-data", "--triggers")):
            arguments = ("--no-tablespaces", "--skip-dump-date", *options, name, "conformance_dumped", "conformance_view")
            to = replace(PLACE.login, database="")
            straight = TARGET.direct or TARGET.login
            wanted = run(dump, *arguments, login=replace(straight, database=""))
            got = run(dump, *arguments, login=to)
            equal((got[0], without_hours(got[1]), got[2]), (0, without_hours(wanted[1]), wanted[2]), f"a dump with {' '.join(options)}")
        text = run(dump, "--no-tablespaces", "--hex-blob", name, "conformance_dumped", "conformance_view", login=to)[1]
        for _ in range(2):
            status, _, errors = run(program, stdin=text)
            equal((status, errors), (0, ""), "the dump, run")
        equal(PLACE.direct("select count(*), sum(length(raw)), max(hex(name)) from conformance_dumped"), [("3", "4", "C39C6E616C20F09F909F")], "what it has made")
    finally:
        with Connection(TARGET.direct or TARGET.login) as c:
            for sql in GONE:
                c.query(sql)


@PLACE.any_check
def mariadb_admin_looks_and_kills():
    """Ping, status, the list of processes, and an end to one of them."""
    admin = tool("mariadb-admin")
    to = replace(PLACE.login, database="")
    for command, word in (("ping", "alive"), ("status", "Threads"), ("processlist", "app")):
        status, output, errors = run(admin, command, login=to)
        true(status == 0 and word in output, f"{command}: {output} {errors}")
    with Connection(PLACE.login) as victim:
        victim.query("select 1")
        status, _, errors = run(admin, "kill", str(victim.id), login=to)
        equal((status, errors), (0, ""), "kill")

        def gone():
            try:
                victim.query("select 1")
            except Exception:
                return True
            return False

        eventually(gone, 10, "the session is gone")


@PLACE.any_check
def mariadb_import_loads_a_file():
    """Named as its table."""
    program = tool("mariadb-import")
    PLACE.direct("drop table if exists conformance_imported")
    PLACE.direct("create table conformance_imported (i int, v varchar(20))")
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder, "conformance_imported.txt")
            rows.write_text("".join(f"{i}\tvalue {i}\n" for i in range(500)), encoding="utf-8")
            to = replace(PLACE.login, database="")
            if run(program, "--local", PLACE.login.database, str(rows), login=replace(TARGET.direct or to, database=""))[0]:
                raise Skip("it sets what MySQL lets nobody set")
            PLACE.direct("delete from conformance_imported")
            status, output, errors = run(program, "--local", PLACE.login.database, str(rows), login=to)
            equal((status, errors), (0, ""), f"its status ({output})")
        equal(PLACE.direct("select count(*), sum(i) from conformance_imported"), [("500", "124750")], "rows")
    finally:
        PLACE.direct("drop table conformance_imported")


if not PROGRAMS:
    raise Unequal("neither mysql nor mariadb is here: name them in --server-file, or apt-get install mariadb-client")
print("; ".join(f"{name} {'.'.join(map(str, version(path)))}" for name, path in PROGRAMS.items()), flush=True)
PLACE.run()
