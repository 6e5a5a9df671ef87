"""LISTEN and NOTIFY: commit and rollback, order, payloads, one's own notifications, many clients, and what a lost listener means.

The first checks hold on a connection of one's own as well. Those about crowds and losses start a Forebay of their own.
"""

import resource
import select
import struct
import time
from collections import Counter

import psycopg

from kit import target, wire
from kit.connection import Connection, eventually
from kit.crowd import Crowd, Member
from kit.metrics import Metrics
from kit.proxy import Forebay
from kit.report import Skip, Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)

LISTENERS = "select count(*) from pg_stat_activity where application_name = 'forebay listener'"


def told(message):
    """Process number, channel and payload of a NotificationResponse."""
    channel, payload, _ = message.body[4:].split(b"\0", 2)
    return struct.unpack("!I", message.body[:4])[0], channel, payload


def payloads(messages):
    """Payloads of the notifications among messages, as text."""
    return [told(m)[2].decode() for m in messages if m.kind == "A"]


def hears(c, count, seconds=10):
    """The next `count` notifications, and nothing else, without having asked."""
    got = []
    end = time.monotonic() + seconds
    while len(got) < count:
        true(time.monotonic() < end, f"{count} notifications within {seconds} s, there are {len(got)}")
        message = c.message()
        if message.kind != "N":
            equal(message.kind, "A", "an unasked message")
            got.append(told(message)[2].decode())
    return got


def kinds(messages):
    """The kinds of messages in their order, reports aside."""
    return "".join(m.kind for m in messages if m.kind not in "SN")


def sockets(wanted):
    """How many of so many sockets this process and a child may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)


@SUITE.check
def a_listen_counts_from_its_commit_and_not_after_a_rollback():
    """What is committed before the listener's commit is not heard, what is committed behind it is."""
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        a.query("begin")
        a.query("listen l_commit")
        b.query("notify l_commit, 'before'")
        equal(payloads(a.answers(wire.query("commit"))), [], "told at the commit")
        b.query("notify l_commit, 'behind'")
        equal(hears(a, 1), ["behind"], "told behind the commit")
        a.query("begin")
        a.query("listen l_rolled")
        a.query("savepoint s")
        a.query("listen l_savepoint")
        a.query("rollback to s")
        a.query("listen l_kept")
        a.query("commit")
        for sql in ("begin; listen l_gone; rollback", "begin", "listen l_gone", "rollback"):
            a.query(sql)
        true(a.answers(wire.query("listen l_gone; select 1/0"))[-2].kind == "E", "the failed string fails")
        for name in ("l_gone", "l_savepoint", "l_rolled", "l_kept"):
            b.query(f"notify {name}, '{name}'")
        equal(hears(a, 2), ["l_rolled", "l_kept"], "told on what was committed")
        true(a.silent_for(0.3), "nothing else is told")


@SUITE.check
def unlisten_and_discard_all_end_it():
    """UNLISTEN counts from its commit on, too."""
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        a.query("listen l_one; listen l_two; listen l_three")
        a.query("begin; unlisten l_one")
        b.query("notify l_one, 'lost with the commit'")
        equal(payloads(a.answers(wire.query("commit"))), [], "told on what the commit ends")
        b.query("notify l_one; notify l_two, '2'")
        equal(hears(a, 1), ["2"], "told")
        a.query("unlisten *")
        b.query("notify l_two")
        true(a.silent_for(0.3), "nothing is told")
        a.query("listen l_two")
        a.query("discard all")
        b.query("notify l_two")
        true(a.silent_for(0.3), "nothing is told")


