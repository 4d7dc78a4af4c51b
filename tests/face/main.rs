//! The face against a daemon that is made up: pages over real HTTP, the control socket with the
//! real binary as its client.

mod api;
#[path = "../page/made.rs"]
mod made;
mod monitoring;
mod page;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use made::{HOSTILE, Made, change, job};
use seakeeper::model::event::{Command, Scope};
use seakeeper::model::item::JobOutcome;
use seakeeper::model::past::{Happened, Past};
use seakeeper::model::view::{BuildView, DepartedView, PauseView, QueueView, View, WaitingView};
use seakeeper::model::{BuildId, ChangeNumber, Departure, ItemId, Pipeline, Reason, Timestamp};
use seakeeper::web::control::{ControlSocket, OpenError};
use seakeeper::web::{Desk, Options};

fn view() -> View {
    let running = job("unit", JobOutcome::Running, Some(5), 0);
    let mut item = made::item(1, change(11, HOSTILE), &[], Reason::Building { jobs: vec!["unit".into()] });
    item.entered_at = Timestamp(1_000);
    item.on_top_of = vec![ChangeNumber(10)];
    item.jobs = vec![running.clone()];
    item.past = vec![
        Past { at: Timestamp(1_000), what: Happened::Entered },
        Past { at: Timestamp(2_000), what: Happened::tested_on(1, [ChangeNumber(10)].into_iter()) },
        Past { at: Timestamp(50_000), what: Happened::Left { change: ChangeNumber(10) } },
        Past { at: Timestamp(50_500), what: Happened::Kept { jobs: vec!["unit".into()] } },
    ];
    let departed = DepartedView {
        item: ItemId(2),
        pipeline: Pipeline::Gate,
        queue: Some("main".into()),
        changes: vec![change(9, "an older change")],
        entered_at: Timestamp(0),
        ended_at: Timestamp(61_000),
        departure: Departure::Failed { jobs: vec!["unit".into()] },
        jobs: vec![job("unit", JobOutcome::Failure, Some(4), 9_000)],
        past: vec![],
        unneeded: Vec::new(),
    };
    View {
        at: Timestamp(62_000),
        queues: vec![QueueView { name: "main".into(), items: vec![item] }],
        checks: vec![],
        waiting: vec![WaitingView {
            change: change(12, "a change without a job"),
            words: Reason::NoJob.to_string(),
            reason: Reason::NoJob,
        }],
        departed: vec![departed],
        paused: vec![PauseView {
            scope: Scope::Everything,
            reason: "release <in> progress".into(),
            by: "bob".into(),
            at: Timestamp(50_000),
        }],
        builds: vec![BuildView {
            build: BuildId(5),
            job: "unit".into(),
            home: running.home,
            item: ItemId(1),
            started_at: Timestamp(40_000),
            deadline: Timestamp(1_840_000),
        }],
        builds_running: 1,
        slots: 8,
        effects: 0,
        unable: None,
        flakes: vec![],
        runs: Vec::new(),
    }
}

/// A running face; its server ends with the test's runtime.
struct Face {
    desk: Arc<Made>,
    web: SocketAddr,
    socket: PathBuf,
    folder: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Face {
    fn new(name: &str, ready: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("seakeeper-face-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let desk = Arc::new(Made::new(view(), ready, folder.clone()));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let socket = folder.join("control.sock");
        let web = runtime.block_on(async {
            let control = ControlSocket::open(&socket).expect("the socket opens");
            tokio::spawn(control.serve(Arc::clone(&desk) as Arc<dyn Desk>));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let web = listener.local_addr().expect("it has an address");
            let options = Options {
                review_url: Some("https://gerrit.example.org/".into()),
                public_url: "https://ci.example.org/gate/".into(),
            };
            let served = Arc::clone(&desk) as Arc<dyn Desk>;
            tokio::spawn(seakeeper::web::serve(listener, served, options, std::future::pending()));
            web
        });
        Self { desk, web, socket, folder, runtime }
    }

    /// Status line and headers, and the body.
    fn get(&self, path: &str, header: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.web).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the request is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the answer is text and ends");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        (head.to_owned(), body.to_owned())
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        run(Some(&self.socket), arguments)
    }
}

/// A stream of server-sent events, as a browser reads it.
struct Stream {
    lines: std::io::Lines<BufReader<TcpStream>>,
    /// The id of the last event.
    id: String,
}

impl Stream {
    fn open(face: &Face, path: &str, header: &str) -> Self {
        Self::ask(face, path, header).unwrap_or_else(|status| panic!("{path} opens: {status}"))
    }

