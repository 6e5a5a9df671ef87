"""psql as people use it: statements, scripts, COPY, cursors, Ctrl-C, refused logins, and settings that must follow the client.

Most checks are also what libpq does for every program built on it. Where the installed psql is too old for a
feature (pipelines from 18, `\\bind` from 16) the check is skipped; `--bindir` names another one.
"""

import tempfile
import threading
import time
from pathlib import Path

from kit import target
from kit.connection import Connection, await_running, eventually
from kit.report import Skip, Suite, equal, true
from kit.tools import Tools, interrupt

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
TOOLS = Tools(TARGET)
BASE = ("-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose")


def psql(*commands, stdin=None, **settings):
    """Output of psql with `-c` commands or a script on standard input; it must succeed."""
    status, output, errors = attempt(*commands, stdin=stdin, **settings)
    true(status == 0, f"psql succeeds; status {status}: {errors}")
    return output.strip()


def attempt(*commands, stdin=None, **settings):
    """(status, output, errors) of psql."""
    arguments = [a for c in commands for a in ("-c", c)]
    if stdin is not None:
        arguments = ["-v", "ON_ERROR_STOP=1", "-f", "-"]
    return TOOLS.run("psql", *BASE, *arguments, stdin=stdin or "", **settings)


def version_at_least(major):
    """Skips the check when psql is older."""
    if TOOLS.version("psql") < major:
        raise Skip(f"needs psql {major} or newer (--bindir)")


@SUITE.check
def one_statement():
    equal(psql("select 1, 'two', null, 4.5"), "1|two||4.5", "output")


@SUITE.check
def several_statements_in_one_message():
    """psql -c sends the text whole; up to version 14 it shows the last result only."""
    equal(psql("select 1; select 2").splitlines()[-1], "2", "last result")


@SUITE.check
def an_error_undoes_the_whole_message():
    psql("drop table if exists conformance_psql", "create table conformance_psql (v int)")
    status, _, errors = attempt("insert into conformance_psql values (1); select 1/0")
    equal(status, 1, "exit status")
    true("22012: division by zero" in errors, f"the error is shown, got {errors!r}")
    equal(psql("select count(*) from conformance_psql"), "0", "rows left")


@SUITE.check
def a_script_with_transactions_and_savepoints():
    script = """
        drop table if exists conformance_psql; create table conformance_psql (v int);
        begin; insert into conformance_psql values (1); savepoint a; insert into conformance_psql values (2);
        rollback to a; insert into conformance_psql values (3); commit;
        begin; insert into conformance_psql values (4); rollback;
        select string_agg(v::text, ',' order by v) from conformance_psql;"""
    equal(psql(stdin=script), "1,3", "committed rows")


@SUITE.check
def a_failed_script_stops_with_status_3():
    status, output, errors = attempt(stdin="select 1;\nselect * from conformance_none;\nselect 2;\n")
    equal((status, output.strip()), (3, "1"), "exit status and output")
    true("42P01" in errors and "LINE 1" in errors, f"error with its position, got {errors!r}")


@SUITE.check
def errors_inside_a_transaction_with_on_error_rollback():
    script = "\\set ON_ERROR_STOP 0\n\\set ON_ERROR_ROLLBACK on\nbegin;\nselect 1;\nselect 1/0;\nselect 2;\ncommit;\n"
    equal(psql(stdin=script).split(), ["1", "2"], "statements around the failed one")


@SUITE.check
def autocommit_off_opens_a_transaction():
    psql("drop table if exists conformance_psql", "create table conformance_psql (v int)")
    psql(stdin="\\set AUTOCOMMIT off\ninsert into conformance_psql values (1);\nselect 1;\n")
    equal(psql("select count(*) from conformance_psql"), "0", "rows, since the client left without commit")


@SUITE.check
def notices_reach_the_client():
    _, _, errors = attempt("do $$ begin raise notice 'hear %', 'ye'; raise warning 'and this'; end $$")
    true("NOTICE:  00000: hear ye" in errors and "WARNING:  01000: and this" in errors, f"both are shown, got {errors!r}")


@SUITE.check
def variables_and_generated_statements():
    script = "select 40 as x, 2 as y \\gset\nselect :x + :y;\nselect format('select %s;', g) from generate_series(1,3) g \\gexec\n"
    equal(psql(stdin=script).split(), ["42", "1", "2", "3"], "output")


@SUITE.check
def describe_a_query_without_running_it():
    equal(psql(stdin="select 1::int8 as a, 'x'::text as b, now() as c \\gdesc\n").splitlines(),
          ["a|bigint", "b|text", "c|timestamp with time zone"], "columns")


