//! The client's side of Flight SQL: a connection, statements, results as they come.

use crate::args::ServerUrl;
use crate::config::FileConfig;
use anyhow::{Context, anyhow, bail};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// Where a server listens unless it is told otherwise.
pub(crate) const DEFAULT_SERVER: &str = "grpc://127.0.0.1:32010";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A row may be larger than gRPC's default of 4 MiB a message.
const MAX_MESSAGE_BYTES: usize = 256 * 1024 * 1024;

/// A connection to a server.
#[derive(Clone)]
pub(crate) struct Client {
    flight: FlightSqlServiceClient<Channel>,
}

/// A result: its columns, and its rows as they come. Dropping it ends the work on the server.
pub(crate) struct ResultSet {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: BoxStream<'static, anyhow::Result<RecordBatch>>,
}

impl ResultSet {
    /// All rows.
    pub(crate) async fn collect(self) -> anyhow::Result<Vec<RecordBatch>> {
        self.batches.try_collect().await
    }
}

impl Client {
    /// Connects, and logs in if the environment says how: SALAMANDER_TOKEN, or SALAMANDER_USER and
    /// SALAMANDER_PASSWORD. (No flags for these: command lines are seen by others.)
    pub(crate) async fn connect(options: &ServerUrl, config: &FileConfig) -> anyhow::Result<Self> {
        let server = options.server.as_deref().or(config.server.as_deref());
        let mut client = Self::open(server.unwrap_or(DEFAULT_SERVER)).await?;
        if let Some(token) = variable("SALAMANDER_TOKEN") {
            client.flight.set_token(token);
        } else if let Some(user) = variable("SALAMANDER_USER") {
            let password = variable("SALAMANDER_PASSWORD").unwrap_or_default();
            let login = client.flight.handshake(&user, &password).await;
            login.map_err(|e| explain(e).context(format!("can't log in as {user}")))?;
        }
        if let Some(database) = &options.database {
            client.use_database(database).await?;
        }
        Ok(client)
    }

    /// Connects without logging in.
    pub(crate) async fn open(server: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(http_url(server)?)
            .with_context(|| format!("{server:?} is not a server's URL like {DEFAULT_SERVER}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|e| unreachable_server(server, &e))?;
        let inner = FlightServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let flight = FlightSqlServiceClient::new_from_inner(inner);
        Ok(Self { flight })
    }

    /// Makes a database the one of unqualified names.
    pub(crate) async fn use_database(&mut self, database: &str) -> anyhow::Result<()> {
        let databases = self.databases().await?;
        if !databases.iter().any(|known| known == database) {
            bail!("there is no database {database}; there are: {}", databases.join(", "));
        }
        self.flight.set_header("database", database);
        Ok(())
    }

    /// Starts a statement.
    pub(crate) async fn run(&mut self, sql: &str) -> anyhow::Result<ResultSet> {
        let info = self.flight.execute(sql.to_owned(), None).await.map_err(explain)?;
        self.get(info).await
    }

    async fn get(&mut self, info: FlightInfo) -> anyhow::Result<ResultSet> {
        let schema = Arc::new(info.clone().try_decode_schema()?);
        let endpoint = info.endpoint.into_iter().next();
        let ticket = endpoint
            .and_then(|endpoint| endpoint.ticket)
            .context("the server has described a result, but not said where it is")?;
        let batches = self.flight.do_get(ticket).await.map_err(explain)?;
        Ok(ResultSet { schema, batches: batches.map_err(explain).boxed() })
    }

    /// Runs a statement to its end.
    pub(crate) async fn run_all(&mut self, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
        self.run(sql).await?.collect().await
    }

    /// The names of all databases.
    pub(crate) async fn databases(&mut self) -> anyhow::Result<Vec<String>> {
        let info = self.flight.get_db_schemas(CommandGetDbSchemas::default()).await;
        let batches = self.get(info.map_err(explain)?).await?.collect().await?;
        Ok(texts(&batches, "db_schema_name"))
    }

    /// Tables and views, as (database, name).
    pub(crate) async fn tables(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let info = self.flight.get_tables(CommandGetTables::default()).await;
        let batches = self.get(info.map_err(explain)?).await?.collect().await?;
        let databases = texts(&batches, "db_schema_name");
        Ok(databases.into_iter().zip(texts(&batches, "table_name")).collect())
    }
}

/// The values of a text column; NULL as the empty text.
fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    use arrow::array::{Array, StringArray};
    batches
        .iter()
        .filter_map(|batch| batch.column_by_name(column)?.as_any().downcast_ref::<StringArray>())
        .flat_map(|array| (0..array.len()).map(|row| array.value(row).to_owned()))
        .collect()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `grpc://host:port` as the HTTP URL that tonic wants.
fn http_url(server: &str) -> anyhow::Result<String> {
    let authority = match server.split_once("://") {
        Some(("grpc" | "grpc+tcp" | "http", rest)) => rest,
        Some(("grpc+tls" | "https", _)) => bail!("{server}: TLS is not there yet; use grpc://host:port on loopback"),
        Some((scheme, _)) => bail!("{server}: {scheme} is not a scheme of servers; write grpc://host:port"),
        None => server,
    };
    let authority = authority.trim_end_matches('/');
    if authority.contains('@') {
        bail!("the server's URL takes no user; set SALAMANDER_USER and SALAMANDER_PASSWORD, or SALAMANDER_TOKEN");
    }
    if authority.is_empty() {
        bail!("{server:?} names no host; write grpc://host:port");
    }
    Ok(format!("http://{authority}"))
}

fn unreachable_server(server: &str, error: &tonic::transport::Error) -> anyhow::Error {
    // The reason is at the end of the chain ("connection refused").
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    anyhow!(
        "can't reach a server at {server}: {reason}\n\
         hint: start one with `salamander server --data-dir DIR`, or name another with --server or SALAMANDER_SERVER"
    )
}

/// The server's own words: it has rendered place and hint already.
fn explain(error: FlightError) -> anyhow::Error {
    match error {
        FlightError::Tonic(status) if status.code() == tonic::Code::Unauthenticated => {
            anyhow!("{}\nhint: set SALAMANDER_TOKEN, or SALAMANDER_USER and SALAMANDER_PASSWORD", status.message())
        }
        FlightError::Tonic(status) if status.message().is_empty() => {
            anyhow!("the server has answered {:?} without a reason", status.code())
        }
        FlightError::Tonic(status) => anyhow!("{}", status.message()),
        other => anyhow!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_or_refused() {
        assert_eq!(http_url(DEFAULT_SERVER).unwrap(), "http://127.0.0.1:32010");
        assert_eq!(http_url("localhost:1/").unwrap(), "http://localhost:1");
        for (wrong, says) in [("ftp://h", "ftp"), ("grpc://", "no host"), ("grpc://u:secret@h", "takes no user")] {
            let error = http_url(wrong).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
    }
}
