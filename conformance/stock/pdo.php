<?php
// PHP's PDO and its older pgsql functions, untuned. suites/stock_program.py runs this where two backends are shared, and sees that nothing pins.

$options = [];
for ($i = 1; $i + 1 < $argc; $i += 2) {
    $options[substr($argv[$i], 2)] = $argv[$i + 1];
}

function pdo(array $more = []): PDO
{
    global $options;
    $to = "pgsql:host={$options['host']};port={$options['port']};dbname={$options['database']};sslmode=disable;connect_timeout=15";
    return new PDO($to, $options['user'], $options['password'], $more + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

function equal($got, $wanted, string $what): void
{
    if ($got !== $wanted) {
        throw new Exception("$what: got " . var_export($got, true) . ', wanted ' . var_export($wanted, true));
    }
}

function value($db, string $sql, array $values = [])
{
    $s = $db->prepare($sql);
    $s->execute($values);
    return $s->fetchColumn();
}

const KINDS = ['prepared' => [], 'emulated' => [PDO::ATTR_EMULATE_PREPARES => true], 'unprepared' => [PDO::PGSQL_ATTR_DISABLE_PREPARES => true], 'persistent' => [PDO::ATTR_PERSISTENT => true]];

$checks = [
    'pdo_with_every_kind_of_statement' => function () {
        foreach (KINDS as $kind => $more) {
            $db = pdo($more);
            // Each prepared statement is deallocated when its object goes.
            for ($i = 0; $i < 30; $i++) {
                equal(value($db, 'select ?::text || current_setting(\'datestyle\')', ["$i "]), "$i ISO, MDY", "answer $kind");
            }
            $again = $db->prepare('select :a::int + :b::int');
            for ($i = 0; $i < 20; $i++) {
                $again->execute(['a' => $i, 'b' => 1]);
                equal((int) $again->fetchColumn(), $i + 1, "sum $kind");
            }
        }
    },
    'pdo_in_transactions' => function () {
        foreach (KINDS as $kind => $more) {
            $db = pdo($more);
            $db->exec("set timezone = 'Asia/Tokyo'; set application_name = 'php'");
            $db->exec('drop table if exists conformance_pdo; create table conformance_pdo (id serial primary key, v int unique)');
            for ($i = 0; $i < 6; $i++) {
                $db->beginTransaction();
                $s = $db->prepare('insert into conformance_pdo (v) values (?) returning id');
                $s->execute([$i]);
                equal($s->rowCount(), 1, "rows $kind");
                $i % 2 ? $db->rollBack() : $db->commit();
            }
            try {
                value($db, 'insert into conformance_pdo (v) values (?)', [0]);
                throw new Exception('a duplicate was taken');
            } catch (PDOException $e) {
                equal($e->getCode(), '23505', 'SQLSTATE');
            }
            equal(value($db, 'select string_agg(v::text, \',\' order by v) from conformance_pdo'), '0,2,4', "rows $kind");
            equal(value($db, "select current_setting('timezone') || current_setting('application_name')"), 'Asia/Tokyophp', "settings $kind");
            $db->exec('drop table conformance_pdo');
            $db->exec('discard all');
            $db = null;
        }
    },
    'pdo_copy_and_large_objects' => function () {
        $db = pdo();
        $db->exec('drop table if exists conformance_pdo; create table conformance_pdo (v int, t text)');
        equal($db->pgsqlCopyFromArray('conformance_pdo', ["1\tone", "2\ttwo"]), true, 'COPY in');
        equal(count($db->pgsqlCopyToArray('conformance_pdo')), 2, 'rows of a COPY');
        $db->beginTransaction();
        $oid = $db->pgsqlLOBCreate();
        $stream = $db->pgsqlLOBOpen($oid, 'w');
        fwrite($stream, str_repeat('large ', 1000));
        fclose($stream);
        $db->commit();
        $db->beginTransaction();
        equal(strlen(stream_get_contents($db->pgsqlLOBOpen($oid, 'r'))), 6000, 'bytes of a large object');
        equal($db->pgsqlLOBUnlink($oid), true, 'unlinked');
        $db->commit();
        $db->exec('drop table conformance_pdo');
    },
    'the_pgsql_functions' => function () {
        global $options;
        $c = pg_connect("host={$options['host']} port={$options['port']} dbname={$options['database']} user={$options['user']} password={$options['password']} sslmode=disable", PGSQL_CONNECT_FORCE_NEW);
        for ($i = 0; $i < 10; $i++) {
            equal(pg_fetch_result(pg_query_params($c, 'select $1::int * 2', [$i]), 0, 0), (string) ($i * 2), 'answer');
        }
        pg_prepare($c, 'S_1', 'select $1::text || \'!\'');
        for ($i = 0; $i < 10; $i++) {
            equal(pg_fetch_result(pg_execute($c, 'S_1', ["v$i"]), 0, 0), "v$i!", 'answer of a prepared statement');
        }
        equal(pg_escape_literal($c, "it's"), "'it''s'", 'escaped');
        pg_close($c);
    },
    'deallocate_of_ones_own' => function () {
        $db = pdo();
        $first = $db->prepare('select 1');
        $first->execute();
        $db->exec('DEALLOCATE ALL');
        equal((int) value($db, 'select ?::int', [7]), 7, 'a statement prepared afterwards');
    },
];

echo 'PHP ', PHP_VERSION, ', libpq ', pg_version(pg_connect("host={$options['host']} port={$options['port']} dbname={$options['database']} user={$options['user']} password={$options['password']} sslmode=disable"))['client'], "\n";
$failures = 0;
foreach ($checks as $name => $check) {
    if (!str_contains($name, $options['match'] ?? '')) {
        continue;
    }
    try {
        $check();
        echo "ok $name\n";
    } catch (Throwable $e) {
        $failures++;
        echo "FAIL $name: ", preg_replace('/\s+/', ' ', get_class($e) . ' ' . $e->getMessage() . ' line ' . $e->getLine()), "\n";
    }
}
echo "done\n";
exit($failures ? 1 : 0);
