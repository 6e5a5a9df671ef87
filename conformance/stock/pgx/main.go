// pgx and lib/pq, Go's drivers, untuned: pgx's pool in each of its ways to prepare, and database/sql on both.
// suites/stock_program.py runs this where two backends are shared, and sees that nothing pins.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	_ "github.com/jackc/pgx/v4/stdlib"
	_ "github.com/lib/pq"
)

var (
	options = map[string]string{}
	ctx     = context.Background()
)

type check struct {
	name string
	run  func()
}

// must ends the check.
func must(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(fmt.Sprintf("%v (%s:%d)", err, file[strings.LastIndex(file, "/")+1:], line))
	}
}

func equal(got, wanted interface{}, what string) {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		panic(fmt.Sprintf("%s: got %v, wanted %v", what, got, wanted))
	}
}

func address(more string) string {
	user := url.UserPassword(options["user"], options["password"])
	return fmt.Sprintf("postgres://%s@%s:%s/%s?sslmode=disable&connect_timeout=15%s", user, options["host"], options["port"], options["database"], more)
}

func pool(more string) *pgxpool.Pool {
	p, err := pgxpool.Connect(ctx, address("&pool_max_conns=6"+more))
	must(err)
	return p
}

// together runs `work` with so many numbers, each in a goroutine of its own.
func together(count int, work func(i int)) {
	var all sync.WaitGroup
	failures := make(chan interface{}, count)
	for i := 0; i < count; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			defer func() {
				if failure := recover(); failure != nil {
					failures <- failure
				}
			}()
			work(i)
		}(i)
	}
	all.Wait()
	close(failures)
	for failure := range failures {
		panic(failure)
	}
}

var ways = []string{"", "&statement_cache_mode=describe", "&statement_cache_capacity=0", "&statement_cache_capacity=3"}

func pgxByItsPool() {
	for _, way := range ways {
		p := pool(way + "&application_name=pgx&search_path=public&timezone=Asia/Tokyo")
		together(60, func(i int) {
			var sum int
			var settings string
			must(p.QueryRow(ctx, "select $1::int + 1, concat_ws(' ', current_setting('application_name'), current_setting('search_path'), current_setting('timezone'), current_setting('datestyle'))", i).Scan(&sum, &settings))
			equal(sum, i+1, "sum "+way)
			equal(settings, "pgx public Asia/Tokyo ISO, MDY", "settings "+way)
		})
		p.Close()
	}
}

func pgxInTransactions() {
	for _, way := range ways {
		p := pool(way)
		_, err := p.Exec(ctx, "drop table if exists conformance_pgx")
		must(err)
		_, err = p.Exec(ctx, "create table conformance_pgx (v int primary key, t text, at timestamptz default now())")
		must(err)
		together(12, func(i int) {
			tx, err := p.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
			must(err)
			defer tx.Rollback(ctx)
			_, err = tx.Exec(ctx, "insert into conformance_pgx (v, t) values ($1, $2)", i, fmt.Sprint("row ", i))
			must(err)
			inner, err := tx.Begin(ctx)
			must(err)
			_, err = inner.Exec(ctx, "insert into conformance_pgx (v) values ($1)", i)
			equal(err != nil && strings.Contains(err.Error(), "23505"), true, "a duplicate is refused")
			must(inner.Rollback(ctx))
			var isolation string
			must(tx.QueryRow(ctx, "show transaction_isolation").Scan(&isolation))
			equal(isolation, "repeatable read", "isolation")
			if i%2 == 0 {
				must(tx.Commit(ctx))
			}
		})
		batch := &pgx.Batch{}
		for i := 0; i < 100; i++ {
			batch.Queue("insert into conformance_pgx (v) values ($1)", 1000+i)
		}
		batch.Queue("select count(*) from conformance_pgx")
		results := p.SendBatch(ctx, batch)
		for i := 0; i < 100; i++ {
			_, err := results.Exec()
			must(err)
		}
		var count int
		must(results.QueryRow().Scan(&count))
		equal(count, 106, "rows behind a batch")
		must(results.Close())
		copied, err := p.CopyFrom(ctx, pgx.Identifier{"conformance_pgx"}, []string{"v", "t"}, pgx.CopyFromSlice(500, func(i int) ([]interface{}, error) { return []interface{}{5000 + i, "copied"}, nil }))
		must(err)
		equal(copied, 500, "rows copied")
		rows, err := p.Query(ctx, "select v, t, at from conformance_pgx where v < $1 order by v", 100)
		must(err)
		seen := []int{}
		for rows.Next() {
			var v int
			var t string
			var at time.Time
			must(rows.Scan(&v, &t, &at))
			equal(t, fmt.Sprint("row ", v), "text")
			equal(time.Since(at) < 5*time.Minute, true, "time")
			seen = append(seen, v)
		}
		must(rows.Err())
		equal(seen, []int{0, 2, 4, 6, 8, 10}, "rows kept")
		_, err = p.Exec(ctx, "drop table conformance_pgx")
		must(err)
		p.Close()
	}
}

