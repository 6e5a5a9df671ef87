"""PREPARE, EXECUTE and DEALLOCATE as SQL, mixed with the protocol's own prepared statements, among clients that share backends.

Each client has a twin straight at PostgreSQL that does the same: every message must be equal. All clients give the same few
names to different statements, so that whatever one finds of another's is noticed.
"""

import contextlib
import random

from kit import conversations, target, wire
from kit.connection import Connection
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)
NAMES = ("p0", "p1", "p2")
SYNC = wire.frame("S")
# Of a PREPARE that came with others, a backend that prepares it again knows no more than itself.
LISTED = "select name, case when not from_sql then statement end as text, parameter_types, from_sql from pg_prepared_statements order by name"


class Twins:
    """One client through the proxy, and one straight at PostgreSQL that does the same."""

    def __init__(self, **parameters):
        if not TARGET.direct:
            raise Skip("give --direct-port")
        parameters = {"TimeZone": "UTC", **parameters}
        self.proxied = Connection(TARGET.login, **parameters)
        self.direct = Connection(TARGET.direct, **parameters)
        self.said = []
        self.status = b"I"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxied.close()
        self.direct.close()

    def do(self, data, ready=1, what=None):
        """Both do this; their answers must be equal."""
        self.said.append(what or data)
        wanted = [conversations.exact(m) for m in self.direct.answers(data, ready)]
        got = [conversations.exact(m) for m in self.proxied.answers(data, ready)]
        equal([*map(in_failed_transaction, got, wanted)] if len(got) == len(wanted) else got, wanted, f"answers to {self.said[-1]}, behind {self.said[-8:-1]}")
        self.status = wanted[-1][1]

    def query(self, sql):
        """A simple query."""
        return self.do(wire.query(sql), what=sql)


def in_failed_transaction(got, wanted):
    """What cannot be prepared again in a failed transaction fails as everything does there, whatever else is wrong with it."""
    codes = [dict(m[1]).get("C") for m in (got, wanted) if m[0] == "E"]
    return wanted if codes == ["25P02", "08P01"] else got


