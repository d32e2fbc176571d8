//! [`DurableLocal`] on real folders.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use salamander_storage::DurableLocal;
use salamander_storage::disk::{Disk, DiskFile, RealDisk};
use salamander_types::SystemEntropy;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

async fn create(store: &dyn ObjectStore, at: &str, content: &'static str) -> object_store::Result<()> {
    store.put_opts(&path(at), content.into(), PutMode::Create.into()).await.map(drop)
}

async fn content(store: &dyn ObjectStore, at: &str) -> String {
    let bytes = store.get(&path(at)).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn listed(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let prefix = path(prefix);
    let mut names: Vec<String> =
        store.list(Some(&prefix)).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn hive_names_are_kept_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path().join("new/warehouse")).unwrap();
    let names = [
        "date=2026-11-24/part.parquet",
        "t=a%3Ab/x=100%25/part.parquet",
        "t=__HIVE_DEFAULT_PARTITION__/part 1.parquet",
        "t=äöü/part.parquet",
    ];
    for name in names {
        create(&store, name, "rows").await.unwrap();
        assert!(store.root().join(name).is_file(), "{name}");
        assert_eq!(content(&store, name).await, "rows");
        assert_eq!(store.head(&path(name)).await.unwrap().size, 4);
        assert_eq!(store.get_range(&path(name), 1..3).await.unwrap(), "ow");
    }
    let mut expected: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(listed(&store, "").await, expected);
    assert_eq!(listed(&store, "t=a%3Ab").await, ["t=a%3Ab/x=100%25/part.parquet"]);
    store.delete(&path(names[1])).await.unwrap();
    assert!(matches!(store.head(&path(names[1])).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn create_refuses_and_overwrite_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    create(&store, "a/b", "first").await.unwrap();
    assert!(matches!(create(&store, "a/b", "second").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(content(&store, "a/b").await, "first");
    store.put(&path("a/b"), "third".into()).await.unwrap();
    assert_eq!(content(&store, "a/b").await, "third");
    let update = PutMode::Update(UpdateVersion { e_tag: None, version: None });
    let refused = store.put_opts(&path("a/b"), "fourth".into(), update.into()).await;
    assert!(matches!(refused, Err(Error::NotImplemented { .. })));
    let staged = std::fs::read_dir(store.root().join("_salamander/tmp")).unwrap().count();
    assert_eq!(staged, 0, "no temporary file stays");
}

#[tokio::test]
async fn of_many_who_create_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        async move {
            let payload = PutPayload::from(format!("writer {writer}"));
            store.put_opts(&path("date=1/one"), payload, PutMode::Create.into()).await.is_ok().then_some(writer)
        }
    });
    let winners: Vec<i32> = futures::future::join_all(writers).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(content(&store, "date=1/one").await, format!("writer {}", winners[0]));
}

#[tokio::test]
async fn the_staging_folder_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let outer = DurableLocal::open(folder.path()).unwrap();
    let inner = DurableLocal::open(folder.path().join("warehouse/t")).unwrap();
    create(&inner, "date=1/part.parquet", "rows").await.unwrap();
    create(&inner, "_salamander/j1/1-2.seg", "rows").await.unwrap();
    std::fs::write(inner.root().join("_salamander/tmp/sal-0000000000000000.tmp"), "half").unwrap();
    let shown = ["warehouse/t/_salamander/j1/1-2.seg", "warehouse/t/date=1/part.parquet"];
    assert_eq!(listed(&outer, "").await, shown);
    let after: Vec<_> = outer.list_with_offset(None, &path("warehouse/t")).try_collect().await.unwrap();
    assert_eq!(after.len(), 2);
    let level = inner.list_with_delimiter(Some(&path("_salamander"))).await.unwrap();
    assert_eq!(level.common_prefixes, [path("_salamander/j1")]);
    let refused = create(&inner, "_salamander/tmp/x", "rows").await.unwrap_err();
    assert!(refused.to_string().contains("staging folder"), "{refused}");
}

