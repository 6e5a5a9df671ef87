"""What Python's drivers for MySQL and MariaDB call the same things: one `Driver` each, for suites/mysql_python.py.

Where a driver has no name for a thing it is None, and the checks that need it are skipped.
"""

import os

from kit.report import Skip

TEN_YEARS_OF_CLIENTS = ("mysql_native_password", "caching_sha2_password")


def plain(value):
    """Bytes are bytes in every driver."""
    return bytes(value) if isinstance(value, bytearray) else value


class Driver:
    """What all of them have in common, by the rules of DB-API 2."""

    methods = TEN_YEARS_OF_CLIENTS
    prepared = change_user = reset = None

    def error(self):
        """The classes of its errors."""
        return (self.module.Error,)

    def number(self, error):
        """The number of an error."""
        return error.args[0]

    def rows(self, connection, sql, values=None):
        """All rows of a statement's first result."""
        cursor = connection.cursor()
        try:
            cursor.execute(sql, values)
            return [tuple(map(plain, row)) for row in cursor.fetchall()] if cursor.description else []
        finally:
            cursor.close()

    def ping(self, connection):
        """COM_PING."""
        connection.ping()

    def results(self, connection, sql):
        """The rows of every result; of those without rows, how many they changed."""
        cursor = connection.cursor()
        cursor.execute(sql)
        found = []
        while True:
            found.append([tuple(map(plain, row)) for row in cursor.fetchall()] if cursor.description else cursor.rowcount)
            if not cursor.nextset():
                cursor.close()
                return found

    def statistics(self, connection):
        """COM_STATISTICS, where it has it."""
        raise Skip("the driver has no call for it")


class PyMySQL(Driver):
    """PyMySQL."""

    methods = (*TEN_YEARS_OF_CLIENTS, "mysql_clear_password", "ed25519")

    def __init__(self):
        import pymysql

        self.module = pymysql
        self.version = f"PyMySQL {pymysql.VERSION_STRING}"

    def connect(self, to, ca=None, **more):
        """In autocommit, with what checks need switched on."""
        flags = self.module.constants.CLIENT.MULTI_STATEMENTS | (self.module.constants.CLIENT.FOUND_ROWS if more.pop("found_rows", False) else 0)
        tls = {"ssl_ca": ca, "ssl_verify_cert": True, "ssl_verify_identity": True} if ca else {"ssl_disabled": True}
        return self.module.connect(**{"host": to.host, "port": to.port, "user": to.user, "password": to.password, "database": to.database or None, "autocommit": True, "local_infile": True,
                                      "connect_timeout": 15, "read_timeout": 25, "client_flag": flags, "max_allowed_packet": 1 << 30} | tls | more)

    def streaming(self, connection):
        """A cursor that leaves rows on the wire."""
        return connection.cursor(self.module.cursors.SSCursor)

    def thread(self, connection):
        """Its number, as the greeting told it."""
        return connection.thread_id()


class MySQLClient(Driver):
    """mysqlclient, which is MySQL's or MariaDB's library in C."""

    methods = (*TEN_YEARS_OF_CLIENTS, "mysql_clear_password", "ed25519")

    def __init__(self):
        import MySQLdb
        import MySQLdb.cursors

        self.module = MySQLdb
        self.version = f"mysqlclient {'.'.join(map(str, MySQLdb.version_info[:3]))}, library {MySQLdb.get_client_info()}"

    def connect(self, to, ca=None, **more):
        """The same."""
        flags = self.module.constants.CLIENT.FOUND_ROWS if more.pop("found_rows", False) else 0
        tls = {"ssl": {"ca": ca}} if ca else {}
        database = {"database": to.database} if to.database else {}
        return self.module.connect(**{"host": to.host, "port": to.port, "user": to.user, "password": to.password, "autocommit": True, "local_infile": 1, "connect_timeout": 15,
                                      "charset": "utf8mb4", "client_flag": flags} | database | tls | more)

    def streaming(self, connection):
        return connection.cursor(self.module.cursors.SSCursor)

    def thread(self, connection):
        return connection.thread_id()

    def change_user(self, connection, to):
        """COM_CHANGE_USER."""
        connection.change_user(to.user, to.password, to.database or "")

    def statistics(self, connection):
        said = connection.stat()
        return said.decode() if isinstance(said, bytes) else said


class Connector(Driver):
    """mysql-connector-python, whose two halves are drivers of their own."""

    def __init__(self, pure):
        import mysql.connector

        self.module, self.pure = mysql.connector, pure
        if not pure and not mysql.connector.HAVE_CEXT:
            raise Skip("mysql-connector-python has come without its C extension")
        self.version = f"mysql-connector-python {mysql.connector.__version__}, {'pure' if pure else 'C'}"
        self.methods = (*TEN_YEARS_OF_CLIENTS, *(("mysql_clear_password",) if pure else ()))  # The library in C wants to be told that it may.

    def error(self):
        # Its C half raises one of its own at the second of several results.
        return (self.module.Error, *(() if self.pure else (self.module.connection_cext.MySQLInterfaceError,)))

    def number(self, error):
        return error.errno

    def connect(self, to, ca=None, **more):
        flags = [self.module.ClientFlag.FOUND_ROWS] if more.pop("found_rows", False) else [-self.module.ClientFlag.FOUND_ROWS]
        tls = {"ssl_ca": ca, "ssl_verify_cert": True} if ca else {"ssl_disabled": True}
        return self.module.connect(**{"host": to.host, "port": to.port, "user": to.user, "password": to.password, "database": to.database or None, "autocommit": True, "use_pure": self.pure,
                                      "allow_local_infile": True, "connection_timeout": 15, "client_flags": flags} | tls | more)

    def streaming(self, connection):
        return connection.cursor(buffered=False)

    def thread(self, connection):
        return connection.connection_id

    def ping(self, connection):
        connection.ping(reconnect=False)

    def prepared(self, connection):
        """A cursor of prepared statements."""
        return connection.cursor(prepared=True)

    def change_user(self, connection, to):
        connection.cmd_change_user(to.user, to.password, to.database or "")

    def reset(self, connection):
        """COM_RESET_CONNECTION."""
        connection.cmd_reset_connection()

    def statistics(self, connection):
        return str(connection.cmd_statistics())


DRIVERS = {"pymysql": PyMySQL, "mysqlclient": MySQLClient, "connector-pure": lambda: Connector(True), "connector-c": lambda: Connector(False)}


def chosen():
    """The one that `run_mysql.py` names."""
    return DRIVERS[os.environ["FOREBAY_PYTHON_DRIVER"]]()
