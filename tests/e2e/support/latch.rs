//! Holds builds: each calls this test over loopback, says what it sees, and waits for an answer. So a
//! test knows that a build runs and decides when it goes on, without any guess about time.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use super::wait_for;

#[derive(Default)]
struct State {
    /// What each build said, in order of arrival.
    said: Vec<String>,
    /// Builds that wait, by their place in `said`.
    held: Vec<(usize, TcpStream)>,
    open: bool,
}

/// A latch, closed at first.
pub struct Latch {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Latch {
    /// Begins to listen.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || receive(stream, &shared));
            }
        });
        Self { port, state }
    }

    /// The command by which a build calls: it says the names of the files that it sees.
    pub fn command(&self) -> String {
        let port = self.port;
        format!(
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}; echo $(ls) >&3; read -u 3 answer; test \"$answer\" = go'"
        )
    }

    /// Waits until a build has called that sees `file` (and any that sees all of `files`).
    pub fn wait_seen(&self, files: &[&str]) {
        wait_for(&format!("a build that sees {files:?}"), || self.count(files).gt(&0).then_some(()));
    }

    /// How many builds have called that see all of `files`.
    pub fn count(&self, files: &[&str]) -> usize {
        self.state().said.iter().filter(|line| sees(line, files)).count()
    }

    /// How many builds have called at all.
    pub fn calls(&self) -> usize {
        self.state().said.len()
    }

    /// Lets those builds go on that wait now and see all of `files`.
    pub fn release(&self, files: &[&str]) {
        let mut state = self.state();
        let State { said, held, .. } = &mut *state;
        let (mut go, stay): (Vec<_>, Vec<_>) = held.drain(..).partition(|(at, _)| sees(&said[*at], files));
        *held = stay;
        // A build that was stopped meanwhile does not listen any more.
        go.iter_mut().for_each(|(_, stream)| drop(stream.write_all(b"go\n")));
    }

    /// Lets all builds go on, now and later.
    pub fn open(&self) {
        self.state().open = true;
        self.release(&[]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding this lock")
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.open();
    }
}

fn receive(mut stream: TcpStream, shared: &Mutex<State>) {
    let mut line = String::new();
    let Ok(copy) = stream.try_clone() else { return };
    if BufReader::new(copy).read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut state = shared.lock().expect("nobody panics while holding this lock");
    state.said.push(line.trim().to_owned());
    if state.open {
        // A build that was stopped meanwhile does not listen any more.
        let _ = stream.write_all(b"go\n");
    } else {
        let at = state.said.len() - 1;
        state.held.push((at, stream));
    }
}

fn sees(line: &str, files: &[&str]) -> bool {
    files.iter().all(|file| line.split(' ').any(|seen| seen == *file))
}
