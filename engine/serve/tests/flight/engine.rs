//! A small engine for the tests: DataFusion, plus a few statements that only a test wants.

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use salamander_serve::{
    Auth, CATALOG, FlightHandle, FlightOptions, FlightServer, SchemaInfo, Session, StatementError, StatementService,
    TableFilter, TableInfo,
};
use salamander_types::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tonic::transport::{Channel, Endpoint};

pub(crate) type Client = FlightSqlServiceClient<Channel>;

pub(crate) struct TestEngine {
    ctx: SessionContext,
    /// Streams of the statement `ENDLESS` that are alive.
    pub(crate) alive: Arc<AtomicUsize>,
    /// Sessions that are over.
    pub(crate) ended: parking_lot::Mutex<Vec<String>>,
    /// Batches that they have produced.
    pub(crate) produced: Arc<AtomicI64>,
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl TestEngine {
    pub(crate) async fn new() -> Arc<Self> {
        let ctx = SessionContext::new();
        for sql in [
            "CREATE TABLE orders (id INT NOT NULL, item STRING, price DECIMAL(10,2)) AS VALUES (1, 'ham', 2.50), (2, NULL, 3.00)",
            "CREATE VIEW cheap AS SELECT item FROM orders WHERE price < 3",
        ] {
            ctx.sql(sql).await.unwrap().collect().await.unwrap();
        }
        Arc::new(Self { ctx, alive: Arc::default(), ended: Default::default(), produced: Arc::default() })
    }

    fn numbers() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    /// Batches of 1,000 numbers without end, or until the failure after three.
    fn stream(&self, fails: bool) -> SendableRecordBatchStream {
        self.alive.fetch_add(1, Ordering::SeqCst);
        let guard = Alive(Arc::clone(&self.alive));
        let produced = Arc::clone(&self.produced);
        let batches = futures::stream::iter(0_i64..).map(move |i| {
            let _owned = &guard;
            produced.fetch_add(1, Ordering::SeqCst);
            if fails && i == 3 {
                let error = StatementError::new(ErrorKind::Transient, "the store went away\nhint: wait");
                return Err(DataFusionError::External(Box::new(error)));
            }
            let column = Int64Array::from_iter_values(i * 1_000..(i + 1) * 1_000);
            Ok(RecordBatch::try_new(Self::numbers(), vec![Arc::new(column)])?)
        });
        Box::pin(RecordBatchStreamAdapter::new(Self::numbers(), batches))
    }
}

fn invalid(error: DataFusionError) -> StatementError {
    StatementError::invalid(error.strip_backtrace())
}

#[async_trait]
impl StatementService for TestEngine {
    async fn describe(&self, _: &Session, sql: &str) -> Result<SchemaRef, StatementError> {
        match sql {
            "ENDLESS" | "FAILS" => Ok(Self::numbers()),
            "WHOAMI" | "SESSION" => Ok(Arc::new(Schema::new(vec![Field::new("who", DataType::Utf8View, false)]))),
            _ => {
                let plan = self.ctx.state().create_logical_plan(sql).await;
                Ok(Arc::clone(plan.map_err(invalid)?.schema().inner()))
            }
        }
    }

    async fn execute(&self, session: &Session, sql: &str) -> Result<SendableRecordBatchStream, StatementError> {
        let sql = match sql {
            "ENDLESS" | "FAILS" => return Ok(self.stream(sql == "FAILS")),
            "WHOAMI" => format!(
                "SELECT arrow_cast('{}@{}', 'Utf8View') AS who",
                session.principal,
                session.database.as_deref().unwrap_or("-")
            ),
            "SESSION" => format!("SELECT arrow_cast('{}', 'Utf8View') AS who", session.id),
            sql => sql.to_owned(),
        };
        let frame = self.ctx.sql(&sql).await.map_err(invalid)?;
        frame.execute_stream().await.map_err(invalid)
    }

    async fn tables(&self, _: &Session, filter: &TableFilter) -> Result<Vec<TableInfo>, StatementError> {
        let schema = self.ctx.catalog("datafusion").unwrap().schema("public").unwrap();
        let mut found = vec![];
        for name in schema.table_names() {
            let table = schema.table(&name).await.map_err(invalid)?.unwrap();
            let view = table.table_type() == datafusion::datasource::TableType::View;
            let kind = if view { "VIEW" } else { "TABLE" };
            if filter.matches("public", &name, kind) {
                found.push(TableInfo {
                    catalog: CATALOG.into(),
                    schema: "public".into(),
                    name,
                    kind: kind.into(),
                    arrow_schema: filter.include_schema.then(|| table.schema()),
                });
            }
        }
        Ok(found)
    }

    fn session_ended(&self, id: &str) {
        self.ended.lock().push(id.to_owned());
    }

    async fn schemas(&self, _: &Session) -> Result<Vec<SchemaInfo>, StatementError> {
        Ok(vec![SchemaInfo { catalog: CATALOG.into(), name: "public".into() }])
    }
}

/// A server on a free port, and its engine.
pub(crate) async fn start(auth: Auth) -> (FlightHandle, Arc<TestEngine>) {
    let engine = TestEngine::new().await;
    let mut options = FlightOptions::new("127.0.0.1:0".parse().unwrap());
    options.auth = auth;
    let handle = FlightServer::start(options, Arc::clone(&engine) as Arc<dyn StatementService>).await.unwrap();
    (handle, engine)
}

pub(crate) async fn connect(server: &FlightHandle) -> Client {
    let url = format!("http://{}", server.local_addr());
    let channel = Endpoint::new(url).unwrap().connect().await.unwrap();
    FlightSqlServiceClient::new(channel)
}

/// All rows of the one endpoint of an answer.
pub(crate) async fn rows(client: &mut Client, info: arrow_flight::FlightInfo) -> Result<Vec<RecordBatch>, FlightError> {
    assert_eq!(info.endpoint.len(), 1);
    assert!(info.endpoint[0].location.is_empty());
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client.do_get(ticket).await?.try_collect().await
}

/// Runs a query, checks that the stream has the schema that was described.
pub(crate) async fn query(client: &mut Client, sql: &str) -> Result<Vec<RecordBatch>, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    let described = info.clone().try_decode_schema()?;
    let batches = rows(client, info).await?;
    for batch in &batches {
        assert_eq!(batch.schema().as_ref(), &described);
    }
    Ok(batches)
}

pub(crate) fn table(batches: &[RecordBatch]) -> String {
    arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string()
}

/// The gRPC status of a failure.
pub(crate) fn status(error: FlightError) -> tonic::Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => panic!("not a gRPC status: {other}"),
    }
}
