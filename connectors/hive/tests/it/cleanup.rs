//! Orphans, superseded segments, owners.

use crate::fixture::*;
use object_store::ObjectStoreExt;
use salamander_hive::{
    HiveError, SupersededSegments, TableLayout, TableOptions, claim_folder, delete_orphans, delete_superseded,
    encode_segment, store_segment,
};
use salamander_types::manifest::{JobEntry, LogState};
use salamander_types::{Generation, JobId, TableId};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn orphans_of_dead_generations_go() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    block_on(async {
        job.checkpoint(&[many(10, 1)], 1).await;
        // A crash between the PUT and the commit, twice, and a segment of the generation that runs now.
        let mut orphans = Vec::new();
        for generation in [1, 2, 3] {
            job.generation = Generation(generation);
            let encoded =
                encode_segment(&layout, &job.stamp(2), job.entropy.as_ref(), vec![many(10, 2)].into()).unwrap();
            orphans.push(store_segment(&layout, encoded.unwrap()).await.unwrap().path);
        }
        let odd = "_salamander/j1/notes.txt";
        layout.location.store.put(&layout.object(odd).unwrap(), "x".into()).await.unwrap();
        let mut deleted = delete_orphans(&layout, &job.id, Generation(3), job.state()).await.unwrap();
        deleted.sort();
        orphans.truncate(2);
        orphans.sort();
        assert_eq!(deleted, orphans);
        assert!(delete_orphans(&layout, &job.id, Generation(3), job.state()).await.unwrap().is_empty());
        assert!(delete_orphans(&layout, &JobId::from_text("j9"), Generation(3), job.state()).await.unwrap().is_empty());
        // What the log names is still whole.
        job.plan(1, true);
        job.roll().await;
        assert_eq!(job.state().files.values().next().unwrap().rows, 10);
    });
}

#[test]
fn superseded_segments_stay_for_a_while() {
    let layout = layout();
    let mut job = Job::new(&layout, "j1");
    let hour = Duration::from_secs(3600);
    let mut superseded = SupersededSegments::default();
    block_on(async {
        job.checkpoint(&[many(10, 1)], 1).await;
        let path = job.state().segments.keys().next().unwrap().clone();
        assert!(superseded.due(job.state(), hour * 5, hour).is_empty(), "it holds rows");
        let error = delete_superseded(&layout, job.state(), vec![path.clone()]).await.unwrap_err();
        assert!(matches!(error, HiveError::Corrupt { .. }), "{error}");
        job.plan(1, true);
        job.roll().await;
        assert!(superseded.due(job.state(), hour * 6, hour).is_empty(), "its hour begins");
        let due = superseded.due(job.state(), hour * 7, hour);
        assert_eq!(due, [path]);
        // Twice, as after a crash before the log's entry.
        delete_superseded(&layout, job.state(), due.clone()).await.unwrap();
        let paths = delete_superseded(&layout, job.state(), due).await.unwrap();
        job.log.apply(&JobEntry::Deleted { table: layout.id.clone(), paths }).unwrap();
        assert!(job.state().segments.is_empty());
        assert!(superseded.due(job.state(), hour * 9, hour).is_empty());
    });
}

#[test]
fn a_folder_has_one_owner() {
    let layout = layout();
    block_on(async {
        claim_folder(&layout).await.unwrap();
        claim_folder(&layout).await.unwrap();
        let partition = ["date".to_owned(), "hour".to_owned()];
        let other = TableLayout::new(
            TableId::from_text("t2"),
            "db.other",
            layout.location.clone(),
            &schema(),
            &partition,
            TableOptions::default(),
        );
        let error = claim_folder(&Arc::new(other.unwrap())).await.unwrap_err();
        assert!(matches!(&error, HiveError::Owned { owner_name, .. } if owner_name == "db.logs"), "{error}");
    });
}
