"""What drivers and frameworks send that are not run here themselves, command by command, as we know such clients to send them; the sibling of stock_replayed.py.

Connect, checkout, statements in and out of a transaction, check-in. Each conversation is held with the database itself and several times through Forebay, on backends
that neighbours leave dirty; the answers have to be equal, and nothing pins (kit/stock.py).
"""

from kit import mysql_connection as my
from kit import target
from kit.mysql_connection import Connection
from kit.mysql_place import Place
from kit.report import equal

TARGET = target.from_command_line(__doc__)
PLACE = Place(TARGET)
TURNS = 4
DATABASE = TARGET.login.database

# Steps that are not SQL.
PING, RESET = (my.COM_PING, b""), (my.COM_RESET_CONNECTION, b"")
USE = (my.COM_INIT_DB, DATABASE.encode())
STRICT = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
INSERT = "insert into conformance_replayed (name) values ('one')"
SELECT = "select name, price from conformance_replayed order by id limit 1"
SHOW = "select @@sql_mode, @@time_zone, @@autocommit, @@character_set_client, @@character_set_results, @@collation_connection, database()"


def prepared(sql, *values):
    """Prepared, executed twice and closed."""
    return ("prepared", sql, values)


def connector_j():
    """Connector/J 8 and 9 under HikariCP: variables in one question, results in their own character set, autocommit by SET, read-only transactions, streams."""
    names = "auto_increment_increment character_set_client character_set_connection character_set_results character_set_server collation_server collation_connection init_connect interactive_timeout " \
            "license lower_case_table_names max_allowed_packet net_write_timeout performance_schema sql_mode system_time_zone time_zone wait_timeout"
    variables = ", ".join(f"@@{'session.' if n == 'auto_increment_increment' else ''}{n} AS {n}" for n in names.split())
    return [
        f"/* mysql-connector-j-9.1.0 (Revision: 0000000000000000000000000000000000000000) */SELECT  {variables}", "SET NAMES utf8mb4", "SET character_set_results = NULL", "SET autocommit=1", f"SET sql_mode='{STRICT}'",
        PING, "/* ping */ SELECT 1", SELECT, SHOW, "SET autocommit=0", INSERT, SELECT, "commit", INSERT, "rollback", "SET autocommit=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "set session transaction read only", "SET autocommit=0", SELECT, "commit", "SET autocommit=1", "set session transaction read write",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET net_write_timeout=600", SELECT, "SET net_write_timeout=60", prepared("select ? + 1", 41), prepared(SELECT), SHOW, PING, RESET, "SET NAMES utf8mb4", SHOW,
    ]


def mariadb_connector_j_two():
    """MariaDB Connector/J 2.7: all settings in one SET, one of them computed."""
    return [
        "set autocommit=1, session_track_schema=1,session_track_system_variables='auto_increment_increment' ,sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')",
        "SELECT @@max_allowed_packet , @@system_time_zone, @@time_zone, @@auto_increment_increment", PING, SELECT, "set autocommit=0", INSERT, "COMMIT", "set autocommit=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET SESSION TRANSACTION READ ONLY", "START TRANSACTION", SELECT, "ROLLBACK", "SET SESSION TRANSACTION READ WRITE", prepared("select ? + 1", 41), SHOW, RESET,
    ]


def mariadb_connector_j_three():
    """MariaDB Connector/J 3: the same with names of the character set in it, and a question for two variables."""
    return [
        "set names utf8mb4,autocommit=1,session_track_schema=1,sql_mode=concat(@@sql_mode,',STRICT_TRANS_TABLES')", "SELECT @@max_allowed_packet,@@wait_timeout", PING, SHOW, SELECT,
        "START TRANSACTION", INSERT, "ROLLBACK", prepared("insert into conformance_replayed (name) values (?)", "bulk"), SHOW, RESET, "set names utf8mb4,autocommit=1", SHOW,
    ]


def mariadb_r2dbc():
    """MariaDB's R2DBC driver, which says what is to be tracked."""
    return [
        "SET autocommit=1,session_track_schema=1,session_track_system_variables = CONCAT(@@session_track_system_variables, ',auto_increment_increment')", "SELECT @@max_allowed_packet,@@wait_timeout",
        "BEGIN", INSERT, "ROLLBACK", prepared("select ? + 1", 1), SHOW, SELECT,
    ]


def mysqlconnector_of_dotnet():
    """MySqlConnector with its pool: reset and names at checkout, isolation and START TRANSACTION in one message."""
    turn = [RESET, "SET NAMES utf8mb4;", SELECT, "set session transaction isolation level repeatable read; start transaction;", INSERT, "commit", SHOW]
    read_only = ["set session transaction isolation level serializable; set session transaction read only; start transaction;", SELECT, "rollback", "set session transaction read write"]
    return ["SET NAMES utf8mb4;", SELECT, *turn, *turn, PING, *read_only, prepared(SELECT), *turn]