    fn try_open(face: &Face, path: &str) -> Option<Self> {
        Self::ask(face, path, "").ok()
    }

    fn ask(face: &Face, path: &str, header: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(face.web).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).expect("the request is taken");
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().expect("an answer").expect("text");
        if !status.starts_with("HTTP/1.1 200") {
            return Err(status);
        }
        Ok(Self { lines, id: String::new() })
    }

    /// The next event: its name and what it says.
    fn event(&mut self) -> (String, serde_json::Value) {
        let mut name = String::new();
        loop {
            let line = self.lines.next().expect("the stream goes on").expect("text within the time");
            if let Some(found) = line.strip_prefix("event: ") {
                name = found.to_owned();
            } else if let Some(found) = line.strip_prefix("id: ") {
                self.id = found.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("JSON");
                if !self.id.is_empty() {
                    return (name, data);
                }
                // The id follows the data.
                let id = self.lines.next().expect("the stream goes on").expect("text");
                self.id = id.strip_prefix("id: ").unwrap_or_default().to_owned();
                return (name, data);
            }
        }
    }

    /// What the next event of that name says.
    fn next(&mut self, wanted: &str) -> serde_json::Value {
        loop {
            let (name, data) = self.event();
            if name == wanted {
                return data;
            }
        }
    }

    /// What the next event says, whatever it is called.
    fn any(&mut self) -> serde_json::Value {
        self.event().1
    }
}

impl Drop for Face {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(socket: Option<&Path>, arguments: &[&str]) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_seakeeper"));
    process.args(arguments).env_remove("SUDO_USER").env_remove("SEAKEEPER_CONFIG");
    if let Some(socket) = socket {
        process.arg("--socket").arg(socket);
    }
    process.output().expect("the binary runs")
}

#[test]
fn pages_escape_hostile_subjects_and_forbid_foreign_scripts() {
    let face = Face::new("escape", true);
    for path in ["/", "/change/11"] {
        let (head, body) = face.get(path, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            head.contains(
                "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';"
            ),
            "{head}"
        );
        assert_eq!(body.matches("<script").count(), 1, "only the page's own script: {body}");
        assert!(!body.contains(" style=") && !body.contains("<style"), "{body}");
        assert!(!body.contains('\u{202e}') && !body.contains('\x1b'), "{body}");
        assert!(
            body.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;"),
            "{body}"
        );
        assert!(body.contains("release &lt;in&gt; progress"), "{body}");
    }
}

#[test]
fn the_page_says_what_each_change_waits_for_and_how_others_ended() {
    let face = Face::new("says", false);
    let (_, body) = face.get("/", "");
    for part in [
        "unit running",
        "tested on top of change 10",
        "href=\"change/10\">10</a>",
        "<a href=\"build/5\">unit</a> <span>running <span data-since=\"40000\">",
        "no job is configured for it",
        "failed unit",
        "(exit code 3)",
        "<b>Landing is stopped for everything</b> by bob",
        "Gerrit does not answer",
        "https://gerrit.example.org/c/site/core/+/11",
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    let (head, body) = face.get("/change/12345", "");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(body.contains("Nothing is known of this change"), "{body}");
}

#[test]
fn links_work_behind_a_path_prefix() {
    let face = Face::new("links", true);
    for path in ["/", "/change/11"] {
        let (_, body) = face.get(path, "");
        assert!(body.contains("href=\""), "{body}");
        assert!(!body.contains("href=\"/"), "{body}");
    }
}

#[test]
fn the_view_survives_json_and_is_not_sent_twice() {
    let face = Face::new("json", true);
    let (head, body) = face.get("/api/v1/view", "");
    assert_eq!(serde_json::from_str::<View>(&body).expect("a view"), *face.desk.view());
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let (again, _) = face.get("/api/v1/view", &format!("If-None-Match: {tag}\r\n"));
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    face.desk.show(view());
    let (changed, _) = face.get("/api/v1/view", &format!("If-None-Match: {tag}\r\n"));
    assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
}

#[test]
fn a_hanging_browser_does_not_keep_the_server_from_ending() {
    let face = Face::new("end", true);
    face.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let desk = Arc::clone(&face.desk) as Arc<dyn Desk>;
        let stopped = async move { drop(stopped.await) };
        let served = tokio::spawn(seakeeper::web::serve(listener, desk, Options::default(), stopped));
        let mut hanging = TcpStream::connect(address).expect("there is room");
        hanging.write_all(b"GET / HTTP/1.1\r\n").expect("it is taken");
        stop.send(()).expect("the server listens");
        let ended = tokio::time::timeout(Duration::from_secs(30), served).await;
        assert!(matches!(ended, Ok(Ok(Ok(())))), "{ended:?}");
    });
}

