"""Scripted conversations: what a logged-in client writes and the exact stream that PostgreSQL answers with.

The stream is written as one word per message: its type letter and, in brackets, what a driver acts on
(`T(columns)`, `D(values)`, `C(tag)`, `E(SQLSTATE)`, `N(SQLSTATE)`, `S(name=value)`, `Z(status)`, `t(type OIDs)`).
Every conversation leaves the session idle and without prepared statements that a later one would miss,
works in the table `conformance_raw (v int)`, and is independent of when its bytes arrive: the checks send it at once,
in halves and byte by byte.
"""

from kit.wire import (
    COPY_DONE, FLUSH, SYNC, bind, close, copy_data, copy_fail, describe, execute, function_call, parse, query,
)


def one(sql, *values, name=""):
    """Parse, Bind, Describe, Execute of one statement, without Sync."""
    return parse(name, sql) + bind("", name, values) + describe("P", "") + execute()


INT4PL = 177  # pg_proc OID of int4pl, the same in every version.
LO_UNLINK = 964  # Of lo_unlink, one of the few functions whose call does not pin.
# Without `truncate false` it waits up to five seconds for all others to leave the table, to give pages back.
VACUUM = "vacuum (truncate false) conformance_raw"
FAILS_LATE = "select 1/g as b from generate_series(0,0) g"  # Fails in Execute; a constant 1/0 would fail in Bind.
TWO, THREE = (2).to_bytes(4, "big"), (3).to_bytes(4, "big")

