//! Open tables: where each one's files are and what its readers see.

use crate::connectors::{declared_schema, lookup};
use crate::error::HeadError;
use arrow::datatypes::Schema;
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use salamander_connector_api::{bad_records_schema, late_records_schema};
use salamander_hive::{LiveTable, TableLayout, TableLocation, TableOptions, TextEncoding, claim_folder};
use salamander_job::SinkTable;
use salamander_sql::TableDef;
use salamander_types::manifest::TableState;
use salamander_types::{JobId, LogNumber, TableId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What the log of one job says of one table.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) job: JobId,
    pub(crate) number: LogNumber,
    pub(crate) state: Arc<TableState>,
}

/// The tables that have been opened since the head's start, and what jobs that don't run have written.
#[derive(Debug)]
pub(crate) struct TableRegistry {
    /// The data directory, where hidden tables have their folders.
    store: Arc<dyn ObjectStore>,
    root: Path,
    open: Mutex<HashMap<TableId, SinkTable>>,
    written: HashMap<TableId, Vec<Written>>,
}

/// The id of the hidden table that holds a stream's bad records.
pub(crate) fn bad_records_id(stream: &TableId) -> TableId {
    TableId::from_text(&format!("{stream}bad"))
}

/// The id of the hidden table that holds a stream's late records.
pub(crate) fn late_records_id(stream: &TableId) -> TableId {
    TableId::from_text(&format!("{stream}late"))
}

/// The id of the hidden table from which a job's rows go to a sink outside.
pub(crate) fn outbox_id(job: &JobId) -> TableId {
    TableId::from_text(&format!("{job}out"))
}

impl TableRegistry {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, root: Path, written: HashMap<TableId, Vec<Written>>) -> Self {
        Self { store, root, open: Mutex::default(), written }
    }

    /// An external table, opened once; its folder is claimed.
    pub(crate) async fn external(&self, id: &TableId, table: &TableDef) -> Result<SinkTable, HeadError> {
        if let Some(open) = self.open.lock().get(id) {
            return Ok(open.clone());
        }
        let hive =
            table.hive().ok_or_else(|| HeadError::invalid(format!("{} is not an external table", table.name)))?;
        let config = hive.resolve(&lookup)?;
        let (store, root) = salamander_storage::open_store(&config.location)?;
        let partition_columns: Vec<String> = hive.partition_columns.iter().map(|c| c.name.key().to_owned()).collect();
        let zstd_level = match config.compression {
            salamander_sql::options::Compression::Zstd(level) => level,
            _ => TableOptions::default().zstd_level,
        };
        let options = TableOptions {
            roll_size: config.roll_size_bytes,
            roll_interval: Duration::from_micros(u64::try_from(config.roll_interval_micros).unwrap_or(u64::MAX)),
            zstd_level,
            text_encoding: if config.plain_text { TextEncoding::Plain } else { TextEncoding::Delta },
            ..TableOptions::default()
        };
        let location = TableLocation { store, root };
        let schema = declared_schema(table);
        let layout =
            TableLayout::new(id.clone(), table.name.to_string(), location, &schema, &partition_columns, options)?;
        claim_folder(&layout).await?;
        self.insert(layout)
    }

    /// The hidden table of a stream's bad records.
    pub(crate) fn bad_records(&self, stream: &TableId, name: &str) -> Result<SinkTable, HeadError> {
        self.hidden(bad_records_id(stream), format!("{name}$bad_records"), &bad_records_schema())
    }

    /// The hidden table of a stream's late records.
    pub(crate) fn late_records(&self, stream: &TableId, name: &str) -> Result<SinkTable, HeadError> {
        self.hidden(late_records_id(stream), format!("{name}$late_records"), &late_records_schema())
    }

    /// Where a hidden table's files are.
    pub(crate) fn hidden_folder(&self, id: &TableId) -> Path {
        self.root.clone().join("tables").join(id.as_str())
    }

    /// A hidden table in the data directory.
    pub(crate) fn hidden(&self, id: TableId, name: String, schema: &Schema) -> Result<SinkTable, HeadError> {
        if let Some(open) = self.open.lock().get(&id) {
            return Ok(open.clone());
        }
        let root = self.hidden_folder(&id);
        let location = TableLocation { store: Arc::clone(&self.store), root };
        let layout = TableLayout::new(id, name, location, schema, &[], TableOptions::default())?;
        self.insert(layout)
    }

    fn insert(&self, layout: TableLayout) -> Result<SinkTable, HeadError> {
        let mut open = self.open.lock();
        if let Some(first) = open.get(&layout.id) {
            return Ok(first.clone());
        }
        let layout = Arc::new(layout);
        let live = Arc::new(LiveTable::new(Arc::clone(&layout)));
        for written in self.written.get(&layout.id).into_iter().flatten() {
            live.reset(&written.job, written.number, Arc::clone(&written.state))?;
        }
        let table = SinkTable { layout, live };
        open.insert(table.layout.id.clone(), table.clone());
        Ok(table)
    }

    /// Forgets a dropped table.
    pub(crate) fn forget(&self, id: &TableId) {
        self.open.lock().remove(id);
    }
}
