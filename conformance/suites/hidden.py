"""What code hides from the proxy (functions, blocks, procedures, triggers) follows its client, reaches nobody else, and pins no longer than it must.

Two clients share backends that are handed out in rotation, so that nobody meets his own backend by luck.
"""

from kit import target
from kit.connection import Connection, ServerError, eventually
from kit.metrics import Metrics
from kit.proxy import Forebay, secret
from kit.report import Suite, equal, true

TARGET = target.from_command_line(__doc__)
SUITE = Suite(TARGET)

FUNCTIONS = """
create or replace function {name}_set(what text, value text) returns void language plpgsql as
    $$ begin perform set_config('work_mem', value, false); perform set_config('hidden.tenant', what, false); end $$;
create or replace function {name}_lock(key int) returns void language plpgsql as $$ begin perform pg_advisory_lock(key); end $$;
create or replace procedure {name}_commits(value text) language plpgsql as
    $$ begin perform set_config('work_mem', value, false); commit; perform 1/0; end $$;
create table if not exists {name}_t (a int);
create or replace function {name}_on_insert() returns trigger language plpgsql as
    $$ begin perform set_config('work_mem', '11MB', false); return new; end $$;
drop trigger if exists {name}_trigger on {name}_t;
create trigger {name}_trigger before insert on {name}_t for each row execute function {name}_on_insert();
"""


def figure(proxy, name):
    """What the metrics say of this."""
    return Metrics(proxy.get("/metrics")[1]).value(name) or 0


def grown(proxy, act, name, what):
    """This makes that figure grow by one, as soon as the database has told what is left."""
    before = figure(proxy, name)
    act()
    eventually(lambda: figure(proxy, name) == before + 1 or figure(proxy, name), 5, what)


class Place:
    """A proxy with three backends in rotation, and two clients."""

    def __init__(self):
        self.proxy = Forebay(TARGET)
        self.proxy.secrets = [secret(TARGET.login.user, TARGET.login.password)]
        self.proxy.proxies = [self.proxy.proxy(group={"max_connections": 3, "lease_order": "rotate"})]

    def __enter__(self):
        with Connection(TARGET.direct) as c:
            for statement in FUNCTIONS.format(name="hidden").split(";\n"):
                if statement.strip():
                    c.query(statement)
        self.proxy.__enter__()
        self.own, self.other = (Connection(self.proxy.login()) for _ in range(2))
        return self

    def __exit__(self, *what):
        self.own.close()
        self.other.close()
        self.proxy.__exit__(*what)

    def values(self, client, sql, times=4):
        """The different answers when this is asked several times."""
        return {client.value(sql) for _ in range(times)}

    def pins(self):
        """Pins so far."""
        return figure(self.proxy, "session_pins")


@SUITE.check(deadline=60)
def what_a_function_sets_follows_its_client_and_nobody_else():
    with Place() as p:
        p.own.query("select hidden_set('a', '5MB')")
        equal(p.values(p.own, "show work_mem"), {"5MB"}, "its own")
        equal(p.values(p.own, "select current_setting('hidden.tenant', true)"), {"a"}, "its own, with a dot")
        true("5MB" not in p.values(p.other, "show work_mem"), "the other's")
        true("a" not in p.values(p.other, "select coalesce(current_setting('hidden.tenant', true), '')"), "the other's, with a dot")
        equal(p.pins(), 0, "pins")


@SUITE.check(deadline=60)
def what_blocks_procedures_triggers_and_parameters_set_follows_too():
    with Place() as p:
        p.own.query("do $$ begin perform set_config('lock_timeout', '7s', false); end $$")
        equal(p.values(p.own, "show lock_timeout"), {"7s"}, "by a block")
        try:
            p.own.query("call hidden_commits('9MB')")
            code = None
        except ServerError as error:
            code = error.code
        equal(code, "22012", "the procedure fails behind its COMMIT")
        equal(p.values(p.own, "show work_mem"), {"9MB"}, "by a procedure that committed")
        p.own.query("insert into hidden_t values (1)")
        equal(p.values(p.own, "show work_mem"), {"11MB"}, "by a trigger")
        p.own.query("select set_config('statement_timeout', 70 || 's', false)")
        equal(p.values(p.own, "show statement_timeout"), {"70s"}, "computed")
        p.own.query("update pg_settings set setting = '12345' where name = 'work_mem'")
        equal(p.values(p.own, "show work_mem"), {"12345kB"}, "by an UPDATE")
        equal(p.pins(), 0, "pins")


@SUITE.check(deadline=60)
def a_rollback_takes_hidden_settings_back():
    with Place() as p:
        before = p.values(p.own, "show work_mem")
        for sql in ("begin", "select hidden_set('a', '5MB')", "rollback"):
            p.own.query(sql)
        equal(p.values(p.own, "show work_mem"), before, "after the rollback")


@SUITE.check(deadline=60)
def a_hidden_lock_pins_until_it_is_released():
    with Place() as p:
        p.own.query("select hidden_lock(4711)")
        equal(len(p.values(p.own, "select pg_backend_pid()")), 1, "backends while the lock is held")
        p.own.query("select pg_advisory_unlock(4711)")
        equal(p.pins(), 1, "pins")
        eventually(lambda: figure(p.proxy, "session_unpins") == 1 or figure(p.proxy, "session_unpins"), 5, "the pin ends")


@SUITE.check(deadline=60)
def pins_end_with_their_cause():
    with Place() as p:
        for begin, end in (
            ("create temp table hidden_temp (a int)", "drop table hidden_temp"),
            ("declare hidden_c cursor with hold for select 1", "close hidden_c"),
            ("select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"),
        ):
            grown(p.proxy, lambda begin=begin: p.own.query(begin), "session_pins", f"pins by {begin}")
            grown(p.proxy, lambda end=end: p.own.query(end), "session_unpins", f"pins that {end} ends")


@SUITE.check(deadline=60)
def what_ends_with_its_transaction_does_not_pin():
    with Place() as p:
        for sql in ("begin", "create temp table hidden_temp (a int) on commit drop", "commit", "begin", "create temp table hidden_temp (a int)", "rollback"):
            p.own.query(sql)
        with Connection(TARGET.direct) as c:
            c.query("select pg_advisory_lock(99)")
            equal(p.own.value("select pg_try_advisory_lock(99)"), "f", "the lock is another's")
        equal(p.pins(), 0, "pins")


SUITE.run()
