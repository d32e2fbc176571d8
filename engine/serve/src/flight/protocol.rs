//! The Flight SQL calls. Each one: who asks, what is asked, what the engine answers.

use super::answers::{Answer, Answers};
use super::auth::Authenticator;
use super::columns::{adapt_batch, result_schema};
use super::connection::ConnectionInfo;
use super::results::{ResultStream, send_batch, send_batches};
use super::ticket::Meaning;
use super::{metadata, sql_info, status, ticket, type_info};
use crate::service::{Session, StatementService};
use arrow::array::{Array, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    Any, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};
use prost::Message;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

/// The number of changed rows where nobody can tell: what Flight SQL prescribes.
const UNKNOWN_ROWS: i64 = -1;

type HandshakeStream = Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>;
type DoGet = <FlightSql as FlightService>::DoGetStream;

/// The Flight SQL service in front of the engine.
pub(crate) struct FlightSql {
    engine: Arc<dyn StatementService>,
    authenticator: Authenticator,
    cut: watch::Receiver<bool>,
    answers: Answers,
    sql_info: SqlInfoData,
    type_info: XdbcTypeInfoData,
}

#[allow(clippy::result_large_err)] // tonic's own error type
impl FlightSql {
    pub(crate) fn new(
        engine: Arc<dyn StatementService>,
        authenticator: Authenticator,
        cut: watch::Receiver<bool>,
    ) -> Result<Self, FlightError> {
        Ok(Self {
            engine,
            authenticator,
            cut,
            answers: Answers::default(),
            sql_info: sql_info::sql_info()?,
            type_info: type_info::type_info()?,
        })
    }

    fn session<T>(&self, request: &Request<T>) -> Result<Session, Status> {
        let connection = request.extensions().get::<ConnectionInfo>();
        self.authenticator.session(request.metadata(), connection.map(ConnectionInfo::id))
    }

    /// What the client will get for a statement, and the ticket to get it with. A statement that changes something is
    /// run here and now.
    async fn statement_info(
        &self,
        session: &Session,
        sql: &str,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        ticket::check_length(sql)?;
        let (schema, handle) = if self.engine.changes(sql) {
            let answer = self.run_change(session, sql).await?;
            let schema = Arc::clone(&answer.schema);
            (schema, ticket::of_answer(self.answers.keep(answer)))
        } else {
            (self.client_schema(session, sql).await?, ticket::of_statement(sql))
        };
        let ticket = TicketStatementQuery { statement_handle: handle }.as_any().encode_to_vec();
        // One endpoint, as an order would be lost between several; no location: the client asks here again.
        flight_info(&schema, ticket.into(), request).map(|info| Response::new(info.with_ordered(true)))
    }

    /// Runs a statement that changes something to its end, in a task of its own: a client that goes away must not leave
    /// a change half done.
    async fn run_change(&self, session: &Session, sql: &str) -> Result<Answer, Status> {
        let engine = Arc::clone(&self.engine);
        let (session, sql) = (session.clone(), sql.to_owned());
        let running = tokio::spawn(async move { change(engine.as_ref(), &session, &sql).await });
        let answer = running.await;
        answer.map_err(|_| Status::internal("the statement broke off: a mistake of the server's, see its log"))?
    }

    async fn client_schema(&self, session: &Session, sql: &str) -> Result<Arc<Schema>, Status> {
        ticket::check_length(sql)?;
        let schema = self.engine.describe(session, sql).await;
        let schema = schema.map_err(|e| status::from_statement(&e))?;
        Ok(result_schema(&schema))
    }

    async fn stream_statement(&self, session: &Session, sql: &str) -> Result<Response<DoGet>, Status> {
        let rows = execute(self.engine.as_ref(), session, sql).await?;
        let messages = ResultStream::start(rows, self.cut.clone());
        Ok(Response::new(Box::pin(messages)))
    }

