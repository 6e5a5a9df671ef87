//! What one client says and hears: statements, types, pipelines, COPY, portals, transactions, errors.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, NoTls, SimpleQueryMessage};

use crate::target::{Target, fails_with, value};
use crate::{Check, checks};

/// The checks, in order.
pub const CHECKS: [Check; 19] = checks![
    simple_queries,
    several_statements_in_one_query,
    types_go_and_come,
    types_of_the_database_are_looked_up,
    a_prepared_statement_is_used_often,
    many_prepared_statements_are_dropped,
    declared_parameter_types,
    a_pipeline_of_a_thousand,
    an_error_in_a_pipeline_spares_the_others,
    errors_have_their_code_and_leave_the_client_usable,
    transactions_commit_and_roll_back,
    savepoints,
    a_dropped_transaction_rolls_back,
    portals_in_portions,
    isolation_levels,
    copy_in_and_out,
    a_copy_that_is_given_up,
    a_copy_of_bad_data,
    cancel_by_token,
];

async fn simple_queries(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    ensure!(value(&c, "select 'simple'").await? == "simple");
    let empty = c.simple_query("").await?;
    ensure!(
        !empty
            .iter()
            .any(|m| matches!(m, SimpleQueryMessage::Row(_)))
    );
    Ok(())
}

async fn several_statements_in_one_query(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let messages = c
        .simple_query("select 1; select 2, 3; set work_mem = '1MB'")
        .await?;
    let rows = messages
        .iter()
        .filter(|m| matches!(m, SimpleQueryMessage::Row(_)))
        .count();
    let ends = messages
        .iter()
        .filter(|m| matches!(m, SimpleQueryMessage::CommandComplete(_)))
        .count();
    ensure!(
        (rows, ends) == (2, 3),
        "two rows and three ends, got {rows} and {ends}"
    );
    c.batch_execute("begin; select 1; commit").await?;
    fails_with(
        c.batch_execute("select 1; select 1/0; select 2").await,
        &SqlState::DIVISION_BY_ZERO,
    )
}

async fn types_go_and_come(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let sql = "select $1::int2, $2::int4, $3::int8, $4::float8, $5::text, $6::bytea, $7::bool, $8::text, $9::int4[], $10::timestamptz";
    let bytes: &[u8] = &[0, 255, 10];
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let row = c
        .query_one(
            sql,
            &[
                &1_i16,
                &-2_i32,
                &(1_i64 << 40),
                &1.5_f64,
                &"é",
                &bytes,
                &true,
                &None::<String>,
                &vec![1_i32, 2],
                &now,
            ],
        )
        .await?;
    ensure!(
        (
            row.get::<_, i16>(0),
            row.get::<_, i32>(1),
            row.get::<_, i64>(2)
        ) == (1, -2, 1 << 40)
    );
    ensure!(
        row.get::<_, f64>(3) == 1.5
            && row.get::<_, &str>(4) == "é"
            && row.get::<_, &[u8]>(5) == bytes
    );
    ensure!(row.get::<_, bool>(6) && row.get::<_, Option<&str>>(7).is_none());
    ensure!(row.get::<_, Vec<i32>>(8) == [1, 2] && row.get::<_, SystemTime>(9) == now);
    Ok(())
}

/// An enum's OID is unknown to the driver, which then asks pg_type by statements of its own.
async fn types_of_the_database_are_looked_up(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    c.batch_execute("drop type if exists conformance_rust_mood cascade; create type conformance_rust_mood as enum ('sad', 'ok')").await?;
    for _ in 0..3 {
        let other = t.connect().await?;
        let statement = other
            .prepare("select $1::conformance_rust_mood, array[$1]")
            .await?;
        ensure!(statement.params()[0].name() == "conformance_rust_mood");
        ensure!(statement.columns()[1].type_().name() == "_conformance_rust_mood");
    }
    c.batch_execute("drop type conformance_rust_mood").await?;
    Ok(())
}

async fn a_prepared_statement_is_used_often(t: Target) -> anyhow::Result<()> {
    let (c, neighbour) = (t.connect().await?, t.connect().await?);
    let statement = c.prepare("select $1::int4 * 2, $2::text").await?;
    ensure!(statement.params() == [Type::INT4, Type::TEXT]);
    let other = neighbour.prepare("select $1::text || $1::text").await?;
    for i in 0..100_i32 {
        let row = c.query_one(&statement, &[&i, &"x"]).await?;
        ensure!((row.get::<_, i32>(0), row.get::<_, &str>(1)) == (i * 2, "x"));
        let row = neighbour.query_one(&other, &[&i.to_string()]).await?;
        ensure!(row.get::<_, String>(0) == format!("{i}{i}"));
    }
    Ok(())
}