SIMPLE = {
    "one_row": (query("select 1 as a"), "T(a) D(1) C(SELECT 1) Z(I)"),
    "a_null_and_an_empty_text": (query("select null as a, '' as b"), "T(a,b) D(NULL,) C(SELECT 1) Z(I)"),
    "no_columns": (query("select"), "T() D() C(SELECT 1) Z(I)"),
    "an_empty_query": (query(""), "I Z(I)"),
    "only_a_comment_and_semicolons": (query("; -- nothing\n;"), "I Z(I)"),
    "two_queries_in_one_write": (query("select 1 as a") + query("select 2 as b"), "T(a) D(1) C(SELECT 1) Z(I) T(b) D(2) C(SELECT 1) Z(I)"),
    "several_statements_in_one_query": (query("select 1 as a; ; select 2 as b"), "T(a) D(1) C(SELECT 1) T(b) D(2) C(SELECT 1) Z(I)"),
    "an_error_ends_the_rest_of_a_query": (query("select 1 as a; select 1/0; select 2"), "T(a) D(1) C(SELECT 1) E(22012) Z(I)"),
    "a_syntax_error_runs_nothing": (query("select 1; selec 2"), "E(42601) Z(I)"),
    "a_failed_transaction_refuses_until_rollback": (
        query("begin") + query("select 1/0") + query("select 1") + query("rollback"),
        "C(BEGIN) Z(T) E(22012) Z(E) E(25P02) Z(E) C(ROLLBACK) Z(I)",
    ),
    "commit_of_a_failed_transaction_says_rollback": (
        query("begin") + query("select 1/0") + query("commit"),
        "C(BEGIN) Z(T) E(22012) Z(E) C(ROLLBACK) Z(I)",
    ),
    "a_savepoint_repairs_a_failed_transaction": (
        query("begin; savepoint s") + query("select 1/0") + query("rollback to s") + query("select 1 as a") + query("commit"),
        "C(BEGIN) C(SAVEPOINT) Z(T) E(22012) Z(E) C(ROLLBACK) Z(T) T(a) D(1) C(SELECT 1) Z(T) C(COMMIT) Z(I)",
    ),
    "commit_and_chain_stays_in_a_transaction": (
        query("begin") + query("commit and chain") + query("rollback"),
        "C(BEGIN) Z(T) C(COMMIT) Z(T) C(ROLLBACK) Z(I)",
    ),
    "begin_and_commit_in_one_query": (
        query("begin; insert into conformance_raw values (1); rollback; select 1 as a"),
        "C(BEGIN) C(INSERT 0 1) C(ROLLBACK) T(a) D(1) C(SELECT 1) Z(I)",
    ),
    "a_transaction_opened_at_the_end_of_a_query": (query("select 1 as a; begin") + query("commit"), "T(a) D(1) C(SELECT 1) C(BEGIN) Z(T) C(COMMIT) Z(I)"),
    "rollback_without_a_transaction_warns": (query("rollback"), "N(25P01) C(ROLLBACK) Z(I)"),
    "begin_in_a_transaction_warns": (query("begin") + query("begin") + query("commit"), "C(BEGIN) Z(T) N(25001) C(BEGIN) Z(T) C(COMMIT) Z(I)"),
    "set_announces_its_value": (
        query("set application_name = 'Fore'") + query("show application_name") + query("reset application_name"),
        "C(SET) S(application_name=Fore) Z(I) T(application_name) D(Fore) C(SHOW) Z(I) C(RESET) S(application_name=) Z(I)",
    ),
    "a_rolled_back_set_is_announced_twice": (
        query("begin") + query("set application_name = 'Fore'") + query("rollback"),
        "C(BEGIN) Z(T) C(SET) S(application_name=Fore) Z(T) C(ROLLBACK) S(application_name=) Z(I)",
    ),
    "a_set_that_fails_with_its_query_is_never_announced": (
        query("set application_name = 'Fore'; select 1/0") + query("show application_name"),
        "C(SET) E(22012) Z(I) T(application_name) D() C(SHOW) Z(I)",
    ),
    "set_local_outside_a_transaction_warns": (query("set local work_mem = '1MB'"), "N(25P01) C(SET) Z(I)"),
    "a_refused_value_changes_nothing": (query("set work_mem = 'much'"), "E(22023) Z(I)"),
    "discard_all_in_a_transaction_is_refused": (
        query("begin") + query("discard all") + query("rollback"),
        "C(BEGIN) Z(T) E(25001) Z(E) C(ROLLBACK) Z(I)",
    ),
    "prepare_execute_deallocate_in_sql": (
        query("prepare conformance_p as select $1::int as a") + query("execute conformance_p(7)") + query("deallocate conformance_p"),
        "C(PREPARE) Z(I) T(a) D(7) C(SELECT 1) Z(I) C(DEALLOCATE) Z(I)",
    ),
    "declare_and_fetch_in_a_transaction": (
        query("begin; declare c cursor for select generate_series(1,3) as a") + query("fetch 2 from c") + query("close c; commit"),
        "C(BEGIN) C(DECLARE CURSOR) Z(T) T(a) D(1) D(2) C(FETCH 2) Z(T) C(CLOSE CURSOR) C(COMMIT) Z(I)",
    ),
}

