"""Django untuned: its own migrations, the ORM, transactions and server-side cursors, on persistent connections, pools and threads.

Nothing pins (kit/stock.py) but the cursor WITH HOLD that `iterator()` uses outside a transaction, and that only until it is closed.
"""

import datetime
import decimal
from concurrent.futures import ThreadPoolExecutor

import django
from django.conf import settings

from kit import target
from kit.connection import Connection, eventually
from kit.metrics import Metrics
from kit.report import equal, true
from kit.stock import Stock

TARGET = target.from_command_line(__doc__)
STOCK = Stock(TARGET)
SCHEMA = "conformance_django"
ALIASES = {
    "default": {},
    "persistent": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "tokyo": {"TIME_ZONE": "Asia/Tokyo"},
    "pooled": {"OPTIONS": {"pool": {"min_size": 2, "max_size": 4}}},
    "serializable": {"OPTIONS": {"isolation_level": 4}, "ATOMIC_REQUESTS": True},
    "no_cursors": {"DISABLE_SERVER_SIDE_CURSORS": True, "AUTOCOMMIT": True},
}


BOUND = {"bound": {"OPTIONS": {"server_side_binding": True}}}


def database(options):
    """One entry of DATABASES."""
    to = STOCK.login
    base = {"ENGINE": "django.db.backends.postgresql", "HOST": to.host, "PORT": to.port, "USER": to.user, "PASSWORD": to.password, "NAME": to.database}
    more = {"sslmode": "disable", "options": f"-c search_path={SCHEMA}", "application_name": "django"} | options.get("OPTIONS", {})
    return base | {k: v for k, v in options.items() if k != "OPTIONS"} | {"OPTIONS": more}


STOCK.__enter__()  # Its address has to be known before Django is configured.
settings.configure(
    DATABASES={alias: database(options) for alias, options in (ALIASES | BOUND).items()}, USE_TZ=True, SECRET_KEY="not one", TIME_ZONE="Europe/Rome", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.postgres"],
)
django.setup()

from django.core.management import call_command  # noqa: E402  (Django must be configured first)
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction  # noqa: E402


class Thing(models.Model):
    """A table of these checks."""

    name = models.CharField(max_length=50, unique=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    made = models.DateTimeField(auto_now_add=True)
    on = models.DateField(null=True)
    data = models.JSONField(default=dict)
    raw = models.BinaryField(default=b"")
    lasted = models.DurationField(default=datetime.timedelta)

    class Meta:
        app_label = "conformance"


def direct(sql):
    """Straight at the database."""
    with Connection(TARGET.direct or TARGET.login) as c:
        return c.query(sql)


def fill(count=20):
    """A fresh table with some rows."""
    direct(f"truncate {SCHEMA}.conformance_thing")
    Thing.objects.bulk_create([Thing(name=f"thing {i}", price="12.30", on=datetime.date(2001, 2, 3), data={"i": i}, raw=b"\x00\xff\\", lasted=datetime.timedelta(days=1, seconds=i)) for i in range(count)])


def end_connections():
    """As at the end of a request, and of the process."""
    connections.close_all()
    connections["pooled"].close_pool()


def check(function=None, **options):
    """A check of the suite that leaves no connection behind."""
    if function is None:
        return lambda f: check(f, **options)

    def tidy():
        try:
            function()
        finally:
            end_connections()

    tidy.__name__ = function.__name__
    return STOCK.check(tidy, **options)


@check
def migrations_of_its_own_apps():
    """`migrate` and what is behind it: introspection, transactions around DDL, comments."""
    direct(f"drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}")
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Thing)
    tables = connection.introspection.table_names()
    true({"auth_user", "django_session", "conformance_thing"} <= set(tables), "the tables are there")
    call_command("inspectdb", "conformance_thing", stdout=open("/dev/null", "w", encoding="utf-8"))
    equal(connection.introspection.get_sequences(connection.cursor(), "conformance_thing")[0]["column"], "id", "sequence by introspection")


@check
def the_orm_in_autocommit():
    """Writes, reads, aggregates, JSON, get_or_create; on connections of every kind."""
    for alias in ALIASES:
        fill()
        things = Thing.objects.using(alias)
        equal([(t.name, t.price, t.on, t.data, bytes(t.raw), t.lasted) for t in things.order_by("id")][3],
              ("thing 3", decimal.Decimal("12.30"), datetime.date(2001, 2, 3), {"i": 3}, b"\x00\xff\\", datetime.timedelta(days=1, seconds=3)), f"row by {alias}")
        equal(things.filter(data__i__lt=5).update(price=1), 5, "rows updated")
        equal(things.aggregate(total=models.Sum("price"))["total"], decimal.Decimal("5") + 15 * decimal.Decimal("12.30"), "sum")
        made = things.get_or_create(name="new", defaults={"price": 2})
        equal((made[1], things.get_or_create(name="new", defaults={"price": 2})[1]), (True, False), "made, and found")
        equal(things.filter(made__date=datetime.datetime.now(datetime.timezone.utc).astimezone(settings_zone(alias)).date()).count() in (21, 0), True, "rows of today")
        try:
            things.create(name="new", price=3)
            raise AssertionError("a duplicate was taken")
        except IntegrityError:
            pass
        equal(things.count(), 21, "rows")
    

