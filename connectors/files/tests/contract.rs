//! Files keep the contract of sources: local ones, followed ones, and those of an object store.

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use salamander_connector_api::testing::{Check, check_source};
use salamander_connector_api::{ConnectorError, Source, SplitReader, Take};
use salamander_files::place::Place;
use salamander_files::{FilesSource, Settings, from_options};
use salamander_generator::Generator;
use salamander_types::{ErrorKind, Position, SplitId};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

fn lines(rows: u64) -> Vec<u8> {
    let generator = Generator { damaged: 0.05, ..Generator::default() };
    let mut text = Vec::new();
    for row in 0..rows {
        generator.line(row, &mut text);
        text.push(b'\n');
    }
    text
}

fn small(path: &Path) -> Settings {
    Settings {
        chunk_bytes: 3_000,
        split_bytes: 10_000,
        source_bytes: 20_000,
        poll: Duration::from_millis(5),
        ..Settings::for_path(path.to_str().unwrap())
    }
}

fn source(settings: Settings) -> FilesSource {
    FilesSource::new(Place::of_path(&settings.path).unwrap(), settings)
}

fn payloads(rows: &[salamander_connector_api::testing::Row]) -> Vec<Vec<u8>> {
    rows.iter().map(|row| row.payload.clone().unwrap()).collect()
}

#[tokio::test]
async fn a_folder_of_files_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let text = lines(500);
    std::fs::write(folder.path().join("b.log"), &text).unwrap();
    std::fs::write(folder.path().join("a.log"), b"one\r\n\ntwo\nlast").unwrap();
    std::fs::write(folder.path().join("empty.log"), b"").unwrap();
    std::fs::write(folder.path().join("_hidden.log"), b"no").unwrap();
    std::fs::create_dir_all(folder.path().join("date=2023-12-22/.tmp")).unwrap();
    std::fs::write(folder.path().join("date=2023-12-22/c.log"), b"x\n").unwrap();
    std::fs::write(folder.path().join("date=2023-12-22/.tmp/d.log"), b"no").unwrap();
    let check = Check { buffered_bytes: Some(10_000 + 3_000), ..Check::default() };
    for settings in [small(folder.path()), Settings::for_path(folder.path().to_str().unwrap())] {
        let check = if settings.chunk_bytes > 3_000 { Check::default() } else { check.clone() };
        let splits = check_source(&source(settings), &check).await.unwrap();
        let names: Vec<&str> = splits.iter().map(|(split, _)| split.as_str()).collect();
        assert_eq!(names, ["a.log", "b.log", "date=2023-12-22/c.log", "empty.log"]);
        assert!(splits.iter().all(|(_, split)| split.finished));
        assert_eq!(payloads(&splits[0].1.rows), [&b"one"[..], b"", b"two", b"last"]);
        let expected: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
        assert_eq!(payloads(&splits[1].1.rows), expected);
        assert_eq!(splits[3].1.rows.len(), 0);
        let (_, last) = splits[1].1.positions.last().unwrap();
        assert_eq!((last.next, last.byte), (500, Some(text.len() as u64)));
    }
}

#[tokio::test]
async fn a_file_and_a_pattern_are_places_too() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.txt", "c.log"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    for (path, expected) in
        [("a.log", &["a.log"][..]), ("*.log", &["a.log", "c.log"]), ("[b-c].*", &["b.txt", "c.log"])]
    {
        let splits = check_source(&source(small(&folder.path().join(path))), &Check::default()).await.unwrap();
        let names: Vec<&str> = splits.iter().map(|(split, _)| split.as_str()).collect();
        assert_eq!(names, expected);
        for (split, rows) in &splits {
            assert_eq!(payloads(&rows.rows), [split.as_str().as_bytes()]);
        }
    }
    let url = format!("file://{}/a.log", folder.path().display());
    let splits = check_source(&source(Settings::for_path(url)), &Check::default()).await.unwrap();
    assert_eq!(splits[0].1.rows.len(), 1);
}

#[tokio::test]
async fn object_stores_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn ObjectStore>; 2] =
        [Arc::new(InMemory::new()), Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())];
    let text = lines(300);
    for store in stores {
        for (path, bytes) in
            [("logs/a.log", text.clone()), ("logs/x/b.log", b"1\n2".to_vec()), ("logs/_c", b"no".to_vec())]
        {
            store.put(&ObjectPath::from(path), bytes.into()).await.unwrap();
        }
        let place = Place::in_store(Arc::clone(&store), ObjectPath::from("logs"), None);
        let splits = check_source(&FilesSource::new(place, small(Path::new("logs"))), &Check::default()).await.unwrap();
        assert_eq!(splits.len(), 2);
        assert_eq!(splits[0].1.rows.len(), 300);
        assert_eq!(payloads(&splits[1].1.rows), [b"1", b"2"]);
        let place = Place::in_store(Arc::clone(&store), ObjectPath::from("logs/x/b.log"), None);
        let splits = check_source(&FilesSource::new(place, small(Path::new("logs"))), &Check::default()).await.unwrap();
        assert_eq!(splits[0].0.as_str(), "b.log");
        assert_eq!(splits[0].1.rows.len(), 2);
    }
}