EXTENDED = {
    "sync_alone": (SYNC, "Z(I)"),
    "syncs_in_a_row": (SYNC * 3, "Z(I) Z(I) Z(I)"),
    "one_unnamed_statement": (one("select $1::text as a", "x") + SYNC, "1 2 T(a) D(x) C(SELECT 1) Z(I)"),
    "parameters_are_described": (
        parse("", "select $1 + $2::int8 as a", (23,)) + describe("S", "") + SYNC,
        "1 t(23,20) T(a) Z(I)",
    ),
    "the_unnamed_statement_lives_across_syncs": (
        parse("", "select $1::int as a") + describe("S", "") + SYNC + bind("", "", ("5",)) + execute() + SYNC + SYNC + bind("", "", ("6",)) + execute() + SYNC,
        "1 t(23) T(a) Z(I) 2 D(5) C(SELECT 1) Z(I) Z(I) 2 D(6) C(SELECT 1) Z(I)",
    ),
    "a_query_ends_the_unnamed_statement": (
        parse("", "select 1") + SYNC + query("select 2 as b") + bind("", "") + execute() + SYNC,
        "1 Z(I) T(b) D(2) C(SELECT 1) Z(I) E(26000) Z(I)",
    ),
    "the_unnamed_statement_survives_rollback": (
        query("begin") + parse("", "select 3 as a") + SYNC + one("rollback", name="conformance_r") + close("S", "conformance_r") + SYNC
        + bind("", "") + execute() + SYNC,
        "C(BEGIN) Z(T) 1 Z(T) 1 2 n C(ROLLBACK) 3 Z(I) 2 D(3) C(SELECT 1) Z(I)",
    ),
    "a_named_statement_lives_until_closed": (
        parse("conformance_s", "select $1::int as a") + SYNC
        + (bind("", "conformance_s", ("1",)) + execute() + SYNC) * 2
        + close("S", "conformance_s") + bind("", "conformance_s", ("1",)) + SYNC,
        "1 Z(I) 2 D(1) C(SELECT 1) Z(I) 2 D(1) C(SELECT 1) Z(I) 3 E(26000) Z(I)",
    ),
    "a_name_cannot_be_prepared_twice": (
        parse("conformance_d", "select 1") + SYNC + parse("conformance_d", "select 2") + SYNC + close("S", "conformance_d") + SYNC,
        "1 Z(I) E(42P05) Z(I) 3 Z(I)",
    ),
    "a_name_can_be_prepared_again_after_close": (
        parse("conformance_d", "select 1 as a") + close("S", "conformance_d") + one("select 2 as b", name="conformance_d") + close("S", "conformance_d") + SYNC,
        "1 3 1 2 T(b) D(2) C(SELECT 1) 3 Z(I)",
    ),
    "a_failed_parse_leaves_no_statement": (
        parse("conformance_f", "selec") + SYNC + bind("", "conformance_f") + SYNC,
        "E(42601) Z(I) E(26000) Z(I)",
    ),
    "a_statement_parsed_before_an_error_stays": (
        parse("conformance_k", "select 4 as a") + one(FAILS_LATE) + SYNC + bind("", "conformance_k") + execute() + close("S", "conformance_k") + SYNC,
        "1 1 2 T(b) E(22012) Z(I) 2 D(4) C(SELECT 1) 3 Z(I)",
    ),
    "describe_of_an_unknown_statement": (describe("S", "conformance_none") + SYNC, "E(26000) Z(I)"),
    "describe_of_an_unknown_portal": (describe("P", "conformance_none") + SYNC, "E(34000) Z(I)"),
    "execute_of_an_unknown_portal": (execute("conformance_none") + SYNC, "E(34000) Z(I)"),
    "close_of_unknown_names_succeeds": (close("S", "conformance_none") + close("P", "conformance_none") + SYNC, "3 3 Z(I)"),
    "too_few_parameters": (parse("", "select $1::int, $2::int") + bind("", "", ("1",)) + SYNC, "1 E(08P01) Z(I)"),
    "a_parameter_that_does_not_parse": (one("select $1::int as a", "x") + SYNC, "1 E(22P02) Z(I)"),
    "after_an_error_all_is_skipped_to_sync": (
        parse("", "selec") + bind("", "") + describe("P", "") + execute() + close("S", "x") + FLUSH + SYNC + one("select 1 as a") + SYNC,
        "E(42601) Z(I) 1 2 T(a) D(1) C(SELECT 1) Z(I)",
    ),
    "an_error_in_the_middle_of_a_pipeline": (
        one("select 1 as a") + SYNC + one(FAILS_LATE) + one("select 2") + SYNC + one("select 3 as c") + SYNC,
        "1 2 T(a) D(1) C(SELECT 1) Z(I) 1 2 T(b) E(22012) Z(I) 1 2 T(c) D(3) C(SELECT 1) Z(I)",
    ),
    "an_error_in_bind": (one("select 1/0") + SYNC + one("select 1 as a") + SYNC, "1 E(22012) Z(I) 1 2 T(a) D(1) C(SELECT 1) Z(I)"),
    "a_segment_without_begin_is_one_transaction": (
        one("insert into conformance_raw values (77)") + one(FAILS_LATE) + SYNC + query("select count(*) as n from conformance_raw where v = 77"),
        "1 2 n C(INSERT 0 1) 1 2 T(b) E(22012) Z(I) T(n) D(0) C(SELECT 1) Z(I)",
    ),
    "an_empty_statement": (parse("", "") + bind("", "") + describe("P", "") + execute() + SYNC, "1 2 n I Z(I)"),
    "a_statement_without_rows_has_no_data": (parse("", "set local work_mem = '2MB'") + describe("S", "") + SYNC, "1 t() n Z(I)"),
    "binary_results": (parse("", "select 258::int4 as a") + bind("", "", (), (1,)) + execute() + SYNC, "1 2 D(\\x00000102) C(SELECT 1) Z(I)"),
    "rows_in_portions": (
        parse("", "select generate_series(1,5) as a") + bind("", "") + execute("", 2) + execute("", 2) + execute("", 2) + SYNC,
        "1 2 D(1) D(2) s D(3) D(4) s D(5) C(SELECT 1) Z(I)",
    ),
    "a_portal_lives_in_its_transaction": (
        one("begin") + SYNC + parse("", "select generate_series(1,4) as a") + bind("conformance_o", "") + execute("conformance_o", 2) + SYNC
        + execute("conformance_o", 1) + SYNC + close("P", "conformance_o") + execute("conformance_o", 1) + SYNC + one("rollback") + SYNC,
        "1 2 n C(BEGIN) Z(T) 1 2 D(1) D(2) s Z(T) D(3) s Z(T) 3 E(34000) Z(E) 1 2 n C(ROLLBACK) Z(I)",
    ),
    "a_portal_ends_with_its_segment": (
        parse("", "select generate_series(1,4) as a") + bind("conformance_o", "") + execute("conformance_o", 2) + SYNC + execute("conformance_o", 2) + SYNC,
        "1 2 D(1) D(2) s Z(I) E(34000) Z(I)",
    ),
    "begin_and_commit_in_one_segment": (
        one("begin") + one("select 1 as a") + one("commit") + SYNC,
        "1 2 n C(BEGIN) 1 2 T(a) D(1) C(SELECT 1) 1 2 n C(COMMIT) Z(I)",
    ),
    "set_announces_itself_before_ready": (
        one("set application_name = 'Bay'") + SYNC + one("reset application_name") + SYNC,
        "1 2 n C(SET) S(application_name=Bay) Z(I) 1 2 n C(RESET) S(application_name=) Z(I)",
    ),
    "vacuum_cannot_share_a_segment": (one("select 1 as a") + one(VACUUM) + SYNC, "1 2 T(a) D(1) C(SELECT 1) 1 2 n E(25001) Z(I)"),
    "vacuum_alone": (one(VACUUM) + SYNC, "1 2 n C(VACUUM) Z(I)"),
    "flushes_between_everything": (
        FLUSH + parse("", "select 1 as a") + FLUSH + FLUSH + bind("", "") + FLUSH + execute() + FLUSH + SYNC + FLUSH,
        "1 2 D(1) C(SELECT 1) Z(I)",
    ),
    "a_function_call": (function_call(INT4PL, (TWO, THREE)), "V(\\x00000005) Z(I)"),
    "a_function_call_in_a_transaction": (
        query("begin") + function_call(INT4PL, (TWO, THREE)) + query("commit"),
        "C(BEGIN) Z(T) V(\\x00000005) Z(T) C(COMMIT) Z(I)",
    ),
    "a_call_of_an_unknown_function": (function_call(4, (TWO,)), "E(42883) Z(I)"),
}

