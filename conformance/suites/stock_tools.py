"""PostgreSQL's own programs as everybody uses them: psql, pg_dump, pgbench, vacuumdb. Nothing pins (kit/stock.py).

A dump through Forebay is the same as one from the database itself, to the byte.
"""

import dataclasses
import re
import tempfile
from pathlib import Path

from kit import target
from kit.connection import Connection
from kit.report import Skip, equal, true
from kit.stock import Stock
from kit.tools import Tools

TARGET = target.from_command_line(__doc__)
STOCK = Stock(TARGET)
SCHEMA = "conformance_tools"
# What a dump has to say in many ways: types, defaults, functions, views, triggers, policies, values that depend on settings.
OBJECTS = f"""
drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}; set search_path = {SCHEMA};
create type mood as enum ('sad', 'it''s glad'); create domain positive as int check (value > 0); create type pair as (a int, b text);
create sequence numbers start 7 increment 3;
create table parent (id int primary key generated always as identity, m mood default 'sad', at timestamptz default now(), f float8, b bytea, i interval, p positive, t text collate "C");
create table child (id bigserial primary key, parent_id int references parent on delete cascade, data jsonb, made date) partition by range (id);
create table child_1 partition of child for values from (1) to (1000); create index on child (parent_id) where data is not null;
insert into parent (m, at, f, b, i, p, t) select 'it''s glad', timestamptz '2001-02-03 04:05:06.789+00' + g * interval '1 hour', g / 3.0::float8, decode(lpad(to_hex(g), 4, '0'), 'hex'), make_interval(hours => g), g, E'tab\\tback\\\\slash ' || g from generate_series(1, 200) g;
insert into child (parent_id, data, made) select g, jsonb_build_object('g', g, 'text', 'é'), date '2001-02-03' + g from generate_series(1, 200) g;
create function twice(int) returns int language sql immutable as 'select $1 * 2'; create procedure nothing() language plpgsql as $$begin null; end$$;
create function stamp() returns trigger language plpgsql as $$begin new.at := now(); return new; end$$; create trigger stamped before update on parent for each row execute function stamp();
create view glad as select * from parent where m = 'it''s glad'; create materialized view totals as select count(*) from child; create rule nobody as on delete to glad do instead nothing;
alter table parent enable row level security; create policy all_rows on parent using (true); comment on table parent is 'it''s a comment'; create statistics s on f, p from parent;
"""


def tools(login=None):
    """The programs, pointed at the proxy or at somebody else."""
    return Tools(dataclasses.replace(TARGET, login=login or STOCK.login))


def psql(*commands, stdin=None, **settings):
    """Unaligned output; fails unless psql ends well."""
    arguments = [word for c in commands for word in ("-c", c)]
    status, output, errors = tools().run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *arguments, stdin=stdin or "", **{"PGOPTIONS": "-c client_min_messages=warning"} | settings)
    equal((status, errors), (0, ""), "status and errors of psql")
    return output.strip()


def needs(program, version):
    """Skips unless the program is there, and as new."""
    if not tools().path(program):
        raise Skip(f"{program} is not installed")
    if tools().version(program) < version:
        raise Skip(f"needs {program} {version} or newer (--bindir)")


def make_objects():
    """A schema with something of everything."""
    with Connection(TARGET.direct or TARGET.login) as c:
        c.query(OBJECTS)
        return int(c.value("show server_version_num")) // 10000


def drop_objects():
    """It goes."""
    with Connection(TARGET.direct or TARGET.login) as c:
        c.query(f"drop schema {SCHEMA} cascade")


def dump(login, *arguments):
    """The text of a dump, without the key that is drawn anew each time."""
    status, output, errors = tools(login).run("pg_dump", "-n", SCHEMA, *arguments)
    equal((status, errors), (0, ""), "status and errors of pg_dump")
    return re.sub(r"(?m)^\\(un)?restrict .*$", "", output)


