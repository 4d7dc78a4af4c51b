//! The supervisor of one build: a process of its own, so that a build outlives the daemon that began
//! it. It lays out the inputs, runs the commands, ends everything they started and records the verdict.
//!
//! Its standard input is the build's `control` FIFO: one byte in it means "stop", and the lock on it,
//! which ends with this process, tells the daemon that the shim lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, WaitOptions};

use super::checkout::{self, CheckoutError};
use super::record::{self, Ended, Order, Started};
use super::{sandbox, spare};
use crate::model::{Verdict, time::in_words};

/// How many processes and threads a build may have.
const MAX_PROCESSES: u64 = 16_384;
/// Less room than this on the volume and a failure is blamed on the disk.
const MIN_FREE_BYTES: u64 = 1 << 20;

/// Runs the commands given as arguments. Its standard input is a pipe for reports: `started`, then one
/// `exit CODE` when all is over. The commands do not inherit it.
const DRIVER: &str = r#"exec 9>&0 </dev/null
echo started >&9
for command do
    printf '$ %s\n' "$command"
    sh -e -c "$command" 9>&-
    code=$?
    if [ $code -ne 0 ]; then break; fi
done
echo "exit ${code:-0}" >&9
exit 0"#;

enum Signal {
    Stop,
    /// Nothing of the build is left.
    Gone,
}

