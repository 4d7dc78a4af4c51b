//! The demonstration on a real Gerrit; tests/demo.rs has the one on the stand-in.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::cases;
use crate::support::ending::processes_with;
use crate::support::runner::{Run, Skip};
use crate::support::server::Server;
use crate::support::wait_for;

cases![a_demonstration_on_a_real_gerrit_ends_by_itself_and_leaves_nothing_behind];

fn a_demonstration_on_a_real_gerrit_ends_by_itself_and_leaves_nothing_behind(_: &Server) -> Run {
    let child = Command::new(env!("CARGO_BIN_EXE_seakeeper"))
        .args(["demo", "--gerrit", "real", "--until-idle", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Skip(error.to_string()))?;
    let marker = format!("seakeeper-demo-{}", child.id());
    let output = child.wait_with_output().expect("it is a child");
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else");
    assert_eq!((&outcome["landed"], &outcome["left"]), (&6.into(), &2.into()), "{progress}");
    assert!(outcome["url"].as_str().is_some_and(|url| url.starts_with("http://")), "{outcome}");
    assert!(progress.contains("conflicts with") && progress.contains("failed unit"), "{progress}");
    wait_for("its last process to end", || processes_with(&marker).is_empty().then_some(()));
    assert!(!std::env::temp_dir().join(&marker).exists(), "its folder is gone");
    Ok(())
}
