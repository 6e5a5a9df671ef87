//! Children: started in a process group of their own, stopped with all they started, never left behind.
//!
//! A group of its own keeps a terminal's Ctrl-C from reaching the child before us: what is stopped, and in which
//! order, is decided by `cleanup` alone. A child is signalled by its process id only while it is known not to have
//! been waited for, so an id that the kernel gave to somebody else is never hit.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cleanup::{self, Guard};

/// How long a child may take to end after each signal before a harder one is sent.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A child that is stopped when this is dropped.
pub struct Running {
    child: Arc<Mutex<Child>>,
    pid: u32,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    _guard: Guard,
}

impl Running {
    /// Starts `command`; `gently` is the signal that asks it to end (SIGKILL follows if it does not).
    pub fn start(command: &mut Command, gently: libc::c_int) -> Result<Running> {
        Running::start_reading(command, gently, Stdio::null())
    }

    /// The same with a standard input to write to, which [`Running::take_stdin`] gives.
    pub fn start_talking(command: &mut Command, gently: libc::c_int) -> Result<Running> {
        Running::start_reading(command, gently, Stdio::piped())
    }

    /// The same with something to read on its standard input.
    fn start_reading(command: &mut Command, gently: libc::c_int, input: Stdio) -> Result<Running> {
        cleanup::wait_if_interrupted();
        command.process_group(0).stdin(input);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", line(command)))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stdin = child.stdin.take();
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let to_stop = child.clone();
        let guard = cleanup::guard(move || stop(&to_stop, gently));
        Ok(Running {
            child,
            pid,
            stdin,
            stdout,
            stderr,
            _guard: guard,
        })
    }

    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The child's standard input, when it was piped; the first call takes it.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// The child's standard output, when it was piped; the first call takes it.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// The child's standard error, when it was piped; the first call takes it.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.stderr.take()
    }

    /// How it ended, if it ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub fn wait(&self) -> Result<ExitStatus> {
        wait_unreaped(self.pid);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = child.wait().context("waiting for a child")?;
        drop(child);
        cleanup::wait_if_interrupted();
        Ok(status)
    }
}

/// What a finished child left.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs to the end and keeps the output; an unsuccessful end is not an error here.
pub fn finish(command: &mut Command) -> Result<Finished> {
    finish_reading(command, Stdio::null())
}

fn finish_reading(command: &mut Command, input: Stdio) -> Result<Finished> {
    let mut running = Running::start_reading(
        command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        libc::SIGTERM,
        input,
    )?;
    let stderr = running.stderr.take();
    let errors = std::thread::spawn(move || read_all(stderr));
    let stdout = read_all(running.stdout.take());
    let stderr = errors.join().unwrap_or_default();
    let status = running.wait()?;
    Ok(Finished {
        status,
        stdout,
        stderr,
    })
}

/// Runs to the end and gives its standard output; an unsuccessful end is an error with what it said last.
pub fn capture(command: &mut Command) -> Result<String> {
    output_of(finish(command)?, command)
}

/// The same for a command that reads a file on its standard input.
pub fn capture_reading(command: &mut Command, input: &Path) -> Result<String> {
    let file = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
    output_of(finish_reading(command, file.into())?, command)
}

fn output_of(finished: Finished, command: &Command) -> Result<String> {
    if !finished.status.success() {
        let said = if finished.stderr.trim().is_empty() {
            &finished.stdout
        } else {
            &finished.stderr
        };
        bail!(
            "`{}` failed ({}):\n{}",
            line(command),
            finished.status,
            last_lines(said, 20)
        );
    }
    Ok(finished.stdout)
}

/// Runs to the end with our own output streams.
pub fn show(command: &mut Command) -> Result<()> {
    let running = Running::start(command, libc::SIGTERM)?;
    ended_well(running.wait()?, command)
}

