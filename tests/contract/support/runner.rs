//! Runs the cases: first on the stand-in, then on a real Gerrit. Whatever was started is stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use super::server::Server;
use super::world::{World, stamp};

/// A case.
#[derive(Clone, Copy)]
pub struct Case {
    /// The claim.
    pub name: &'static str,
    /// Its proof.
    pub run: fn(&World<'_>),
}

/// Cases at once at one server.
const AT_ONCE: usize = 3;

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    list: bool,
    servers: Vec<String>,
    parts: Vec<String>,
}

impl Asked {
    fn read(args: impl Iterator<Item = String>) -> Self {
        let mut asked = Self::default();
        for arg in args {
            match arg.as_str() {
                "--list" => asked.list = true,
                "stand-in" | "real" => asked.servers.push(arg),
                option if option.starts_with('-') => {}
                _ => asked.parts.push(arg),
            }
        }
        asked
    }

    fn wants(&self, server: &str) -> bool {
        self.servers.is_empty() || self.servers.iter().any(|wanted| wanted == server)
    }
}

/// Runs what the command line asks for.
pub fn run(cases: &[Case]) -> ExitCode {
    let asked = Asked::read(std::env::args().skip(1));
    let is_wanted =
        |case: &&Case| asked.parts.is_empty() || asked.parts.iter().any(|part| case.name.contains(part));
    let wanted: Vec<Case> = cases.iter().filter(is_wanted).copied().collect();
    if asked.list {
        wanted.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let folder = std::env::temp_dir().join(format!("seakeeper-contract-{}", stamp()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let mut failed = Vec::new();
    if asked.wants("stand-in") {
        let place = folder.join("stand-in");
        std::fs::create_dir_all(&place).expect("a folder can be made");
        failed.extend(run_on(&Server::stand_in(&place), &wanted));
    }
    let mut is_missing = false;
    if asked.wants("real") {
        let place = folder.join("real");
        std::fs::create_dir_all(&place).expect("a folder can be made");
        match Server::real(&place) {
            Ok(server) => failed.extend(run_on(&server, &wanted)),
            Err(why) => {
                println!("skipped on a real Gerrit: there is none: {why}");
                // On a developer's machine it may be missing; where nobody reads, that must not pass.
                is_missing = std::env::var_os("CI").is_some();
            }
        }
    }
    // What cannot be removed lies in the system's place for such.
    let _ = std::fs::remove_dir_all(&folder);
    failed.iter().for_each(|name| println!("failed: {name}"));
    let is_good = failed.is_empty() && !is_missing;
    println!(
        "test result: {}. {} cases, {} failures",
        if is_good { "ok" } else { "FAILED" },
        wanted.len(),
        failed.len()
    );
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The names of the cases that fail at a server.
fn run_on(server: &Server, cases: &[Case]) -> Vec<String> {
    println!("running {} cases on {}", cases.len(), server.name);
    let begun = Instant::now();
    let waiting = Mutex::new(cases.iter().rev().copied().collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("no case holds this lock").pop();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let is_good = run_one(server, case);
                    println!(
                        "test {} on {} ... {}",
                        case.name,
                        server.name,
                        if is_good { "ok" } else { "FAILED" }
                    );
                    if !is_good {
                        failed
                            .lock()
                            .expect("no case holds this lock")
                            .push(format!("{} on {}", case.name, server.name));
                    }
                }
            });
        }
    });
    println!("{}: {:.1} s", server.name, begun.elapsed().as_secs_f32());
    failed.into_inner().expect("all threads have ended")
}

fn run_one(server: &Server, case: Case) -> bool {
    // A thread of its own, so that a panic's message names the case.
    let thread = std::thread::Builder::new().name(format!("{} on {}", case.name, server.name));
    std::thread::scope(|scope| {
        let body = || catch_unwind(AssertUnwindSafe(|| (case.run)(&World::begin(server)))).is_ok();
        thread.spawn_scoped(scope, body).expect("the system gives a thread").join().unwrap_or(false)
    })
}