@SUITE.check
def catalogue_commands_work():
    psql("drop table if exists conformance_psql", "create table conformance_psql (v int primary key, t text default 'x')")
    output = psql(stdin="\\d conformance_psql\n\\dt conformance_psql\n\\du\n\\dn\n\\df conformance*\n\\conninfo\n")
    true("v|integer||not null|" in output and f"{TARGET.login.user}|" in output, f"columns and roles are listed, got {output!r}")


@SUITE.check
def copy_in_and_out_through_files():
    with tempfile.TemporaryDirectory() as d:
        source, sink = Path(d, "in.csv"), Path(d, "out.csv")
        text = "".join(f'{i},"line {i}, ""quoted"" é\n next"\n' for i in range(2000))
        source.write_text(text, encoding="utf-8")
        psql("drop table if exists conformance_copy", "create table conformance_copy (v int, t text)",
             f"\\copy conformance_copy from '{source}' csv", f"\\copy (select * from conformance_copy order by v) to '{sink}' csv force quote t")
        true(sink.read_text(encoding="utf-8") == text, "the file comes back as it went in")


@SUITE.check
def copy_binary_comes_back_identical():
    with tempfile.TemporaryDirectory() as d:
        first, second = Path(d, "a"), Path(d, "b")
        psql("drop table if exists conformance_copy", "create table conformance_copy as select g as v, md5(g::text) as t, now() as n from generate_series(1,5000) g",
             f"\\copy conformance_copy to '{first}' binary", "delete from conformance_copy",
             f"\\copy conformance_copy from '{first}' binary", f"\\copy conformance_copy to '{second}' binary")
        true(first.stat().st_size > 100_000 and first.read_bytes() == second.read_bytes(), "the same bytes")


@SUITE.check
def copy_from_a_script():
    script = "begin;\ncreate table conformance_inline (v int);\ncopy conformance_inline from stdin;\n1\n2\n39\n\\.\nselect sum(v) from conformance_inline;\nrollback;\n"
    equal(psql(stdin=script), "42", "sum")


@SUITE.check
def a_failed_copy_leaves_a_usable_session():
    script = "\\set ON_ERROR_STOP 0\nbegin;create table conformance_inline (v int);\ncopy conformance_inline from stdin;\n1\nx\n3\n\\.\nrollback;\nselect 'alive';\n"
    status, output, errors = attempt(stdin=script)
    equal((status, output.split()), (0, ["alive"]), "status and what followed")
    true("22P02" in errors, f"the error is shown, got {errors!r}")


@SUITE.check
def copy_between_programs():
    """`psql -c 'copy … to stdout' | psql -c 'copy … from stdin'`."""
    psql("drop table if exists conformance_copy", "create table conformance_copy (v int)")
    _, data, _ = TOOLS.run("psql", *BASE, "-c", "copy (select generate_series(1,100000)) to stdout", binary=True, stdin=b"")
    status, _, errors = TOOLS.run("psql", *BASE, "-c", "copy conformance_copy from stdin", binary=True, stdin=data)
    equal((status, errors), (0, ""), "copy in")
    equal(psql("select count(*), sum(v) from conformance_copy"), "100000|5000050000", "rows and sum")


@SUITE.check
def a_large_result_arrives_whole():
    output = psql("select g || repeat('x', 100) from generate_series(1, 60000) g")
    lines = output.split("\n")
    true(len(lines) == 60000 and all(line == f"{i}{'x' * 100}" for i, line in enumerate(lines, 1)), "each line in its place")


@SUITE.check
def a_cursor_by_fetch_count():
    script = "\\set FETCH_COUNT 100\nselect generate_series(1, 5000);\n"
    equal(psql(stdin=script).split(), [str(i) for i in range(1, 5001)], "rows")


@SUITE.check
def watch_repeats_until_interrupted():
    with tempfile.TemporaryDirectory() as d:
        script, seen = Path(d, "s.sql"), Path(d, "seen")
        seen.touch()
        script.write_text(f"\\o {seen}\nselect 'tick' \\watch 0.05\n", encoding="ascii")
        process = TOOLS.start("psql", *BASE, "-f", str(script))
        try:
            eventually(lambda: seen.read_text(encoding="ascii").count("tick") >= 4, 10, "four rounds")
        finally:
            interrupt(process)


