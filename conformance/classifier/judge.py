"""Compares the classifier's verdicts with parse trees, and says what does not agree."""

from . import truth

ENDS_WITH_TRANSACTION = {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}
# What holds a setting in doubt: always right.
IN_DOUBT = {"untracked_setting", "set_config", "seed"}


def faults(sql, verdict):
    """What is wrong with the verdict (a list of effects) about a text; nothing if PostgreSQL refuses the text."""
    trees = truth.statements(sql)
    if trees is None:
        return []
    if len(trees) != len(verdict):
        # Where the classifier gives up, it says so in its last effect.
        if not (verdict and len(verdict) < len(trees) and verdict[-1]["effect"] in ("Opaque", "Pin")):
            return [f"{len(verdict)} statements, not {len(trees)}"]
    found = []
    for (kind, fields), effect in zip(trees, verdict):
        fault = fault_of(kind, fields, effect)
        if fault:
            found.append(fault)
    return found


def fault_of(kind, fields, effect):
    """What is wrong with one verdict."""
    name = effect["effect"]
    if name == "Pure" and not truth.is_pure(kind, fields) and not is_prepared_end(kind, fields):
        return f"{kind} is called harmless"
    wanted = truth.is_begun(kind, fields)
    if wanted and wanted["effect"] != "Pure" and name not in ("Pin",) and effect != wanted and not folded(effect, wanted):
        return f"{effect}, not {wanted}"
    if kind == "VariableSetStmt":
        return fault_of_set(fields, effect)
    if name in ("Set", "SetLocally", "SetLocal", "Reset") and kind == "SelectStmt":
        return fault_of_set_config(fields, effect)
    if name == "Prepare":
        return fault_of_prepare(kind, fields, effect)
    if name == "Execute":
        return fault_of_execute(kind, fields, effect)
    if name == "Notify" and kind == "SelectStmt":
        return None if truth.only_reads({kind: fields}, ("pg_notify",)) else f"{kind} is taken to notify and nothing else"
    if name not in ("Pure", "Opaque", "Pin", "CopyIn") and wanted is None:
        return f"{kind} is {effect}"
    return None


def is_prepared_end(kind, fields):
    """COMMIT PREPARED belongs to no session."""
    return kind == "TransactionStmt" and fields["kind"].endswith("_PREPARED")


def fault_of_prepare(kind, fields, effect):
    """PREPARE: of that name, and its statement is read as it would be by itself."""
    if kind != "PrepareStmt" or not (effect["name"] == fields["name"] or folded(effect, fields)):
        return f"{effect} for {kind}"
    return fault_of(*next(iter(fields["query"].items())), effect["body"])


def fault_of_execute(kind, fields, effect):
    """EXECUTE, by itself, explained or for a new table: of that name, and what is not the named statement's is told."""
    runs, own = True, effect["own"]["effect"]
    if kind == "ExplainStmt":
        runs = truth.is_analyzed(fields)
        kind, fields = next(iter(fields["query"].items()))
    if kind == "CreateTableAsStmt":
        if own == "Pure" and runs:
            return f"{kind} is called harmless"
        kind, fields = next(iter(fields["query"].items()))
    if kind != "ExecuteStmt" or not (effect["name"] == fields["name"] or folded(effect, fields)):
        return f"{effect} for {kind}"
    if runs and not effect["runs"]:
        return "EXECUTE is taken not to run"
    if own == "Pure" and not truth.only_reads(fields.get("params", [])):
        return "arguments of EXECUTE are called harmless"
    return None


def folded(effect, wanted):
    """Names beyond 63 bytes are cut by the server, after its parser."""
    return effect.get("name") and wanted.get("name") and effect["name"] == wanted["name"].encode()[:63].decode(errors="ignore")