/// A dropped statement is closed behind the client's back, at any time.
async fn many_prepared_statements_are_dropped(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    for i in 0..t.rounds(200, 2000) {
        let statement = c.prepare(&format!("select {i}::int4 as c{i}")).await?;
        ensure!(c.query_one(&statement, &[]).await?.get::<_, i32>(0) == i32::try_from(i)?);
        ensure!(statement.columns()[0].name() == format!("c{i}"));
    }
    Ok(())
}

async fn declared_parameter_types(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let statement = c.prepare_typed("select $1 + 1", &[Type::INT8]).await?;
    ensure!(c.query_one(&statement, &[&41_i64]).await?.get::<_, i64>(0) == 42);
    let rows = c
        .query_typed("select $1 || '!'", &[(&"hi", Type::TEXT)])
        .await?;
    ensure!(rows[0].get::<_, &str>(0) == "hi!");
    Ok(())
}

async fn a_pipeline_of_a_thousand(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let statement = c.prepare("select $1::int4").await?;
    let ask = |i: i32| {
        let (c, statement) = (&c, &statement);
        async move {
            c.query_one(statement, &[&i])
                .await
                .map(|row| row.get::<_, i32>(0))
        }
    };
    let got = try_join_all((0..1000).map(ask)).await?;
    ensure!(got == (0..1000).collect::<Vec<_>>(), "answers in order");
    // Statements prepared in flight as well.
    let prepare = |i: i32| {
        let c = &c;
        async move {
            c.query_one(&format!("select {i}::int4"), &[])
                .await
                .map(|row| row.get::<_, i32>(0))
        }
    };
    let got = try_join_all((0..200).map(prepare)).await?;
    ensure!(got == (0..200).collect::<Vec<_>>(), "answers in order");
    Ok(())
}

async fn an_error_in_a_pipeline_spares_the_others(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let statement = c.prepare("select 10 / $1::int4").await?;
    let divisors: Vec<i32> = (0..100).map(|i| i % 10).collect();
    let results = join_all(divisors.iter().map(|d| {
        let (c, statement) = (&c, &statement);
        async move { c.query_one(statement, &[d]).await }
    }))
    .await;
    for (d, result) in divisors.iter().zip(results) {
        match *d {
            0 => fails_with(result, &SqlState::DIVISION_BY_ZERO)?,
            d => ensure!(result?.get::<_, i32>(0) == 10 / d),
        }
    }
    Ok(())
}

async fn errors_have_their_code_and_leave_the_client_usable(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    for (sql, code) in [
        ("selec", SqlState::SYNTAX_ERROR),
        ("select * from conformance_none", SqlState::UNDEFINED_TABLE),
        ("select 1 / (select 0)", SqlState::DIVISION_BY_ZERO),
    ] {
        fails_with(c.query(sql, &[]).await, &code)?;
        fails_with(c.simple_query(sql).await, &code)?;
        ensure!(value(&c, "select 'alive'").await? == "alive");
    }
    Ok(())
}

/// An empty table; its name is the check's.
async fn fresh_table(c: &Client, columns: &str) -> anyhow::Result<()> {
    let sql =
        format!("drop table if exists conformance_rust; create table conformance_rust ({columns})");
    Ok(c.batch_execute(&sql).await?)
}

/// Values of the table, joined.
async fn kept(c: &Client) -> anyhow::Result<String> {
    value(
        c,
        "select coalesce(string_agg(v::text, ',' order by v), '') from conformance_rust",
    )
    .await
}