@contextlib.contextmanager
def several(count):
    """So many twins."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Twins()) for _ in range(count)]


def set_up():
    """Tables of one name and shape in two schemas."""
    with Connection(TARGET.direct or TARGET.login) as c:
        c.query("drop schema if exists conformance_one cascade; drop schema if exists conformance_two cascade;"
                "create schema conformance_one; create schema conformance_two;"
                "create table conformance_one.place as select 'one' as v; create table conformance_two.place as select 'two' as v;"
                "create table conformance_one.log (v int)")


def bodies(dice):
    """What is prepared; whose it is can be told by its answer."""
    mark = dice.randrange(1000)
    return dice.choice((f"select $1::int + {mark} as sum", f"select 'it is {mark}' as text", f"select v, {mark} as mark from place", f"values ({mark}, 'x')",
                        f"select $1::text || '{mark}' as text", f"insert into conformance_one.log values ({mark}) returning v",
                        f"select {mark} / 0", "select * from nowhere"))


def by_query(dice, name, other):
    """One simple query about a name."""
    argument = dice.choice(("", "", "(7)"))
    return dice.choice((f"prepare {name} as {bodies(dice)}", f"prepare {name} as {bodies(dice)}", f"prepare {name} (int) as select $1 as one",
                        f"execute {name}{argument}", f"execute {name}{argument}", f"execute {name}{argument}", f"EXECUTE {name.upper()}(1)",
                        f"explain (costs off) execute {name}{argument}", f"deallocate {name}", f"deallocate prepare {name}",
                        f"execute {name}; execute {other}", f"prepare {name} as {bodies(dice)}; execute {name}; deallocate {name}",
                        f"deallocate {name}; prepare {name} as {bodies(dice)}; execute {name}",
                        f"begin; execute {name}{argument}; commit", f"select 1; execute {name}; select 2", "deallocate all", LISTED,
                        dice.choice(("discard all", "discard plans", "select 'nothing' as much"))))


def by_protocol(dice, name, other):
    """One segment, or several, of the extended protocol."""
    parse, bind, execute = wire.parse, wire.bind, wire.execute
    use = bind("", name, dice.choice(((), ("7",)))) + wire.describe("P", "") + execute()
    run = parse("", f"execute {name}") + bind("", "") + wire.describe("P", "") + execute()
    prepare = parse("", f"prepare {name} as {bodies(dice)}") + bind("", "") + execute()
    drop = parse("", f"deallocate {name}") + bind("", "") + execute()
    segments = dice.choice(((parse(name, bodies(dice)),), (parse(name, bodies(dice)), use), (parse(name, f"select $1 as {name}", (23,)) + use,),
                            (use,), (use, use), (run,), (run, use), (prepare,), (prepare, use), (prepare + use,), (prepare + run,), (drop,),
                            (drop + run,), (drop, use), (parse("", LISTED) + bind("", "") + execute(),), (parse(name, LISTED), use), (wire.close("S", name),), (wire.close("S", name) + use,), (wire.describe("S", name),),
                            (parse("e", f"execute {name}"), bind("", "e") + execute()), (bind("", "e") + execute(), wire.close("S", "e")),
                            (bind("", "") + execute(),), (run, run.replace(name.encode(), other.encode()), use)))
    return SYNC.join(segments) + SYNC, len(segments)


def step(dice, twins):
    """One step of one client."""
    name, other = dice.choice(NAMES), dice.choice(NAMES)
    if dice.random() < 0.12:
        return twins.query(dice.choice(("begin", "commit", "rollback", "savepoint a", "rollback to a", "select 1 / 0",
                                        "set search_path = conformance_one", "set search_path = conformance_two",
                                        "set local search_path = conformance_two")))
    # In a failed transaction what cannot be prepared again there fails otherwise.
    if dice.random() < 0.5 or twins.status == b"E":
        return twins.query(by_query(dice, name, other))
    data, ready = by_protocol(dice, name, other)
    return twins.do(data, ready)


def program(seed, clients, steps):
    """Clients take turns at random."""
    dice = random.Random(seed)
    try:
        with several(clients) as crowd:
            for twins in crowd:
                twins.query("set search_path = " + dice.choice(("conformance_one", "conformance_two")))
            for _ in range(steps):
                step(dice, dice.choice(crowd))
    except Exception as error:
        return f"seed {seed}: {error!r}"


@SUITE.check(deadline=240)
def random_programs_read_what_postgresql_says():
    """Several clients that give equal names to different statements and take turns on the same backends."""
    set_up()
    first = TARGET.seed or 1
    # One after the other: each client may hold a backend, and there may be no more than these.
    wrong = [*filter(None, (program(seed, 3, 60) for seed in range(first, first + (40 if TARGET.quick else 400))))]
    equal(wrong[:1], [], f"{len(wrong)} programs that went wrong")


@SUITE.check
def what_execute_sets_follows_its_client():
    """A prepared set_config is a setting like any other."""
    with several(4) as crowd:
        for number, twins in enumerate(crowd):
            twins.query(f"prepare s as select set_config('work_mem', '{number + 1}MB', false)")
            twins.query("execute s")
        for _ in range(3):
            for twins in crowd:
                twins.query("show work_mem")


@SUITE.check
def a_changed_table_shows_as_on_a_connection_of_ones_own():
    """The result type of a statement has changed: refused until it is prepared anew, and then not."""
    with several(2) as (one, other):
        one.proxied.query("drop table if exists conformance_changing; create table conformance_changing (a int)")
        for twins in (one, other):
            twins.query("prepare c as select * from conformance_changing")
            twins.query("begin; execute c")
            twins.query("commit")
        one.proxied.query("alter table conformance_changing add b text")
        with Connection(TARGET.login) as held:
            held.query("begin; select 1")
            for twins in (one, other):
                twins.query("deallocate c; prepare c as select * from conformance_changing")
                twins.query("execute c")
            held.query("rollback")
        one.proxied.query("drop table conformance_changing")


@SUITE.check
def execute_in_a_pipeline_is_answered_in_order():
    """Many executions without waiting, an error in the middle."""
    with several(2) as (one, other):
        one.query("prepare a(int) as select 100 / $1 as a")
        other.query("prepare a(int) as select -$1 as a")
        for twins in (one, other, one):
            segments = [conversations.one(f"execute a({n % 5})") for n in range(200)]
            twins.do(SYNC.join(segments) + SYNC, 200, what="a pipeline")


@SUITE.check(deadline=120)
def many_statements_leave_backends_and_proxy_bounded():
    """10,000 different statements under 10,000 names, of which each client keeps none."""
    with Connection(TARGET.login) as c, Connection(TARGET.direct or TARGET.login) as direct:
        for number in range(10000 if not TARGET.quick else 2000):
            name = f"many_{number}"
            c.query(f"prepare {name} as select {number} as n")
            if number % 100 == 0:
                equal(c.query(f"execute {name}"), [(str(number),)], "rows")
        there = int(c.value("select count(*) from pg_prepared_statements where not from_sql is null"))
        if TARGET.is_proxy:
            true(there <= 1300, f"at most as many statements on a backend as there may be, got {there}")
        equal(c.query("execute many_3"), [("3",)], "rows of one made long ago")
        direct.query("select 1")


@SUITE.check
def nobody_is_pinned():
    """More clients than backends hold prepared statements, and all go on."""
    count = 3 * (TARGET.pool_max or 3)
    clients = [Connection(TARGET.login) for _ in range(count)]
    try:
        for number, c in enumerate(clients):
            c.query(f"prepare mine as select {number} as n")
        for _ in range(3):
            for number, c in enumerate(clients):
                equal(c.query("execute mine"), [(str(number),)], "rows")
    finally:
        for c in clients:
            c.close()


SUITE.run()
