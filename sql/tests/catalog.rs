//! The catalog: from statements to changes, what is refused and why, and what always holds.

use proptest::prelude::*;
use salamander_sql::catalog::{ChangeContext, JobId, JobState, Planned, Relation};
use salamander_sql::{Catalog, CatalogChange, CatalogError, Name, Statement, TableName, parse_one};

/// A catalog with a session, as the engine would have it.
struct Session {
    catalog: Catalog,
    db: Name,
    ids: u32,
}

impl Session {
    fn new() -> Self {
        Self { catalog: Catalog::new(), db: Name::new("default").expect("a name"), ids: 0 }
    }

    fn plan(&mut self, sql: &str) -> Result<Planned, CatalogError> {
        let statement = parse_one(sql).unwrap_or_else(|error| panic!("{}", error.render())).statement;
        if let Statement::Use { db } = &statement {
            self.db = self.catalog.database(db)?.name.clone();
        }
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            format!("id-{ids}")
        };
        let mut context = ChangeContext { session_db: &self.db, now_micros: 1_000, new_id: &mut new_id };
        self.catalog.plan(&statement, &mut context)
    }

    fn run(&mut self, sql: &str) -> Result<bool, CatalogError> {
        match self.plan(sql)? {
            Planned::Change(change) => self.catalog.apply(&change).map(|()| true),
            Planned::Nothing | Planned::NotCatalog => Ok(false),
        }
    }

    fn ok(&mut self, sql: &str) {
        assert!(self.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")), "{sql} changes nothing");
    }

    fn refused(&mut self, sql: &str) -> String {
        let before = self.catalog.clone();
        let error = self.run(sql).expect_err(sql);
        assert_eq!(self.catalog, before, "a refused change leaves no trace");
        error.to_string()
    }

    fn set_state(&mut self, job: &str, state: JobState) -> Result<(), CatalogError> {
        let id = self.catalog.resolve_job(&Name::new(job).expect("a name"))?.id.clone();
        self.catalog.apply(&CatalogChange::SetJobState { id, state })
    }
}

/// A source, a view over it, a Hive table in a database, and a job from one to the other.
fn pipeline() -> Session {
    let mut session = Session::new();
    for sql in [
        "CREATE DATABASE Shop",
        "CREATE TABLE raw (body STRING) WITH ('connector' = 'generator')",
        "CREATE VIEW parsed AS SELECT split(body, ' ') AS f FROM raw",
        "CREATE VIEW shop.clean AS SELECT f[0] AS a FROM parsed",
        "CREATE EXTERNAL TABLE shop.Logs (a STRING) STORED AS PARQUET LOCATION '/lake/logs'",
        "CREATE JOB ingest AS INSERT INTO shop.logs SELECT a FROM shop.clean",
    ] {
        session.ok(sql);
    }
    session
}

#[test]
fn what_running_jobs_use_stays() {
    let mut session = pipeline();
    for (sql, expected) in [
        ("DROP TABLE raw", "table 'default.raw' is used by the running job 'ingest': STOP JOB first"),
        ("DROP TABLE shop.logs", "table 'Shop.Logs' is used by the running job 'ingest': STOP JOB first"),
        ("DROP VIEW parsed", "view 'default.parsed' is used by the running job 'ingest': STOP JOB first"),
        (
            "CREATE OR REPLACE VIEW parsed AS SELECT 1",
            "view 'default.parsed' is used by the running job 'ingest': STOP JOB first",
        ),
        (
            "DROP DATABASE shop",
            "database 'Shop' is not empty: it holds 'Logs', 'clean'. Drop them first, or write DROP DATABASE Shop CASCADE",
        ),
        ("DROP DATABASE shop CASCADE", "database 'Shop' is used by the running job 'ingest': STOP JOB first"),
        ("DROP JOB ingest", "job 'ingest' is running: STOP JOB ingest first"),
        ("DROP DATABASE default CASCADE", "the database 'default' can't be dropped"),
    ] {
        assert_eq!(session.refused(sql), expected);
    }
    session.set_state("ingest", JobState::Failed { reason: "the hub is gone".into() }).expect("it may fail");
    session.ok("DROP TABLE raw");
    let error = session.set_state("ingest", JobState::Running).expect_err("its source is gone");
    assert!(error.to_string().contains("job 'ingest' uses the table with id"), "{error}");
    session.ok("DROP JOB INGEST");
    session.ok("DROP DATABASE shop CASCADE");
    assert_eq!(
        (session.catalog.tables().count(), session.catalog.views().count(), session.catalog.databases().count()),
        (0, 1, 1)
    );
}