#[tokio::test]
async fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    let mut upload = store.put_multipart(&path("big")).await.unwrap();
    upload.put_part("first ".into()).await.unwrap();
    let staging = store.root().join("_salamander/tmp");
    let leftover = staging.join("sal-0123456789abcdef.tmp");
    let foreign = [staging.join("notes.txt"), staging.join("sal-short.tmp")];
    std::fs::write(&leftover, "half").unwrap();
    for file in &foreign {
        std::fs::write(file, "mine").unwrap();
    }
    DurableLocal::open(folder.path()).unwrap();
    assert!(!leftover.exists());
    assert!(foreign.iter().all(|file| file.exists()));
    upload.put_part("second".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(content(&store, "big").await, "first second");
}

#[tokio::test]
async fn an_upload_in_parts_is_invisible_until_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    let mut upload = store.put_multipart(&path("date=1/big")).await.unwrap();
    let parts: Vec<_> = ["one ", "two ", "three"].map(|part| upload.put_part(part.into())).into_iter().rev().collect();
    futures::future::try_join_all(parts).await.unwrap();
    assert!(listed(&store, "").await.is_empty());
    upload.complete().await.unwrap();
    assert_eq!(content(&store, "date=1/big").await, "one two three");
    assert!(upload.complete().await.is_err(), "once only");

    let mut given_up = store.put_multipart(&path("never")).await.unwrap();
    given_up.put_part("x".into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(listed(&store, "").await, ["date=1/big"]);
    assert_eq!(std::fs::read_dir(store.root().join("_salamander/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_somebody_removed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    create(&store, "date=1/h=2/a", "1").await.unwrap();
    std::fs::remove_dir_all(store.root().join("date=1")).unwrap();
    std::fs::remove_dir_all(store.root().join("_salamander")).unwrap();
    create(&store, "date=1/h=2/b", "2").await.unwrap();
    assert_eq!(listed(&store, "").await, ["date=1/h=2/b"]);
}

#[tokio::test]
async fn copies_and_renames() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::open(folder.path()).unwrap();
    create(&store, "a", "1").await.unwrap();
    create(&store, "b", "2").await.unwrap();
    store.copy(&path("a"), &path("c/d")).await.unwrap();
    assert!(matches!(store.copy_if_not_exists(&path("a"), &path("b")).await, Err(Error::AlreadyExists { .. })));
    store.copy(&path("a"), &path("b")).await.unwrap();
    store.rename(&path("a"), &path("e")).await.unwrap();
    assert!(matches!(store.copy(&path("gone"), &path("f")).await, Err(Error::NotFound { .. })));
    assert_eq!(listed(&store, "").await, ["b", "c/d", "e"]);
    for name in ["b", "c/d", "e"] {
        assert_eq!(content(&store, name).await, "1");
    }
}

#[test]
fn what_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = DurableLocal::open(&file).unwrap_err();
    assert!(error.to_string().contains("use as a folder"), "{error}");
    assert!(DurableLocal::open(file.join("below")).is_err());
}

/// A disk whose folders fail to sync so many times, once armed.
#[derive(Debug, Default)]
pub(crate) struct UnsyncedFolders {
    pub(crate) failures: AtomicU32,
}

impl Disk for UnsyncedFolders {
    fn create(&self, path: &std::path::Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)
    }
    fn hard_link(&self, from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
        RealDisk.hard_link(from, to)
    }
    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn unlink(&self, path: &std::path::Path) -> io::Result<()> {
        RealDisk.unlink(path)
    }
    fn create_folder(&self, path: &std::path::Path) -> io::Result<()> {
        RealDisk.create_folder(path)
    }
    fn sync_file(&self, path: &std::path::Path) -> io::Result<()> {
        RealDisk.sync_file(path)
    }
    fn sync_folder(&self, path: &std::path::Path) -> io::Result<()> {
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Err(io::Error::other("injected: the folder can't be synced"));
        }
        RealDisk.sync_folder(path)
    }
    fn abandoned_files(&self, folder: &std::path::Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.abandoned_files(folder)
    }
}

#[tokio::test]
async fn already_exists_is_said_only_once_the_name_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(UnsyncedFolders::default());
    let store = DurableLocal::open_with(folder.path(), disk.clone(), Arc::new(SystemEntropy::seeded(1))).unwrap();
    create(&store, "before", "0").await.unwrap();
    disk.failures.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let error = create(&store, "a", "1").await.unwrap_err();
        assert!(matches!(error, Error::Generic { .. }) && error.to_string().contains("may not be durable"), "{error}");
    }
    assert!(matches!(create(&store, "a", "1").await, Err(Error::AlreadyExists { .. })));
}
