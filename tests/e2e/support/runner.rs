//! Runs the tests: a few at a time against one server, which is stopped at the end in any case.
//!
//! The standard harness has no place for "after the last test", and what is left running there would
//! stay for ever. The arguments of the standard harness that people use are understood.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::server::Server;

/// Why a test was not run.
#[derive(Debug, Clone)]
pub struct Skip(pub String);

/// What a test ends with, unless it panics.
pub type Run = Result<(), Skip>;

/// One test.
#[derive(Clone, Copy)]
pub struct Case {
    /// The claim that it proves.
    pub name: &'static str,
    /// The proof.
    pub run: fn(&Server) -> Run,
}

enum End {
    Passed,
    Failed,
    Skipped(String),
}

/// What was asked for on the command line.
#[derive(Default)]
struct Asked {
    list: bool,
    exact: bool,
    filters: Vec<String>,
    skips: Vec<String>,
}

impl Asked {
    fn read(mut args: impl Iterator<Item = String>) -> Self {
        let mut asked = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => asked.list = true,
                "--exact" => asked.exact = true,
                "--skip" => asked.skips.extend(args.next()),
                // Options of the standard harness that have a value and no meaning here.
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => drop(args.next()),
                option if option.starts_with('-') => {}
                _ => asked.filters.push(arg),
            }
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        let is = |text: &String| if self.exact { name == text } else { name.contains(text.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(is)) && !self.skips.iter().any(is)
    }
}

/// Runs those of `cases` that the command line asks for.
pub fn run(cases: &[Case]) -> ExitCode {
    let asked = Asked::read(std::env::args().skip(1));
    let wanted: VecDeque<Case> = cases.iter().filter(|case| asked.wants(case.name)).copied().collect();
    if asked.list {
        wanted.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    if wanted.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("running {} tests", wanted.len());
    let ends = match Server::for_this_run() {
        Ok(server) => run_all(&server, wanted),
        Err(Skip(why)) => {
            wanted.into_iter().map(|case| (case, tell(case, End::Skipped(why.clone())))).collect()
        }
    };
    sum_up(&ends)
}

fn run_all(server: &Server, wanted: VecDeque<Case>) -> Vec<(Case, End)> {
    let at_once = number("SEAKEEPER_E2E_JOBS").unwrap_or(2);
    let waiting = Mutex::new(wanted);
    let ends = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("no test holds this lock").pop_front();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let end = run_one(server, case);
                    ends.lock().expect("no test holds this lock").push((case, end));
                }
            });
        }
    });
    ends.into_inner().expect("all threads have ended")
}

fn run_one(server: &Server, case: Case) -> End {
    let begun = Instant::now();
    // A thread of its own, so that a panic's message names the test.
    let thread = std::thread::Builder::new().name(case.name.to_owned());
    let end = std::thread::scope(|scope| {
        let body = || catch_unwind(AssertUnwindSafe(|| (case.run)(server)));
        thread.spawn_scoped(scope, body).expect("the system gives a thread").join()
    });
    let end = match end {
        Ok(Ok(Ok(()))) => End::Passed,
        Ok(Ok(Err(Skip(why)))) => End::Skipped(why),
        _ => End::Failed,
    };
    tell_after(case, end, begun.elapsed())
}

fn tell(case: Case, end: End) -> End {
    tell_after(case, end, Duration::ZERO)
}

fn tell_after(case: Case, end: End, took: Duration) -> End {
    let seconds = took.as_secs_f32();
    match &end {
        End::Passed => println!("test {} ... ok ({seconds:.1} s)", case.name),
        End::Failed => println!("test {} ... FAILED ({seconds:.1} s)", case.name),
        End::Skipped(why) => println!("test {} ... skipped: {why}", case.name),
    }
    end
}

fn sum_up(ends: &[(Case, End)]) -> ExitCode {
    let count = |wanted: fn(&End) -> bool| ends.iter().filter(|(_, end)| wanted(end)).count();
    let failed = count(|end| matches!(end, End::Failed));
    let skipped = count(|end| matches!(end, End::Skipped(_)));
    // On a developer's machine a server may be missing; where nobody reads, that must not pass.
    let refused = skipped > 0 && std::env::var_os("CI").is_some();
    println!(
        "test result: {}. {} passed; {failed} failed; {skipped} skipped",
        if failed > 0 || refused { "FAILED" } else { "ok" },
        count(|end| matches!(end, End::Passed)),
    );
    for (case, _) in ends.iter().filter(|(_, end)| matches!(end, End::Failed)) {
        println!("failed: {}", case.name);
    }
    if failed > 0 || refused { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