/// The same, but stops it, and all it started, when it takes longer than `most`.
pub fn show_within(command: &mut Command, most: Duration) -> Result<()> {
    let running = Running::start(command, libc::SIGTERM)?;
    match poll(most, || Ok(running.ended()))? {
        Some(status) => ended_well(status, command),
        None => bail!(
            "`{}` hung: stopped after {} minutes",
            line(command),
            most.as_secs() / 60
        ),
    }
}

fn ended_well(status: ExitStatus, command: &Command) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Asks `ready` every few milliseconds until it gives something, an error, or `patience` is over.
pub fn poll<T>(
    patience: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + patience;
    loop {
        cleanup::wait_if_interrupted();
        if let Some(value) = ready()? {
            return Ok(Some(value));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The command as one would type it, without its environment (passwords are there).
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    let quoted: Vec<String> = words
        .map(OsStr::to_string_lossy)
        .map(|word| quoted(&word))
        .collect();
    quoted.join(" ")
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn quoted(word: &str) -> String {
    // A URL may carry a password, and a printed command ends in logs.
    if let Some((start, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.split_once('@')
        && let Some((name, _)) = user.split_once(':')
    {
        return format!("{start}://{name}:…@{host}");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{word}'")
    }
}

fn read_all(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What could not be read is missing from a message, no more.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Blocks until the child has ended and leaves it to be waited for, so that its id stays taken.
fn wait_unreaped(pid: u32) {
    // SAFETY: an all-zero `siginfo_t` is a valid value to be overwritten.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `info` is writable for the call; WNOWAIT changes nothing about the child.
        let done = unsafe {
            libc::waitid(
                libc::P_PID,
                pid,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if done == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return;
        }
    }
}

/// Whether the child has ended; it is left to be waited for.
fn has_ended(pid: u32) -> bool {
    // SAFETY: an all-zero `siginfo_t` is a valid value to be overwritten.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: `info` is writable for the call.
    let done = unsafe { libc::waitid(libc::P_PID, pid, &raw mut info, options) };
    // SAFETY: after a successful call, `si_pid` says which child ended; 0 means none did.
    done != 0 || unsafe { info.si_pid() } != 0
}

fn stop(child: &Mutex<Child>, gently: libc::c_int) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let pid = child.id();
    let whom = i32::try_from(pid).expect("the kernel's process ids are small");
    // The child alone is asked first: a database server stops its own children in order.
    for signal in [gently, libc::SIGQUIT, libc::SIGKILL] {
        // SAFETY: a plain system call; the child has not been waited for, so its id is still its own.
        unsafe { libc::kill(whom, signal) };
        let end = Instant::now() + STOP_PATIENCE;
        while !has_ended(pid) && Instant::now() < end {
            std::thread::sleep(POLL_INTERVAL);
        }
        if has_ended(pid) {
            break;
        }
    }
    // What it started and did not stop (a test binary under cargo), while its id still names our group.
    // SAFETY: as above.
    unsafe { libc::kill(-whom, libc::SIGKILL) };
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_gone_when_its_value_is_dropped() {
        let running = Running::start(Command::new("sleep").arg("600"), libc::SIGTERM).unwrap();
        let pid = running.pid();
        assert!(running.ended().is_none());
        drop(running);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_child_that_hangs_is_stopped_with_what_it_started() {
        let mut command = Command::new("sh");
        let error =
            show_within(command.args(["-c", "sleep 600 & wait"]), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("hung"), "{error}");
    }

    #[test]
    fn a_failure_shows_what_the_child_said_last() {
        let error =
            capture(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("no such thing"),
            "{text}"
        );
    }

    #[test]
    fn a_printed_command_shows_no_password() {
        let mut command = Command::new("forebay");
        command.args(["run", "postgres://app:secret@127.0.0.1:5432/app"]);
        assert_eq!(
            line(&command),
            "forebay run postgres://app:…@127.0.0.1:5432/app"
        );
    }
}