/// What `seakeeper build-shim DIR` does: supervises the build whose folder is `folder`.
pub fn shim_main(folder: &Path) -> ExitCode {
    // Fails only when this is a session leader already.
    let _ = rustix::process::setsid();
    let began = Instant::now();
    let verdict = supervise(folder).unwrap_or_else(|error| {
        no_verdict(&format!("the build could not be supervised in {}: {error}", folder.display()))
    });
    let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    match record::write_end(folder, Ended { verdict, duration_ms }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn no_verdict(why: &str) -> Verdict {
    Verdict::NoVerdict { why: why.into() }
}

fn fail(why: String) -> Verdict {
    Verdict::Fail { why: why.into() }
}

fn supervise(folder: &Path) -> io::Result<Verdict> {
    record::reserve_end(folder)?;
    let Some(order) = record::read::<Order>(folder, "order") else {
        return Ok(no_verdict("the order of the build is damaged"));
    };
    record::write(folder, "started", &Started { pid: std::process::id(), at_ms: record::now_ms() })?;
    let (sender, signals) = mpsc::channel();
    let stop = sender.clone();
    thread::spawn(move || {
        if matches!(io::stdin().read(&mut [0]), Ok(1)) {
            // The receiver is gone only when the build is over.
            let _ = stop.send(Signal::Stop);
        }
    });
    let uid = sandbox::uid_of(order.build);
    sandbox::make_folders(folder, uid)?;
    let (work, spare) = (folder.join("work"), folder.join("spare"));
    for (input, store) in order.inputs.iter().zip(&order.stores) {
        match checkout::lay_out(store, &work, &spare, input) {
            Ok(()) => (),
            Err(error @ CheckoutError::Hostile { .. }) => return Ok(fail(format!("could not {error}"))),
            Err(error) => return Ok(no_verdict(&format!("could not {error}"))),
        }
    }
    if sandbox::is_root() && !order.confinement.unconfined {
        for name in ["work", "tmp", "home"] {
            sandbox::give_to(&folder.join(name), uid)?;
        }
    }
    spare::mark_laid_out(folder)?;
    if signals.try_recv().is_ok() {
        return Ok(no_verdict("stopped"));
    }
    run(folder, &order, uid, &sender, &signals)
}

/// Runs the commands to their end, or ends them.
fn run(
    folder: &Path,
    order: &Order,
    uid: u32,
    sender: &Sender<Signal>,
    signals: &Receiver<Signal>,
) -> io::Result<Verdict> {
    bound_resources()?;
    let oom_before = oom_kills();
    let home = order.inputs.first().map_or("", |input| input.pair.repository.as_str());
    let (output, output_end) = io::pipe()?;
    let (report, report_end) = io::pipe()?;
    let mut command = sandbox::command(folder, home, uid, &order.confinement, DRIVER);
    command.args(order.spec.commands.iter().map(|command| &**command));
    for (name, value) in &order.spec.environment {
        command.env(&**name, &**value);
    }
    command.env("SEAKEEPER_JOB", order.job.as_str());
    let log = OpenOptions::new().create(true).append(true).open(&order.log)?;
    let max = order.max_output_bytes;
    let pump = thread::spawn(move || copy_output(output, log, max));
    let reports = thread::spawn(move || read_report(report));
    if let Err(error) = spawn(command, output_end.into(), report_end.into()) {
        return Ok(no_verdict(&format!("could not start the build: {error}; install bubblewrap")));
    }
    let gone = sender.clone();
    thread::spawn(move || {
        // Also what was orphaned comes here, for this process is the subreaper: no child, nothing left.
        while rustix::process::wait(WaitOptions::empty()).is_ok_and(|child| child.is_some()) {}
        let _ = gone.send(Signal::Gone);
    });
    let limit = Duration::from_millis(u64::try_from(order.spec.timeout_ms).unwrap_or(0));
    let ended = wait_for_end(order, signals, limit, &reports);
    let tail = pump.join().unwrap_or_default();
    let (started, code) = reports.join().unwrap_or_default();
    if let Some(verdict) = ended {
        return Ok(verdict);
    }
    let verdict = match code {
        Some(0) => return Ok(Verdict::Pass),
        _ if disk_is_full(folder) => no_verdict(&format!(
            "the volume of {} is full; free some space on it",
            folder.parent().unwrap_or(folder).display()
        )),
        _ if oom_kills() > oom_before => {
            no_verdict("the machine ran out of memory while the build ran; lower `slots` or add memory")
        }
        Some(code @ 129..=192) => fail(format!("killed by signal {}", code - 128)),
        Some(code) => fail(format!("exit code {code}")),
        // Whoever could kill the driver or its walls is outside, or the build cut its own branch off.
        None if started => no_verdict("the build was killed from outside"),
        None => no_verdict(&format!("the build could not be kept apart: {}", tail.trim())),
    };
    Ok(verdict)
}

/// Waits until nothing of the build is left; gives the verdict if that was not its own doing.
fn wait_for_end(
    order: &Order,
    signals: &Receiver<Signal>,
    limit: Duration,
    reports: &thread::JoinHandle<(bool, Option<i32>)>,
) -> Option<Verdict> {
    let deadline = Instant::now() + limit;
    let mut ended = None;
    loop {
        // What is left after the driver's end, or after ours, is killed until it is gone.
        let over = ended.is_some() || reports.is_finished();
        if over {
            kill_descendants();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let pause = match (over, order.confinement.unconfined) {
            (true, _) => Duration::from_millis(5),
            // Without walls the end of the driver must be looked for: what it left lives on.
            (false, true) => left.min(Duration::from_millis(20)),
            (false, false) => left,
        };
        match signals.recv_timeout(pause) {
            Ok(Signal::Gone) | Err(RecvTimeoutError::Disconnected) => return ended,
            Ok(Signal::Stop) => ended = ended.or_else(|| Some(no_verdict("stopped"))),
            Err(RecvTimeoutError::Timeout) => {
                if !over && Instant::now() >= deadline {
                    let limit = in_words(order.spec.timeout_ms);
                    ended = Some(fail(format!("timed out after {limit}")));
                }
            }
        }
    }
}

fn spawn(mut command: Command, output: OwnedFd, report: OwnedFd) -> io::Result<()> {
    let errors = output.try_clone()?;
    command.stdin(Stdio::from(report)).stdout(Stdio::from(output)).stderr(Stdio::from(errors));
    // Waited for by whoever waits for all children.
    command.spawn().map(drop)
}

fn bound_resources() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(Pid::INIT))?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let now = rustix::process::getrlimit(Resource::Nproc);
    let bound = now.maximum.map_or(MAX_PROCESSES, |maximum| maximum.min(MAX_PROCESSES));
    rustix::process::setrlimit(Resource::Nproc, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    Ok(())
}

/// Copies up to `max` bytes into the log and swallows the rest; gives the last of it, for messages.
fn copy_output(mut output: impl Read, mut log: File, max: u64) -> String {
    let mut buffer = vec![0; 64 << 10];
    let (mut left, mut tail) = (max, Vec::new());
    let mut cut = false;
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        tail = buffer[count.saturating_sub(400)..count].to_vec();
        let keep = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        // A log that cannot be written is shorter; the verdict counts more.
        let _ = log.write_all(&buffer[..keep]);
        left -= keep as u64;
        if keep < count && !cut {
            cut = true;
            let _ = write!(log, "\n[the output is cut here: more than {max} bytes]\n");
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}

/// Reads what the driver reports: whether it started, and the commands' exit code.
fn read_report(report: impl Read) -> (bool, Option<i32>) {
    let mut started = false;
    for line in BufReader::new(report.take(4096)).lines().map_while(Result::ok) {
        started |= line == "started";
        if let Some(code) = line.strip_prefix("exit ").and_then(|code| code.parse().ok()) {
            return (started, Some(code));
        }
    }
    (started, None)
}

/// How many processes the kernel has killed for want of memory since it started.
fn oom_kills() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
}

fn disk_is_full(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|volume| {
        volume.f_bavail.saturating_mul(volume.f_frsize) < MIN_FREE_BYTES || volume.f_favail == 0
    })
}

/// Kills all that descends from this process; orphans do, for it is the subreaper.
fn kill_descendants() {
    let this = i32::try_from(std::process::id()).unwrap_or(0);
    let mut family = match children(this) {
        Some(children) => children,
        None => return kill_all(&family_by_parents(this)),
    };
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(children(parent).unwrap_or_default());
        at += 1;
    }
    kill_all(&family);
}

fn kill_all(family: &[i32]) {
    for pid in family.iter().copied().filter_map(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// The children of a process by the kernel's own list, which costs a fiftieth of a look at all
/// processes. `None` where the kernel keeps none or the process is gone.
fn children(of: i32) -> Option<Vec<i32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{of}/task")).ok()?.flatten() {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Some(found)
}

/// The descendants of a process, by the parents of all processes.
fn family_by_parents(of: i32) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = fs::read(entry.path().join("stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        // The program's name may hold anything, so the fields are counted from its closing bracket.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut family = vec![of];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    family.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_finding_descendants_agree() {
        let mut child = Command::new("sh").args(["-c", "cat; :"]).stdin(Stdio::piped()).spawn().unwrap();
        let shell = i32::try_from(child.id()).unwrap();
        // The shell's own child is there once it has begun to read.
        while children(shell).is_some_and(|below| below.is_empty()) {
            thread::yield_now();
        }
        let this = i32::try_from(std::process::id()).unwrap();
        assert!(family_by_parents(this).contains(&shell));
        if let Some(direct) = children(this) {
            assert!(direct.contains(&shell));
            assert_eq!(children(shell), Some(family_by_parents(shell)));
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
