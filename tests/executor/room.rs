//! Room on the disk, and settings that change while the executor runs.

use std::fs;
use std::time::{Duration, SystemTime};

use seakeeper::model::{Event, Verdict};

use crate::{Bench, until};

#[test]
fn want_of_room_is_told_with_its_remedy_and_so_is_its_end() {
    let bench = Bench::new(&[(b"a", 0o100_644, b"1")]);
    bench.local.look_for_room();
    bench.local.reconfigure(|settings| settings.min_free_bytes = u64::MAX);
    let Event::CapabilitiesSeen { unable: Some(why) } = bench.next() else { panic!("it was not told") };
    assert!(why.contains("MiB free") && why.contains("lower `[state] min-free`"), "{why}");
    bench.local.look_for_room();
    bench.local.reconfigure(|settings| settings.min_free_bytes = 0);
    assert_eq!(bench.next(), Event::CapabilitiesSeen { unable: None }, "it is told once");
}

#[test]
fn settings_count_for_the_builds_begun_after_them() {
    let bench = Bench::new(&[(b"a", 0o100_644, b"1")]);
    bench.local.reconfigure(|settings| settings.max_output_bytes = 1_000);
    bench.start(1, &["head -c 100000 /dev/zero | tr '\\0' x"], 30_000);
    assert_eq!(bench.end(1), Verdict::Pass);
    let log = fs::read(bench.local.log_path(seakeeper::model::BuildId(1))).unwrap();
    assert!(log.len() < 10_000, "{} bytes", log.len());
}

#[test]
fn logs_records_and_left_over_checkouts_go_when_their_time_is_over() {
    let bench = Bench::new(&[(b"a", 0o100_644, b"1")]);
    bench.start(1, &["true"], 30_000);
    assert_eq!(bench.end(1), Verdict::Pass);
    let (log, record) = (bench.root.join("executor/logs/1.log"), bench.root.join("executor/builds/1"));
    until("the build's own clean-up", || !record.join("order").exists());
    // As if the checkout could not be removed when the build ended.
    fs::create_dir_all(record.join("work/left")).unwrap();
    fs::write(record.join("order"), "").unwrap();
    bench.local.clean();
    assert!(log.exists() && record.exists() && !record.join("work").exists());
    let old = SystemTime::now() - Duration::from_secs(8 * 86_400);
    for path in [&log, &record] {
        fs::File::open(path).unwrap().set_modified(old).unwrap();
    }
    bench.local.clean();
    assert!(!log.exists() && !record.exists());
}