def laravel():
    """Laravel 11 and 12 on PDO: database, isolation and settings in one SET, real prepared statements, transactions with savepoints."""
    return [
        f"use `{DATABASE}`;", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;", f"SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci', SESSION sql_mode='{STRICT}';", SHOW, prepared(SELECT), prepared("select ? + 1", 1),
        "START TRANSACTION", prepared("insert into conformance_replayed (name) values (?)", "in"), "SAVEPOINT trans2", INSERT, "ROLLBACK TO SAVEPOINT trans2", "COMMIT", SHOW,
    ]


def older_laravel():
    """Laravel up to 10: a statement for each."""
    return [
        f"use `{DATABASE}`;", "set names 'utf8mb4' collate 'utf8mb4_unicode_ci'", 'set time_zone="+00:00"', f"set session sql_mode='{STRICT}'", SHOW, prepared(SELECT), "START TRANSACTION", INSERT, "ROLLBACK", SHOW,
    ]


def rails():
    """ActiveRecord's adapters for mysql2 and trilogy: one SET at connect, with a computed mode and the longest of times to wait."""
    connect = ["SET NAMES utf8mb4,  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'),  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483",
               "SELECT VERSION()", "SHOW FULL FIELDS FROM `conformance_replayed`"]
    use = [PING, SELECT, "BEGIN", INSERT, "SAVEPOINT active_record_1", INSERT, "RELEASE SAVEPOINT active_record_1", "COMMIT", "BEGIN", "ROLLBACK", prepared("SELECT `c`.* FROM `conformance_replayed` `c` WHERE `c`.`name` = ? LIMIT 1", "one"), SHOW]
    return [*connect, *use, "SET @@SESSION.time_zone = '+00:00'", RESET, *connect, *use]


def older_rails():
    """Where the application is not strict: a mode with words taken out."""
    return ["SET NAMES utf8mb4,  @@SESSION.sql_mode = REPLACE(REPLACE(REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', ''), 'STRICT_ALL_TABLES', ''), 'TRADITIONAL', ''),  @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483", SELECT, SHOW, "BEGIN", INSERT, "COMMIT"]


def go_sql_driver():
    """go-sql-driver with parameters of its address, and database/sql, which prepares, executes and closes."""
    return [
        "SET NAMES utf8mb4", "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL', transaction_isolation = 'READ-COMMITTED'" if "MariaDB" not in VERSION else "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL', tx_isolation = 'READ-COMMITTED'",
        PING, prepared(SELECT), prepared("select ? + 1", 4), "START TRANSACTION", prepared("insert into conformance_replayed (name) values (?)", "go"), "COMMIT", "START TRANSACTION READ ONLY", SELECT, "ROLLBACK", SHOW,
    ]


def sqlx():
    """SQLx of Rust: a computed mode, the time zone and names in one SET; statements that stay prepared."""
    return [
        "SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')),time_zone='+00:00',NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;", PING, SHOW, prepared("select ? + 1", 1),
        "BEGIN", prepared("insert into conformance_replayed (name) values (?)", "sqlx"), "SAVEPOINT _sqlx_savepoint_1", "RELEASE SAVEPOINT _sqlx_savepoint_1", "COMMIT", PING, SHOW,
    ]


def mysql_async():
    """The pool of mysql_async and what Prisma's older engine makes of it: two variables at connect, a reset at check-in."""
    return ["SELECT @@max_allowed_packet,@@wait_timeout", prepared("select ? + 1", 1), "START TRANSACTION", INSERT, "COMMIT", RESET, "SET NAMES utf8mb4", prepared(SELECT), PING, RESET, SHOW]


def django():
    """Django's backend: what it asks at connect, and isolation."""
    zone = "CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL"
    return [f"SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@sql_auto_is_null, @@lower_case_table_names, {zone}", "SET SQL_AUTO_IS_NULL = 0", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET autocommit=1",
            SELECT, "SET autocommit=0", INSERT, "SAVEPOINT `s140_x1`", INSERT, "ROLLBACK TO SAVEPOINT `s140_x1`", "COMMIT", "SET autocommit=1", PING, SHOW]


def wordpress():
    """WordPress on mysqli: names, a mode that it reads and writes back, the database by its command."""
    return ["SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_520_ci'", "SELECT @@SESSION.sql_mode", "SET SESSION sql_mode='NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'", USE, SELECT, INSERT, "SELECT LAST_INSERT_ID() > 0", SHOW]


