"""Gets what a suite needs, at pinned versions, into a cache directory; or says in one line what is missing.

Python and Node.js packages go below `target/conformance/`, named by a hash of their pins, so a second run installs
nothing. Debian packages are installed only when we are root.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")).resolve() / "conformance"
JARS = Path("/usr/share/java")
JDBC_JAR = JARS / "postgresql.jar"
SCRAM_JARS = ("scram-client.jar", "scram-common.jar", "saslprep.jar", "stringprep.jar")


class Missing(Exception):
    """What has to be installed by hand."""


def python(requirements="requirements.txt", further=(), remedy="PyPI must be reachable"):
    """A Python with the drivers of a list of pins; `further` ones may replace some of them, or be built from sources."""
    pins = HERE / requirements
    home = CACHE / f"python-{digest(pins.read_bytes() + ''.join(further).encode() + sys.version.encode())}"
    command = home / "bin" / "python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(home)], "apt-get install python3-venv")
        pip = [str(command), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run([*pip, "--only-binary=:all:", "-r", str(pins)], "PyPI must be reachable")
        for pin in further:
            run([*pip, "--no-deps", pin], remedy)
        (home / "complete").touch()
    return str(command)


def mysql_python():
    """A Python with the drivers of MySQL and MariaDB that need no compiler."""
    return python("requirements-mysql.txt")


def mysqlclient_python():
    """The same with mysqlclient, built against Debian's library of MariaDB."""
    if not all(shutil.which(tool) for tool in ("gcc", "pkg-config")) or subprocess.run(["pkg-config", "--exists", "libmariadb"], check=False).returncode:
        debian(["gcc", "pkg-config", "libmariadb-dev"])
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        debian(["python3-dev"])
    return python("requirements-mysql.txt", ("mysqlclient==2.3.1",), "it is built here: gcc, pkg-config and the headers of Python and libmariadb are needed")


def connector_c_python():
    """The same with the last mysql-connector-python whose C half is content with the OpenSSL of Debian 12."""
    return python("requirements-mysql.txt", ("mysql-connector-python==9.4.0",))


def node_modules(folder="node", more=(), afterwards=lambda home: None):
    """The directory with the packages of a folder's package-lock.json; `more` files are put beside it for what is done `afterwards`."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed: apt-get install nodejs npm")
    source = HERE / folder
    files = ("package-lock.json", *more)
    home = CACHE / f"{folder}-{digest(b''.join((source / name).read_bytes() for name in files))}"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for name in ("package.json", *files):
            shutil.copy(source / name, home)
        run(["npm", "ci", "--prefix", str(home), "--no-audit", "--no-fund", "--ignore-scripts"], "the npm registry must be reachable")
        afterwards(home)
        (home / "complete").touch()
    return home / "node_modules"


def prisma_modules():
    """Prisma with a client made for its schema. Making one asks for an engine that comes from no package registry, and does not use it."""

    def generate(home):
        environment = os.environ | {"PRISMA_SCHEMA_ENGINE_BINARY": shutil.which("true"), "CHECKPOINT_DISABLE": "1"}
        run(["node", str(home / "node_modules" / "prisma" / "build" / "index.js"), "generate"], "see above", env=environment, folder=home)

    return node_modules("prisma", ("schema.prisma", "prisma.config.mjs"), generate)


def jdbc_class_path():
    """The jars of Debian's pgjdbc."""
    wanted = [p for p, there in (("libpostgresql-jdbc-java", JDBC_JAR.exists()), ("default-jdk-headless", shutil.which("javac"))) if not there]
    if wanted:
        debian(wanted)
    return ":".join([str(JDBC_JAR), *(str(p) for n in SCRAM_JARS if (p := JDBC_JAR.with_name(n)).exists())])


def jars(packages, names):
    """A class path of Debian's jars."""
    paths = [JARS / f"{name}.jar" for name in names]
    if not all(p.exists() for p in paths):
        debian(packages)
    return ":".join(map(str, paths))


def debian_program(program, *packages):
    """Sees that a program is there, with packages that have no program of their own."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}\n", *packages], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False) if shutil.which("dpkg-query") else None
    if not shutil.which(program) or not done or done.stdout.split() != ["installed"] * len(packages):
        debian(packages)


def go_program(name, *packages):
    """A program of the folder `stock`, built with Debian's Go and the sources that Debian has of its packages."""
    debian_program("go", *packages)
    source = HERE / "stock" / name
    program = CACHE / f"go-{name}-{digest(b''.join(p.read_bytes() for p in sorted(source.glob('*.go'))))}"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOCACHE": str(CACHE / "go-cache")}
        run(["go", "build", "-o", str(program), "."], "see above", env=environment, folder=source)
    return program


def tool(name, bindir):
    """The path of a PostgreSQL program."""
    path = shutil.which(name, path=bindir) if bindir else shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed: apt-get install postgresql" + (f" (looked in {bindir})" if bindir else ""))
    return path


def debian(packages):
    """Installs Debian packages when we may."""
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"install: {' '.join(command)}")
    try:
        run(command, "see above", env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    except Missing:
        run(["apt-get", "update", "-qq"], "Debian's mirror must be reachable")
        run(command, f"install by hand: {' '.join(packages)}", env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def run(command, remedy, env=None, folder=None):
    """Runs a command silently; its last words become the reason when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=env, cwd=folder, check=False)
    if done.returncode != 0:
        last = " ".join(done.stdout.split()[-40:])
        raise Missing(f"`{' '.join(command[:5])} …` failed ({remedy}): {last}")


def digest(data):
    """A short name for pinned content."""
    return hashlib.sha256(data).hexdigest()[:12]