COPY_IN = "copy conformance_raw from stdin"

COPY = {
    "copy_out": (query("copy (select generate_series(1,3)) to stdout"), "H d(1) d(2) d(3) c C(COPY 3) Z(I)"),
    "copy_out_that_fails_in_the_middle": (query("copy (select 3/(3-g) from generate_series(1,4) g) to stdout"), "H d(1) d(3) E(22012) Z(I)"),
    "copy_out_between_statements": (
        query("select 1 as a; copy (select 2) to stdout; select 3 as b"),
        "T(a) D(1) C(SELECT 1) H d(2) c C(COPY 1) T(b) D(3) C(SELECT 1) Z(I)",
    ),
    "copy_out_extended": (one("copy (select 5) to stdout") + SYNC, "1 2 n H d(5) c C(COPY 1) Z(I)"),
    "copy_in": (
        query("begin") + query(COPY_IN) + copy_data(b"1\n2") + copy_data(b"\n3\n") + COPY_DONE + query("select sum(v) as s from conformance_raw; rollback"),
        "C(BEGIN) Z(T) G C(COPY 3) Z(T) T(s) D(6) C(SELECT 1) C(ROLLBACK) Z(I)",
    ),
    "two_copies_in_one_query": (
        query(f"begin; {COPY_IN}; {COPY_IN}; rollback") + copy_data(b"1\n") + COPY_DONE + copy_data(b"2\n3\n") + COPY_DONE,
        "C(BEGIN) G C(COPY 1) G C(COPY 2) C(ROLLBACK) Z(I)",
    ),
    "copy_in_ended_by_the_client": (query(COPY_IN) + copy_data(b"1\n") + copy_fail("enough"), "G E(57014) Z(I)"),
    "copy_in_of_bad_data_ignores_what_still_comes": (
        query(COPY_IN) + copy_data(b"x\n") + copy_data(b"1\n") + COPY_DONE + query("select 1 as a"),
        "G E(22P02) Z(I) T(a) D(1) C(SELECT 1) Z(I)",
    ),
    "copy_in_of_an_unknown_table_ignores_the_data": (
        query("copy conformance_none from stdin") + copy_data(b"1\n") + COPY_DONE + query("select 1 as a"),
        "E(42P01) Z(I) T(a) D(1) C(SELECT 1) Z(I)",
    ),
    "copy_messages_without_a_copy_are_ignored": (
        copy_data(b"1\n") + COPY_DONE + copy_fail("no") + query("select 1 as a"),
        "T(a) D(1) C(SELECT 1) Z(I)",
    ),
    "copy_in_extended_ignores_sync_and_flush": (
        one("begin") + SYNC + one(COPY_IN) + SYNC + FLUSH + copy_data(b"4\n") + COPY_DONE + SYNC + query("select sum(v) as s from conformance_raw; rollback"),
        "1 2 n C(BEGIN) Z(T) 1 2 n G C(COPY 1) Z(T) T(s) D(4) C(SELECT 1) C(ROLLBACK) Z(I)",
    ),
    "copy_in_extended_that_fails_skips_to_sync": (
        one(COPY_IN) + copy_data(b"x\n") + COPY_DONE + one("select 9") + SYNC + one("select 1 as a") + SYNC,
        "1 2 n G E(22P02) Z(I) 1 2 T(a) D(1) C(SELECT 1) Z(I)",
    ),
}

