//! Commands, formats, errors and exit codes.

use crate::process::{Server, salamander, stderr};
use expect_test::expect;
use std::fs;

#[test]
fn formats_of_results() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert!(server.ready.starts_with("ready flight=127.0.0.1:") && server.ready.ends_with("eventhubs=none\n"));
    let sql = "SELECT * FROM (VALUES (1, 'a,b'), (20, NULL)) AS t(n, s) ORDER BY n";
    expect![[r#"
        +----+------+
        | n  | s    |
        +----+------+
        |  1 | a,b  |
        | 20 | NULL |
        +----+------+
    "#]]
    .assert_eq(&server.sql(sql, "table"));
    expect![[r#"
        n,s
        1,"a,b"
        20,
    "#]]
    .assert_eq(&server.sql(sql, "csv"));
    expect![[r#"
        {"n":1,"s":"a,b"}
        {"n":20,"s":null}
    "#]]
    .assert_eq(&server.sql(sql, "json"));
    assert_eq!(server.sql("SELECT 1 AS a; SELECT 2 AS b;", "csv"), "a\n1\nb\n2\n");
    assert!(server.terminate().success());
}

#[test]
fn failures_say_why_on_standard_error() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let output = server.run(&["sql", "-e", "SELECT 1 AS a;\nSELECT * FROM nowhere;\nSELECT 3 AS c"]);
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(out.contains("| a |") && !out.contains("| c |"), "{out}");
    assert!(stderr(&output).starts_with("error: ") && stderr(&output).contains("nowhere"), "{}", stderr(&output));
    let output = server.run(&["sql", "-e", "SELECT 1;\n\nSELEC 2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 3"), "{}", stderr(&output));
    for command in ["start", "stop"] {
        let output = server.run(&[command, "no_such_job"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("no_such_job"), "{}", stderr(&output));
    }
    assert!(server.terminate().success());
}

#[test]
fn no_server_wrong_usage_and_wrong_settings() {
    let output = salamander().args(["jobs", "--server", "grpc://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("salamander server --data-dir"), "{}", stderr(&output));
    let output = salamander().args(["sql", "--formt", "csv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = salamander().args(["server"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--data-dir"), "{}", stderr(&output));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("salamander.toml");
    fs::write(&config, "listen_fligt = '127.0.0.1:1'").unwrap();
    let output = salamander().args(["jobs", "--config"]).arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean `listen_flight`"), "{}", stderr(&output));
    let help = salamander().arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("salamander demo"));
}

#[test]
fn a_file_is_submitted_runs_survives_a_restart_and_is_stopped() {
    let data = tempfile::tempdir().unwrap();
    let input = data.path().join("input");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("a.csv"), "1,one\n2,two\nx,broken\n3,three\n").unwrap();
    let script = data.path().join("pipeline.sql");
    let location = data.path().join("table");
    let text = format!(
        "-- numbers\nCREATE TABLE lines (n INT, word STRING) WITH ('connector' = 'files', 'path' = '{}', 'format' = 'csv');\n\
         CREATE EXTERNAL TABLE numbers (n INT, word STRING) STORED AS PARQUET LOCATION '{}';\n\
         CREATE JOB copy AS INSERT INTO numbers SELECT n, word FROM lines;\n",
        input.display(),
        location.display()
    );
    fs::write(&script, text).unwrap();
    let script = script.to_str().unwrap();

    let home = data.path().join("home");
    let server = Server::start(&home);
    let submitted = server.run(&["submit", script]);
    assert!(submitted.status.success(), "{}", stderr(&submitted));
    assert!(stderr(&submitted).contains("ok CREATE JOB copy"), "{}", stderr(&submitted));
    server.wait_for("SELECT count(*) AS n, sum(n) AS s FROM numbers", "n,s\n3,6\n");
    server.wait_for("SELECT count(*) AS n FROM \"lines$bad_records\"", "n\n1\n");
    assert!(server.ok(&["jobs", "--format", "csv"]).contains("copy,"));
    assert!(server.ok(&["explain", "SELECT count(*) FROM numbers"]).contains("physical:"));
    assert!(server.ok(&["explain", script]).contains("numbers"));
    let again = server.run(&["submit", script]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("statement 1 of 3"), "{}", stderr(&again));
    assert!(server.terminate().success());

    let server = Server::start(&home);
    server.wait_for("SELECT count(*) AS n, sum(n) AS s FROM numbers", "n,s\n3,6\n");
    if server.ok(&["jobs", "--format", "csv"]).contains("running") {
        server.ok(&["stop", "copy"]);
    }
    server.wait_for("SELECT count(*) AS n, sum(n) AS s FROM numbers", "n,s\n3,6\n");
    assert!(server.terminate().success());
}

#[test]
fn a_server_with_tokens_and_users_asks_who_is_there() {
    let data = tempfile::tempdir().unwrap();
    let (token, password) = (data.path().join("token"), data.path().join("password"));
    fs::write(&token, "token-1\n").unwrap();
    fs::write(&password, "pass-1\n").unwrap();
    let config = data.path().join("salamander.toml");
    let text = format!(
        "[auth.tokens]\nbi = '${{file:{}}}'\n[auth.users]\nada = '${{file:{}}}'\n",
        token.display(),
        password.display()
    );
    fs::write(&config, text).unwrap();
    let server = Server::start_with(&data.path().join("home"), &["--config", config.to_str().unwrap()]);
    let ask = |environment: &[(&str, &str)]| {
        let mut command = salamander();
        command.args(["sql", "--format", "csv", "-e", "SELECT 1 AS a", "--server", &server.url]);
        command.envs(environment.iter().copied()).output().unwrap()
    };
    let stranger = ask(&[]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(stderr(&stranger).contains("SALAMANDER_TOKEN"), "{}", stderr(&stranger));
    let wrong = ask(&[("SALAMANDER_USER", "ada"), ("SALAMANDER_PASSWORD", "pass-2")]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("can't log in as ada") && !stderr(&wrong).contains("pass-"), "{}", stderr(&wrong));
    assert_eq!(ask(&[("SALAMANDER_TOKEN", "token-1")]).stdout, b"a\n1\n");
    assert_eq!(ask(&[("SALAMANDER_USER", "ada"), ("SALAMANDER_PASSWORD", "pass-1")]).stdout, b"a\n1\n");
    assert!(server.terminate().success());
}

#[test]
fn use_and_database_choose_where_names_are_looked_up() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.sql("CREATE DATABASE sales; CREATE VIEW sales.v AS SELECT 42 AS answer", "table");
    assert_eq!(server.sql("USE sales; SELECT answer FROM v", "csv"), "answer\n42\n");
    assert_eq!(
        server.ok(&["sql", "--format", "csv", "--database", "sales", "-e", "SELECT answer FROM v"]),
        "answer\n42\n"
    );
    assert_eq!(server.run(&["sql", "-e", "SELECT answer FROM v"]).status.code(), Some(1));
    let unknown = server.run(&["sql", "-e", "USE nowhere"]);
    assert!(stderr(&unknown).contains("there are: default, sales"), "{}", stderr(&unknown));
    assert!(server.terminate().success());
}