#[test]
fn names() {
    let mut session = pipeline();
    for (sql, expected) in [
        ("DROP TABLE rwa", "there is no table or view 'rwa' (did you mean 'raw'?)"),
        ("DROP TABLE logs", "there is no table or view 'logs' (did you mean 'Shop.Logs'?)"),
        ("DROP TABLE shp.logs", "there is no database 'shp' (did you mean 'Shop'?)"),
        ("DROP TABLE parsed", "'default.parsed' is a view, not a table"),
        ("DROP VIEW raw", "'raw' is a table, not a view"),
        ("DROP JOB ingst", "there is no job 'ingst' (did you mean 'ingest'?)"),
        ("CREATE DATABASE SHOP", "there is a database 'Shop' already"),
        (
            "CREATE TABLE Parsed (body STRING) WITH ('connector' = 'generator')",
            "there is a view 'default.parsed' already",
        ),
        ("CREATE VIEW raw AS SELECT 1", "there is a table 'default.raw' already"),
        ("CREATE OR REPLACE VIEW raw AS SELECT 1", "'default.raw' is a table, not a view"),
        ("CREATE JOB Ingest AS INSERT INTO shop.logs SELECT 'x'", "there is a job 'ingest' already"),
        ("CREATE JOB j AS INSERT INTO parsed SELECT 'x'", "'default.parsed' is a view, not a table"),
        (
            "CREATE JOB j AS INSERT INTO raw$bad_records SELECT 'x'",
            "'raw$bad_records' is a table of bad records, which the engine keeps, not a table",
        ),
        ("CREATE VIEW v AS SELECT * FROM nowhere", "there is no table or view 'nowhere'"),
        (
            "CREATE EXTERNAL TABLE t (a INT) STORED AS PARQUET LOCATION '/lake/logs/part/'",
            "the location '/lake/logs/part/' overlaps with that of table 'Shop.Logs' ('/lake/logs'): each table needs a folder of its own",
        ),
    ] {
        assert_eq!(session.refused(sql), expected, "{sql}");
    }
    for sql in [
        "CREATE DATABASE IF NOT EXISTS shop",
        "CREATE TABLE IF NOT EXISTS raw (body STRING) WITH ('connector' = 'generator')",
        "CREATE VIEW IF NOT EXISTS parsed AS SELECT 1",
        "CREATE JOB IF NOT EXISTS ingest AS INSERT INTO shop.logs SELECT 'x'",
        "DROP TABLE IF EXISTS nowhere",
        "DROP JOB IF EXISTS nothing",
        "SHOW TABLES",
    ] {
        assert_eq!(session.run(sql), Ok(false), "{sql}");
    }
    session.run("USE shop").expect("it exists");
    session.ok("CREATE EXTERNAL TABLE logs2 (a STRING) STORED AS PARQUET LOCATION '/lake/logs2'");
    let name = |name: &str| TableName { db: None, name: Name::new(name).expect("a name") };
    assert_eq!(
        session.catalog.resolve_table(&name("LOGS2"), &session.db).map(|t| t.name().to_string()),
        Ok("Shop.logs2".into())
    );
    assert!(
        matches!(session.catalog.resolve(&name("Logs$bad_records"), &session.db), Ok(Relation::BadRecords(table)) if table.name().name.key() == "logs")
    );
}

#[test]
fn views_may_be_replaced_but_not_read_themselves() {
    let mut session = pipeline();
    session.set_state("ingest", JobState::Stopped).expect("it stops");
    assert_eq!(
        session.refused("CREATE OR REPLACE VIEW parsed AS SELECT a AS f FROM shop.clean"),
        "view 'default.parsed' reads itself"
    );
    session.ok("CREATE OR REPLACE VIEW parsed (f) AS SELECT split(body, ',') FROM raw");
    let name = TableName { db: None, name: Name::new("parsed").expect("a name") };
    let view = session.catalog.resolve_view(&name, &session.db).expect("it is there");
    assert_eq!(view.to_sql(), "CREATE VIEW default.parsed (f) AS\nSELECT split(body, ',') FROM raw");
}