@SUITE.check
def own_notifications_come_before_ready_for_query():
    """In one's own transaction order, folded, with the process number of the login; another's has another one."""
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        a.query("listen l_own")
        own = struct.unpack("!I", a.greeting.key[:4])[0] if isinstance(a.greeting.key, bytes) else a.greeting.key[0]
        for _ in range(100):
            b.query("select pg_notify('l_own', 'other')")
            got = a.answers(wire.query("begin; notify l_own, '1'; notify l_own, '2'; notify l_own, '1'; commit; select 1"))
            notes = [told(m) for m in got if m.kind == "A"]
            equal([n[2] for n in notes if n[0] == own], [b"1", b"2"], "own notifications in the answer")
            equal([n[2] for n in notes if n[0] != own], [b"other"] if len(notes) == 3 else [], "another's")
            if len(notes) == 2:
                equal(hears(a, 1), ["other"], "another's")
        equal(kinds(a.answers(wire.query("select pg_notify('l_own', 'x')"))), "TDCAZ", "a function's notification")
        a.query("begin")
        equal(kinds(a.answers(wire.query("notify l_own"))), "CZ", "within a transaction")
        equal(kinds(a.answers(wire.query("commit"))), "CAZ", "at its end")
        extended = wire.parse("", "notify l_own, 'e'") + wire.bind("", "") + wire.execute() + wire.SYNC
        equal(kinds(a.answers(extended)), "12CAZ", "in the extended protocol")
        listen = wire.parse("", "listen l_own2") + wire.bind("", "") + wire.execute() + wire.SYNC
        equal(kinds(a.answers(listen)), "12CZ", "a LISTEN in the extended protocol")
        equal(kinds(a.answers(wire.query("listen l_own3; notify l_own3, 'y'"))), "CCAZ", "listened and notified at once")
        b.query("notify l_own2, 'z'")
        equal(hears(a, 1), ["z"], "told")


@SUITE.check
def triggers_notify_their_own_session_in_time():
    """What is notified by code that nobody reads."""
    with Connection(TARGET.login) as a:
        a.query("create table if not exists l_table (n int)")
        a.query("create or replace function l_trigger() returns trigger language plpgsql as "
                "$$ begin perform pg_notify('l_trigger', new.n::text); return new; end $$")
        a.query("drop trigger if exists l_trigger on l_table")
        a.query("create trigger l_trigger after insert on l_table for each row execute function l_trigger()")
        a.query("listen l_trigger")
        for number in range(50):
            equal(payloads(a.answers(wire.query(f"insert into l_table values ({number})"))), [str(number)], "told in the answer")
        a.query("drop table l_table")


@SUITE.check
def payloads_arrive_byte_for_byte():
    """Quotes, backslashes, UTF-8, up to 7999 bytes; channels with quotes, capitals, and more than 63 bytes."""
    texts = ["", "it's", 'say "x"', "back\\slash \\n", "tab\t\r\n", "äöü €𝄞", "x" * 7999, "é" * 3999]
    channels = ['"l Quoted"', '"l""q"', "L_Folded", f'"{"é" * 40}"', "l_" + "x" * 80]
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        for name in channels:
            a.query(f"listen {name}")
            for text in texts:
                quoted = text.replace("'", "''")
                b.query(f"notify {name}, '{quoted}'")
                equal(hears(a, 1), [text], f"told on {name}")
            a.query(f"unlisten {name}")
        a.query('listen "é"')
        b.query("""select pg_notify('é', 'x')""")
        equal(told(a.message())[1], "é".encode(), "the channel")


@SUITE.check
def a_client_of_another_encoding_hears_on_a_backend_of_its_own():
    """Own notifications and others', idle and in an answer."""
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        a.query("set client_encoding = 'latin1'")
        a.query("listen l_latin")
        equal(payloads(a.answers(wire.query("notify l_latin, 'own'"))), ["own"], "one's own")
        b.query("notify l_latin, 'other'")
        equal(hears(a, 1), ["other"], "another's")
        b.query("notify l_latin, 'é'")
        equal(told(a.message())[2], b"\xe9", "in the client's encoding")


@SUITE.check
def notifications_wait_for_the_end_of_a_transaction():
    """Not within one, and at its ReadyForQuery."""
    with Connection(TARGET.login) as a, Connection(TARGET.login) as b:
        a.query("listen l_wait")
        a.query("begin")
        b.query("notify l_wait, '1'")
        true(a.silent_for(0.3), "nothing is told within")
        equal(kinds(a.answers(wire.query("select 1"))), "TDCZ", "within")
        got = a.answers(wire.query("commit"))
        equal(kinds(got), "CAZ", "at the end")


