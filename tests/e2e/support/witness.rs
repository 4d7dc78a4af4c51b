//! Whoever looks at the daemon without having signed in: asks for everything all the time, listens to its
//! streams, and remembers each answer, so that what was shown for a moment only is noticed too.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wait_for;

/// What is asked for again and again.
const PATHS: [&str; 14] = [
    "/",
    "/?all=1",
    "/search?q=a",
    "/api/v1/view",
    "/api/v1/status",
    "/api/v1/queues",
    "/api/v1/queue/main",
    "/api/v1/builds",
    "/api/v1/departed",
    "/api/v1/pauses",
    "/api/v1/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
];
/// What is listened to.
const STREAMS: [&str; 3] = ["/live", "/live?q=a", "/api/v1/events"];
/// Builds whose pages and logs are asked for: more than a test has.
const BUILDS: u64 = 40;

/// One that looks. It stops when it is dropped.
pub struct Witness {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// What was asked for, and what was answered.
    seen: Mutex<Vec<(String, String)>>,
    rounds: AtomicUsize,
    stop: AtomicBool,
}

impl Witness {
    /// Begins to look at the page on `port`.
    pub fn of(port: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let (asking, builds) = (shared.clone(), 1..=BUILDS);
        let builds: Vec<String> =
            builds.flat_map(|id| [format!("/build/{id}"), format!("/api/v1/build/{id}")]).collect();
        let mut threads = vec![std::thread::spawn(move || {
            while !asking.stop.load(Ordering::Relaxed) {
                let paths = PATHS.iter().copied().chain(builds.iter().map(String::as_str));
                paths.for_each(|path| asking.ask(port, path, false));
                asking.rounds.fetch_add(1, Ordering::Relaxed);
            }
        })];
        for path in STREAMS {
            let listening = shared.clone();
            threads.push(std::thread::spawn(move || listening.ask(port, path, true)));
        }
        Self { shared, threads }
    }

    /// Waits until all that is asked for was asked for after this call.
    pub fn wait_round(&self) {
        let before = self.shared.rounds.load(Ordering::Relaxed);
        wait_for("a round of all pages", || {
            (self.shared.rounds.load(Ordering::Relaxed) >= before + 2).then_some(())
        });
    }

    /// Where `word` stood, and around which words.
    pub fn places_of(&self, word: &str) -> Vec<String> {
        let seen = self.shared.seen.lock().expect("no thread panics while it holds this");
        let found = seen.iter().filter_map(|(path, text)| Some(format!("{path}: {}", around(text, word)?)));
        found.collect()
    }

    /// The paths that have answered with anything.
    pub fn answered(&self) -> Vec<String> {
        let seen = self.shared.seen.lock().expect("no thread panics while it holds this");
        let mut paths: Vec<String> = seen.iter().map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// All that is asked for besides builds.
    pub fn asks_for() -> impl Iterator<Item = &'static str> {
        PATHS.iter().chain(&STREAMS).copied()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Shared {
    /// Asks, and remembers the answer: at its end, or piece by piece where it has none.
    fn ask(&self, port: u16, path: &str, endless: bool) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit can be set");
        if stream.write_all(request.as_bytes()).is_err() {
            return;
        }
        let (mut answer, mut piece) = (Vec::new(), [0; 65_536]);
        while !self.stop.load(Ordering::Relaxed) {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            if endless {
                // What was cut within a word is in the next look at the whole.
                self.keep_whole(path, &answer);
            }
        }
        self.keep_whole(path, &answer);
    }

    fn keep_whole(&self, path: &str, answer: &[u8]) {
        if answer.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(answer).into_owned();
        let mut seen = self.seen.lock().expect("no thread panics while it holds this");
        match seen.iter_mut().find(|(known, before)| known == path && text.starts_with(before.as_str())) {
            Some((_, before)) => *before = text,
            None => seen.push((path.to_owned(), text)),
        }
    }
}

/// `word` in `text` with what stands around it.
pub fn around(text: &str, word: &str) -> Option<String> {
    let at = text.find(word)?;
    let (before, after) = (&text[..at], &text[at..]);
    let before: String = before.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
    Some(format!("{before}{}", after.chars().take(word.len() + 60).collect::<String>()))
}