def doctrine():
    """Doctrine on PDO: names, the database, savepoints of its own names."""
    return ["SET NAMES utf8mb4", "SELECT DATABASE()", prepared(SELECT), "START TRANSACTION", INSERT, "SAVEPOINT DOCTRINE_2", INSERT, "RELEASE SAVEPOINT DOCTRINE_2", "COMMIT", SHOW]


def connector_odbc():
    """Connector/ODBC: settings one by one, a limit of rows that comes and goes."""
    return ["SET NAMES utf8mb4", "SET character_set_results = NULL", "SET SQL_AUTO_IS_NULL = 0", "select database()", "SET autocommit=0", SELECT, "COMMIT", "SET autocommit=1", "set @@sql_select_limit=1", "select id > 0 from conformance_replayed", "set @@sql_select_limit=DEFAULT", SHOW]


def myxql_of_ecto():
    """MyXQL with Ecto: statements that stay prepared, executed again and again; transactions and savepoints."""
    return ["SET NAMES utf8mb4", prepared("SELECT ? + ?", 40, 2), "BEGIN", prepared("insert into conformance_replayed (name) values (?)", "ecto"), "SAVEPOINT myxql_savepoint", INSERT, "ROLLBACK TO SAVEPOINT myxql_savepoint", "COMMIT", PING, RESET, prepared("SELECT ? + ?", 1, 2)]


def isolation_of_the_next_transaction():
    """What Go's BeginTx, ActiveRecord and others send for a transaction with a level of its own."""
    return [step for level in ("SERIALIZABLE", "READ COMMITTED") for step in (f"SET TRANSACTION ISOLATION LEVEL {level}", "START TRANSACTION", SELECT, INSERT, "COMMIT", SELECT)]


def warnings_that_are_looked_at():
    """What drivers do that show warnings: after a statement that had some."""
    return [step for _ in range(3) for step in ("select cast('x' as signed)", "SHOW WARNINGS", SELECT)]


CONVERSATIONS = (connector_j, mariadb_connector_j_two, mariadb_connector_j_three, mariadb_r2dbc, mysqlconnector_of_dotnet, laravel, older_laravel, rails, older_rails, go_sql_driver, sqlx, mysql_async, django, wordpress,
                 doctrine, connector_odbc, myxql_of_ecto, isolation_of_the_next_transaction, warnings_that_are_looked_at)
# Reasons that are right by nature: the first ends with the transaction, which begins at once.
ALLOWED = {"isolation_of_the_next_transaction": {"one_shot_setting"}}
# What servers leave of the statement before, whatever it was, in their answers to a ping and to the choice of a database: bits of the status, the count of warnings.
OF_STATEMENTS = 0x30


def answer(c, step):
    """What the server says to one step."""
    if isinstance(step, str):
        return c.ask(my.COM_QUERY, step.encode())
    if step in (PING, USE):
        return [one[:3] + (one[3] & ~OF_STATEMENTS, one[5]) if one[0] == "ok" else one for one in c.ask(*step)]
    if step[0] != "prepared":
        return c.ask(*step)
    found = c.ask(my.COM_STMT_PREPARE, step[1].encode())
    number = c.statement
    for types in (True, False):
        found += c.ask(my.COM_STMT_EXECUTE, c.execute(number, *step[2], types=types))
    c.command(my.COM_STMT_CLOSE, number.to_bytes(4, "little"))
    return found


def hold(login, steps):
    """Every answer of a conversation, in a table that is as it was at first."""
    PLACE.direct("delete from conformance_replayed")
    PLACE.direct("alter table conformance_replayed auto_increment = 1")
    PLACE.direct("insert into conformance_replayed (name) values ('zero')")
    with Connection(login) as c:
        return [answer(c, step) for step in steps]


def compare(name, steps):
    """Turn by turn what the database says and what comes through."""
    before = PLACE.pins()
    wanted = hold(TARGET.direct or TARGET.login, steps)
    for turn in range(TURNS):
        for step, got, other in zip(steps, hold(PLACE.login, steps), wanted):
            equal(got, other, f"answer to {step!r:.120} in turn {turn}")
    PLACE.nothing_pinned_since(before, ALLOWED.get(name, ()))


def register():
    """One check for each."""
    for conversation in CONVERSATIONS:
        def check(name=conversation.__name__, steps=conversation):
            PLACE.direct("drop table if exists conformance_replayed")
            PLACE.direct("create table conformance_replayed (id int auto_increment primary key, name varchar(30), price decimal(10,2) default 12.30) character set utf8mb4")
            try:
                compare(name, steps())
            finally:
                PLACE.direct("drop table conformance_replayed")

        check.__name__ = f"{conversation.__name__}_gets_what_the_database_says"
        PLACE.any_check(check)


with Connection(TARGET.direct or TARGET.login) as asked:
    VERSION = asked.version
register()
PLACE.run()
