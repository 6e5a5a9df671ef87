//! Many clients on few backends: each hears its own answers, keeps its own settings, and dies alone.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio_postgres::error::SqlState;

use crate::target::{Target, connect, fails_with, value};
use crate::{Check, checks};

/// The checks, in order.
pub const CHECKS: [Check; 5] = checks![
    many_clients_hear_their_own_answers,
    startup_settings_follow_the_client,
    clients_dropped_in_the_middle_harm_nobody,
    large_parameters_and_results,
    refused_logins,
];

async fn many_clients_hear_their_own_answers(t: Target) -> anyhow::Result<()> {
    let rounds = t.rounds(8, 60);
    try_join_all((0..48).map(|i| {
        let t = t.clone();
        async move {
            let mut c = t.connect().await?;
            let statement = c.prepare("select $1::text").await?;
            for round in 0..rounds {
                let tag = format!("client {i} round {round}");
                let row = c.query_one(&statement, &[&tag]).await?;
                ensure!(row.get::<_, &str>(0) == tag, "own prepared answer");
                let tx = c.transaction().await?;
                let row = tx.query_one("select $1::text || ''", &[&tag]).await?;
                ensure!(row.get::<_, &str>(0) == tag, "own answer in a transaction");
                tx.commit().await?;
            }
            Ok(())
        }
    }))
    .await?;
    Ok(())
}

async fn startup_settings_follow_the_client(t: Target) -> anyhow::Result<()> {
    let clients = try_join_all((0..8).map(|i| {
        let mut config = t.config.clone();
        config
            .application_name(format!("rust {i}"))
            .options(format!("-c search_path=r{i} -c work_mem={}kB", 1000 + i));
        async move { connect(&config).await }
    }))
    .await?;
    let sql = "select concat_ws('|', current_setting('application_name'), current_setting('search_path'), current_setting('work_mem'))";
    for _ in 0..15 {
        for (i, c) in clients.iter().enumerate() {
            ensure!(value(c, sql).await? == format!("rust {i}|r{i}|{}kB", 1000 + i));
        }
    }
    Ok(())
}

/// A connection task that is aborted closes its socket with requests in flight.
async fn clients_dropped_in_the_middle_harm_nobody(t: Target) -> anyhow::Result<()> {
    for i in 0..20 {
        let (client, connection) = t.config.connect(tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let sql = format!("begin; select repeat('victim {i}', 10000)");
        let query = tokio::spawn(async move { client.batch_execute(&sql).await });
        tokio::time::sleep(Duration::from_micros(300 * i)).await;
        connection.abort();
        query.abort();
        let c = t.connect().await?;
        ensure!(value(&c, &format!("select 'next {i}'")).await? == format!("next {i}"));
    }
    Ok(())
}

async fn large_parameters_and_results(t: Target) -> anyhow::Result<()> {
    let c = t.connect().await?;
    let text = "x".repeat(10_000_000);
    let row = c.query_one("select $1::text", &[&text]).await?;
    ensure!(row.get::<_, &str>(0) == text, "the text comes back");
    ensure!(value(&c, "select 'small'").await? == "small");
    Ok(())
}

async fn refused_logins(t: Target) -> anyhow::Result<()> {
    let mut wrong = t.config.clone();
    wrong.password("wrong");
    fails_with(
        wrong.connect(tokio_postgres::NoTls).await.map(drop),
        &SqlState::INVALID_PASSWORD,
    )?;
    let mut nowhere = t.config.clone();
    nowhere.dbname("conformance_nowhere");
    fails_with(
        nowhere.connect(tokio_postgres::NoTls).await.map(drop),
        &SqlState::INVALID_CATALOG_NAME,
    )
}
