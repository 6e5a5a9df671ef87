"""Statements by a grammar and a seed: every kind, spelled as oddly as PostgreSQL allows.

A text is a list of pieces. A text constant has two spellings: for a server with standard_conforming_strings on, and for one
with it off together with its equal under `on`, which PostgreSQL's parser is asked about.
"""

import random

NAMES = ["a", "t", "Abc", "_x", '"a b"', '"A""b"', '"select"', 'U&"d\\0061"', "é", "set", "begin", "temp", "local", "session", "x$1", "e", "u", "n", "b", "x"]
KEYWORD_NAMES = ["by", "key", "language", "name", "over", "range", "rows", "value", "work", "zone", "execute", "call", "cube", "materialized", "escape"]
FUNCTIONS = ["evil", "app.f", '"evil"', "pg_catalog.nextval", "lower", "count", "pg_catalog.now", "LENGTH", "app.lower", '"lower"', '"LOWER"', "currval",
             "pg_advisory_lock", "set_config", "by", "rollup", "query_to_xml", "coalesce", "generate_series", "like", "mod", "left", "nullif", "greatest", "E", "n"]
OPERATORS = ["+", "-", "*", "/", "=", "<>", "<=", "||", "@>", "->>", "OPERATOR(pg_catalog.+)", "OPERATOR(app.+)", "%", "^", "#", "<->", "AND", "OR", "IS DISTINCT FROM", "!~*"]
SETTINGS = ["work_mem", "search_path", "TimeZone", "app.tenant", "app.a.b", '"App".x', "role", "session_authorization", "statement_timeout", "seed",
            "transaction_isolation", "default_transaction_read_only", "time", "session", "local", "names", "transaction", "client_encoding"]


class Text:
    """A text constant in its spellings."""

    def __init__(self, on, off, off_as_on):
        self.on, self.off, self.off_as_on = on, off, off_as_on


