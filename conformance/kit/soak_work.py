"""Work for the soak: pieces of conversation that carry a tag, and the exact stream each must be answered with.

A client that was killed has read a prefix of that stream; one that lives has read all of it. Anything else in it is
somebody else's answer, or a lost one. Streams are written as in `conversations.py`, ParameterStatus left out.
"""

from kit import wire
from kit.conversations import one

TABLE = "conformance_soak"


def unit(dice, tag, mortal=False):
    """One random piece of work: (bytes, expected words). Only the mortal leave their session untidy."""
    data, stream = dice.choice(KINDS + UNTIDY if mortal else KINDS)(dice, tag)
    return data, stream.split(" | ")


def simple(dice, tag):
    """A Query."""
    return wire.query(f"select '{tag}' as v"), f"T(v) | D({tag}) | C(SELECT 1) | Z(I)"


def several(dice, tag):
    """Statements in one Query, perhaps one that fails."""
    if dice.random() < 0.3:
        return wire.query(f"select '{tag}' as v; select '{tag}'::int; select 'never'"), f"T(v) | D({tag}) | C(SELECT 1) | E(22P02) | Z(I)"
    return wire.query(f"select '{tag}' as v; select '{tag}+' as v"), f"T(v) | D({tag}) | C(SELECT 1) | T(v) | D({tag}+) | C(SELECT 1) | Z(I)"


def extended(dice, tag):
    """An unnamed statement with a parameter."""
    return one("select $1::text as v", tag) + wire.SYNC, f"1 | 2 | T(v) | D({tag}) | C(SELECT 1) | Z(I)"


def split_unnamed(dice, tag):
    """Parse and Describe in one segment, Bind and Execute in the next."""
    data = wire.parse("", f"select '{tag}' || $1::text as v") + wire.describe("S", "") + wire.SYNC
    return data + wire.bind("", "", ("!",)) + wire.execute() + wire.SYNC, f"1 | t(25) | T(v) | Z(I) | 2 | D({tag}!) | C(SELECT 1) | Z(I)"


def named(dice, tag):
    """A named statement, prepared, used across segments, closed."""
    uses = dice.randint(1, 3)
    data = wire.parse("own", f"select '{tag}' as v") + wire.SYNC + (wire.bind("", "own") + wire.execute() + wire.SYNC) * uses
    return data + wire.close("S", "own") + wire.SYNC, "1 | Z(I) | " + f"2 | D({tag}) | C(SELECT 1) | Z(I) | " * uses + "3 | Z(I)"


def pipeline(dice, tag):
    """Segments without waiting, some of which fail."""
    data, stream = b"", []
    for i in range(dice.randint(2, 12)):
        luck = dice.random()
        if luck < 0.1:
            data += one(f"select '{tag}.{i}'::int") + one("select 'never'") + wire.SYNC  # Fails in Parse.
            stream += ["E(22P02)", "Z(I)"]
        elif luck < 0.2:
            data += one("select ($1::text)::int", f"{tag}.{i}") + one("select 'never'") + wire.SYNC  # Fails in Bind.
            stream += ["1", "E(22P02)", "Z(I)"]
        else:
            data += one("select $1::text as v", f"{tag}.{i}") + (wire.FLUSH if dice.random() < 0.3 else b"") + wire.SYNC
            stream += ["1", "2", "T(v)", f"D({tag}.{i})", "C(SELECT 1)", "Z(I)"]
    return data, " | ".join(stream)


def transaction(dice, tag):
    """Two rows that must both be there in the end, or neither."""
    first, second = (wire.query(f"insert into {TABLE} values ('{tag}', {part})") for part in (1, 2))
    head = "C(BEGIN) | Z(T) | C(INSERT 0 1) | Z(T) | "
    if dice.random() < 0.3:
        return wire.query("begin") + first + wire.query("select 1/0") + wire.query("commit"), head + "E(22012) | Z(E) | C(ROLLBACK) | Z(I)"
    end = dice.choice(("COMMIT", "ROLLBACK"))
    return wire.query("begin") + first + second + wire.query(end.lower()), head + f"C(INSERT 0 1) | Z(T) | C({end}) | Z(I)"


def extended_transaction(dice, tag):
    """The same in the extended protocol, BEGIN in the first segment."""
    insert = f"insert into {TABLE} values ($1, $2)"
    data = one("begin") + one(insert, tag, "1") + wire.SYNC + one(insert, tag, "2") + wire.SYNC + one("commit") + wire.SYNC
    row = "1 | 2 | n | C(INSERT 0 1)"
    return data, f"1 | 2 | n | C(BEGIN) | {row} | Z(T) | {row} | Z(T) | 1 | 2 | n | C(COMMIT) | Z(I)"


def implicit_transaction(dice, tag):
    """Two inserts in one segment."""
    insert = f"insert into {TABLE} values ($1, $2)"
    return one(insert, tag, "1") + one(insert, tag, "2") + wire.SYNC, "1 | 2 | n | C(INSERT 0 1) | 1 | 2 | n | C(INSERT 0 1) | Z(I)"


