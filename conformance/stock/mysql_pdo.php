<?php
// PHP's PDO and mysqli on mysqlnd, untuned, as Laravel, Doctrine and WordPress use them; the sibling of pdo.php. suites/mysql_program.py runs this where two
// backends are shared, and sees that nothing pins.

$options = [];
for ($i = 1; $i + 1 < $argc; $i += 2) {
    $options[substr($argv[$i], 2)] = $argv[$i + 1];
}

function pdo(array $more = []): PDO
{
    global $options;
    $to = "mysql:host={$options['host']};port={$options['port']};dbname={$options['database']};charset=utf8mb4";
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
    return (string) $s->fetchColumn();
}

const KINDS = ['emulated' => [], 'prepared' => [PDO::ATTR_EMULATE_PREPARES => false], 'unbuffered' => [PDO::ATTR_EMULATE_PREPARES => false, PDO::MYSQL_ATTR_USE_BUFFERED_QUERY => false],
    'persistent' => [PDO::ATTR_PERSISTENT => true], 'told at connect' => [PDO::MYSQL_ATTR_INIT_COMMAND => "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL'"], 'rows found' => [PDO::MYSQL_ATTR_FOUND_ROWS => true]];

$checks = [
    'pdo_with_every_kind_of_statement' => function () {
        foreach (KINDS as $kind => $more) {
            $db = pdo($more);
            for ($i = 0; $i < 30; $i++) {
                equal(value($db, 'select concat(?, @@time_zone = @@global.time_zone)', ["Ü$i "]), "Ü$i " . ($kind === 'told at connect' ? '0' : '1'), "answer $kind");
            }
            $again = $db->prepare('select ? + ?');
            for ($i = 0; $i < 20; $i++) {
                $again->execute([$i, 1]);
                equal((int) $again->fetchColumn(), $i + 1, "sum $kind");
                $again->closeCursor();
            }
        }
    },
    'pdo_in_transactions' => function () {
        foreach (KINDS as $kind => $more) {
            $db = pdo($more);
            $db->exec("set session transaction isolation level read committed");
            $db->exec('drop table if exists conformance_pdo');
            $db->exec('create table conformance_pdo (id int auto_increment primary key, v int unique)');
            for ($i = 0; $i < 6; $i++) {
                $db->beginTransaction();
                $s = $db->prepare('insert into conformance_pdo (v) values (?)');
                $s->execute([$i]);
                equal($s->rowCount(), 1, "rows $kind");
                equal((int) $db->lastInsertId() > 0, true, "key $kind");
                $i % 2 ? $db->rollBack() : $db->commit();
            }
            try {
                $db->prepare('insert into conformance_pdo (v) values (?)')->execute([0]);
                throw new Exception('a duplicate was taken');
            } catch (PDOException $e) {
                equal($e->getCode(), '23000', 'SQLSTATE');
            }
            equal(value($db, 'select group_concat(v order by v) from conformance_pdo'), '0,2,4', "rows $kind");
            equal($db->exec('update conformance_pdo set v = v'), $kind === 'rows found' ? 3 : 0, "rows of an UPDATE that changes nothing $kind");
            $db->exec('drop table conformance_pdo');
            $db = null;
        }
    },
    'as_laravel_connects' => function () {
        global $options;
        for ($i = 0; $i < 4; $i++) {
            $db = pdo([PDO::ATTR_EMULATE_PREPARES => false]);
            $db->exec("use `{$options['database']}`;");
            $db->exec("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci', SESSION sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';");
            for ($k = 0; $k < 4; $k++) {
                equal(value($db, 'select @@collation_connection'), 'utf8mb4_unicode_ci', 'the collation');
                $db->beginTransaction();
                $db->exec('SAVEPOINT trans2');
                equal(value($db, 'select ?', [$k]), (string) $k, 'an answer');
                $db->exec('ROLLBACK TO SAVEPOINT trans2');
                $db->commit();
            }
        }
    },
    'mysqli_as_wordpress_uses_it' => function () {
        global $options;
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        for ($i = 0; $i < 4; $i++) {
            $c = mysqli_init();
            mysqli_real_connect($c, $options['host'], $options['user'], $options['password'], null, (int) $options['port']);
            mysqli_set_charset($c, 'utf8mb4');
            mysqli_query($c, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_520_ci'");
            $modes = mysqli_fetch_row(mysqli_query($c, 'SELECT @@SESSION.sql_mode'))[0];
            $kept = implode(',', array_diff(explode(',', $modes), ['NO_ZERO_DATE', 'ONLY_FULL_GROUP_BY', 'STRICT_TRANS_TABLES', 'STRICT_ALL_TABLES', 'TRADITIONAL', 'ANSI']));
            mysqli_query($c, "SET SESSION sql_mode='$kept'");
            mysqli_select_db($c, $options['database']);
            for ($k = 0; $k < 5; $k++) {
                equal(mysqli_fetch_row(mysqli_query($c, 'SELECT @@sql_mode, database()')), [$kept, $options['database']], 'settings');
                equal(mysqli_ping($c), true, 'ping');
            }
            $s = mysqli_prepare($c, 'select ? + 1');
            mysqli_stmt_bind_param($s, 'i', $i);
            mysqli_stmt_execute($s);
            equal((int) mysqli_fetch_row(mysqli_stmt_get_result($s))[0], $i + 1, 'sum');
            mysqli_close($c);
        }
    },
];

echo 'PHP ', PHP_VERSION, ', ', mysqli_get_client_info(), "\n";
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
