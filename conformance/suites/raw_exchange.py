"""The exchange after login, byte for byte: every conversation of `kit/conversations.py`, and those that need to wait in the middle.

With `--direct-port` the same conversation is held with PostgreSQL itself and the whole streams are compared; column
names, types, error texts and positions included.
"""

import functools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from kit import conversations, target, wire
from kit.connection import Connection, ServerError, rows
from kit.report import Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
END = wire.query("select 'end' as the")


def prepare():
    """The table the conversations work in."""
    with Connection(TARGET.login) as c:
        c.query("drop table if exists conformance_raw; create table conformance_raw (v int)")


def at_once(data):
    """The whole conversation in one write."""
    return [data]


def in_halves(data):
    """Two writes, cut where no message ends."""
    return [data[: len(data) // 2 + 1], data[len(data) // 2 + 1 :]]


def byte_by_byte(data):
    """As many writes as bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def at_random(dice, data):
    """Pieces of one byte, some bytes, or much."""
    at = 0
    while at < len(data):
        end = at + dice.choice((1, 1, 1, 5, 20, 200))
        yield data[at:end]
        at = end


def stream(login, data, ready, cut):
    """All messages of a conversation; the closing query proves that nothing was left over."""
    with Connection(login, TimeZone="UTC") as c:
        for piece in cut(data):
            c.send(piece)
        return c.answers(END, ready + 1)


def holds(data, wanted):
    """Holds one conversation in every way of cutting it, and with PostgreSQL itself."""
    ready = wanted.count("Z(")
    wanted = f"{wanted} T(the) D(end) C(SELECT 1) Z(I)"
    direct = stream(TARGET.direct, data, ready, at_once) if TARGET.direct else None
    for cut in (at_once, in_halves, byte_by_byte):
        got = stream(TARGET.login, data, ready, cut)
        equal(" ".join(map(conversations.word, got)), wanted, f"stream, sent {cut.__name__}")
        if direct:
            equal([*map(conversations.exact, got)], [*map(conversations.exact, direct)], "stream against PostgreSQL itself")


def register():
    """One check per conversation."""
    for name, (data, wanted) in conversations.ALL.items():
        check = functools.partial(holds, data, wanted)
        check.__name__ = name
        SUITE.check(check)


register()


@SUITE.check(deadline=150)
def conversations_hold_while_others_are_held():
    """All of them at once on the same backends, cut at random places, which finds what depends on when bytes arrive."""
    prepare()
    wrong = []

    def client(seed):
        dice = random.Random(seed)
        for name in dice.sample(list(conversations.ALL), len(conversations.ALL)):
            data, wanted = conversations.ALL[name]
            try:
                got = " ".join(conversations.word(m) for m in stream(TARGET.login, data, wanted.count("Z("), functools.partial(at_random, dice))[:-4])
            except Exception as error:
                got = repr(error)
            if got != wanted:
                wrong.append(f"{name} (seed {seed}): got {got}, wanted {wanted}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(client, range(12 if TARGET.quick else 150)))
    equal(wrong[:2], [], f"{len(wrong)} conversations that went wrong")


@SUITE.check
def a_query_after_messages_without_sync_is_answered_in_order():
    """PostgreSQL 18 calls the state after it a transaction, and a Sync then confuses it, so the connection ends here."""
    with Connection(TARGET.login) as c:
        got = [conversations.word(m) for m in c.answers(conversations.one("select 1 as a") + wire.query("select 2 as b"))]
        equal(" ".join(got[:-1]), "1 2 T(a) D(1) C(SELECT 1) T(b) D(2) C(SELECT 1)", "stream")
        true(got[-1] in ("Z(I)", "Z(T)"), f"an idle or transaction state, got {got[-1]}")


@SUITE.check
def flush_answers_without_ending_the_segment():
    with Connection(TARGET.login) as c:
        c.send(wire.parse("", "select 1 as a") + wire.FLUSH)
        equal(c.message().kind, "1", "after Parse and Flush")
        c.send(wire.bind("", "") + wire.describe("P", "") + wire.execute() + wire.FLUSH)
        equal([c.message().kind for _ in range(4)], ["2", "T", "D", "C"], "after Execute and Flush")
        true(c.silent_for(0.3), "nothing follows a Flush")
        equal([m.kind for m in c.answers(wire.SYNC)], ["Z"], "after Sync")


@SUITE.check
def a_flushed_portal_can_be_fetched_from_again():
    with Connection(TARGET.login) as c:
        c.send(wire.parse("", "select generate_series(1,5)") + wire.bind("", "") + wire.execute("", 2) + wire.FLUSH)
        equal([m.kind for m in c.messages_until("s")], ["1", "2", "D", "D", "s"], "first rows")
        for _ in range(20):
            with Connection(TARGET.login) as neighbour:
                neighbour.query("select 1")
        equal([m.kind for m in c.answers(wire.execute("", 0) + wire.SYNC)], ["D", "D", "D", "C", "Z"], "rest")


@SUITE.check
def a_segment_kept_open_by_flush_is_one_transaction():
    with Connection(TARGET.login) as c:
        c.send(conversations.one("insert into conformance_raw values (5501)") + wire.FLUSH)
        c.messages_until("C")
        with Connection(TARGET.login) as neighbour:
            equal(neighbour.value("select count(*) from conformance_raw where v = 5501"), "0", "seen by others before Sync")
            c.answers(wire.SYNC)
            equal(neighbour.value("select count(*) from conformance_raw where v = 5501"), "1", "seen by others after Sync")


@SUITE.check
def copy_in_waits_for_the_client():
    with Connection(TARGET.login) as c:
        c.query("begin")
        c.send(wire.query("copy conformance_raw from stdin"))
        equal(c.message().kind, "G", "CopyInResponse")
        for i in range(50):
            c.send(wire.copy_data(b"%d\n" % i))
        true(c.silent_for(0.2), "nothing comes while the copy runs")
        equal([conversations.word(m) for m in c.answers(wire.COPY_DONE)], ["C(COPY 50)", "Z(T)"], "end of the copy")
        c.query("rollback")


@SUITE.check
def a_query_inside_copy_in_ends_the_connection():
    with Connection(TARGET.login) as c:
        c.send(wire.query("copy conformance_raw from stdin") + wire.copy_data(b"1\n") + wire.query("select 1"))
        got = [conversations.word(m) for m in c.messages_to_end()]
        equal(got[:2], ["G", "E(08P01)"], "the copy and the violation")
        true(all(w == "E(08P01)" for w in got[2:]), f"no answer to the query, got {got}")
    with Connection(TARGET.login) as c:
        equal(c.value("select count(*) from conformance_raw where v = 1"), "0", "rows of the broken copy")


@SUITE.check
def unnamed_statements_of_neighbours_never_mix():
    """More clients than backends, each preparing once and binding over many Syncs."""
    clients = [Connection(TARGET.login) for _ in range(12)]
    for i, c in enumerate(clients):
        c.answers(wire.parse("", f"select 'own {i} ' || $1::text") + wire.describe("S", "") + wire.SYNC)
    for round_ in range(15):
        for c in clients:
            c.send(wire.bind("", "", (str(round_),)) + wire.execute() + wire.SYNC)
        for i, c in enumerate(clients):
            equal(rows(c.messages_until("Z")), [(f"own {i} {round_}",)], "answer to the unnamed statement")


@SUITE.check
def named_statements_of_neighbours_never_mix():
    """The same name, another text and another row shape in each client."""
    clients = [Connection(TARGET.login) for _ in range(12)]
    for i, c in enumerate(clients):
        c.answers(wire.parse("s1", "select " + ", ".join([f"'own {i}'"] * (i % 4 + 1))) + wire.SYNC)
    for _ in range(15):
        for c in clients:
            c.send(wire.bind("", "s1") + wire.describe("S", "s1") + wire.execute() + wire.SYNC)
        for i, c in enumerate(clients):
            messages = c.messages_until("Z")
            equal(rows(messages), [(f"own {i}",) * (i % 4 + 1)], "answer to the named statement")
            equal(len([m for m in messages if m.kind == "T"][0].columns()), i % 4 + 1, "described columns")


@SUITE.check
def closing_a_name_leaves_the_neighbours_statement():
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        for c in (a, b):
            c.answers(wire.parse("shared", "select 'same text'") + wire.SYNC)
        a.answers(wire.close("S", "shared") + wire.SYNC)
        for _ in range(10):
            equal(rows(b.answers(wire.bind("", "shared") + wire.execute() + wire.SYNC)), [("same text",)], "the neighbour's statement")
        try:
            rows(a.answers(wire.bind("", "shared") + wire.SYNC))
            raise AssertionError("a closed statement was bound")
        except ServerError as error:
            equal(error.code, "26000", "binding a closed statement")


@SUITE.check(deadline=60)
def a_deep_pipeline_keeps_its_order():
    """A thousand segments written without reading, errors and Flushes among them."""
    segments, wanted = [], []
    for i in range(1000):
        if i % 10 == 7:
            segments.append(conversations.one(f"select 1/0 as e{i}") + conversations.one("select 'skipped'") + wire.SYNC)
            wanted.append("E")
        else:
            segments.append(conversations.one(f"select 'n{i}'") + (wire.FLUSH if i % 3 else b"") + wire.SYNC)
            wanted.append(f"n{i}")
    with Connection(TARGET.login) as c:
        writer = threading.Thread(target=c.send, args=(b"".join(segments),), daemon=True)
        writer.start()
        got = []
        for _ in range(1000):
            for m in c.messages_until("Z"):
                if m.kind in "DE":
                    got.append("E" if m.kind == "E" else m.row()[0].decode())
        equal(got, wanted, "answers in order")


@SUITE.check(deadline=60)
def large_messages_both_ways_at_once_do_not_deadlock():
    """10 MB parameters answered by 10 MB rows while the client still writes."""
    size = 10_000_000
    with Connection(TARGET.login) as c:
        value = b"ab" * (size // 2)
        segment = wire.parse("", "select $1::text") + wire.bind("", "", (value,)) + wire.execute() + wire.SYNC
        writer = threading.Thread(target=c.send, args=(segment * 3,), daemon=True)
        writer.start()
        for _ in range(3):
            data = [m for m in c.messages_until("Z") if m.kind == "D"]
            true(len(data) == 1 and data[0].row()[0] == value, "the row is the parameter")


@SUITE.check(deadline=60)
def a_slow_reader_gets_the_whole_result():
    with Connection(TARGET.login) as c:
        c.send(wire.query("select repeat('x', 1000) from generate_series(1, 30000)"))
        with Connection(TARGET.login) as neighbour:
            for _ in range(20):
                equal(neighbour.value("select 'quick'"), "quick", "a neighbour meanwhile")
        messages = c.messages_until("Z")
        equal(sum(m.kind == "D" for m in messages), 30000, "rows")


@SUITE.check(deadline=60)
def ten_thousand_prepared_statements_are_told_apart():
    """Half are closed again; the rest keep their own text."""
    count = 500 if TARGET.quick else 10000
    with Connection(TARGET.login) as c:
        for start in range(0, count, 100):
            data = b"".join(wire.parse(f"p{i}", f"select {i} as c{i}") for i in range(start, start + 100))
            c.answers(data + wire.SYNC)
        c.answers(b"".join(wire.close("S", f"p{i}") for i in range(0, count, 2)) + wire.SYNC)
        for i in range(1, count, 49 * 2):
            equal(rows(c.answers(wire.bind("", f"p{i}") + wire.execute() + wire.SYNC)), [(str(i),)], "a kept statement")
        messages = c.answers(wire.bind("", "p2") + wire.SYNC)
        equal(conversations.word(messages[0]), "E(26000)", "a closed statement")


@SUITE.check
def terminate_ends_the_connection_quietly():
    with Connection(TARGET.login) as c:
        c.send(wire.query("select 1") + wire.TERMINATE)
        equal([m.kind for m in c.messages_to_end()], ["T", "D", "C", "Z"], "all that comes")


prepare()
SUITE.run()