ALL = SIMPLE | EXTENDED | COPY


def word(message):
    """One message as the streams above write it."""
    kind, body = message.kind, message.body
    if kind == "T":
        return f"T({','.join(name for name, _, _ in message.columns())})"
    if kind == "D":
        return f"D({','.join(shown(v) for v in message.row())})"
    if kind == "d":
        return f"d({shown(body.rstrip(bytes([10])))})"
    if kind == "C":
        return f"C({message.tag()})"
    if kind in "EN":
        return f"{kind}({message.fields().get('C')})"
    if kind == "S":
        return "S({}={})".format(*message.parameter())
    if kind == "Z":
        return f"Z({body.decode()})"
    if kind == "t":
        count = int.from_bytes(body[:2], "big")
        return f"t({','.join(str(int.from_bytes(body[2 + 4 * i : 6 + 4 * i], 'big')) for i in range(count))})"
    if kind == "V":
        return f"V({shown(body[4:])})"
    return kind


def shown(value):
    """A value in a stream word; bytes that are not text in hexadecimal."""
    if value is None:
        return "NULL"
    return value.decode("ascii") if all(32 <= b < 127 for b in value) else f"\\x{value.hex()}"


def exact(message):
    """All that must equal direct PostgreSQL, byte for byte, but for what names a place in its source."""
    if message.kind in "EN":
        return message.kind, tuple(sorted(i for i in message.fields().items() if i[0] not in "LFR"))
    if message.kind == "T":
        return message.kind, tuple(message.columns())
    return message.kind, message.body