@SUITE.check(deadline=90)
def twenty_thousand_notifications_keep_their_order():
    """Several notifiers at once; every listener hears each of them in one order, and nothing is lost."""
    each, notifiers = (1000, 4) if TARGET.quick else (5000, 4)
    listeners = [Connection(TARGET.login) for _ in range(3)]
    for c in listeners:
        c.query("listen l_order")
    senders = [Connection(TARGET.login) for _ in range(notifiers)]
    begun = time.monotonic()
    batch = 250
    for first in range(0, each, batch):
        for number, c in enumerate(senders):
            c.send(wire.query("".join(f"notify l_order, '{number}.{n}';" for n in range(first, first + batch))))
        for c in senders:
            c.messages_until("Z")
    heard = [hears(c, each * notifiers, 60) for c in listeners]
    spent = time.monotonic() - begun
    print(f"{each * notifiers} notifications to {len(listeners)} listeners in {spent:.2f} s", flush=True)
    for number in range(notifiers):
        mine = [int(p.split(".")[1]) for p in heard[0] if p.startswith(f"{number}.")]
        equal(mine, list(range(each)), f"what notifier {number} told")
    true(heard[0] == heard[1] == heard[2], "all listeners hear one order")
    for c in listeners + senders:
        c.close()


@SUITE.check
def a_driver_hears_notifications():
    """psycopg's own interface."""
    login = TARGET.login
    given = {"host": login.host, "port": login.port, "user": login.user, "password": login.password, "dbname": login.database,
             "sslmode": "disable", "autocommit": True}
    with psycopg.connect(**given) as a, psycopg.connect(**given) as b:
        a.execute("listen l_driver")
        for number in range(10):
            b.execute("select pg_notify('l_driver', %s)", (str(number),))
        got = [n.payload for n in a.notifies(timeout=5, stop_after=10)]
        equal(got, [str(n) for n in range(10)], "notifications")


def nobody_listens():
    """Waits until connections of other checks that listen are closed."""
    with Connection(TARGET.direct) as d:
        eventually(lambda: d.value(LISTENERS) == "0", 20, "the connection is closed when nobody listens")


@SUITE.check
def listening_clients_hold_no_backend():
    """Fifty clients listen, and five backends serve them all; there is no pin."""
    with Forebay(TARGET, group={"max_connections_percent": 5}) as f:
        nobody_listens()
        clients = [Connection(f.login()) for _ in range(50)]
        for n, c in enumerate(clients):
            c.query(f"listen l_hold{n % 7}")
        with Connection(f.login()) as b:
            equal(b.value(LISTENERS), "1", "connections that listen")
            for n in range(7):
                b.query(f"notify l_hold{n}, '{n}'")
        for n, c in enumerate(clients):
            equal(hears(c, 1), [str(n % 7)], "told")
        figures = Metrics(f.get("/metrics")[1])
        equal(figures.value("session_pins"), 0, "pins")
        equal(figures.value("subscriptions"), 50, "subscriptions")
        equal(figures.value("listeners"), 1, "listeners")
        for c in clients:
            c.close()
        eventually(lambda: Metrics(f.get("/metrics")[1]).value("subscriptions") == 0, 5, "no subscription is left")
        nobody_listens()


async def pause(members, paused=True):
    """Nothing is read of these, or again."""
    for m in members:
        (m.writer.transport.pause_reading if paused else m.writer.transport.resume_reading)()


def all_hung_up(sockets, seconds=20):
    """Waits until the other end of every one has closed, without reading: that a client in Python takes a while to read must not count."""
    left = {s.fileno() for s in sockets}
    end = time.monotonic() + seconds
    with select.epoll() as poll:
        for number in left:
            poll.register(number, select.EPOLLRDHUP | select.EPOLLONESHOT)
        while left:
            true(time.monotonic() < end, f"all are closed within {seconds} s, {len(left)} are not")
            left -= {number for number, _ in poll.poll(1, 4096)}


