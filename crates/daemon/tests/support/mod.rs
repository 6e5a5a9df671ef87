//! Runs the binary, and gives each test a directory with the example configuration and the files it names.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Longest time until the binary says what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a command printed, and its exit status.
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary to its end.
pub fn forebay(arguments: &[&str]) -> Output {
    let output = command(arguments).output().expect("the binary is built");
    let text = |bytes| String::from_utf8(bytes).expect("its output is UTF-8");
    Output {
        status: output.status.code().expect("it was not killed"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command
        .args(arguments)
        .env_remove("PGPASSWORD")
        .stdin(Stdio::null());
    command
}

/// The running binary; killed when the test ends early.
pub struct Forebay {
    child: Child,
    output: Receiver<String>,
    log: Receiver<String>,
    seen: String,
}

impl Forebay {
    /// Starts the binary.
    pub fn start(arguments: &[&str]) -> Forebay {
        let mut child = command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built");
        let output = lines(child.stdout.take().expect("it is piped"));
        let log = lines(child.stderr.take().expect("it is piped"));
        Forebay {
            child,
            output,
            log,
            seen: String::new(),
        }
    }

    /// Starts the binary with standard error in the same pipe as standard output.
    pub fn start_with_one_output(arguments: &[&str]) -> Forebay {
        let (reader, writer) = std::io::pipe().expect("the system has pipes");
        let log = writer.try_clone().expect("and descriptors");
        let child = command(arguments).stdout(writer).stderr(log).spawn();
        let (closed, none) = channel();
        drop(closed);
        Forebay {
            child: child.expect("the binary is built"),
            output: none,
            log: lines(reader),
            seen: String::new(),
        }
    }

    /// The next line of standard output, without the start that it must have.
    pub fn line(&mut self, start: &str) -> String {
        let line = self.output.recv_timeout(PATIENCE).unwrap_or_default();
        match line.strip_prefix(start) {
            Some(rest) => rest.to_owned(),
            None => panic!(
                "{line:?} does not start with {start:?}; log:\n{}",
                self.kill()
            ),
        }
    }

    /// Waits for a log line that contains `text`.
    pub fn log_line(&mut self, text: &str) {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line =
                line.unwrap_or_else(|_| panic!("no log line with {text:?} in\n{}", self.seen));
            self.seen += &line;
            self.seen.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends a signal by its short name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("kill is there").success());
    }

    /// Waits for the end; gives the exit status and the whole log.
    pub fn end(&mut self) -> (i32, String) {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.seen += &format!("{line}\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; log:\n{}", self.kill()),
            }
        }
        let status = self.child.wait().expect("it is our child");
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen))
    }

    fn kill(&mut self) -> String {
        let _ = self.child.kill();
        self.seen.extend(self.log.iter().map(|line| line + "\n"));
        std::mem::take(&mut self.seen)
    }
}

/// The lines of a pipe, read by a thread so that nobody waits for ever.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

impl Drop for Forebay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that vanishes with the value.
pub struct Directory {
    path: PathBuf,
    config: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Directory {
    /// A directory with the example configuration and every file that it names.
    pub fn with_example() -> Directory {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the target directory is writable");
        let config = path
            .join("forebay.toml")
            .to_str()
            .expect("UTF-8")
            .to_owned();
        let directory = Directory { path, config };
        directory.file("forebay.toml", include_str!("../../forebay.example.toml"));
        for name in ["app", "app.password", "reports"] {
            directory.file(name, "hunter2\n");
        }
        for name in ["app", "reports"] {
            let secret = format!("{{\"username\": \"{name}\", \"password\": \"hunter2\"}}");
            directory.file(&format!("{name}.json"), &secret);
        }
        let made =
            rcgen::generate_simple_self_signed(["db.example.org".to_owned()]).expect("a host name");
        directory.file("server.pem", &made.cert.pem());
        directory.file("server.key", &made.signing_key.serialize_pem());
        for name in ["ca.pem", "db-ca.pem"] {
            directory.file(name, &made.cert.pem());
        }
        directory
    }

    /// The path of the configuration.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// Replaces a piece of the configuration, which must be there once.
    pub fn edit(&self, old: &str, new: &str) {
        let text = std::fs::read_to_string(&self.config).expect("it was written");
        assert_eq!(text.matches(old).count(), 1, "{old:?} must be there once");
        self.replace(&text.replace(old, new));
    }

    /// Replaces the whole configuration.
    pub fn replace(&self, text: &str) {
        self.file("forebay.toml", text);
    }

    fn file(&self, name: &str, contents: &str) {
        let path = self.path.join(name);
        std::fs::write(&path, contents).expect("the directory is writable");
        let permissions = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, permissions).expect("the file is ours");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
