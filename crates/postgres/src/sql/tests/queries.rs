//! What is a call in a query and what only looks like one; what a query writes.

use super::*;

#[test]
fn plain_queries_are_pure() {
    assert_pure(&[
        "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
        "select * from a, b as c(x, y), d e (z) where a.id in (1, 2) and not (b.x or c.y)",
        "SELECT \"t0\".\"id\" FROM \"app\".\"t\" AS \"t0\" (\"id\", \"b\") WHERE (\"t0\".\"b\") IN ('a', 'b')",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.a = t.a) AND a = ANY (ARRAY[1, 2]) OR a = ALL ('{1}')",
        "SELECT CASE WHEN (a) THEN (b) ELSE (c) END FROM t",
        "SELECT CAST(a AS numeric(10, 2)), b::varchar(3), c::character varying (4), d::vector(3)[] FROM t",
        "SELECT a FROM t JOIN s USING (id) LEFT JOIN (SELECT 1) AS x (y) ON (x.y = t.a) CROSS JOIN LATERAL (SELECT 2) z",
        "SELECT a FROM t JOIN (s JOIN u ON (true)) ON (true)",
        "SELECT a FROM (t) JOIN (s) USING (id)",
        "SELECT a FROM t JOIN s ON true JOIN (SELECT 1) u ON t.a IS NULL JOIN (u) ON CASE WHEN a THEN b END JOIN (w) ON c",
        "(SELECT 1) UNION ALL (SELECT 2) EXCEPT (SELECT 3) ORDER BY (1) LIMIT (1) OFFSET (2)",
        "SELECT a FROM t GROUP BY (a), (b) HAVING (count(*) > 1) ORDER BY (a), (b)",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), (b)), ()",
        "SELECT a FROM t GROUP BY ROLLUP (a, b)",
        "SELECT a FROM t GROUP BY CUBE (a, b)",
        "SELECT a FROM t TABLESAMPLE SYSTEM (10) REPEATABLE (1)",
        "SELECT * FROM t FOR UPDATE OF t NOWAIT",
        "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
        "SELECT * FROM t FOR KEY SHARE",
        "SELECT a FROM t WHERE a NOT LIKE ('x') AND b NOT IN (1) AND c NOT ILIKE ('y') AND d BETWEEN (1) AND (2)",
        "SELECT (a).b, t.c, t.*, a[1], a[1:2] FROM t",
        "SELECT a, b INTERVAL FROM t",
        "SELECT current_user, CURRENT_TIMESTAMP(3), localtime, current_setting",
        "SELECT a AS set_config, b evil FROM t",
        "SELECT a FROM t WHERE (a, b) = ROW(1, 2) OR (a, b) OVERLAPS (c, d)",
        "SELECT DISTINCT ON (a, b) c FROM t",
        "SELECT a COLLATE \"C\" FROM t",
        "SELECT ARRAY(SELECT 1), ARRAY[1]",
        "SELECT a FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) WITH ORDINALITY AS x (y, z)",
        "SELECT x FROM generate_series(1, 2) WITH ORDINALITY x (y, z)",
        "SELECT a OPERATOR(pg_catalog.+) (b) FROM t WHERE c OPERATOR(~) 'x'",
        "TABLE t",
        "VALUES ((1)), (NULL)",
        "SELECT",
        "SELECT 1 WHERE (true)",
    ]);
}

#[test]
fn queries_with_common_table_expressions_are_judged_as_a_whole() {
    assert_pure(&[
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "WITH a (x) AS (SELECT 1), b (y, z) AS NOT MATERIALIZED (SELECT 1, 2) SELECT * FROM a, b",
        "WITH RECURSIVE t (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t",
        "WITH a AS MATERIALIZED (SELECT 1), b AS (SELECT 2) (SELECT 3) ORDER BY 1",
        "WITH RECURSIVE a (x) AS (SELECT 1) SEARCH DEPTH FIRST BY x SET y, \"b\" (z) AS (SELECT 2) SELECT 1",
        "SELECT * FROM (WITH a (x) AS (SELECT 1) SELECT * FROM a) b",
    ]);
    assert_opaque(&[
        "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
        "WITH a AS (WITH b AS (SELECT 1) DELETE FROM t RETURNING *) SELECT * FROM a",
        "WITH a AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM a",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "WITH a AS (SELECT 1) UPDATE t SET a = 1",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "WITH a AS (SELECT 1) MERGE INTO t USING a ON (true) WHEN MATCHED THEN DELETE",
        "WITH a AS (SELECT evil()) SELECT 1",
        "WITH a (x) AS (SELECT 1) SELECT 1, evil(2)",
        "WITH a AS (SELECT 1) VALUES (1), (evil(2))",
        "WITH a AS (SELECT 1) TABLE t ORDER BY 1, evil(2)",
        "WITH a AS (SELECT 1) (SELECT 1) ORDER BY 1, evil(2)",
        "WITH RECURSIVE a AS (SELECT 1) CYCLE x SET y USING abs (SELECT 1) ORDER BY 1, evil(2)",
        "WITH a (x) AS (SELECT 1) SELECT 1 FROM a, evil(2) AS b (y)",
    ]);
}