@SUITE.check
def ctrl_c_cancels_the_running_query():
    for marker in ("interrupted once", "interrupted twice"):
        process = TOOLS.start("psql", *BASE, "-c", f"select pg_sleep(60), '{marker}'")
        try:
            await_running(TARGET.login, marker)
        finally:
            status, _, errors = interrupt(process)
        equal(status, 1, "exit status")
        true("57014" in errors and "canceling statement due to user request" in errors, f"the reason is shown, got {errors!r}")


@SUITE.check
def ctrl_c_cancels_a_copy():
    process = TOOLS.start("psql", *BASE, "-c", "copy (select pg_sleep(60), 'copy marker') to stdout")
    try:
        await_running(TARGET.login, "copy marker")
    finally:
        status, _, errors = interrupt(process)
    true(status == 1 and "57014" in errors, f"the copy is cancelled, got {status} {errors!r}")


@SUITE.check
def ctrl_c_in_a_script_leaves_the_neighbours_alone():
    """Only the interrupted client's query ends, however the backends are shared."""
    stop, wrong = threading.Event(), []

    def neighbour(number):
        with Connection(TARGET.login) as c:
            while not stop.is_set():
                try:
                    c.query(f"select pg_sleep(0.005), 'neighbour {number}'")
                except Exception as error:  # Any failure at all is what the check is about.
                    wrong.append(error)
                    return

    threads = [threading.Thread(target=neighbour, args=(i,), daemon=True) for i in range(6)]
    for t in threads:
        t.start()
    for i in range(3 if TARGET.quick else 10):
        process = TOOLS.start("psql", *BASE, "-c", f"select pg_sleep(60), 'lone victim {i}'")
        try:
            await_running(TARGET.login, f"lone victim {i}")
        finally:
            status, _, errors = interrupt(process)
        true(status == 1 and "57014" in errors, f"the victim is cancelled, got {status} {errors!r}")
    stop.set()
    for t in threads:
        t.join(5)
    equal(wrong, [], "failures of neighbours")


@SUITE.check
def a_killed_client_stops_its_query_or_harms_nobody():
    process = TOOLS.start("psql", *BASE, "-c", "begin", "-c", "select pg_sleep(8), 'killed client'")
    await_running(TARGET.login, "killed client")
    process.kill()
    process.wait()
    for i in range(30):
        with Connection(TARGET.login) as c:
            equal(c.value(f"select {i}"), str(i), "newcomers are served")


@SUITE.check
def a_wrong_password_is_refused():
    status, _, errors = attempt("select 1", PGPASSWORD="wrong")
    equal(status, 2, "exit status")
    true("FATAL:" in errors and "password" in errors.split("FATAL:")[1] and TARGET.login.user in errors, f"the reason is shown, got {errors!r}")


@SUITE.check
def no_password_is_refused():
    status, _, errors = TOOLS.run("psql", *BASE, "-w", "-c", "select 1", PGPASSWORD="")
    true(status == 2 and "no password supplied" in errors, f"psql gives up, got {errors!r}")


@SUITE.check
def an_unknown_database_is_named():
    status, _, errors = attempt("select 1", PGDATABASE="conformance_nowhere")
    equal(status, 2, "exit status")
    true('FATAL:  database "conformance_nowhere" does not exist' in errors, f"the reason is shown, got {errors!r}")


@SUITE.check
def reconnecting_inside_psql():
    equal(psql(stdin="select 1;\n\\c -\nselect 2;\n\\c\nselect 3;\n").split(), ["1", "2", "3"], "answers around \\c")


@SUITE.check
def client_encoding_by_command_and_environment():
    equal(psql(stdin="\\encoding LATIN1\nshow client_encoding;\n"), "LATIN1", "by \\encoding")
    equal(psql("show client_encoding", PGCLIENTENCODING="WIN1252"), "WIN1252", "by PGCLIENTENCODING")
    _, output, _ = TOOLS.run("psql", *BASE, "-c", "select 'é'", binary=True, stdin=b"", PGCLIENTENCODING="LATIN1")
    true(output in (b"\xe9\n", b"\xc3\xa9\n"), f"one or two Latin letters, got {output!r}")