async fn transactions_commit_and_roll_back(t: Target) -> anyhow::Result<()> {
    let mut c = t.connect().await?;
    fresh_table(&c, "v int").await?;
    for (v, commit) in [(1, true), (2, false), (3, true)] {
        let tx = c.transaction().await?;
        tx.execute("insert into conformance_rust values ($1)", &[&v])
            .await?;
        if commit {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    ensure!(kept(&c).await? == "1,3");
    Ok(())
}

async fn savepoints(t: Target) -> anyhow::Result<()> {
    let mut c = t.connect().await?;
    fresh_table(&c, "v int").await?;
    let mut tx = c.transaction().await?;
    tx.execute("insert into conformance_rust values (1)", &[])
        .await?;
    let inner = tx.savepoint("point").await?;
    inner
        .execute("insert into conformance_rust values (2)", &[])
        .await?;
    fails_with(
        inner.execute("select 1 / (select 0)", &[]).await,
        &SqlState::DIVISION_BY_ZERO,
    )?;
    fails_with(
        inner.execute("select 1", &[]).await,
        &SqlState::IN_FAILED_SQL_TRANSACTION,
    )?;
    inner.rollback().await?;
    tx.execute("insert into conformance_rust values (3)", &[])
        .await?;
    tx.commit().await?;
    ensure!(kept(&c).await? == "1,3");
    Ok(())
}

/// The driver writes ROLLBACK without waiting for its answer.
async fn a_dropped_transaction_rolls_back(t: Target) -> anyhow::Result<()> {
    let mut c = t.connect().await?;
    fresh_table(&c, "v int").await?;
    for _ in 0..10 {
        let tx = c.transaction().await?;
        tx.execute("insert into conformance_rust values (1)", &[])
            .await?;
        drop(tx);
        ensure!(kept(&c).await?.is_empty());
    }
    Ok(())
}

async fn portals_in_portions(t: Target) -> anyhow::Result<()> {
    let mut c = t.connect().await?;
    let tx = c.transaction().await?;
    let a = tx.bind("select generate_series(1, 10)", &[]).await?;
    let b = tx.bind("select generate_series(101, 110)", &[]).await?;
    for round in 0..3 {
        for (portal, base) in [(&a, 0), (&b, 100)] {
            let rows = tx.query_portal(portal, 3).await?;
            let got: Vec<i32> = rows.iter().map(|r| r.get(0)).collect();
            let first = base + round * 3 + 1;
            ensure!(got == [first, first + 1, first + 2], "portion {got:?}");
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn isolation_levels(t: Target) -> anyhow::Result<()> {
    let (mut c, other) = (t.connect().await?, t.connect().await?);
    fresh_table(&other, "v int").await?;
    let builder = c
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead);
    let tx = builder.start().await?;
    let count = "select count(*) from conformance_rust";
    ensure!(tx.query_one(count, &[]).await?.get::<_, i64>(0) == 0);
    other
        .batch_execute("insert into conformance_rust values (1)")
        .await?;
    ensure!(
        tx.query_one(count, &[]).await?.get::<_, i64>(0) == 0,
        "the snapshot stays"
    );
    tx.commit().await?;
    let tx = c.build_transaction().read_only(true).start().await?;
    fails_with(
        tx.execute("insert into conformance_rust values (2)", &[])
            .await,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
    )
}

async fn copy_in_and_out(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    fresh_table(&c, "v int, t text").await?;
    let mut sink = pin!(c.copy_in("copy conformance_rust from stdin").await?);
    for i in 0..20_000 {
        sink.feed(Bytes::from(format!("{i}\tline {i}\n"))).await?;
    }
    ensure!(sink.finish().await? == 20_000);
    let out = c
        .copy_out("copy (select * from conformance_rust order by v) to stdout")
        .await?;
    let chunks: Vec<Bytes> = out.try_collect().await?;
    let text = String::from_utf8(chunks.concat())?;
    ensure!(
        text.lines()
            .enumerate()
            .all(|(i, line)| line == format!("{i}\tline {i}")),
        "rows in order"
    );
    ensure!(text.lines().count() == 20_000);
    Ok(())
}

async fn a_copy_that_is_given_up(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    fresh_table(&c, "v int").await?;
    for _ in 0..5 {
        let mut sink = Box::pin(c.copy_in("copy conformance_rust from stdin").await?);
        sink.send(Bytes::from_static(b"1\n")).await?;
        drop(sink);
        ensure!(kept(&c).await?.is_empty(), "no row of the broken copy");
    }
    let out = c
        .copy_out("copy (select generate_series(1, 100000)) to stdout")
        .await?;
    let first = pin!(out).next().await.context("the first chunk")??;
    ensure!(first.starts_with(b"1\n"));
    ensure!(value(&c, "select 'alive'").await? == "alive");
    Ok(())
}

async fn a_copy_of_bad_data(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    fresh_table(&c, "v int").await?;
    let mut sink = pin!(c.copy_in("copy conformance_rust from stdin").await?);
    for i in 0..5_000 {
        let line = if i == 4_000 {
            "bad\n".to_owned()
        } else {
            format!("{i}\n")
        };
        if sink.feed(Bytes::from(line)).await.is_err() {
            break;
        }
    }
    ensure!(sink.finish().await.is_err(), "the copy fails");
    ensure!(kept(&c).await?.is_empty());
    Ok(())
}

async fn cancel_by_token(t: Target) -> anyhow::Result<()> {
    let (c, watcher) = (t.connect().await?, t.connect().await?);
    for i in 0..3 {
        let marker = format!("rust cancel {i}");
        let sql = format!("select pg_sleep(60), '{marker}'");
        let running = c.simple_query(&sql);
        let question = format!(
            "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and position('{marker}' in query) > 0"
        );
        let stop = async {
            while value(&watcher, &question).await? == "0" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(c.cancel_token().cancel_query(NoTls).await?)
        };
        let (result, stopped) = tokio::join!(running, stop);
        stopped?;
        fails_with(result, &SqlState::QUERY_CANCELED)?;
        ensure!(value(&c, "select 'alive'").await? == "alive");
    }
    Ok(())
}
