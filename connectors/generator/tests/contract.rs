//! The generator keeps the contract of sources, and its lines are what they are said to be.

use proptest::prelude::*;
use salamander_connector_api::testing::{Check, check_source};
use salamander_connector_api::{Source, Take};
use salamander_generator::{Damage, Generator, GeneratorSource, LineKind, Settings};
use salamander_types::{Clock, Position, SplitId, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

fn source(settings: Settings) -> GeneratorSource {
    GeneratorSource::new(settings, Arc::new(SystemClock::default()))
}

#[tokio::test]
async fn bounded_splits_hold_each_row_once() {
    let generator = Generator { seed: 7, damaged: 0.1, odd: 0.1, ..Generator::default() };
    let settings = Settings { generator: generator.clone(), rows: Some(1_001), splits: 4, ..Settings::default() };
    let splits = check_source(&source(settings), &Check::default()).await.unwrap();
    assert_eq!(splits.len(), 4);
    let mut found: Vec<Option<Vec<u8>>> = vec![None; 1_001];
    for (lane, (_, split)) in splits.into_iter().enumerate() {
        assert!(split.finished);
        for row in split.rows {
            found[row.sequence as usize * 4 + lane] = row.payload;
        }
    }
    for (row, found) in found.into_iter().enumerate() {
        let mut line = Vec::new();
        generator.line(row as u64, &mut line);
        assert_eq!(found, Some(line));
    }
}

#[tokio::test]
async fn a_paced_source_notifies_when_rows_are_due() {
    let settings = Settings { rows_per_second: Some(2_000.0), rows: Some(200), ..Settings::default() };
    let splits = check_source(&source(settings), &Check { resumes: 3, ..Check::default() }).await.unwrap();
    assert_eq!(splits[0].1.rows.len(), 200);
}

#[tokio::test]
async fn without_rows_there_is_no_end() {
    let check = Check { rows: 5_000, ..Check::default() };
    let splits = check_source(&source(Settings::default()), &check).await.unwrap();
    assert_eq!(splits[0].1.rows.len(), 5_000);
    assert!(!splits[0].1.finished);
}

/// A clock that stands where it is put.
#[derive(Debug, Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed) as i64
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn the_rate_is_kept_by_the_clock_given() {
    let clock = Arc::new(SetClock::default());
    let settings = Settings { rows_per_second: Some(100.0), ..Settings::default() };
    let source = GeneratorSource::new(settings, Arc::clone(&clock) as Arc<dyn Clock>);
    let mut reader = source.open(&SplitId::new("0"), &Position::at(40), Arc::new(Notify::new())).await.unwrap();
    assert!(matches!(reader.take(1_000, 1 << 20).unwrap(), Take::Empty));
    clock.0.store(500_000, Ordering::Relaxed);
    let Take::Batch(batch) = reader.take(1_000, 1 << 20).unwrap() else { panic!("half a second has passed") };
    assert_eq!((batch.first_sequence, batch.len(), batch.next.next), (40, 50, 90));
    assert!(matches!(reader.take(1_000, 1 << 20).unwrap(), Take::Empty));
}

#[test]
fn the_shares_are_what_was_asked_for() {
    let generator = Generator { damaged: 0.02, odd: 0.01, ..Generator::default() };
    let mut counts: BTreeMap<LineKind, usize> = BTreeMap::new();
    for row in 0..200_000 {
        *counts.entry(generator.kind_of(row)).or_default() += 1;
    }
    for damage in Damage::ALL {
        let count = counts[&LineKind::Damaged(damage)];
        assert!((300..500).contains(&count), "{damage:?}: {count} of 200000");
    }
    let odd: usize = counts.iter().filter(|(kind, _)| matches!(kind, LineKind::Odd(_))).map(|(_, n)| n).sum();
    assert!((1_800..2_200).contains(&odd), "{odd}");
}

#[test]
fn a_sound_line_is_the_users_event() {
    let mut anomalies = 0;
    let mut errors = 0;
    let mut noise = 0;
    let mut bytes = 0;
    for row in 0..10_000 {
        let mut line = Vec::new();
        assert_eq!(Generator::default().line(row, &mut line), LineKind::Sound);
        let line = String::from_utf8(line).unwrap();
        let fields: Vec<&str> = line.split(" | ").collect();
        assert_eq!(fields.len(), 24, "{line}");
        let labels = [
            "Referrer",
            "IP",
            "Agent",
            "Response Time",
            "Product ID",
            "Cart Size",
            "Checkout Status",
            "Token",
            "Auth Method",
            "Auth Level",
            "Correlation ID",
            "Server IP",
            "Port",
            "Protocol",
        ];
        for (field, label) in fields[8..22].iter().zip(labels) {
            assert!(field.starts_with(&format!("{label}: ")), "{field}");
        }
        let method = match fields[5] {
            "login" | "submit_form" => "POST",
            "click_button" => "PUT",
            _ => "GET",
        };
        assert_eq!(fields[6], method);
        let level = match &fields[22][..3] {
            "200" | "201" | "204" => "INFO",
            "403" | "404" => "WARN",
            "401" | "500" => "ERROR",
            other => panic!("status {other}"),
        };
        assert_eq!(fields[1], level);
        let seconds: f64 = fields[11].trim_start_matches("Response Time: ").trim_end_matches('s').parse().unwrap();
        let anomaly = fields[5] == "unusual_action";
        assert!(if anomaly { (5.0..=10.0).contains(&seconds) } else { (0.03..=1.51).contains(&seconds) });
        anomalies += usize::from(anomaly);
        errors += usize::from(level != "INFO");
        noise += usize::from(!anomaly && fields[11].len() > "Response Time: 0.83s".len() + 4);
        bytes += line.len();
    }
    assert!((1_800..2_200).contains(&anomalies), "{anomalies}");
    assert!((2_800..3_200).contains(&errors), "{errors}");
    assert!(noise > 500, "{noise} sums with noise");
    assert!((430..=570).contains(&(bytes / 10_000)), "{} bytes a line", bytes / 10_000);
}

proptest! {
    #[test]
    fn a_row_is_its_number_and_the_seed(seed in any::<u64>(), row in any::<u64>(), damaged in 0.0..1.0_f64) {
        let generator = Generator { seed, damaged, ..Generator::default() };
        let (mut first, mut second) = (Vec::new(), b"before".to_vec());
        let kind = generator.line(row, &mut first);
        prop_assert_eq!(generator.line(row, &mut second), kind);
        prop_assert_eq!(&second[6..], &first[..]);
        prop_assert_eq!(generator.kind_of(row), kind);
        // Damage changes no other line.
        let sound = Generator { damaged: 0.0, ..generator };
        if kind == LineKind::Sound {
            let mut third = Vec::new();
            sound.line(row, &mut third);
            prop_assert_eq!(third, first);
        }
    }
}
