//! A network between the daemon and one port of Gerrit that a test can break: cut, stalled so that
//! nothing arrives and nobody is told, or, over plain HTTP, losing just one push or the answer to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    Stalled,
    Cut,
}

/// What becomes of the next push.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It never arrives.
    Request,
    /// It arrives, and nobody hears of it.
    Answer,
}

/// How a landing push begins.
const PUSH: &[u8] = b"/git-receive-pack HTTP/";

struct Shared {
    /// The loss that is to come.
    loss: Mutex<Option<Loss>>,
    weather: Mutex<Weather>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
}

/// A breakable way to a port on loopback.
pub struct Proxy {
    /// Where the daemon connects.
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins to carry connections to `upstream`.
    pub fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            loss: Mutex::default(),
            weather: Mutex::new(Weather::Fair),
            changed: Condvar::new(),
            streams: Mutex::default(),
        });
        let carrier = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What cannot be carried is dropped, which the caller sees as a broken network.
                let _ = carry(stream, upstream, &carrier);
            }
        });
        Self { port, shared }
    }

    /// Ends all connections and takes no new ones.
    pub fn cut(&self) {
        self.turn(Weather::Cut);
        for stream in self.shared.streams.lock().expect("nobody panics with this lock").drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets nothing through, and keeps the connections.
    pub fn stall(&self) {
        self.turn(Weather::Stalled);
    }

    /// Carries everything again.
    pub fn heal(&self) {
        self.turn(Weather::Fair);
    }

    /// Loses the next push, in one way or the other; only that one.
    pub fn lose_push(&self, loss: Loss) {
        *self.shared.loss.lock().expect("nobody panics with this lock") = Some(loss);
    }

    /// Whether the loss asked for has come.
    pub fn has_lost(&self) -> bool {
        self.shared.loss.lock().expect("nobody panics with this lock").is_none()
    }

    fn turn(&self, weather: Weather) {
        *self.shared.weather.lock().expect("nobody panics with this lock") = weather;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn carry(stream: TcpStream, upstream: u16, shared: &Arc<Shared>) -> std::io::Result<()> {
    if *shared.weather.lock().expect("nobody panics with this lock") == Weather::Cut {
        return stream.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(("127.0.0.1", upstream))?;
    let mut streams = shared.streams.lock().expect("nobody panics with this lock");
    streams.extend([stream.try_clone()?, server.try_clone()?]);
    drop(streams);
    let deaf = Arc::new(AtomicBool::new(false));
    for (from, to, asking) in [(stream.try_clone()?, server.try_clone()?, true), (server, stream, false)] {
        let (shared, deaf) = (Arc::clone(shared), Arc::clone(&deaf));
        std::thread::spawn(move || copy(from, to, &shared, &deaf, asking));
    }
    Ok(())
}

/// Carries one direction: of those who ask, or of those who answer. `deaf` is the connection's.
fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared, deaf: &AtomicBool, asking: bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut weather = shared.weather.lock().expect("nobody panics with this lock");
        while *weather == Weather::Stalled {
            weather = shared.changed.wait(weather).expect("nobody panics with this lock");
        }
        drop(weather);
        let lost = match take_loss(&buffer[..count], shared, asking) {
            Some(Loss::Request) => true,
            Some(Loss::Answer) => {
                deaf.store(true, Ordering::SeqCst);
                false
            }
            None => !asking && deaf.load(Ordering::SeqCst),
        };
        if lost || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Both may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The loss that is to come, if this is the push that it is for.
fn take_loss(bytes: &[u8], shared: &Shared, asking: bool) -> Option<Loss> {
    let is_push = asking && bytes.starts_with(b"POST ") && bytes.windows(PUSH.len()).any(|part| part == PUSH);
    if !is_push {
        return None;
    }
    shared.loss.lock().expect("nobody panics with this lock").take()
}