class Generator:
    """Texts, one after another, all decided by the seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.depth = 0

    def of(self, *choices):
        """One of them."""
        return self.random.choice(choices)

    def may(self, *pieces, chance=0.5):
        """The pieces, or nothing."""
        return list(pieces) if self.random.random() < chance else []

    def many(self, make, least=1, most=3, between=","):
        """Several of a kind."""
        made = []
        for index in range(self.random.randint(least, most)):
            made += ([between] if index else []) + [make()]
        return made

    def name(self):
        return self.of(*NAMES)

    def qualified(self):
        return [self.name(), *self.may(".", self.name(), chance=0.3)]

    def text(self):
        inside = self.of("x", "", "it''s", "a;b", "evil(", "--", "/*", "$$", '"', "é")
        odd = self.random.randrange(9)
        if odd == 0:
            return Text(f"'{inside}\\'", f"'{inside}\\\\'", f"E'{inside}\\\\'")
        if odd == 1:
            return Text("'b'", f"'\\'{inside}'", f"E'\\'{inside}'")
        if odd == 2:
            return Text(f"'a'\n'{inside}'", f"'a'\n'{inside}'", f"E'a'\n'{inside}'")
        other = self.of(f"E'\\'{inside}'", f"e'{inside}\\\\'", "$$x;evil($$", "$a$ $$ ' $b$ $a$", f"N'{inside}'", "B'01'", "x'1F'", f"$q${inside}$q$")
        if odd < 6:
            return Text(other, other, other) if not other.startswith("N") else Text(other, "'n'", "E'n'")
        return Text(f"'{inside}'", f"'{inside}'", f"E'{inside}'")

    def constant(self):
        return self.of(self.text(), self.text(), "1", "1.5", ".5", "1e3", "0x1F", "1_000", "NULL", "TRUE", "$1", "-1", "date '2020-01-01'", "interval '1' day", "'t'::regclass", "'1'::app.t")

    def call(self):
        arguments = self.many(self.expression, 0, 3)
        return [self.of(*FUNCTIONS), *self.may(self.of(" ", "/**/"), chance=0.2), "(", *self.may("DISTINCT", chance=0.05), *arguments, ")",
                *self.may("FILTER (WHERE", self.expression(), ")", chance=0.05), *self.may("OVER (PARTITION BY", self.expression(), "ORDER BY", self.expression(), ")", chance=0.1),
                *self.may("WITHIN GROUP (ORDER BY", self.expression(), ")", chance=0.03)]

    def expression(self):
        self.depth += 1
        try:
            if self.depth > 4:
                return self.of([self.name()], [self.constant()])
            return self.deep_expression()
        finally:
            self.depth -= 1

    def deep_expression(self):
        e = self.expression
        kind = self.random.randrange(20)
        if kind < 3:
            return self.qualified()
        if kind < 6:
            return [self.constant()]
        if kind < 8:
            return self.call()
        if kind < 11:
            return [e(), self.of(*OPERATORS), e()]
        return self.of(
            lambda: ["(", e(), ")"],
            lambda: ["CASE WHEN", e(), "THEN", e(), "ELSE", e(), "END"],
            lambda: ["(", self.query(), ")"],
            lambda: [e(), self.of("IN", "NOT IN"), "(", *self.many(e), ")"],
            lambda: ["EXISTS (", self.query(), ")"],
            lambda: ["ARRAY [", *self.many(e), "]"],
            lambda: ["CAST (", e(), "AS", self.of("numeric(10, 2)", "text", "app.t", "varchar(3)[]", "timestamp(3) with time zone", "character varying(3)"), ")"],
            lambda: [e(), "::", self.of("numeric(3)", "regclass", "int[]", "app.t(3)", "bit varying(3)", '"char"', "evil(1)")],
            lambda: ["EXTRACT (YEAR FROM", e(), ")"],
            lambda: ["SUBSTRING (", e(), "FROM", e(), ")"],
            lambda: ["ROW (", *self.many(e, 2, 3), ")"],
            lambda: [e(), "AT TIME ZONE", e()],
            lambda: [e(), self.of("LIKE", "NOT LIKE", "ILIKE", "SIMILAR TO"), "(", e(), ")", *self.may("ESCAPE '!'", chance=0.2)],
            lambda: [e(), "BETWEEN", e(), "AND (", e(), ")"],
            lambda: ["-", e()],
            lambda: ["(", e(), ") . x"],
            lambda: ["COALESCE (", *self.many(e), ")"],
            lambda: [e(), "= ANY (", e(), ")"],
            lambda: ["XMLELEMENT (NAME a,", e(), ")"],
            lambda: ["JSON_VALUE (", e(), ",", "'$.a'", ")"],
            lambda: ["(", e(), ",", e(), ") OVERLAPS (", e(), ",", e(), ")"],
            lambda: ["U&'d\\0061'"],
        )()

    def source(self):
        alias = self.may(*self.may("AS"), self.of(self.name(), *KEYWORD_NAMES), *self.may("(", *self.many(self.name), ")", chance=0.3), chance=0.5)
        return self.of(
            lambda: [*self.may("ONLY", chance=0.1), *self.qualified(), *alias, *self.may("TABLESAMPLE", self.of("system", "bernoulli", "evil"), "(1)", chance=0.1)],
            lambda: [*self.may("LATERAL", chance=0.2), "(", self.query(), ")", "AS", self.name(), *self.may("(", *self.many(self.name), ")", chance=0.5)],
            lambda: [*self.call_of_table(), *self.may("WITH ORDINALITY", chance=0.3), "AS", self.name(), "(", *self.many(lambda: self.name() + self.of("", " text", " numeric(3)")), ")"],
            lambda: ["ROWS FROM (", *self.call_of_table(), ",", *self.call_of_table(), ")", "AS", self.name()],
            lambda: ["(VALUES (", *self.many(self.expression), ")) AS", self.name(), "(", *self.many(self.name), ")"],
        )()

    def call_of_table(self):
        return [self.of(*FUNCTIONS), "(", *self.many(self.expression, 0, 2), ")"]

    def sources(self):
        join = self.of(",", "CROSS JOIN", "NATURAL JOIN", "LEFT JOIN LATERAL")
        more = self.may(join, self.source(), *(["ON (", self.expression(), ")"] if join.startswith("LEFT") else []), chance=0.4)
        using = self.may("JOIN", self.source(), self.of("USING (a)", ["ON (", self.expression(), ")"]), chance=0.2)
        return ["FROM", self.source(), *using, *more]

    def query(self):
        self.depth += 1
        try:
            if self.depth > 4:
                return self.of(["SELECT 1"], ["TABLE t"], ["VALUES (1)"], ["SELECT", self.name()])
            return self.deep_query()
        finally:
            self.depth -= 1

    def deep_query(self):
        if self.random.random() < 0.1:
            return ["(", self.query(), ")", self.of("UNION", "EXCEPT ALL", "INTERSECT"), "(", self.query(), ")"]
        distinct = self.may(self.of("DISTINCT", "ALL", ["DISTINCT ON (", self.expression(), ")"]), chance=0.15)
        targets = self.many(lambda: [self.expression(), *self.may(self.of("AS", "as"), self.of(self.name(), *KEYWORD_NAMES), chance=0.4)], 1, 3)
        tail = [*self.may(*self.sources(), chance=0.7), *self.may("WHERE", self.expression()), *self.may("GROUP BY", self.of([self.expression()], ["ROLLUP (", self.expression(), ")"], ["GROUPING SETS ((", self.expression(), "), ())"]), chance=0.15),
                *self.may("HAVING", self.expression(), chance=0.1), *self.may("WINDOW w AS (", self.of("", "ORDER BY"), ")", chance=0.03),
                *self.may("ORDER BY", self.expression(), self.of("", "DESC", "USING <", "NULLS FIRST"), chance=0.2), *self.may("LIMIT", self.expression(), chance=0.1),
                *self.may("FOR", self.of("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE OF t"), self.of("", "NOWAIT", "SKIP LOCKED"), chance=0.08)]
        return [*self.may(*self.ctes(), chance=0.15), "SELECT", *distinct, *targets, *tail]

    def ctes(self):
        def one():
            body = self.of(self.query, self.query, self.query, self.writing)()
            return [self.of("a", "w", "evil", "lower"), *self.may("(", *self.many(self.name), ")"), "AS", self.of("", "MATERIALIZED", "NOT MATERIALIZED"), "(", body, ")"]
        return ["WITH", *self.may("RECURSIVE", chance=0.3), *self.many(one, 1, 2)]

    def writing(self):
        e = self.expression
        returning = self.may("RETURNING", e(), chance=0.4)
        return self.of(
            lambda: ["INSERT INTO", *self.qualified(), *self.may("(", *self.many(self.name), ")"), self.of(["VALUES (", *self.many(e), ")"], self.query(), ["DEFAULT VALUES"]), *self.may("ON CONFLICT (a) DO UPDATE SET a =", e(), chance=0.2), *returning],
            lambda: ["UPDATE", *self.of(self.qualified(), ["pg_settings"], ["ONLY pg_catalog.pg_settings"]), "SET a =", e(), *self.may("WHERE", e()), *returning],
            lambda: ["DELETE FROM", *self.qualified(), *self.may("WHERE", e()), *returning],
            lambda: ["MERGE INTO t USING s ON (", e(), ") WHEN MATCHED THEN UPDATE SET a =", e()],
        )()

    def setting(self):
        value = lambda: self.of(self.name(), self.text(), "1", "-1", "+2.5", "on", "DEFAULT", Text("'a\\b'", "'a\\\\b'", "E'a\\\\b'"), '"a b"', "none", "true")  # noqa: E731
        to = self.of("TO", "=", "to")
        return self.of(
            lambda: ["SET", self.of("", "SESSION", "LOCAL"), self.of(*SETTINGS), to, *self.many(value, 1, 2)],
            lambda: ["SET", self.of("", "SESSION", "LOCAL"), self.of("TIME ZONE", "ROLE", "NAMES", "SESSION AUTHORIZATION", "SCHEMA", "XML OPTION", "SEED TO"), self.of(value(), self.text(), "LOCAL", "DEFAULT", "NONE", "CONTENT", "INTERVAL '1' HOUR TO MINUTE", "-7")],
            lambda: ["SET", self.of("SESSION CHARACTERISTICS AS TRANSACTION", "TRANSACTION", "LOCAL TRANSACTION"), *self.many(lambda: self.of("READ ONLY", "READ WRITE", "DEFERRABLE", "NOT DEFERRABLE", "ISOLATION LEVEL SERIALIZABLE", "ISOLATION LEVEL READ COMMITTED"), 1, 3, self.of(",", ""))],
            lambda: ["SET", self.of(*SETTINGS), "FROM CURRENT"],
            lambda: ["RESET", self.of(*SETTINGS, "ALL", "TIME ZONE", "SESSION AUTHORIZATION", "TRANSACTION ISOLATION LEVEL")],
            lambda: ["SELECT", *self.many(lambda: [self.of("set_config", "pg_catalog.set_config", "SET_CONFIG"), "(", self.of("'a.b'", "'Work_Mem'", "'search_path'", "'transaction_isolation'"), ",", self.of(self.text(), "$1", "''", "NULL", "'a'||'b'"), ",", self.of("true", "false", "$2", "'t'"), ")", *self.may("AS", self.name(), chance=0.2)], 1, 2), *self.may("FROM t", chance=0.1)],
        )()

    def utility(self):
        n = self.name
        analyze = self.of("", "ANALYZE", "VERBOSE", "ANALYZE VERBOSE", "(ANALYZE)", "(analyze off, costs)", '("analyze")', "(VERBOSE, FORMAT json)", "(COSTS off)", "(ANALYZE false)")
        any_query = self.of(self.query, self.query, self.writing)
        return self.of(
            lambda: [self.of("BEGIN", "START TRANSACTION", "begin work", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY")],
            lambda: [self.of("COMMIT", "END", "ROLLBACK", "ABORT"), self.of("", "WORK", "TRANSACTION"), self.of("", "AND CHAIN", "AND NO CHAIN")],
            lambda: [self.of("SAVEPOINT", "RELEASE", "RELEASE SAVEPOINT", "ROLLBACK TO", "ROLLBACK WORK TO SAVEPOINT"), self.of(n(), "savepoint")],
            lambda: [self.of("PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'")],
            lambda: ["EXPLAIN", analyze, any_query()],
            lambda: ["EXPLAIN", analyze, self.of(["CREATE TABLE x AS", self.query()], ["DECLARE c CURSOR FOR", self.query()], ["EXECUTE p(1)"], ["(", self.query(), ")"])],
            lambda: ["DECLARE", n(), self.of("", "BINARY", "NO SCROLL", "INSENSITIVE"), "CURSOR", self.of("", "WITH HOLD", "WITHOUT HOLD"), "FOR", self.query()],
            lambda: [self.of("FETCH", "MOVE"), self.of("1 FROM", "ALL IN", "NEXT", "BACKWARD 2"), n()],
            lambda: ["CLOSE", self.of(n(), "ALL")],
            lambda: ["COPY", self.of("BINARY", ""), *self.qualified(), *self.may("(", *self.many(n), ")"), self.of("FROM", "TO"), self.of("STDIN", "STDOUT", "'f'", "PROGRAM 'p'", "stdin"), *self.may("WITH (FORMAT csv, HEADER true)")],
            lambda: ["COPY (", any_query(), ") TO", self.of("STDOUT", "'f'", "PROGRAM 'p'", "STDOUT (FORMAT csv, FORCE_QUOTE (a))", "STDOUT WITH CSV HEADER")],
            lambda: ["SELECT 1 INTO", self.of("t", "TEMP t", "TEMPORARY TABLE t", "UNLOGGED t", "pg_temp.t", "TABLE t"), "FROM t"],
            lambda: [self.of("DISCARD"), self.of("ALL", "PLANS", "TEMP", "TEMPORARY", "SEQUENCES")],
            lambda: ["DEALLOCATE", self.of("", "PREPARE"), self.of(n(), "ALL", "prepare")],
            lambda: ["PREPARE", self.of(n(), "transaction"), *self.may("(int, text)"), "AS", any_query()],
            lambda: ["EXECUTE", n(), *self.may("(", self.expression(), ")")],
            lambda: [self.of("LISTEN", "UNLISTEN", "NOTIFY"), n()],
            lambda: ["NOTIFY", n(), ", 'payload'"],
            lambda: [self.of("UNLISTEN *", "CHECKPOINT", "SHOW ALL", "SHOW TIME ZONE", "SHOW search_path", "LOAD 'x'", "VACUUM", "ANALYZE t (a)", "VACUUM (ANALYZE) t", "LOCK TABLE t IN SHARE MODE")],
            lambda: [self.of("DO $$ BEGIN; END $$", "DO LANGUAGE plpgsql 'x'", "CALL p()", ["CALL app.p(", self.expression(), ")"])],
            lambda: ["CREATE", self.of("", "TEMP", "TEMPORARY", "UNLOGGED", "LOCAL TEMP"), "TABLE", self.of("", "IF NOT EXISTS"), self.of("t", "pg_temp.t", "app.t"), self.of("(a int DEFAULT evil(1))", ["AS", self.query()], ["AS EXECUTE p(1)"])],
            lambda: ["CREATE", self.of("", "OR REPLACE"), self.of("FUNCTION", "PROCEDURE"), self.of("f", "pg_temp.f"), "(a int DEFAULT 1)", self.of("RETURNS int LANGUAGE sql", "LANGUAGE sql"), self.of("BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END", "AS $$ SELECT 1; $$", "RETURN 1", "BEGIN ATOMIC END", "AS 'a', 'b'")],
            lambda: ["CREATE RULE r AS ON INSERT TO t DO ALSO (", self.writing(), ";", self.writing(), ")"],
            lambda: ["CREATE", self.of("", "TEMP"), "VIEW v AS", self.query()],
            lambda: ["CREATE SCHEMA s CREATE TABLE a (b int) CREATE VIEW v AS", self.query()],
            lambda: [self.of("DROP TABLE t", "TRUNCATE t", "ALTER TABLE t ADD a int", "GRANT ALL ON t TO joe", "ALTER ROLE joe PASSWORD 'x'", "REFRESH MATERIALIZED VIEW v", "ALTER SYSTEM SET a = 1", "CLUSTER", "REINDEX TABLE t", "COMMENT ON TABLE t IS 'x;'", "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO t", "SECURITY LABEL ON TABLE t IS 'x'", "REASSIGN OWNED BY a TO b")],
        )()

    def statement(self):
        return self.of(self.query, self.query, self.query, self.utility, self.utility, self.setting, self.writing)()

    def pieces(self):
        """The pieces of a text of one or several statements."""
        made = []
        for _ in range(self.of(1, 1, 1, 2, 3)):
            made += [self.statement(), ";"]
        return made if self.random.random() < 0.3 else made[:-1]

    def gap(self):
        """What stands between two pieces."""
        if self.random.random() < 0.85:
            return " "
        return self.of("\n", "\t", " /* ; ' */ ", " -- ;'\n", "/* /* */ */ ", "  \r\n", "\f", " --\n--x\n ")

    def next(self):
        """(text, whether standard_conforming_strings is on, what PostgreSQL's parser is given)."""
        conforming = self.random.random() < 0.75
        ours, theirs = [], []
        for piece in flat(self.pieces()):
            gap = self.gap()
            plain = not isinstance(piece, Text)
            ours.append((piece if plain else piece.on if conforming else piece.off) + gap)
            theirs.append((piece if plain else piece.on if conforming else piece.off_as_on) + gap)
        return "".join(ours), conforming, "".join(theirs)


def flat(pieces):
    """The pieces without nesting; constants that are fixed strings count as theirs."""
    for piece in pieces:
        if isinstance(piece, list):
            yield from flat(piece)
        else:
            yield piece