@SUITE.check(deadline=200)
def many_clients_listen_on_one_connection():
    """Ten thousand, as far as descriptors go; every one of them is told, and is told when the listener is lost."""
    count = sockets(500 if TARGET.quick else 10_000)
    channels = 100
    with Forebay(TARGET, workers=3) as f, Connection(TARGET.direct) as d:
        nobody_listens()
        crowd = Crowd()
        members = []
        begun = time.monotonic()
        while len(members) < count:
            group = [Member(f.login()) for _ in range(min(200, count - len(members)))]
            crowd.all([m.enter() for m in group])
            crowd.all([m.ask(f"listen l_many{(len(members) + n) % channels}") for n, m in enumerate(group)])
            members += group
        print(f"{count} clients listen after {time.monotonic() - begun:.1f} s", flush=True)
        equal(d.value(LISTENERS), "1", "connections that listen")
        begun = time.monotonic()
        d.query("".join(f"notify l_many{n}, '{n}';" for n in range(channels)))
        got = crowd.all([m.message() for m in members])
        print(f"all were told after {time.monotonic() - begun:.2f} s", flush=True)
        equal(Counter(m.kind for m in got), Counter({"A": count}), "what they are told")
        wrong = [n for n, m in enumerate(got) if told(m)[2] != str(n % channels).encode()]
        equal(wrong, [], "clients that were told another's")
        crowd.run(pause(members))
        begun = time.monotonic()
        d.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'forebay listener'")
        all_hung_up([m.writer.get_extra_info("socket") for m in members])
        spent = time.monotonic() - begun
        print(f"all could know of the loss after {spent:.2f} s", flush=True)
        crowd.run(pause(members, False))
        ends = crowd.all([m.rest() for m in members])
        codes = Counter(tuple((m.kind, m.fields()["S"], m.fields()["C"]) for m in end) for end in ends)
        equal(codes, Counter({(("E", "FATAL", "08006"),): count}), "how they end")
        true(spent < 1, f"told within a second ({spent:.2f} s)")


@SUITE.check
def a_lost_listener_is_told_to_everybody_at_once():
    """Whoever listens is closed, whoever does not goes on, and LISTEN works again."""
    with Forebay(TARGET) as f, Connection(TARGET.direct) as d, Connection(f.login()) as other:
        clients = [Connection(f.login()) for _ in range(10)]
        for c in clients:
            c.query("listen l_lost")
        clients[0].query("begin")
        other.query("begin")
        begun = time.monotonic()
        d.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'forebay listener'")
        for c in clients:
            last = c.messages_to_end()
            equal([(m.kind, m.fields()["S"], m.fields()["C"]) for m in last], [("E", "FATAL", "08006")], "the end")
        true(time.monotonic() - begun < 1, "told within a second")
        equal(other.value("select 7"), "7", "another's answer")
        other.query("commit")
        equal(Metrics(f.get("/metrics")[1]).value("listeners_lost"), 1, "losses")
        with Connection(f.login()) as a:
            a.query("listen l_lost")
            d.query("notify l_lost, 'again'")
            equal(hears(a, 1), ["again"], "told")


@SUITE.check
def a_listener_that_cannot_be_had_fails_the_statement_alone():
    """The database takes no more connections: LISTEN fails, the session and its transaction's rules stay."""
    if not TARGET.admin:
        raise Skip("needs --admin-url")
    with Forebay(TARGET) as f, Connection(TARGET.admin) as admin, Connection(f.login()) as a:
        user = TARGET.direct.user
        equal(a.value("select 1"), "1", "an answer")
        used = admin.value(f"select count(*) from pg_stat_activity where usename = '{user}'")
        admin.query(f'alter role "{user}" connection limit {used}')
        try:
            def denied(sql):
                messages = a.answers(wire.query(sql))
                return [m.fields()["C"] for m in messages if m.kind == "E"], messages[-1].body
            equal(denied("listen l_denied"), (["53300"], b"I"), "LISTEN")
            equal(a.value("select 2"), "2", "an answer")
            a.query("begin")
            a.query("listen l_denied")
            equal(denied("commit"), (["53300"], b"E"), "COMMIT")
            a.query("rollback")
        finally:
            admin.query(f'alter role "{user}" connection limit -1')
        a.query("listen l_denied")
        a.query("notify l_denied")


SUITE.run()
