#!/usr/bin/env python3
"""Conformance with the clients of MySQL and MariaDB and with what is built on them, against one server that already runs; the sibling of run.py.

Each suite starts Forebay in front of the server of `--direct-port` by itself (`--forebay`); without, it goes straight there, where every check passes, too.
One line per check, a summary, and exit status 1 if anything failed. README.md in this directory lists the suites.
"""

import json
import sys
from pathlib import Path
from typing import Callable

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kit import install  # noqa: E402  (the path is set above)
from kit.runner import Prepared, Runner, plain  # noqa: E402


def python_driver(name, python=install.mysql_python):
    """One of Python's drivers."""
    return lambda options: Prepared([python(), str(HERE / "suites" / "mysql_python.py")], {"FOREBAY_PYTHON_DRIVER": name})


def with_drivers(name, environment, python=install.mysql_python):
    """A suite that runs in a Python with drivers."""
    return lambda options: Prepared([python(), str(HERE / "suites" / name)], environment)


def program(command, pins=True):
    """A program in another language, run over backends that others keep dirty; `pins` says whether it may pin. `command` gives its words and environment."""

    def prepare(options):
        words, environment = command(options)
        more = {"FOREBAY_STOCK_PROGRAM": json.dumps(words), "FOREBAY_MAY_PIN": "yes" if pins else ""}
        return Prepared([sys.executable, str(HERE / "suites" / "mysql_program.py")], more | environment)

    return prepare


def node(script):
    """A script for Node.js with mysql2, mariadb and what is built on them."""
    return lambda options: (["node", str(HERE / "node-mysql" / script)], {"NODE_PATH": str(install.node_modules("node-mysql"))})


def stock_rails(options):
    """Rails' ActiveRecord on mysql2, as Debian has them."""
    install.debian_program("ruby", "ruby-activerecord", "ruby-mysql2")
    return ["ruby", str(HERE / "stock" / "mysql_active_record.rb")], {}


def stock_hikari(options):
    """HikariCP on MariaDB Connector/J, as Debian has them."""
    install.debian_program("java", "default-jdk-headless")
    path = install.jars(("libmariadb-java", "libhikaricp-java", "libslf4j-java"), ("mariadb-java-client", "HikariCP", "slf4j-api", "slf4j-nop"))
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", path, str(HERE / "stock" / "MysqlHikari.java")], {}


def stock_php(options):
    """PHP's PDO and mysqli, as Debian has them."""
    install.debian_program("php", "php-cli", "php-mysql")
    return ["php", str(HERE / "stock" / "mysql_pdo.php")], {}


SUITES: dict[str, Callable] = {
    "command-line": plain("mysql_command_line.py"),
    "pymysql": python_driver("pymysql"),
    "mysqlclient": python_driver("mysqlclient", install.mysqlclient_python),
    "connector-pure": python_driver("connector-pure"),
    "connector-c": python_driver("connector-c", install.connector_c_python),
    "node": program(node("suite.js")),
    "stock-pymysql": with_drivers("mysql_stock_python.py", {"FOREBAY_PYTHON_DRIVERS": "pymysql"}),
    "stock-connector": with_drivers("mysql_stock_python.py", {"FOREBAY_PYTHON_DRIVERS": "mysqlconnector"}),
    "stock-mysqlclient": with_drivers("mysql_stock_python.py", {"FOREBAY_PYTHON_DRIVERS": "mysqldb"}, install.mysqlclient_python),
    "sysbench": plain("mysql_sysbench.py"),
    "stock-django": with_drivers("mysql_stock_django.py", {"FOREBAY_PYTHON_DRIVER": "pymysql"}),
    "stock-django-mysqlclient": with_drivers("mysql_stock_django.py", {"FOREBAY_PYTHON_DRIVER": "mysqlclient"}, install.mysqlclient_python),
    "stock-node": program(node("stock.js"), pins=False),
    "stock-rails": program(stock_rails, pins=False),
    "stock-hikari": program(stock_hikari, pins=False),
    "stock-php": program(stock_php, pins=False),
    "stock-replayed": plain("mysql_stock_replayed.py"),
}

# Not part of the short form, unless asked for by name: what they install is large or is built here, or they take long.
FULL_ONLY = {"mysqlclient", "connector-pure", "connector-c", "stock-connector", "stock-mysqlclient", "sysbench", "stock-django", "stock-django-mysqlclient", "stock-node", "stock-rails", "stock-hikari", "stock-php"}


if __name__ == "__main__":
    Runner(__doc__, SUITES, FULL_ONLY).main()
