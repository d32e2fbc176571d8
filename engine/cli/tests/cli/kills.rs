//! The server dies at each step of an INSERT that runs once.

use crate::process::Server;

/// Where it dies: each write of its log and of the catalog's, the segment, the roll. A number is the hit; the first put
/// of a log is the start's own.
const DEATHS: [&str; 16] = [
    "log.before-put:2",
    "log.after-put:2",
    "log.before-put:3",
    "log.after-put:3",
    "hive.segment-before-put",
    "hive.segment-after-put",
    "log.before-put:4",
    "log.after-put:4",
    "log.after-put:5",
    "hive.roll-before-put",
    "hive.roll-after-put",
    "log.before-put:6",
    "log.after-put:6",
    "log.after-put:7",
    "log.before-put:8",
    "log.after-put:8",
];

const INSERT: &str = "INSERT INTO numbers VALUES (2), (3), (4)";

#[test]
fn an_insert_is_there_whole_or_not_at_all_wherever_the_server_dies() {
    let (mut none, mut whole) = (0, 0);
    for death in DEATHS {
        let folder = tempfile::tempdir().unwrap();
        let (home, table) = (folder.path().join("home"), folder.path().join("numbers"));
        let server = Server::start(&home);
        let create = format!("CREATE EXTERNAL TABLE numbers (n INT) STORED AS PARQUET LOCATION '{}'", table.display());
        server.sql(&create, "table");
        assert_eq!(server.sql("INSERT INTO numbers VALUES (1)", "csv"), "count\n1\n");
        assert!(server.terminate().success());

        let server = Server::start_to_die(&home, death);
        let answer = server.run(&["sql", "--format", "csv", "-e", INSERT]);
        drop(server);

        let server = Server::start(&home);
        // The start settles what the dead one has left.
        let heading = server.sql("SHOW JOBS", "csv").lines().next().map(|line| format!("{line}\n"));
        server.wait_for("SHOW JOBS", &heading.unwrap());
        let count = server.sql("SELECT count(*) AS n, count(DISTINCT n) AS d FROM numbers", "csv");
        match count.as_str() {
            "n,d\n4,4\n" => whole += 1,
            "n,d\n1,1\n" => {
                assert!(!answer.status.success(), "{death}: answered and lost");
                none += 1;
                assert_eq!(server.sql(INSERT, "csv"), "count\n3\n");
            }
            other => panic!("{death}: {other}"),
        }
        assert_eq!(server.sql("SELECT count(*) AS n, count(DISTINCT n) AS d FROM numbers", "csv"), "n,d\n4,4\n");
        // Spark sees the same: as many files as inserts.
        let files = std::fs::read_dir(&table).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        assert_eq!(files.filter(|f| f.ends_with(".parquet")).count(), 2, "{death}");
        assert!(server.terminate().success());
    }
    assert!(none >= 4 && whole >= 4, "{none} times nothing, {whole} times all");
}
