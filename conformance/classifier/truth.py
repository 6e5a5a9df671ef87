"""What statements do, by their parse trees: PostgreSQL's own parser, through pglast.

A statement is harmless when it only reads, nothing in it writes or makes a table, and every function that it calls is on the
list of the classifier (`words.rs`), which is the one thing that is taken over from there: what is on it is reviewed by hand.
"""

import json
import re
from pathlib import Path

from pglast import parser

WORDS = Path(__file__).resolve().parents[2] / "crates/postgres/src/sql/words.rs"

# Functions that the grammar calls for constructs of its own.
OF_SYNTAX = {
    "btrim", "extract", "is_normalized", "like_escape", "ltrim", "normalize", "overlaps", "overlay", "pg_collation_for",
    "position", "rtrim", "similar_to_escape", "substring", "system_user", "timezone", "xmlexists",
}
WRITES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "IntoClause"}
ALWAYS_PURE = {"VariableShowStmt", "FetchStmt", "ClosePortalStmt", "LockStmt", "CheckPointStmt", "VacuumStmt"}
TRANSACTIONS = {
    "TRANS_STMT_BEGIN": "Begin", "TRANS_STMT_START": "Begin", "TRANS_STMT_COMMIT": "Commit", "TRANS_STMT_ROLLBACK": "Rollback",
    "TRANS_STMT_SAVEPOINT": "Savepoint", "TRANS_STMT_RELEASE": "Release", "TRANS_STMT_ROLLBACK_TO": "RollbackTo",
    "TRANS_STMT_PREPARE": "PrepareTransaction", "TRANS_STMT_COMMIT_PREPARED": "Pure", "TRANS_STMT_ROLLBACK_PREPARED": "Pure",
}
DISCARDS = {"DISCARD_ALL": "DiscardAll", "DISCARD_PLANS": "DiscardPlans", "DISCARD_SEQUENCES": "DiscardSequences", "DISCARD_TEMP": "DiscardTemp"}


def harmless_functions():
    """The classifier's list."""
    text = WORDS.read_text()
    quoted = re.search(r'const HARMLESS_FUNCTIONS: &str = "(.*?)";', text, re.S)
    return set(quoted.group(1).replace("\\\n", " ").split())


HARMLESS = harmless_functions()


def statements(sql):
    """The parse trees of a text as (node, fields); None if PostgreSQL refuses it."""
    try:
        tree = json.loads(parser.parse_sql_json(sql))
    except parser.ParseError:
        return None
    return [next(iter(statement["stmt"].items())) for statement in tree.get("stmts", [])]


def nodes(value):
    """Every node below, as (kind, fields)."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            for key, below in value.items():
                if isinstance(below, (dict, list)):
                    yield key, below
                    stack.append(below)


def texts(names):
    """The parts of a name."""
    return [part["String"].get("sval", "") for part in names]


def is_harmless_call(call, also=()):
    """Whether a FuncCall is one of a function on the list, or among those of `also`, by whatever schema."""
    name = texts(call["funcname"])
    if name[-1] in also:
        return len(name) == 1 or name[:-1] == ["pg_catalog"]
    # Two of them may also be called with plain arguments, which the grammar leaves to the search path.
    if name[-1] in OF_SYNTAX and (name[0] == "pg_catalog" or name in (["substring"], ["overlay"])):
        return True
    return name[-1] in HARMLESS and (len(name) == 1 or name[:-1] == ["pg_catalog"])


def only_reads(tree, also=()):
    """Whether a query neither writes nor calls what is not harmless, those of `also` excepted."""
    for kind, fields in nodes(tree):
        if kind in WRITES or kind == "intoClause":
            return False
        if kind == "FuncCall" and not is_harmless_call(fields, also):
            return False
        if kind == "A_Expr" and len(fields.get("name", [])) > 1 and texts(fields["name"])[0] != "pg_catalog":
            return False
        if kind == "RangeTableSample" and texts(fields["method"])[-1] not in ("system", "bernoulli"):
            return False
    return True


def is_analyzed(fields):
    """Whether an EXPLAIN may run its statement: the last ANALYZE counts."""
    options = [option["DefElem"] for option in fields.get("options", [])]
    values = [option.get("arg") for option in options if option["defname"] == "analyze"]
    return bool(values) and not is_off(values[-1])


def is_off(value):
    """Whether an option's value is a no, as defGetBoolean reads it."""
    if value is None:
        return False
    kind, fields = next(iter(value.items()))
    if kind == "Integer":
        return fields.get("ival", 0) == 0
    if kind == "Boolean":
        return not fields.get("boolval", False)
    return kind == "String" and fields["sval"].lower() in ("false", "off")


def is_pure(kind, fields):
    """Whether a statement leaves its session alone, as far as a parse tree tells."""
    if kind in ALWAYS_PURE:
        return True
    if kind == "SelectStmt":
        return only_reads({kind: fields})
    if kind == "ExplainStmt" and "CreateTableAsStmt" in fields["query"]:
        # Planned, the table is not made.
        return not is_analyzed(fields) and only_reads(fields["query"]["CreateTableAsStmt"]["query"])
    if kind in ("ExplainStmt", "DeclareCursorStmt"):
        holds = kind == "DeclareCursorStmt" and fields.get("options", 0) & 0x20
        return not holds and is_pure(*next(iter(fields["query"].items())))
    if kind == "CopyStmt":
        reads = fields.get("is_from", False) or fields.get("is_program", False)
        return not reads and ("query" not in fields or is_pure(*next(iter(fields["query"].items()))))
    return False


def is_begun(kind, fields):
    """The effects that this statement must have, by name; None if that is not for its kind to say."""
    if kind == "TransactionStmt":
        name = TRANSACTIONS.get(fields["kind"])
        wanted = {"effect": name}
        if name in ("Commit", "Rollback"):
            wanted["chain"] = fields.get("chain", False)
        if name in ("Savepoint", "Release", "RollbackTo"):
            wanted["name"] = fields["savepoint_name"]
        return wanted
    if kind == "DiscardStmt":
        return {"effect": DISCARDS[fields.get("target", "DISCARD_ALL")]}
    if kind == "DeallocateStmt":
        return {"effect": "Deallocate", "name": fields["name"]} if fields.get("name") else {"effect": "DeallocateAll"}
    if kind == "CopyStmt" and fields.get("is_from") and not fields.get("filename"):
        return {"effect": "CopyIn"}
    if kind == "ConstraintsSetStmt":
        return {"effect": "SetLocal"}
    if kind == "ClosePortalStmt":
        return {"effect": "Close"}
    if kind == "UnlistenStmt":
        return {"effect": "Unlisten", "name": fields["conditionname"]} if fields.get("conditionname") else {"effect": "UnlistenAll"}
    if kind == "ListenStmt":
        return {"effect": "Listen", "name": fields["conditionname"]}
    if kind == "NotifyStmt":
        return {"effect": "Notify"}
    return None
