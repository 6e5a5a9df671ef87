#!/usr/bin/env python3
"""Holds Forebay's reading of SQL against PostgreSQL's own parser, on generated statements and on those people wrote.

A disagreement is a bug of the classifier, or has a line in `classifier/exceptions.txt` with a reason. `cargo xtask classifier`
builds the program that gives the verdicts and runs this; every failure prints the text and the seed that made it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kit import install  # noqa: E402  (the path is set above)

SHOWN_MAX = 20
BATCH = 20_000
# The PostgreSQL whose source Debian has.
SOURCE = 15


def main():
    options = arguments()
    try:
        import pglast  # noqa: F401  (only whether it is there)
    except ImportError:
        try:
            python = install.python()
        except install.Missing as missing:
            print(f"FAIL PostgreSQL's parser (pglast) is missing: {missing}")
            return 1
        os.execv(python, [python, *sys.argv])
    from classifier import corpora, generate

    reviewed = exceptions()
    failed = 0
    generator = generate.Generator(options.seed)
    for start in range(0, options.count, BATCH):
        texts = [generator.next() for _ in range(min(BATCH, options.count - start))]
        failed += judged(options, f"seed {options.seed}", texts, reviewed)
    found = corpora.of_pgbench()
    suite = None if options.quick else corpora.regression_suite(SOURCE)
    if not (suite or options.quick):
        print("  left out: PostgreSQL's regression suite; its source cannot be had here")
    found |= corpora.of_files(([suite] if suite else []) + options.corpus)
    texts = [(text, True, text) for text in found]
    failed += judged(options, f"{len(texts)} statements of files", texts, reviewed)
    # Several statements in one text end where each alone does.
    joined = [";".join(text for text, _, _ in texts[at : at + 5]) for at in range(0, len(texts), 5)]
    failed += judged(options, "the same, five at a time", [(text, True, text) for text in joined], reviewed)
    unused = [line for line, used in reviewed.items() if not used]
    if unused and not options.quick:
        print(f"  exceptions that were not met: {unused}")
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", required=True, help="the program of forebay-testkit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200_000, help="generated texts")
    parser.add_argument("--quick", action="store_true", help="fewer texts, and only files that are here already")
    parser.add_argument("--corpus", action="append", default=[], help="a file or directory of SQL")
    options = parser.parse_args()
    if options.quick:
        options.count = min(options.count, 6_000)
    return options


def exceptions():
    """Reviewed disagreements: a part of the text, and whether it was met."""
    lines = (HERE / "classifier" / "exceptions.txt").read_text().splitlines()
    return {line.split("\t")[0]: False for line in lines if line and not line.startswith("#")}


def judged(options, what, texts, reviewed):
    """Judges the texts, shows what is wrong, and counts it."""
    from classifier import judge, truth

    failed, refused = 0, 0
    for (text, conforming, theirs), verdict in zip(texts, verdicts(options.verdicts, texts)):
        if truth.statements(theirs) is None:
            refused += 1
            continue
        faults = judge.faults(theirs, verdict)
        excused = [part for part in reviewed if part in text] if faults else []
        for part in excused:
            reviewed[part] = True
        if faults and not excused:
            failed += 1
            if failed <= SHOWN_MAX:
                setting = "" if conforming else " (standard_conforming_strings off)"
                print(f"FAIL {'; '.join(faults)}{setting}\n     {text!r}")
    result = "ok" if not failed else f"{failed} FAILED"
    print(f"{result}: {what}: {len(texts)} texts, {refused} of them refused by PostgreSQL", flush=True)
    return failed


def verdicts(program, texts):
    """The effects of each text."""
    with tempfile.TemporaryFile() as given:
        for text, conforming, _ in texts:
            data = text.encode()
            given.write(b"%d %d\n" % (conforming, len(data)) + data)
        given.seek(0)
        done = subprocess.run([program], stdin=given, capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(texts), "a verdict for each text"
    return map(json.loads, lines)


if __name__ == "__main__":
    sys.exit(main())
