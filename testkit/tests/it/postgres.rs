//! PostgreSQL and PgBouncer.

use crate::timed;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{Connection, Executor, Row};
use std::time::Duration;
use turbo_testkit::{PgBouncer, Postgres};

async fn count(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.fetch_one("SELECT count(*) FROM rows").await.unwrap().get(0)
}

#[tokio::test]
async fn what_is_committed_outlives_a_restart_and_a_crash() {
    let Some(postgres) = timed("postgres: start", Postgres::start) else { return };
    let url = timed("postgres: a database", || postgres.create_database("mine"));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("CREATE TABLE rows (n int); INSERT INTO rows VALUES (1), (2)").await.unwrap();
    timed("postgres: restart", || postgres.restart());
    assert!(connection.execute("SELECT 1").await.is_err(), "the old connection is cut");
    assert_eq!(count(&url).await, 2);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("INSERT INTO rows VALUES (3)").await.unwrap();
    connection.execute("BEGIN; INSERT INTO rows VALUES (4)").await.unwrap();
    timed("postgres: kill", || postgres.kill());
    timed("postgres: start after a kill", || postgres.restart());
    assert_eq!(count(&url).await, 3, "what was committed, and only that");
}

#[tokio::test]
async fn a_pause_holds_open_connections_too() {
    let Some(postgres) = Postgres::start() else { return };
    let pool = PgPoolOptions::new().connect(&postgres.url()).await.unwrap();
    pool.execute("SELECT 1").await.unwrap();
    timed("postgres: pause", || postgres.pause());
    assert!(tokio::time::timeout(Duration::from_millis(500), pool.execute("SELECT 1")).await.is_err());
    timed("postgres: resume", || postgres.resume());
    tokio::time::timeout(Duration::from_secs(5), pool.execute("SELECT 1")).await.unwrap().unwrap();
}

#[tokio::test]
async fn settings_are_the_callers_and_passwords_are_checked() {
    let Some(postgres) = Postgres::start() else { return };
    assert_eq!(postgres.execute("postgres", "SHOW fsync"), "off");
    let Some(postgres) = Postgres::options().fsync(true).setting("max_connections", "7").start() else { return };
    assert_eq!(postgres.execute("postgres", "SHOW fsync; SHOW max_connections"), "on\n7");
    let options: PgConnectOptions = postgres.url().parse().unwrap();
    assert!(PgConnection::connect_with(&options.password("wrong")).await.is_err());
}

#[tokio::test]
async fn the_pooler_shares_few_connections() {
    let Some(postgres) = Postgres::start() else { return };
    let lines = "default_pool_size = 2";
    let Some(pooler) = timed("pgbouncer: start", || PgBouncer::start_with(&postgres, lines)) else { return };
    postgres.create_database("mine");
    let options: PgConnectOptions = pooler.url_of("mine").parse().unwrap();
    let options = options.extra_float_digits(None);
    let pool = PgPoolOptions::new().max_connections(10).connect_with(options).await.unwrap();
    let mut backends = Vec::new();
    // A bare prepared statement would be parsed and bound in two steps, between which the pooler may change the server.
    let queries = (0..50).map(|_| async { pool.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await.unwrap() });
    for row in futures_util::future::join_all(queries).await {
        backends.push(row.get::<i32, _>(0));
    }
    backends.sort_unstable();
    backends.dedup();
    assert!(backends.len() <= 2, "{backends:?}");
    timed("pgbouncer: restart", || pooler.restart());
    let mut connection = pool.acquire().await.unwrap();
    connection.execute("SELECT 1").await.unwrap();
}