@STOCK.check
def a_dump_is_the_same_as_from_the_database_itself():
    needs("pg_dump", make_objects())
    wanted = dump(TARGET.direct or TARGET.login)
    for arguments in ((), ("--inserts", "--rows-per-insert=50"), ("--data-only", "--column-inserts"), ("--schema-only", "--clean", "--if-exists")):
        got = dump(STOCK.login, *arguments)
        equal(got.splitlines(), (dump(TARGET.direct or TARGET.login, *arguments) if arguments else wanted).splitlines(), f"dump {arguments}")
    true("CREATE TABLE conformance_tools.parent" in wanted and wanted.count("\n") > 500, "the dump has everything")


@STOCK.check
def a_dump_is_restored():
    """The text by psql, the archive by pg_restore; dumped again, it is the same."""
    needs("pg_dump", make_objects())
    wanted = dump(TARGET.direct or TARGET.login)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "archive"
        equal(tools().run("pg_dump", "-n", SCHEMA, "-Fc", "-f", str(archive))[::2], (0, ""), "status and errors of pg_dump")
        drop_objects()
        psql(stdin=wanted)
        equal(dump(TARGET.direct or TARGET.login).splitlines(), wanted.splitlines(), "dump of what psql restored")
        drop_objects()
        equal(tools().run("pg_restore", "--exit-on-error", "-d", STOCK.login.database, str(archive))[::2], (0, ""), "status and errors of pg_restore")
        equal(dump(TARGET.direct or TARGET.login).splitlines(), wanted.splitlines(), "dump of what pg_restore restored")


@STOCK.check
def commands_about_the_catalogue():
    """All of \\d and its kin."""
    make_objects()
    commands = r"\d \d+ \da+ \dA+ \db \dc+ \dC+ \dd \dD+ \ddp \dew+ \des+ \df+ \dFp+ \di+ \dl+ \dL+ \dm+ \dn+ \do+ \dO+ \dp \dP+ \drds \dRp+ \ds+ \dt+ \dT+ \dv+ \dx+ \dy+ \l \sf+ \sv+ \z"
    script = "\n".join(commands.split()).replace(r"\sf+", rf"\sf+ {SCHEMA}.twice").replace(r"\sv+", rf"\sv+ {SCHEMA}.glad")
    shown = psql(stdin=f"\\set ON_ERROR_STOP off\nset search_path = {SCHEMA}, public;\n{script}\n\\d+ parent\n\\d+ child\n\\df+ twice\n\\conninfo\n\\encoding\n")
    true("it's a comment" in shown and "numbers" in shown and "all_rows" in shown, "what they show")


@STOCK.check
def variables_of_results():
    r"""\gset, \gexec, \if, \gx and \crosstabview."""
    script = r"""
select 40 as a, 2 as b \gset
select :a + :b as c, current_setting('search_path') = '"$user", public' as plain \gset
\if :plain
\echo sum :c
\endif
select format('select %s as n', g) from generate_series(1, 3) g \gexec
select 'x' as r, 'y' as c, 1 as v \crosstabview
"""
    equal(psql(stdin=script).splitlines(), ["sum 42", "1", "2", "3", "x|1"], "output")


@STOCK.check
def watch_repeats():
    """Each time a query of its own, on another backend; it ends with an error."""
    psql("drop sequence if exists public.conformance_watch; create sequence public.conformance_watch")
    status, output, errors = tools().run("psql", "-X", "-A", "-t", stdin="select 12 / (4 - nextval('public.conformance_watch'))\n\\watch 0.01\n")
    equal(([line for line in output.split() if line.isdigit()][-3:], "division by zero" in errors), (["4", "6", "12"], True), f"output of \\watch, and how it ended (status {status})")
    psql("drop sequence public.conformance_watch")


@STOCK.check
def rows_by_fetch_count():
    """A cursor in older versions, chunks of rows in newer ones; both within a transaction."""
    equal(psql(stdin="\\set FETCH_COUNT 100\nselect g from generate_series(1, 1000) g;\nselect 'after';\n").split(), [*map(str, range(1, 1001)), "after"], "rows")


