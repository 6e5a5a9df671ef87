"""Django on MySQL and MariaDB, untuned: its own migrations, the ORM, transactions, on connections for a request each, persistent ones and threads; the sibling of stock_django.py.

FOREBAY_PYTHON_DRIVER says with what: mysqlclient, or PyMySQL in its place. Nothing pins (kit/stock.py).
"""

import datetime
import decimal
import os
from concurrent.futures import ThreadPoolExecutor

if os.environ.get("FOREBAY_PYTHON_DRIVER", "pymysql") == "pymysql":
    import pymysql

    pymysql.install_as_MySQLdb()

import django
from django.conf import settings

from kit import target
from kit.mysql_place import Place
from kit.report import equal, true

TARGET = target.from_command_line(__doc__)
PLACE = Place(TARGET)
ALIASES = {
    "default": {},
    "persistent": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "tokyo": {"TIME_ZONE": "Asia/Tokyo"},
    "serializable": {"OPTIONS": {"isolation_level": "serializable"}, "ATOMIC_REQUESTS": True},
    "servers_isolation": {"OPTIONS": {"isolation_level": None}},
    "moded": {"OPTIONS": {"sql_mode": "STRICT_ALL_TABLES,ANSI", "init_command": "SET SESSION group_concat_max_len = 5000"}},
}


def database(options):
    """One entry of DATABASES."""
    to = PLACE.login
    base = {"ENGINE": "django.db.backends.mysql", "HOST": to.host, "PORT": to.port, "USER": to.user, "PASSWORD": to.password, "NAME": to.database}
    return base | {k: v for k, v in options.items() if k != "OPTIONS"} | {"OPTIONS": {"charset": "utf8mb4"} | options.get("OPTIONS", {})}


PLACE.__enter__()  # Its address has to be known before Django is configured.
settings.configure(
    DATABASES={alias: database(options) for alias, options in ALIASES.items()}, USE_TZ=True, SECRET_KEY="not one", TIME_ZONE="Europe/Rome", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
)
django.setup()

from django.core.management import call_command  # noqa: E402  (Django must be configured first)
from django.db import IntegrityError, connection, connections, models, transaction  # noqa: E402


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


def fill(count=20):
    """A table with some rows."""
    PLACE.direct("delete from conformance_thing")
    Thing.objects.bulk_create([Thing(name=f"thing {i}", price="12.30", on=datetime.date(2001, 2, 3), data={"i": i}, raw=b"\x00\xff\\", lasted=datetime.timedelta(days=1, seconds=i)) for i in range(count)])


def drop_everything():
    """What a run before left, and this one."""
    tables = [name for (name,) in PLACE.direct("select table_name from information_schema.tables where table_schema = database() and (table_name like 'django%' or table_name like 'auth%' or table_name = 'conformance_thing')")]
    if tables:
        for _ in tables:  # One after the other until those that refer to others are gone.
            for name in tables:
                try:
                    PLACE.direct(f"drop table if exists `{name}`")
                except Exception:
                    continue


def check(function):
    """A check of the suite that leaves no connection behind."""
    def tidy():
        try:
            function()
        finally:
            connections.close_all()

    tidy.__name__ = function.__name__
    return PLACE.check(tidy)


@check
def migrations_of_its_own_apps():
    """`migrate` and what is behind it: introspection, DDL, foreign keys."""
    drop_everything()
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Thing)
    true({"auth_user", "django_session", "conformance_thing"} <= set(connection.introspection.table_names()), "the tables are there")
    call_command("inspectdb", "conformance_thing", stdout=open(os.devnull, "w", encoding="utf-8"))
    equal(connection.introspection.get_sequences(connection.cursor(), "conformance_thing")[0]["column"], "id", "the column that counts")


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
        try:
            things.create(name="new", price=3)
            raise AssertionError("a duplicate was taken")
        except IntegrityError:
            pass
        equal(things.count(), 21, "rows")
        equal(sum(1 for _ in things.iterator(chunk_size=5)), 21, "rows one by one")


@check
def the_orm_in_transactions():
    """atomic() in atomic(), on_commit, select_for_update, errors inside."""
    for alias in ALIASES:
        fill(5)
        done = []
        with transaction.atomic(using=alias):
            Thing.objects.using(alias).select_for_update().get(name="thing 1")
            Thing.objects.using(alias).create(name="kept", price=1)
            transaction.on_commit(lambda: done.append(True), using=alias)
            try:
                with transaction.atomic(using=alias):
                    Thing.objects.using(alias).create(name="undone", price=1)
                    Thing.objects.using(alias).create(name="thing 1", price=1)
            except IntegrityError:
                pass
        try:
            with transaction.atomic(using=alias):
                Thing.objects.using(alias).all().delete()
                raise ArithmeticError
        except ArithmeticError:
            pass
        equal((Thing.objects.count(), Thing.objects.filter(name="undone").exists(), done), (6, False, [True]), f"rows and what was done by {alias}")


@check
def settings_are_as_configured():
    """On each connection, again and again, whether it is new or was kept."""
    with connection.cursor() as cursor:
        cursor.execute("select version()")
        isolation = "@@tx_isolation" if "MariaDB-10" in cursor.fetchone()[0] or "10.11" in connection.mysql_server_info else "@@transaction_isolation"
    for _ in range(4):
        for alias, wanted in (("default", ("READ-COMMITTED", 1)), ("serializable", ("SERIALIZABLE", 1)), ("persistent", ("READ-COMMITTED", 1))):
            with connections[alias].cursor() as cursor:
                cursor.execute(f"select {isolation}, @@autocommit + 0")
                equal(cursor.fetchone(), wanted, f"settings by {alias}")
        with connections["moded"].cursor() as cursor:
            cursor.execute("select find_in_set('ANSI_QUOTES', @@sql_mode) > 0, @@group_concat_max_len")
            equal(cursor.fetchone(), (1, 5000), "what was configured")
        for c in connections.all():
            c.close_if_unusable_or_obsolete()


@check
def requests_in_threads():
    """A connection for each, checked, used in autocommit and in a transaction, and closed."""
    fill()

    def request(i):
        alias = ("default", "persistent")[i % 2]
        try:
            connections[alias].close_if_unusable_or_obsolete()
            with transaction.atomic(using=alias):
                thing = Thing.objects.using(alias).get(name=f"thing {i % 20}")
            return Thing.objects.using(alias).filter(pk=thing.pk).values_list("name", flat=True).get()
        finally:
            connections[alias].close()

    with ThreadPoolExecutor(8) as threads:
        equal(list(threads.map(request, range(60))), [f"thing {i % 20}" for i in range(60)], "answers")


@check
def users_and_sessions():
    """What a login writes and reads."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    User.objects.all().delete()
    user = User.objects.create_user("Ünal", password="secret")
    session = SessionStore()
    session["user"] = user.pk
    session.create()
    equal(SessionStore(session.session_key)["user"], user.pk, "what the session knows")
    true(User.objects.get(username="Ünal").check_password("secret"), "the password")
    drop_everything()


print(f"Django {django.__version__} on {os.environ.get('FOREBAY_PYTHON_DRIVER', 'pymysql')}", flush=True)
PLACE.run()