func pgxCancelled() {
	p := pool("")
	for i := 0; i < 3; i++ {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err := p.Exec(soon, "select pg_sleep(20)")
		cancel()
		equal(err != nil, true, "a query that was cancelled fails")
		var one int
		must(p.QueryRow(ctx, "select 1").Scan(&one))
	}
	p.Close()
}

func databaseSQL(driver string) func() {
	return func() {
		db, err := sql.Open(driver, address(""))
		must(err)
		defer db.Close()
		db.SetMaxOpenConns(6)
		must(db.Ping())
		statement, err := db.Prepare("select $1::int * 2")
		must(err)
		together(50, func(i int) {
			var twice int
			must(statement.QueryRow(i).Scan(&twice))
			equal(twice, i*2, "answer of a prepared statement")
			must(db.QueryRow("select $1::int * 3", i).Scan(&twice))
			equal(twice, i*3, "answer")
		})
		must(statement.Close())
		for i := 0; i < 4; i++ {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
			must(err)
			var settings string
			must(tx.QueryRow("select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')").Scan(&settings))
			equal(settings, "serializable on", "the transaction")
			must(tx.Rollback())
			_, err = db.Exec("select 1/0")
			equal(err != nil, true, "an error is told")
			connection, err := db.Conn(ctx)
			must(err)
			_, err = connection.ExecContext(ctx, "set work_mem = '7MB'")
			must(err)
			must(connection.QueryRowContext(ctx, "show work_mem").Scan(&settings))
			equal(settings, "7MB", "a setting of one connection")
			_, err = connection.ExecContext(ctx, "reset work_mem")
			must(err)
			must(connection.Close())
		}
	}
}

func report(c check) (failed bool) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Printf("FAIL %s: %s\n", c.name, strings.Join(strings.Fields(fmt.Sprint(failure)), " "))
			failed = true
		}
	}()
	c.run()
	fmt.Println("ok", c.name)
	return false
}

func main() {
	for i := 1; i+1 < len(os.Args); i += 2 {
		options[strings.TrimPrefix(os.Args[i], "--")] = os.Args[i+1]
	}
	fmt.Println("pgx v4 and lib/pq of Debian,", runtime.Version())
	failures := 0
	for _, c := range []check{
		{"pgx_by_its_pool", pgxByItsPool}, {"pgx_in_transactions", pgxInTransactions}, {"pgx_cancelled_by_its_context", pgxCancelled},
		{"database_sql_on_pgx", databaseSQL("pgx")}, {"database_sql_on_pq", databaseSQL("postgres")},
	} {
		if strings.Contains(c.name, options["match"]) && report(c) {
			failures++
		}
	}
	fmt.Println("done")
	if failures > 0 {
		os.Exit(1)
	}
}