#[test]
fn a_table_remembers_its_writers_and_ids_are_never_used_twice() {
    let mut session = pipeline();
    session.set_state("ingest", JobState::Stopped).expect("it stops");
    let job = session.catalog.jobs().next().expect("the job").clone();
    assert_eq!(job.reads.len() + job.views.len(), 3);
    session.ok("DROP JOB ingest");
    let table = session.catalog.table(&job.writes).expect("the table").clone();
    assert_eq!(table.writers, [job.id.clone()].into());
    assert_eq!(
        session.catalog.apply(&CatalogChange::CreateJob { job: job.clone() }),
        Err(CatalogError::IdUsed(job.id.to_string()))
    );
    session.ok("DROP TABLE shop.logs");
    assert_eq!(
        session.catalog.apply(&CatalogChange::CreateTable { table: table.clone() }),
        Err(CatalogError::IdUsed(table.id.to_string()))
    );
    assert!(
        JobId::new("../etc").is_err()
            && JobId::new("").is_err()
            && JobId::new("-a").is_err()
            && JobId::new("A").is_err()
    );
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    let mut session = pipeline();
    let Ok(Planned::Change(change)) = session.plan("CREATE DATABASE more") else { panic!() };
    let mut value = serde_json::to_value(&change).expect("JSON");
    assert_eq!(serde_json::from_value::<CatalogChange>(value.clone()).expect("it reads back"), *change);
    value["CreateDatabase"]["database"]["owner"] = "x".into();
    assert!(
        serde_json::from_value::<CatalogChange>(value)
            .expect_err("a field")
            .to_string()
            .contains("unknown field `owner`")
    );
    let error = serde_json::from_str::<CatalogChange>(r#"{"RenameTable":{"id":"a"}}"#).expect_err("a variant");
    assert!(error.to_string().contains("unknown variant `RenameTable`"));
    let mut base = serde_json::to_value(&session.catalog).expect("JSON");
    base["roles"] = serde_json::json!({});
    assert!(serde_json::from_value::<Catalog>(base).is_err());
    assert!(serde_json::from_str::<CatalogChange>(r#"{"DropTable":{"id":"../x"}}"#).is_err());
}

/// Statements over few names, so that they often meet.
fn statement() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "B", "c", "x.a", "X.b"]);
    prop_oneof![
        Just("CREATE DATABASE x".to_owned()),
        prop::sample::select(vec!["DROP DATABASE X", "DROP DATABASE x CASCADE", "USE x", "USE default"])
            .prop_map(str::to_owned),
        name().prop_map(|n| format!("CREATE TABLE {n} (body STRING) WITH ('connector' = 'generator')")),
        (name(), 0..4)
            .prop_map(|(n, l)| format!("CREATE EXTERNAL TABLE {n} (body STRING) STORED AS PARQUET LOCATION '/l/{l}'")),
        (name(), name()).prop_map(|(n, m)| format!("CREATE VIEW {n} AS SELECT * FROM {m}")),
        (name(), name()).prop_map(|(n, m)| format!("CREATE OR REPLACE VIEW {n} AS SELECT * FROM {m}")),
        name().prop_map(|n| format!("DROP TABLE {n}")),
        name().prop_map(|n| format!("DROP VIEW IF EXISTS {n}")),
        (0..3, name(), name()).prop_map(|(j, n, m)| format!("CREATE JOB j{j} AS INSERT INTO {n} SELECT * FROM {m}")),
        (0..3).prop_map(|j| format!("DROP JOB j{j}")),
        (0..3).prop_map(|j| format!("stop j{j}")),
        (0..3).prop_map(|j| format!("start j{j}")),
    ]
}

/// What holds whatever was done.
fn check_invariants(catalog: &Catalog) -> Result<(), TestCaseError> {
    let mut names: Vec<String> =
        catalog.tables().map(|t| t.name().to_string()).chain(catalog.views().map(|v| v.name.to_string())).collect();
    let count = names.len();
    names.iter_mut().for_each(|name| *name = name.to_lowercase());
    names.sort();
    names.dedup();
    prop_assert_eq!(names.len(), count);
    prop_assert!(catalog.databases().any(|db| db.name.key() == "default"));
    for job in catalog.jobs().filter(|job| job.is_running()) {
        prop_assert!(catalog.table(&job.writes).is_some_and(|table| table.writers.contains(&job.id)));
        prop_assert!(job.reads.iter().all(|id| catalog.table(id).is_some()));
        prop_assert!(job.views.iter().all(|id| catalog.view(id).is_some()));
    }
    for table in catalog.tables() {
        prop_assert!(catalog.databases().any(|db| db.id == table.database));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_statements(script in prop::collection::vec(statement(), 1..40)) {
        let mut session = Session::new();
        let mut log: Vec<String> = Vec::new();
        for sql in &script {
            let before = session.catalog.clone();
            let change = match sql.split_once(' ') {
                Some(("stop" | "start", job)) => session.catalog.resolve_job(&Name::new(job).expect("a name")).map(|found| {
                    let state = if sql.starts_with("stop") { JobState::Stopped } else { JobState::Running };
                    Planned::Change(Box::new(CatalogChange::SetJobState { id: found.id.clone(), state }))
                }),
                _ => session.plan(sql),
            };
            match change {
                Ok(Planned::Change(change)) => match session.catalog.apply(&change) {
                    Ok(()) => log.push(serde_json::to_string(&change).expect("JSON")),
                    Err(_) => prop_assert_eq!(&session.catalog, &before),
                },
                _ => prop_assert_eq!(&session.catalog, &before),
            }
            check_invariants(&session.catalog)?;
        }
        // The log gives the same catalog, and so does the base.
        let mut replayed = Catalog::new();
        for line in &log {
            replayed.apply(&serde_json::from_str(line).expect("a change")).expect("it was applied before");
        }
        prop_assert_eq!(&replayed, &session.catalog);
        let base = serde_json::to_string(&session.catalog).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Catalog>(&base).expect("a catalog"), &session.catalog);
    }
}