@STOCK.check
def copy_of_psql():
    r"""\copy from and to files, with a query, a program, and in a transaction."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        file.write_text("".join(f"{i}\trow {i}\n" for i in range(5000)), encoding="ascii")
        psql(stdin=f"drop table if exists public.conformance_copy;\ncreate table public.conformance_copy (v int, t text);\n\\copy public.conformance_copy from '{file}'\n"
                   f"begin;\n\\copy public.conformance_copy from '{file}'\nrollback;\n\\copy (select * from public.conformance_copy order by v) to '{file}.out'\n")
        equal(Path(f"{file}.out").read_text(encoding="ascii"), file.read_text(encoding="ascii"), "what came back")
        psql("\copy public.conformance_copy (v) from program 'seq 5000 5009'")
        equal(psql("select sum(v) from public.conformance_copy"), str(sum(range(5010))), "sum")
    psql("drop table public.conformance_copy")


@STOCK.check
def bound_parameters():
    r"""\bind, and named statements where psql has them."""
    needs("psql", 16)
    equal(psql(stdin="select $1::int + $2::int, current_setting('datestyle') \\bind 40 2 \\g\n"), "42|ISO, MDY", "answer")
    needs("psql", 18)
    script = "select $1::int * 2 as v \\parse s\n" + "".join(f"\\bind_named s {i} \\g\n" for i in range(5)) + "\\close_prepared s\n"
    equal(psql(stdin=script).split(), ["0", "2", "4", "6", "8"], "answers")
    pipeline = "\\startpipeline\nselect $1 \\bind 1 \\sendpipeline\nselect $1 \\bind 2 \\sendpipeline\n\\syncpipeline\nselect $1 \\bind 3 \\sendpipeline\n\\endpipeline\n"
    equal(psql(stdin=pipeline).split(), ["1", "2", "3"], "answers of a pipeline")


@STOCK.check
def an_interactive_session():
    """ON_ERROR_ROLLBACK, AUTOCOMMIT off, SET and RESET, errors in between."""
    script = r"""
\set ON_ERROR_STOP off
\set AUTOCOMMIT off
\set ON_ERROR_ROLLBACK on
set application_name = 'interactive';
select 1/0;
select current_setting('application_name');
commit;
\set AUTOCOMMIT on
set timezone = 'Asia/Tokyo';
select timestamptz '2001-02-03 00:00Z';
reset timezone;
show application_name;
"""
    status, output, errors = tools().run("psql", "-X", "-A", "-t", "-q", stdin=script)
    equal((status, output.split("\n")[:3], errors.count("ERROR")), (0, ["interactive", "2001-02-03 09:00:00+09", "interactive"], 1), "status, output and errors")


@STOCK.check
def pgbench_in_every_protocol():
    """Its tables by COPY, vacuumed; transactions of each protocol."""
    needs("pgbench", 1)
    equal(tools().run("pgbench", "-i", "-q", "-s", "1")[0], 0, "status of pgbench -i")
    for protocol in ("simple", "extended", "prepared"):
        status, output, errors = tools().run("pgbench", "-n", "-M", protocol, "-c", "4", "-j", "4", "-t", "30")
        true(status == 0 and "number of transactions actually processed: 120/120" in output, f"pgbench -M {protocol}: {errors}")
    psql("drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers")


@STOCK.check
def maintenance_programs():
    """vacuumdb, reindexdb, clusterdb: a list of tables, then one statement each."""
    needs("vacuumdb", make_objects())
    for program, *arguments in (("vacuumdb", "--analyze", "-n", SCHEMA), ("vacuumdb", "--analyze-in-stages", "-n", SCHEMA), ("reindexdb", "-S", SCHEMA), ("clusterdb", "-q")):
        if program == "vacuumdb" and tools().version(program) < 16 and "-n" in arguments:
            arguments = [*arguments[:-2], "-t", f"{SCHEMA}.parent"]
        status, _, errors = tools().run(program, *arguments)
        true(status == 0, f"{program}: {errors}")
    drop_objects()


print(f"psql {tools(TARGET.login).version('psql')}", flush=True)
STOCK.run()