def copy_in(dice, tag):
    """Two rows by COPY."""
    data = wire.query(f"copy {TABLE} from stdin") + wire.copy_data(f"{tag}\t1\n".encode())
    if dice.random() < 0.3:
        return data + wire.copy_fail("enough"), "G | E(57014) | Z(I)"
    if dice.random() < 0.3:
        return data + wire.copy_data(b"bad\tbad\n") + wire.copy_data(b"late\t1\n") + wire.COPY_DONE, "G | E(22P02) | Z(I)"
    return data + wire.copy_data(f"{tag}\t2\n".encode()) + wire.COPY_DONE, "G | C(COPY 2) | Z(I)"


def copy_out(dice, tag):
    """Rows by COPY."""
    count = dice.randint(1, 400)
    rows = "".join(f"d({tag} {i}) | " for i in range(count))
    return wire.query(f"copy (select '{tag} ' || g from generate_series(0, {count - 1}) g) to stdout"), f"H | {rows}c | C(COPY {count}) | Z(I)"


def wide(dice, tag):
    """A row of tens of kilobytes."""
    count = dice.randint(100, 3000)
    return wire.query(f"select repeat('{tag} ', {count}) as v"), f"T(v) | D({f'{tag} ' * count}) | C(SELECT 1) | Z(I)"


def many_rows(dice, tag):
    """Rows in portions."""
    data = wire.parse("", f"select '{tag}' || g as v from generate_series(1, 9) g") + wire.bind("", "") + wire.execute("", 4) * 3 + wire.SYNC
    rows = [f"D({tag}{i})" for i in range(1, 10)]
    return data, " | ".join(["1", "2", *rows[:4], "s", *rows[4:8], "s", *rows[8:], "C(SELECT 1)", "Z(I)"])


def setting(dice, tag):
    """A setting that must be found again, and undone by a rollback."""
    data = wire.query(f"set application_name = '{tag}'") + wire.query("begin; set application_name = 'undone'") + wire.query("rollback") + wire.query("show application_name")
    return data, f"C(SET) | Z(I) | C(BEGIN) | C(SET) | Z(T) | C(ROLLBACK) | Z(I) | T(application_name) | D({tag}) | C(SHOW) | Z(I)"


def slow(dice, tag):
    """Something to be killed in the middle of."""
    return wire.query(f"select '{tag}' as v from pg_sleep({dice.random() * 0.02:.4f})"), f"T(v) | D({tag}) | C(SELECT 1) | Z(I)"


def untidy(dice, tag):
    """Everything that could stay behind on a backend; tidied up at the end, which not every client lives to see."""
    steps = [
        (f"create temporary table conformance_left as select '{tag}' as v", "C(SELECT 1) | Z(I)"),
        (f"select pg_advisory_lock({dice.randrange(1 << 30)}) is not null as v", "T(v) | D(t) | C(SELECT 1) | Z(I)"),
        ("listen conformance_left", "C(LISTEN) | Z(I)"),
        (f"prepare conformance_left as select '{tag}'", "C(PREPARE) | Z(I)"),
        ("begin; declare conformance_left cursor with hold for select 1; commit", "C(BEGIN) | C(DECLARE CURSOR) | C(COMMIT) | Z(I)"),
        (f"set search_path = conformance_left; set work_mem = '{dice.randint(100, 999)}kB'", "C(SET) | C(SET) | Z(I)"),
        (f"select set_config('statement_timeout', '{dice.randint(50, 90)}s', false) is not null as v", "T(v) | D(t) | C(SELECT 1) | Z(I)"),
    ]
    chosen = dice.sample(steps, dice.randint(1, len(steps)))
    data = b"".join(wire.query(sql) for sql, _ in chosen) + wire.query("discard all")
    return data, " | ".join([stream for _, stream in chosen] + ["C(DISCARD ALL) | Z(I)"])


# What a client finds that has just logged in and has set nothing but its name. Statements of others are listed, but cannot be executed.
LEFT_BEHIND = """select concat_ws(', ',
    (select 'table' from pg_class where relnamespace = pg_my_temp_schema() limit 1),
    (select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() limit 1),
    (select 'channel' from pg_listening_channels() limit 1),
    (select 'cursor' from pg_cursors where is_holdable limit 1),
    (select string_agg(name, ' ') from pg_settings where source = 'session' and name <> 'application_name')) as left_behind"""


def inspection():
    """The look for it, and what has to be found: nothing."""
    wanted = ["E(26000)", "Z(I)", "T(left_behind)", "D()", "C(SELECT 1)", "Z(I)"]
    return wire.query("execute conformance_left") + wire.query(LEFT_BEHIND), wanted


KINDS = (simple, several, extended, split_unnamed, named, pipeline, transaction, extended_transaction, implicit_transaction,
         copy_in, copy_out, wide, many_rows, setting, slow)
UNTIDY = (untidy,)