    /// Runs a statement for its effect: the number of changed rows, if its answer says it.
    async fn run_update(&self, session: &Session, sql: &str) -> Result<i64, Status> {
        ticket::check_length(sql)?;
        let answer = self.run_change(session, sql).await?;
        let counts: Vec<i64> = answer.batches.iter().filter_map(row_count).collect();
        Ok(if counts.is_empty() { UNKNOWN_ROWS } else { counts.iter().sum() })
    }
}

async fn change(engine: &dyn StatementService, session: &Session, sql: &str) -> Result<Answer, Status> {
    let mut rows = execute(engine, session, sql).await?;
    let schema = result_schema(&rows.schema());
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|e| status::from_datafusion(&e))?;
        batches.push(adapt_batch(&batch, &schema).map_err(|e| status::from_flight(e.into()))?);
    }
    Ok(Answer { schema, batches })
}

async fn execute(
    engine: &dyn StatementService,
    session: &Session,
    sql: &str,
) -> Result<SendableRecordBatchStream, Status> {
    tracing::debug!(session = %session.id, principal = %session.principal, bytes = sql.len(), "statement");
    let rows = engine.execute(session, sql).await;
    rows.map_err(|e| status::from_statement(&e))
}

/// A result of one integer column named `count` is a number of changed rows.
fn row_count(batch: &RecordBatch) -> Option<i64> {
    let schema = batch.schema();
    let [field] = schema.fields().as_ref() else {
        return None;
    };
    if field.name() != "count" {
        return None;
    }
    let column = batch.column(0);
    match column.data_type() {
        DataType::UInt64 => {
            let counts = column.as_any().downcast_ref::<UInt64Array>()?;
            let sum: u64 = counts.iter().flatten().sum();
            i64::try_from(sum).ok()
        }
        DataType::Int64 => {
            let counts = column.as_any().downcast_ref::<Int64Array>()?;
            Some(counts.iter().flatten().sum())
        }
        _ => None,
    }
}

#[allow(clippy::result_large_err)] // tonic's own error type
fn flight_info(schema: &Schema, ticket: Bytes, request: Request<FlightDescriptor>) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket { ticket });
    FlightInfo::new()
        .try_with_schema(schema)
        .map(|info| info.with_endpoint(endpoint).with_descriptor(request.into_inner()))
        .map_err(|e| Status::internal(format!("the result's schema can't be sent: {e}")))
}