def settings_zone(_):
    """The time zone in which Django asks for dates."""
    return datetime.timezone(datetime.timedelta(hours=1))


@check
def time_zones_by_connection():
    """SET TIME ZONE at connect, and again when it changes."""
    shown = {}
    for _ in range(3):
        for alias in ALIASES:
            with connections[alias].cursor() as cursor:
                cursor.execute("select current_setting('timezone'), current_setting('application_name'), current_setting('search_path'), current_setting('datestyle')")
                shown.setdefault(alias, set()).add(cursor.fetchone())
    wanted = {alias: {("Asia/Tokyo" if alias == "tokyo" else "UTC", "django", SCHEMA, "ISO, MDY")} for alias in ALIASES}
    equal(shown, wanted, "settings")


@check
def transactions_and_savepoints():
    """atomic(), nested, with failures inside, on_commit, select_for_update."""
    for alias in ALIASES:
        fill()
        things, said = Thing.objects.using(alias), []
        for turn in range(3):
            with transaction.atomic(using=alias):
                transaction.on_commit(lambda turn=turn: said.append(turn), using=alias)
                things.select_for_update().get(name="thing 1")
                things.create(name=f"kept {turn}", price=1)
                try:
                    with transaction.atomic(using=alias):
                        things.create(name=f"undone {turn}", price=1)
                        things.create(name=f"kept {turn}", price=1)
                except IntegrityError:
                    pass
                try:
                    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                        cursor.execute("select 1/0")
                except DatabaseError:
                    pass
                equal(things.filter(name__startswith="kept").count(), turn + 1, "rows inside")
            try:
                with transaction.atomic(using=alias, durable=True):
                    things.all().delete()
                    raise KeyError("undone")
            except KeyError:
                pass
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                cursor.execute("show transaction_isolation")
                equal(cursor.fetchone(), ("serializable" if alias == "serializable" else "read committed",), f"isolation by {alias}")
        equal((sorted(things.exclude(name__startswith="thing").values_list("name", flat=True)), said), ([f"kept {i}" for i in range(3)], [0, 1, 2]), f"rows and on_commit by {alias}")


@check
def iterator_in_a_transaction():
    """A server-side cursor; it ends with the transaction."""
    fill(300)
    for alias in ("default", "pooled"):
        with transaction.atomic(using=alias):
            equal(sum(t.data["i"] for t in Thing.objects.using(alias).order_by("id").iterator(chunk_size=50)), 300 * 299 // 2, "sum")
    

def iterator_outside_of_a_transaction():
    """A cursor WITH HOLD pins while it is open, by nature; closed, it does not, while its session goes on."""
    fill(300)
    before = STOCK.pins()
    equal(sum(t.data["i"] for t in Thing.objects.order_by("id").iterator(chunk_size=50)), 300 * 299 // 2, "sum")
    equal(Thing.objects.count(), 300, "rows")
    new = {reason for reason, count in STOCK.pins().items() if count > before.get(reason, 0)}
    true(new <= {"holdable_cursor"}, f"pins: {new}")
    if STOCK.forebay:
        eventually(lambda: not Metrics(STOCK.forebay.get("/metrics")[1]).value("database_connections_currently_session_pinned"), 10, "the pin ends with its cursor")
    connections.close_all()


STOCK.suite.check(iterator_outside_of_a_transaction)


@check
def with_parameters_bound_by_the_server():
    """SET TIME ZONE is a set_config with a parameter then."""
    fill(100)
    things = Thing.objects.using("bound")
    for _ in range(3):
        equal(things.filter(data__i__lt=5).count(), 5, "rows found")
        with transaction.atomic(using="bound"):
            equal(sum(t.data["i"] for t in things.order_by("id").iterator(chunk_size=50)), 100 * 99 // 2, "sum")
        with connections["bound"].cursor() as cursor:
            cursor.execute("show timezone")
            equal(cursor.fetchone(), ("UTC",), "time zone")
        connections["bound"].close()


@check
def requests_in_threads():
    """Each thread with connections of its own, closed behind each request as Django does, or kept."""
    fill()

    def request(i):
        alias = ("default", "persistent", "pooled")[i % 3]
        with transaction.atomic(using=alias):
            got = Thing.objects.using(alias).filter(name=f"thing {i % 20}").values_list("data__i", flat=True)[0]
        for c in connections.all():
            c.close_if_unusable_or_obsolete()
        return got

    with ThreadPoolExecutor(6) as threads:
        equal(list(threads.map(request, range(90))), [i % 20 for i in range(90)], "answers")
        list(threads.map(lambda _: connections.close_all(), range(24)))


@check
def users_and_sessions():
    """contrib.auth and contrib.sessions as a login uses them."""
    from django.contrib.auth import authenticate
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    User.objects.all().delete()
    User.objects.create_user("ann", password="secret")
    equal(authenticate(username="ann", password="secret").username, "ann", "who logged in")
    s = SessionStore()
    s["k"] = "v"
    s.save()
    equal(SessionStore(session_key=s.session_key)["k"], "v", "value kept in the session")
    direct(f"drop schema {SCHEMA} cascade")


print(f"django {django.get_version()}", flush=True)
STOCK.run()