def fault_of_set(fields, effect):
    """SET and RESET: the same settings, with values that PostgreSQL reads alike."""
    if effect["effect"] == "Pin" and set(effect["reasons"]) <= IN_DOUBT:
        return None
    kind, name = fields["kind"], fields.get("name", "").lower()
    local = fields.get("is_local", False)
    if kind == "VAR_SET_MULTI":
        if name == "session characteristics":
            return fault_of_characteristics(fields, effect)
        return None if effect["effect"] == "SetLocal" else f"{effect} for SET {name}"
    if name in ENDS_WITH_TRANSACTION:
        return None if effect["effect"] in ("SetLocal", "SetLocally") else f"{effect} for {name}"
    if kind == "VAR_RESET_ALL":
        return None if effect["effect"] == "ResetAll" else f"{effect}, not RESET ALL"
    resets = kind in ("VAR_RESET", "VAR_SET_DEFAULT")
    if local:
        return fault_of_local(name, resets, fields, effect)
    if resets:
        return None if effect == {"effect": "Reset", "name": name} else f"{effect}, not RESET {name}"
    if kind != "VAR_SET_VALUE" or effect["effect"] != "Set" or len(effect["session"]) != 1:
        return f"{effect} for {kind} of {name}"
    return fault_of_value(name, fields, effect["session"][0])


def fault_of_local(name, resets, fields, effect):
    """SET LOCAL may have been understood or not, but not as anything else."""
    if effect["effect"] != "SetLocally" or effect["session"]:
        return f"{effect}, not SET LOCAL {name}"
    (found, kind, value) = effect["local"][0]
    if found == "" or (resets and kind == "default" and found == name):
        return None
    return fault_of_value(name, fields, (found, kind, value))


def fault_of_value(name, fields, setting):
    """The value, written again as it would be on another backend, has the same parse tree."""
    found, kind, value = setting
    if found != name or kind != "sql":
        return f"{setting} for {name}"
    again = truth.statements(f"SET {name} TO {value}")
    ours = again and again[0][1].get("args")
    # An enumeration, which SET XML OPTION spells in capitals.
    fold = (lambda tree: str(tree).lower()) if name == "xmloption" else (lambda tree: tree)
    if fold(without_places(ours)) != fold(without_places(fields.get("args"))):
        return f"{value!r} for {fields.get('args')}"
    return None


def fault_of_characteristics(fields, effect):
    """SESSION CHARACTERISTICS sets one or several of three settings."""
    wanted = []
    for option in fields["args"]:
        definition = option["DefElem"]
        constant = definition["arg"]["A_Const"]
        value = constant["sval"]["sval"] if "sval" in constant else ("on" if constant.get("ival", {}).get("ival") else "off")
        wanted.append(["default_" + definition["defname"], value])
    if effect["effect"] != "Set":
        return f"{effect} for {wanted}"
    found = [[name, value.strip("'")] for name, _, value in effect["session"]]
    return None if found == wanted else f"{found}, not {wanted}"


def fault_of_set_config(fields, effect):
    """SELECT set_config(…): the same settings and values, and nothing that is not harmless besides."""
    wanted = {"session": [], "local": []}
    for kind, call in truth.nodes(fields):
        if kind == "FuncCall" and truth.texts(call["funcname"])[-1] not in ("set_config", "current_setting"):
            return "SELECT does more than to set"
    for target in fields.get("targetList", []):
        call = target["ResTarget"]["val"].get("FuncCall")
        if not call:
            return "SELECT has other targets"
        if truth.texts(call["funcname"])[-1] == "set_config":
            name, value, local = call["args"]
            name = name["A_Const"]["sval"]["sval"].lower()
            value = value.get("A_Const", {"isnull": True})
            value = None if value.get("isnull") else value.get("sval", {}).get("sval", "")
            local = local["A_Const"].get("boolval", {}).get("boolval", False) or name in ENDS_WITH_TRANSACTION
            wanted["local" if local else "session"].append([name, value])
    if effect["effect"] == "Reset":
        effect = {"session": [[effect["name"], "default", None]]}
    for scope in ("session", "local"):
        found = [[name, value] for name, _, value in effect.get(scope, [])]
        if sorted(found, key=str) != sorted(wanted[scope], key=str):
            return f"{scope}: {found}, not {wanted[scope]}"
    return None


def without_places(value):
    """A parse tree without places in the text."""
    if isinstance(value, list):
        return [without_places(one) for one in value]
    if isinstance(value, dict):
        return {key: without_places(below) for key, below in value.items() if key != "location"}
    return value