/// The answer to GetFlightInfo for a metadata command: its own bytes are the ticket.
#[allow(clippy::result_large_err)] // tonic's own error type
fn command_info(
    schema: &Schema,
    command: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> Result<Response<FlightInfo>, Status> {
    let ticket = command.as_any().encode_to_vec().into();
    flight_info(schema, ticket, request).map(Response::new)
}

#[allow(clippy::result_large_err)] // tonic's own error type
fn command_rows(batch: Result<RecordBatch, impl Into<FlightError>>) -> Result<Response<DoGet>, Status> {
    let batch = batch.map_err(|e| status::from_flight(e.into()))?;
    Ok(Response::new(Box::pin(send_batch(batch))))
}

#[allow(clippy::result_large_err)] // tonic's own error type
fn schema_message(schema: &Schema) -> Result<Bytes, Status> {
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message
        .map(|IpcMessage(bytes)| bytes)
        .map_err(|e| Status::internal(format!("the result's schema can't be sent: {e}")))
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<HandshakeStream>, Status> {
        let authorization = self.authenticator.handshake(request.metadata())?;
        let token = authorization.to_str().unwrap_or_default();
        let payload = Bytes::copy_from_slice(token.trim_start_matches("Bearer ").as_bytes());
        let answer = HandshakeResponse { protocol_version: 0, payload };
        let stream: HandshakeStream = Box::pin(futures::stream::iter([Ok(answer)]));
        let mut response = Response::new(stream);
        response.metadata_mut().insert("authorization", authorization);
        Ok(response)
    }

    // Statements.

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let session = self.session(&request)?;
        self.statement_info(&session, &query.query, request).await
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        let session = self.session(&request)?;
        match ticket::decode(&ticket.statement_handle)? {
            Meaning::Statement(sql) => self.stream_statement(&session, sql).await,
            Meaning::Answer(number) => {
                let answer = self.answers.get(number).ok_or_else(|| {
                    Status::not_found("the statement was carried out, but its answer is not kept any more")
                })?;
                Ok(Response::new(Box::pin(send_batches(answer.schema, answer.batches))))
            }
        }
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let session = self.session(&request)?;
        self.run_update(&session, &command.query).await
    }

    // Prepared statements.

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let session = self.session(&request)?;
        let schema = self.client_schema(&session, &query.query).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: ticket::of_statement(&query.query),
            dataset_schema: schema_message(&schema)?,
            parameter_schema: schema_message(&Schema::empty())?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        // The handle is the statement: there is nothing to free.
        self.session(&request).map(drop)
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let session = self.session(&request)?;
        let sql = ticket::decode_statement(&query.prepared_statement_handle)?;
        self.statement_info(&session, sql, request).await
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        let session = self.session(&request)?;
        let sql = ticket::decode_statement(&query.prepared_statement_handle)?;
        self.stream_statement(&session, sql).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        _query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        self.session(&request)?;
        Err(Status::unimplemented(
            "parameters can't be bound to a prepared statement yet: write the values into the statement's text",
        ))
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let session = self.session(&request)?;
        let sql = ticket::decode_statement(&query.prepared_statement_handle)?;
        self.run_update(&session, sql).await
    }

    // Browsing.

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_catalogs(
        &self,
        _query: CommandGetCatalogs,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(metadata::catalogs())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&metadata::schemas_schema(), &query, request)
    }

    async fn do_get_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        let session = self.session(&request)?;
        let rows = metadata::schemas(self.engine.as_ref(), &session, &query).await?;
        command_rows(Ok::<_, FlightError>(rows))
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        let schema = metadata::tables_schema(query.include_schema);
        command_info(&schema, &query, request)
    }

    async fn do_get_tables(
        &self,
        query: CommandGetTables,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        let session = self.session(&request)?;
        let rows = metadata::tables(self.engine.as_ref(), &session, query).await?;
        command_rows(Ok::<_, FlightError>(rows))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_table_types(
        &self,
        _query: CommandGetTableTypes,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(metadata::table_types())
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&metadata::primary_keys().schema(), &query, request)
    }

    async fn do_get_primary_keys(
        &self,
        _query: CommandGetPrimaryKeys,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(Ok::<_, FlightError>(metadata::primary_keys()))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&metadata::foreign_keys().schema(), &query, request)
    }

    async fn do_get_exported_keys(
        &self,
        _query: CommandGetExportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(Ok::<_, FlightError>(metadata::foreign_keys()))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&metadata::foreign_keys().schema(), &query, request)
    }

    async fn do_get_imported_keys(
        &self,
        _query: CommandGetImportedKeys,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(Ok::<_, FlightError>(metadata::foreign_keys()))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&metadata::foreign_keys().schema(), &query, request)
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(Ok::<_, FlightError>(metadata::foreign_keys()))
    }

    // What the server says about itself.

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&self.sql_info.schema(), &query, request)
    }

    async fn do_get_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(self.sql_info.record_batch(query.info))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.session(&request)?;
        command_info(&self.type_info.schema(), &query, request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<Ticket>,
    ) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        command_rows(self.type_info.record_batch(query.data_type))
    }

    // What there is not.

    async fn do_get_fallback(&self, request: Request<Ticket>, message: Any) -> Result<Response<DoGet>, Status> {
        self.session(&request)?;
        Err(Status::unimplemented(format!("{} is not one of the tickets that this server gives out", message.type_url)))
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        self.session(&request)?;
        Err(Status::unimplemented(format!(
            "this server has no action {:?}; to cancel a statement, end its stream",
            request.get_ref().r#type
        )))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