#[test]
fn readiness_tells_its_problems() {
    for (ready, status) in [(true, "HTTP/1.1 200"), (false, "HTTP/1.1 503")] {
        let face = Face::new(&format!("ready-{ready}"), ready);
        let (head, body) = face.get("/readyz", "");
        assert!(head.starts_with(status), "{head}");
        assert_eq!(body.contains("Gerrit does not answer"), !ready, "{body}");
        let (head, _) = face.get("/healthz", "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[test]
fn metrics_show_the_view() {
    let face = Face::new("metrics", true);
    let (head, body) = face.get("/metrics", "");
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    for line in ["seakeeper_queue_items{queue=\"main\"} 1", "seakeeper_slots 8", "seakeeper_pauses 1"] {
        assert!(body.contains(line), "{line} is not in {body}");
    }
}

#[test]
fn a_log_is_plain_text_in_pieces_and_never_another_file() {
    let face = Face::new("log", true);
    std::fs::write(face.folder.join("5.log"), "first\n<b>second</b>\n").expect("written");
    std::fs::write(face.folder.join("secret"), "secret").expect("written");
    std::os::unix::fs::symlink("secret", face.folder.join("6.log")).expect("linked");
    for (path, header, status, body) in [
        ("/build/5", "", "200", "first\n<b>second</b>\n"),
        ("/build/5", "Range: bytes=-5\r\n", "206", "</b>\n"),
        ("/build/5", "Range: bytes=99-\r\n", "416", "the log has no such range\n"),
        ("/build/7", "", "404", "this build has no log: it has not begun, or its log was deleted for age\n"),
        ("/build/6", "", "500", "the log cannot be read; the daemon's own log says why\n"),
    ] {
        let (head, found) = face.get(path, header);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path} {header}: {head}");
        assert!(head.contains("content-type: text/plain"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert_eq!(found, body, "{path} {header}");
    }
}

#[test]
fn exit_codes_tell_how_it_ended() {
    let face = Face::new("exit", true);
    for (arguments, code) in [
        (&["status"][..], 0),
        (&["status", "11"], 0),
        (&["status", "99"], 1),
        (&["enqueue", "11"], 0),
        (&["enqueue", "404"], 5),
        (&["dequeue", "11", "--reason", " "], 5),
        (&["pause"], 2),
        (&["version", "--daemon"], 0),
    ] {
        let output = face.cli(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    }
    let nowhere = face.folder.join("nowhere.sock");
    assert_eq!(run(Some(&nowhere), &["status"]).status.code(), Some(4));
    let missing = face.folder.join("missing.toml");
    let missing = missing.to_str().expect("the path is text");
    let output = run(None, &["status", "-c", missing]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: "), "{output:?}");
}

#[test]
fn a_daemon_that_goes_without_an_answer_leaves_the_outcome_unknown() {
    let face = Face::new("unknown", true);
    let path = face.folder.join("mute.sock");
    let listener = UnixListener::bind(&path).expect("the socket opens");
    let mute = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        let mut buffer = [0; 1];
        stream.read_exact(&mut buffer).expect("it asks");
    });
    assert_eq!(run(Some(&path), &["enqueue", "11"]).status.code(), Some(6));
    mute.join().expect("the mute daemon ended well");
}

#[test]
fn commands_arrive_with_the_name_of_who_asked() {
    let face = Face::new("command", true);
    let output = face.cli(&["pause", "--queue", "main", "--reason", "broken", "--json"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        r#"{"Operator":{"accepted":true,"text":"done"}}"#
    );
    let asked = face.desk.asked.lock().expect("no test panics while it holds this").clone();
    let command = Command::Pause { scope: Scope::Queue("main".into()), reason: "broken".into() };
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, command);
    assert!(!asked[0].0.as_str().is_empty());
}

#[test]
fn a_faulty_configuration_is_told_with_all_its_faults_and_an_exit_code_of_its_own() {
    let face = Face::new("reload", true);
    let output = face.cli(&["reload"]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("problem: seakeeper.toml:3: key") && text.contains("problem: and another"),
        "{text}"
    );
    assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text}");
    assert_eq!(face.desk.reloads.lock().expect("no test panics while it holds this").len(), 1);
}

#[test]
fn a_change_is_explained_with_its_history_on_the_page_and_in_a_terminal() {
    let face = Face::new("explain", true);
    let output = face.cli(&["explain", "11"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "in queue main: unit running",
        "When it lands cannot be told yet",
        "1m 00s ago  merged on top of change 10",
        "12s ago  change 10 left, on top of which it was tested",
        "11s ago  still valid, for what they read is unchanged: unit",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let (_, page) = face.get("/change/11", "");
    assert!(page.contains("change 10 left, on top of which it was tested"), "{page}");
    assert_eq!(face.cli(&["explain", "9"]).status.code(), Some(0), "what has left is explained, too");
    assert_eq!(face.cli(&["explain", "99"]).status.code(), Some(1));
}

#[test]
fn a_terminal_is_not_steered_by_subjects() {
    let face = Face::new("terminal", true);
    let output = face.cli(&["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("alert('x')"), "{text}");
    assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text}");
}

#[test]
fn a_client_that_hangs_or_rambles_disturbs_nobody() {
    let face = Face::new("hang", true);
    let mut hanging: Vec<_> =
        (0..20).map(|_| UnixStream::connect(&face.socket).expect("there is room")).collect();
    hanging[0].write_all(b"{\"half\"").expect("it is taken");
    let web = TcpStream::connect(face.web).expect("there is room");
    assert_eq!(face.cli(&["version", "--daemon"]).status.code(), Some(0));
    assert!(face.get("/healthz", "").0.starts_with("HTTP/1.1 200"));
    drop((hanging, web));

    let mut rambling = UnixStream::connect(&face.socket).expect("there is room");
    // The daemon may close before all of it is sent; its answer is read all the same.
    let _ = rambling.write_all(&vec![b'x'; 64 * 1024]);
    let mut answer = String::new();
    rambling.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
    rambling.read_to_string(&mut answer).expect("it answers and closes");
    assert!(answer.contains("one line of JSON"), "{answer}");
}

#[test]
fn one_client_may_ask_several_things() {
    let face = Face::new("several", true);
    let mut stream = UnixStream::connect(&face.socket).expect("there is room");
    stream.write_all(b"\"Version\"\nnonsense\n\"Version\"\n").expect("it is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("half can be closed");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let kinds: Vec<_> = text.lines().map(|line| line.split('"').nth(1).unwrap_or("")).collect();
    assert_eq!(kinds, ["Version", "Invalid", "Version"]);
}

#[test]
fn a_dead_socket_is_replaced_and_a_living_one_respected() {
    let face = Face::new("stale", true);
    let mode = std::fs::metadata(&face.socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    face.runtime.block_on(async {
        let second = ControlSocket::open(&face.socket);
        assert!(matches!(second, Err(OpenError::Taken(_))), "{second:?}");
        let stale = face.folder.join("stale.sock");
        drop(UnixListener::bind(&stale).expect("the socket opens"));
        // What another test is starting right now has all that is open here until its program begins.
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&stale).is_ok() {
            assert!(Instant::now() < deadline, "somebody goes on listening");
            tokio::task::yield_now().await;
        }
        let opened = ControlSocket::open(&stale).expect("a dead socket is no obstacle");
        assert!(stale.exists());
        drop(opened);
        assert!(!stale.exists(), "the socket is removed when the daemon ends");
    });
}