@SUITE.check(deadline=60)
def startup_settings_follow_the_client_among_dirty_neighbours():
    """Clients with different startup packets and SETs take turns on the same few backends."""
    rounds = 25 if TARGET.quick else 100
    wrong = []

    def client(i):
        zone = ("Asia/Tokyo", "America/Lima", "Europe/Rome")[i % 3]
        order = ("German, DMY", "ISO, YMD", "SQL, MDY", "Postgres, DMY")[i % 4]
        sql = "select current_setting('application_name'), current_setting('TimeZone'), current_setting('DateStyle'), current_setting('work_mem'), current_setting('search_path'), current_setting('statement_timeout')"
        script = f"set statement_timeout = {20000 + i};\n" + f"{sql};\n" * rounds
        settings = {"PGAPPNAME": f"App {i}" if i % 2 else f"app {i - 1}", "PGTZ": zone, "PGDATESTYLE": order, "PGOPTIONS": f"-c work_mem={1000 + i}kB -c search_path=own{i}"}
        timeout = f"{20 if i == 0 else (20000 + i)}{'s' if i == 0 else 'ms'}"
        line = f"{settings['PGAPPNAME']}|{zone}|{order}|{1000 + i}kB|own{i}|{timeout}"
        try:
            got = psql(stdin=script, **settings).split("\n")
            wrong.extend((i, g, line) for g in got if g != line)
            if len(got) != rounds:
                wrong.append((i, len(got)))
        except Exception as error:
            wrong.append((i, error))

    threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(wrong[:3], [], "answers that were not the client's own")


@SUITE.check
def reset_returns_to_the_startup_value():
    script = """set application_name = 'changed'; set timezone = 'UTC'; set work_mem = '2MB';
        select current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem');
        reset application_name; reset timezone;
        select current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem');
        reset all;
        select current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem');
        set work_mem = '3MB'; discard all;
        select current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem');"""
    got = psql(stdin=script, PGAPPNAME="mine", PGTZ="Asia/Tokyo", PGOPTIONS="-c work_mem=1111kB").split("\n")
    own = "mine|Asia/Tokyo|1111kB"
    equal(got, ["changed|UTC|2MB", "mine|Asia/Tokyo|2MB", own, own], "values after SET, RESET, RESET ALL and DISCARD ALL")


@SUITE.check
def pg_dump_leaves_no_trace():
    """It empties search_path by set_config and sets a dozen things more; the next client must not inherit them."""
    psql("drop table if exists conformance_psql", "create table conformance_psql (v int)")
    server = int(psql("show server_version_num")) // 10000
    if not TOOLS.path("pg_dump") or TOOLS.version("pg_dump") < server:
        raise Skip(f"needs pg_dump {server} or newer (--bindir)")
    before = settings_of_a_newcomer()
    status, output, errors = TOOLS.run("pg_dump", "-t", "conformance_psql")
    true(status == 0 and "CREATE TABLE public.conformance_psql" in output, f"the dump succeeds: {errors}")
    for _ in range(6):
        equal(settings_of_a_newcomer() - before, set(), "settings of a newcomer that differ")


def settings_of_a_newcomer():
    """All settings of a client that has set nothing; those with a dot come with libraries that a backend happens to have loaded."""
    with Connection(TARGET.login) as c:
        return set(c.query("select name, setting from pg_settings where name not like '%.%'"))


@SUITE.check
def bound_parameters():
    version_at_least(16)
    equal(psql(stdin="select $1::int + $2::int \\bind 40 2 \\g\n"), "42", "answer")


@SUITE.check
def named_statements_and_pipelines():
    version_at_least(18)
    script = """select $1::text \\parse own
\\startpipeline
\\bind_named own a \\sendpipeline
\\bind_named own b \\sendpipeline
\\syncpipeline
select 1/(0 * $1::int) \\bind 1 \\sendpipeline
select 'skipped' \\bind \\sendpipeline
\\syncpipeline
\\bind_named own c \\sendpipeline
\\flushrequest
\\getresults
\\endpipeline
\\close_prepared own
select 'after';
"""
    status, output, errors = attempt(stdin="\\set ON_ERROR_STOP 0\n" + script)
    equal((status, output.split()[:2], output.split()[-2:]), (0, ["a", "b"], ["c", "after"]), f"pipeline results ({errors})")
    true("skipped" not in output.split(), "what follows an error in its segment is skipped")


@SUITE.check
def newest_protocol_version_by_request():
    version_at_least(18)
    output = psql("select 'new'", "\\conninfo", PGMAXPROTOCOLVERSION="latest")
    true("new" in output, "an answer over the newest protocol both sides know")


@SUITE.check
def many_short_connections():
    """Log in, ask, leave: what a script in a loop does."""
    begun = time.monotonic()
    count = 15 if TARGET.quick else 60
    for i in range(count):
        equal(psql(f"select {i}"), str(i), "answer")
    true(time.monotonic() - begun < count, "under a second each")


SUITE.run()
