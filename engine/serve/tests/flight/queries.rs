//! Statements, prepared statements, browsing, and who ends what.

use crate::engine::{connect, query, rows, start, status, table};
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo};
use expect_test::expect;
use futures::TryStreamExt;
use salamander_serve::Auth;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test]
async fn a_query_returns_its_rows_in_plain_types() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let sql = "SELECT id, arrow_cast(item, 'Utf8View') AS item, price FROM orders ORDER BY id";
    let batches = query(&mut client, sql).await.unwrap();
    expect![[r#"
        +----+------+-------+
        | id | item | price |
        +----+------+-------+
        | 1  | ham  | 2.50  |
        | 2  |      | 3.00  |
        +----+------+-------+"#]]
    .assert_eq(&table(&batches));
    let schema = batches[0].schema();
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    assert_eq!(schema.field(2).metadata()["ARROW:FLIGHT:SQL:SCALE"], "2");
    let none = query(&mut client, "SELECT id FROM orders WHERE id > 9").await;
    assert_eq!(none.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 0);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn large_results_come_in_messages_below_the_limit_of_clients() {
    let (server, _) = start(Auth::default()).await;
    // The client's limit is gRPC's default of 4 MiB a message: a longer one would be an error here.
    let mut client = connect(&server).await;
    let sql = "SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 30000)";
    let batches = query(&mut client, sql).await.unwrap();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 30_000);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn changes_run_as_updates_and_as_queries() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let ddl = client.execute_update("CREATE TABLE t (a INT)".into(), None);
    assert_eq!(ddl.await.unwrap(), -1);
    let insert = client.execute_update("INSERT INTO t VALUES (1), (2)".into(), None);
    assert_eq!(insert.await.unwrap(), 2);
    query(&mut client, "CREATE TABLE u AS SELECT * FROM t").await.unwrap();
    let batches = query(&mut client, "SELECT sum(a) AS s FROM u").await.unwrap();
    assert!(table(&batches).contains("| 3 |"), "{}", table(&batches));
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_change_is_done_once_though_nobody_fetches_its_answer() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    client.execute("CREATE TABLE t (a INT)".into(), None).await.unwrap();
    let info = client.execute("INSERT INTO t VALUES (1), (2)".into(), None).await.unwrap();
    let answer = rows(&mut client, info).await.unwrap();
    assert!(table(&answer).contains("| 2 "), "{}", table(&answer));
    let mut prepared = client.prepare("INSERT INTO t VALUES (3)".into(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "count");
    prepared.execute().await.unwrap();
    let counted = query(&mut client, "SELECT count(*) AS n FROM t").await.unwrap();
    assert!(table(&counted).contains("| 3 |"), "{}", table(&counted));
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn prepared_statements_describe_run_again_and_close() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let sql = "SELECT count(*) AS n FROM orders".to_owned();
    let mut prepared = client.prepare(sql, None).await.unwrap();
    let described = prepared.dataset_schema().unwrap().clone();
    assert_eq!(described.field(0).name(), "n");
    assert_eq!(prepared.parameter_schema().unwrap(), &Schema::empty());
    for _ in 0..2 {
        let info = prepared.execute().await.unwrap();
        let batches = rows(&mut client, info).await.unwrap();
        assert_eq!(batches[0].schema().as_ref(), &described);
        assert!(table(&batches).contains("| 2 |"));
    }
    let mut insert = client.prepare("INSERT INTO orders VALUES (3, 'egg', 1.00)".into(), None).await.unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 1);
    insert.set_parameters(arrow::array::RecordBatch::new_empty(described.into())).unwrap();
    let refused = status(insert.execute().await.unwrap_err());
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("parameters"), "{refused}");
    prepared.close().await.unwrap();
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn errors_carry_code_and_whole_message() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let unknown = status(query(&mut client, "SELECT * FROM nowhere").await.unwrap_err());
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("nowhere"), "{unknown}");
    let late = status(query(&mut client, "FAILS").await.unwrap_err());
    assert_eq!(late.code(), Code::Unavailable);
    assert_eq!(late.message(), "the store went away\nhint: wait");
    let long = "x".repeat(2 * 1024 * 1024);
    let long = status(client.execute(long, None).await.unwrap_err());
    assert_eq!(long.code(), Code::InvalidArgument);
    let strange = status(client.do_get(arrow_flight::Ticket::new("?")).await.unwrap_err());
    assert_ne!(strange.code(), Code::Ok);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn browsing_lists_catalogs_schemas_tables_and_columns() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let info = client.get_catalogs().await.unwrap();
    assert!(table(&rows(&mut client, info).await.unwrap()).contains("| salamander "));
    let info =
        client.get_db_schemas(CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: Some("pub%".into()) });
    let info = info.await.unwrap();
    assert!(!info.clone().try_decode_schema().unwrap().field(1).is_nullable());
    assert!(table(&rows(&mut client, info).await.unwrap()).contains("| public "));
    let info = client.get_table_types().await.unwrap();
    assert_eq!(rows(&mut client, info).await.unwrap()[0].num_rows(), 2);
    let command = CommandGetTables { include_schema: false, ..CommandGetTables::default() };
    let info = client.get_tables(command).await.unwrap();
    expect![[r#"
        +--------------+----------------+------------+------------+
        | catalog_name | db_schema_name | table_name | table_type |
        +--------------+----------------+------------+------------+
        | salamander   | public         | cheap      | VIEW       |
        | salamander   | public         | orders     | TABLE      |
        +--------------+----------------+------------+------------+"#]]
    .assert_eq(&table(&rows(&mut client, info).await.unwrap()));
    let command = CommandGetTables {
        table_name_filter_pattern: Some("ord%".into()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(command).await.unwrap();
    let found = rows(&mut client, info).await.unwrap();
    assert_eq!(found[0].num_rows(), 1);
    let column = found[0].column_by_name("table_schema").unwrap();
    let bytes = column.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap();
    let columns = try_schema_from_ipc_buffer(bytes.value(0)).unwrap();
    assert_eq!(columns.field(0).name(), "id");
    assert_eq!(columns.field(0).metadata()["ARROW:FLIGHT:SQL:TABLE_NAME"], "orders");
    assert_eq!(columns.field(1).data_type(), &DataType::Utf8);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_server_describes_itself() {
    let (server, _) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let info = client.get_sql_info(vec![]).await.unwrap();
    let described = info.clone().try_decode_schema().unwrap();
    let all = rows(&mut client, info).await.unwrap();
    assert_eq!(all[0].schema().as_ref(), &described);
    assert!(all[0].num_rows() > 80);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None });
    let info = info.await.unwrap();
    assert_eq!(rows(&mut client, info).await.unwrap()[0].num_columns(), 19);
    let info =
        client.get_primary_keys(CommandGetPrimaryKeys { catalog: None, db_schema: None, table: "orders".into() });
    let info = info.await.unwrap();
    let keys = rows(&mut client, info).await.unwrap();
    assert_eq!(keys.iter().map(|b| b.num_rows()).sum::<usize>(), 0);
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_client_that_goes_ends_the_work_and_a_slow_one_holds_it_back() {
    let (server, engine) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let info = client.execute("ENDLESS".into(), None).await.unwrap();
    assert_eq!(engine.alive.load(Ordering::SeqCst), 0, "describing runs nothing");
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = client.do_get(ticket).await.unwrap();
    assert_eq!(stream.try_next().await.unwrap().unwrap().num_rows(), 1_000);
    assert_eq!(engine.alive.load(Ordering::SeqCst), 1);

    // Nobody reads: windows and channel fill up, then production stands still.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let filled = engine.produced.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(engine.produced.load(Ordering::SeqCst), filled);

    drop(stream);
    wait_until(|| engine.alive.load(Ordering::SeqCst) == 0).await;
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn shutdown_drains_then_cuts_and_says_so() {
    let (server, engine) = start(Auth::default()).await;
    let mut client = connect(&server).await;
    let info = client.execute("ENDLESS".into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = client.do_get(ticket).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    let reader = tokio::spawn(async move {
        loop {
            match stream.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    });
    let began = Instant::now();
    server.shutdown(Duration::from_millis(300)).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    let error = status(reader.await.unwrap().expect("an incomplete result must not end quietly"));
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    wait_until(|| engine.alive.load(Ordering::SeqCst) == 0).await;
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for 5 s in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