#[test]
fn functions_of_the_server_that_only_compute_are_pure() {
    assert_pure(&[
        "SELECT count(*), COUNT(DISTINCT a), Sum(a) FILTER (WHERE b) OVER (PARTITION BY (c) ORDER BY d) FROM t",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FILTER (WHERE b) FROM t",
        "SELECT row_number() OVER w FROM t WINDOW w AS (PARTITION BY a)",
        "SELECT coalesce(a, b), nullif(a, b), greatest(1, 2), least(1, 2), grouping(a) FROM t",
        "SELECT lower(a), upper(b), substring(c FROM 1 FOR 2), trim(BOTH 'x' FROM d), position('a' IN e) FROM t",
        "SELECT extract(epoch FROM now()), date_trunc('day', a), to_char(b, 'YYYY'), age(c) FROM t",
        "SELECT pg_catalog.now(), \"pg_catalog\".\"now\"(), \"now\"(), PG_CATALOG . NOW ()",
        "SELECT left(a, 1), right(b, 1), replace(c, 'x', 'y'), format('%s', d), version() FROM t",
        "SELECT jsonb_build_object('a', 1) -> 'a', jsonb_agg(x) FROM jsonb_array_elements('[]') AS x",
        "SELECT * FROM json_to_recordset('[]') AS x (a int, b numeric(3))",
        "SELECT * FROM unnest(ARRAY[1, 2]) u (v), generate_series(1, 2) g",
        "SELECT current_setting('a.b', true), pg_backend_pid(), txid_current(), pg_sleep(1), random()",
        "SELECT has_table_privilege('t', 'select'), pg_get_viewdef('v'::regclass), obj_description(1, 'x')",
        "SELECT gen_random_uuid(), md5('a'), sha256('a'), encode('a', 'hex')",
        "SELECT xmlelement(name a, xmlattributes(1 AS b), 'c'), xmlforest(a, b) FROM t",
        "SELECT pg_catalog.pg_table_is_visible(c.oid) FROM pg_catalog.pg_class c",
        "SELECT interval(3) '1 second', timestamp(3) '2026-01-01', numeric(3) '1'",
    ]);
}

#[test]
fn calls_of_all_other_functions_are_opaque() {
    assert_opaque(&[
        "SELECT evil()",
        "SELECT evil ( 1 )",
        "SELECT evil/* */(1)",
        "SELECT \"evil\"(1), U&\"evil\"(1)",
        "SELECT U&\"d!0061\" UESCAPE '!' (1), evil()",
        "SELECT s.evil()",
        "SELECT public.now()",
        "SELECT db.pg_catalog.now()",
        "SELECT \"Now\"()",
        "SELECT pg_temp.f()",
        "SELECT * FROM evil()",
        "SELECT * FROM t, evil()",
        "SELECT * FROM t JOIN evil() ON (true)",
        "SELECT * FROM t TABLESAMPLE evil (10)",
        "SELECT 1 + evil()",
        "SELECT (evil())",
        "SELECT a[evil()]",
        "SELECT NOT evil()",
        "SELECT DISTINCT evil()",
        "SELECT DISTINCT ON (a) evil()",
        "SELECT DISTINCT ON (a, (b)) evil()",
        "SELECT a OPERATOR(pg_catalog.+) evil()",
        "SELECT a OPERATOR(s.+) b",
        "SELECT OPERATOR(s.-) b",
        "SELECT ordinality OPERATOR(s.+) (1)",
        "SELECT recursive OPERATOR(pg_catalog.+) evil(1)",
        "SELECT CASE WHEN a THEN evil() END",
        "SELECT CASE (a) WHEN 1 THEN evil() END",
        "SELECT a FROM t WHERE a LIKE evil()",
        "SELECT a FROM t WHERE a LIKE 'x' ESCAPE evil()",
        "SELECT a FROM t WHERE a NOT BETWEEN evil() AND 2",
        "SELECT a FROM t ORDER BY evil()",
        "SELECT a FROM t GROUP BY a, evil()",
        "SELECT a FROM t LIMIT evil()",
        "SELECT a FROM t FETCH FIRST evil() ROWS ONLY",
        "SELECT a FROM t OFFSET evil() ROWS",
        "SELECT a FROM t WHERE a AT TIME ZONE evil() = b",
        "SELECT sum(a) OVER (ROWS evil() PRECEDING) FROM t",
        "SELECT NOT materialized(1)",
        "SELECT NOT ilike(1, 2)",
        "SELECT a FROM t ORDER BY cube(1)",
        "SELECT materialized(1)",
        "SELECT filter(1)",
        "SELECT over(1)",
        "SELECT by(1)",
        "SELECT join(1)",
        "SELECT 1 + like(1, 2), evil()",
        "SELECT treat(a AS b)",
        "SELECT json_value('{}', '$' PASSING evil() AS a)",
        "SELECT xmlparse(document evil())",
        "SELECT f(a => evil())",
        "SELECT abs(a => evil())",
        "SELECT concat(VARIADIC evil())",
        "SELECT nextval('s')",
        "SELECT query_to_xml('SELECT set_config(1)', true, true, '')",
        "SELECT table_to_xml('t', true, true, '')",
        "SELECT * FROM ts_stat('SELECT 1')",
        "SELECT dblink('SELECT 1')",
        "VALUES (evil())",
        "TABLE t ORDER BY evil()",
        "(SELECT evil())",
        "SELECT public.select(1)",
        "SELECT x.y.evil(1)",
        "SELECT a::s.evil(3)",
    ]);
}

#[test]
fn words_for_writing_are_opaque_wherever_they_stand() {
    assert_opaque(&[
        "SELECT a FROM insert",
        "SELECT update FROM t",
        "SELECT 1 AS into",
        "SELECT a.delete FROM a",
    ]);
}

#[test]
fn brackets_deeper_than_are_followed_are_opaque() {
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(effects(&nested(64)), [Effect::Pure]);
    assert_eq!(effects(&nested(65)), [Effect::Opaque]);
    assert_eq!(effects(&nested(10_000)), [Effect::Opaque]);
}