/// Takes until `rows` rows are there, waiting for notifications.
async fn take_rows(reader: &mut dyn SplitReader, notify: &Notify, rows: usize) -> (Vec<Vec<u8>>, Position) {
    let mut found = Vec::new();
    let mut next = Position::default();
    while found.len() < rows {
        match reader.take(100, 1 << 20).unwrap() {
            Take::Batch(batch) => {
                found.extend(batch.payload.iter().map(|payload| payload.unwrap().to_vec()));
                next = batch.next;
            }
            Take::Empty => tokio::time::timeout(Duration::from_secs(10), notify.notified()).await.unwrap(),
            Take::Finished | Take::Gap { .. } => panic!("a followed file has no end and no gaps"),
        }
    }
    (found, next)
}

#[tokio::test]
async fn a_followed_file_gives_whole_lines_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(Settings { follow: true, ..small(folder.path()) });
    assert!(source.describe().await.unwrap().splits.is_empty());
    let path = folder.path().join("a.log");
    std::fs::write(&path, b"one\ntw").unwrap();
    let description = source.describe().await.unwrap();
    assert!(!description.bounded);
    let (split, start) = (&description.splits[0].split, &description.splits[0].start);
    let notify = Arc::new(Notify::new());
    let mut reader = source.open(split, start, Arc::clone(&notify)).await.unwrap();
    assert_eq!(take_rows(reader.as_mut(), &notify, 1).await.0, [b"one"]);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(reader.take(10, 1 << 20).unwrap(), Take::Empty));
    assert!(reader.status().at_end);
    file.write_all(b"o\nthree\nfo").unwrap();
    let (rows, next) = take_rows(reader.as_mut(), &notify, 2).await;
    assert_eq!(rows, [&b"two"[..], b"three"]);
    assert_eq!((next.next, next.byte, next.finished), (3, Some(14), false));
    drop(reader);
    file.write_all(b"ur\n").unwrap();
    let mut reader = source.open(split, &next, Arc::clone(&notify)).await.unwrap();
    assert_eq!(take_rows(reader.as_mut(), &notify, 1).await.0, [b"four"]);
    // Cut off behind the reader's back: an error that says so, after all that was read.
    file.set_len(3).unwrap();
    let error = loop {
        match reader.take(10, 1 << 20) {
            Ok(_) => tokio::time::timeout(Duration::from_secs(10), notify.notified()).await.unwrap(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.message.contains("cut off"), "{error}");
}

#[tokio::test]
async fn a_position_without_a_byte_counts_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let text: String = (0..2_000).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let source = source(small(&path));
    let notify = Arc::new(Notify::new());
    for line in [0, 1, 999, 1_999] {
        let mut reader = source.open(&SplitId::new("a.log"), &Position::at(line), Arc::clone(&notify)).await.unwrap();
        let (rows, _) = take_rows(reader.as_mut(), &notify, 1).await;
        assert_eq!(rows[0], line.to_string().into_bytes());
    }
    let mut reader = source.open(&SplitId::new("a.log"), &Position::at(2_001), Arc::clone(&notify)).await.unwrap();
    let error = loop {
        match reader.take(10, 1 << 20) {
            Ok(_) => tokio::time::timeout(Duration::from_secs(10), notify.notified()).await.unwrap(),
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("1 lines before"), "{error}");
}

#[tokio::test]
async fn errors_name_the_place_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.log.gz"), b"\x1f\x8b").unwrap();
    let describe = |path: &Path| {
        let options = BTreeMap::from([("path".to_owned(), path.to_str().unwrap().to_owned())]);
        let source = from_options(&options).unwrap();
        async move { source.describe().await.unwrap_err() }
    };
    let kinds = [
        (describe(folder.path()).await, ErrorKind::Invalid, "decompress"),
        (describe(&folder.path().join("none")).await, ErrorKind::NotFound, ""),
        (describe(&folder.path().join("*.log")).await, ErrorKind::NotFound, "no file is there"),
    ];
    for (error, kind, part) in kinds {
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    assert!(from_options(&BTreeMap::new()).unwrap_err().message.contains("path"));
    let source = source(small(folder.path()));
    let notify = Arc::new(Notify::new());
    for name in ["../a", "a//b", "missing.log"] {
        let opened: Result<_, ConnectorError> =
            source.open(&SplitId::new(name), &Position::at(0), Arc::clone(&notify)).await;
        assert!(opened.is_err(), "{name}");
    }
    std::fs::write(folder.path().join("b.log"), b"1\n").unwrap();
    let beyond = Position { next: 9, byte: Some(99), finished: false };
    let error = source.open(&SplitId::new("b.log"), &beyond, notify).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_in_any_chunks_are_the_same_lines(
        text in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..2_000),
        chunk_bytes in 1_usize..300,
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, &text).unwrap();
        let settings = Settings { chunk_bytes, ..small(&path) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let check = Check { seed, resumes: 3, ..Check::default() };
        let splits = runtime.block_on(check_source(&source(settings), &check)).unwrap();
        let mut expected: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        if expected.last().is_some_and(|last| last.is_empty()) {
            expected.pop();
        }
        let expected: Vec<&[u8]> = expected.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        prop_assert_eq!(payloads(&splits[0].1.rows), expected);
    }
}
