"""SQL that people wrote: what comes with the servers of this machine, PostgreSQL's own regression suite, more by request."""

import shutil
import subprocess
import tarfile
from pathlib import Path

from kit import install
from pglast import split
from pglast.parser import ParseError

FILE_BYTES_MAX = 2_000_000
SHARES = [Path("/usr/share/postgresql"), install.CACHE.parent / "forebay-servers"]


def files(more):
    """Files of SQL below the shares of installed servers, and below the directories in `more`."""
    for root in [*SHARES, *map(Path, more)]:
        for path in sorted(root.rglob("*.sql")) if root.is_dir() else [root] * root.is_file():
            if path.stat().st_size <= FILE_BYTES_MAX:
                yield path


def statements(text):
    """The statements of a file for psql, its own commands and the data of its COPY left out."""
    kept, data = [], False
    for line in text.splitlines():
        if data:
            data = line != "\\."
        elif not line.startswith("\\"):
            kept.append(line)
            data = line.rstrip().lower().endswith(("from stdin;", "from stdin"))
    text = "\n".join(kept)
    try:
        return list(split(text, with_parser=False))
    except ParseError:
        return []


def of_files(more):
    """Every statement of every file, once."""
    seen = {}
    for path in files(more):
        for statement in statements(path.read_text(errors="replace")):
            seen.setdefault(statement, str(path))
    return seen


def of_pgbench():
    """The scripts that pgbench has built in."""
    program = shutil.which("pgbench") or next(iter(map(str, Path("/usr/lib/postgresql").glob("*/bin/pgbench"))), None)
    if not program:
        return {}
    found = {}
    for name in ("tpcb-like", "simple-update", "select-only"):
        done = subprocess.run([program, f"--show-script={name}"], capture_output=True, text=True, check=False)
        for line in done.stderr.splitlines():
            if not line.startswith(("\\", "--")) and line.strip():
                found[line.replace(":", "")] = f"pgbench {name}"
    return found


SOURCE = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def regression_suite(version):
    """Debian's source of PostgreSQL, its SQL unpacked below the cache: the directory, or None if it cannot be had.

    apt runs on lists of its own below the cache, so nothing of the machine's configuration changes.
    """
    home = install.CACHE / f"postgresql-{version}-source"
    if not (home / "complete").exists():
        for name in ("lists/partial", "parts"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "parts" / "source.sources").write_text(SOURCE)
        apt = ["apt-get", "-qq", *options_of_apt(home)]
        fetched = [apt + ["update"], apt + ["source", "--download-only", f"postgresql-{version}"]]
        if not shutil.which("apt-get") or any(subprocess.run(step, cwd=home, capture_output=True, check=False).returncode for step in fetched):
            return None
        archives = list(home.glob("*.orig.tar.*"))
        if not archives:
            return None
        with tarfile.open(archives[0]) as archive:
            archive.extractall(home, [member for member in archive if member.isfile() and member.name.endswith(".sql")], filter="data")
        (home / "complete").touch()
    return home


def options_of_apt(home):
    """Lists and sources below this directory."""
    settings = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": home / "parts", "Dir::State::Lists": home / "lists",
        "Dir::Cache::srcpkgcache": "", "Dir::Cache::pkgcache": "", "Acquire::Retries": "1",
    }
    return [f"-o{name}={value}" for name, value in settings.items()]
