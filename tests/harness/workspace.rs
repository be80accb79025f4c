//! A throw-away project, and the built program run in it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use tempfile::TempDir;

use super::wait;

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_mins(2);

/// A project folder of its own, with a home and a temporary folder beside it.
pub(crate) struct Workspace {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Workspace {
    /// An empty project.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("longshore-workspace-").tempdir().unwrap();
        for name in ["project", "home", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, variables: BTreeMap::new() }
    }

    /// The project's folder.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// A path in the project.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file of the project and the folders above it.
    pub(crate) fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// The text of a file of the project.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Every file below a folder of the project, relative to that folder, sorted.
    pub(crate) fn files(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let top = self.path(folder);
        let mut found = Vec::new();
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Sets an environment variable for the commands to come.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.spawn(arguments).finish()
    }

    /// Starts the program, in an environment that holds nothing but what was [`Self::set`].
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).spawn().unwrap();
        let stdout = Gathered::from(child.stdout.take().unwrap());
        let stderr = Gathered::from(child.stderr.take().unwrap());
        Running { child, stdout, stderr, what: format!("longshore {}", arguments.join(" ")) }
    }

    /// The program as [`Self::spawn`] starts it, for a test that wraps it in another one.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.folder.path().join("tmp"))
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Replaces in a snapshot what differs from run to run: `insta`'s filters.
    pub(crate) fn filters(&self) -> Vec<(String, &'static str)> {
        let project = regex_literal(self.root().to_str().unwrap());
        let fixed = [
            (r"127\.0\.0\.1:\d+", "[SERVER]"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[ID]"),
            (
                r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?",
                "[TIME]",
            ),
            (r"\b[0-9A-F]{1,8}/[0-9A-F]{4,8}\b", "[LSN]"),
            (r"\b(\d+h ?)?(\d+m ?)?\d+(\.\d+)? ?(ns|µs|us|ms|s)\b", "[DURATION]"),
            (r"\b\d+(\.\d+)? ?([KMGT]i?B|[kMGT]B|B|bytes)\b", "[SIZE]"),
            (r"[ \t]+\n", "\n"),
        ];
        [(project, "[PROJECT]")]
            .into_iter()
            .chain(fixed.map(|(pattern, name)| (pattern.to_owned(), name)))
            .collect()
    }
}

fn regex_literal(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        letter if letter.is_alphanumeric() || "/_-".contains(letter) => letter.to_string(),
        letter => format!(r"\{letter}"),
    });
    escaped.collect()
}

/// Compares an [`Outcome`] with an inline snapshot, the workspace's filters applied.
macro_rules! assert_outcome {
    ($workspace:expr, $outcome:expr, @$expected:literal) => {
        let filters = $workspace.filters();
        let filters: Vec<_> = filters.iter().map(|(pattern, to)| (&**pattern, *to)).collect();
        insta::with_settings!({ filters => filters }, {
            insta::assert_snapshot!($outcome, @$expected);
        })
    };
}
pub(crate) use assert_outcome;

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Outcome {
    /// The outcome itself, where it is a success; panics with all of its output otherwise.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "the command failed:\n{self}");
        self
    }

    /// The outcome itself, where the exit code is this one.
    pub(crate) fn failed_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "another exit code was due:\n{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit: {code}")?,
            None => writeln!(f, "exit: killed")?,
        }
        write!(f, "----- stdout -----\n{}\n----- stderr -----\n{}", self.stdout, self.stderr)
    }
}

/// A command that still runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdout: Gathered,
    stderr: Gathered,
    what: String,
}

impl Running {
    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Outcome {
        let status = self.wait();
        self.outcome(status)
    }

    /// Waits for its end, and tells the most memory that it had resident, in bytes.
    pub(crate) fn finish_measured(mut self) -> (Outcome, u64) {
        let status = format!("/proc/{}/status", self.child.id());
        let mut peak = 0;
        // The kernel keeps the peak, so looking now and then misses nothing but the last moment.
        wait::until(&format!("`{}` to end", self.what), LIMIT, || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            peak = peak.max(kibibytes.unwrap_or(0_u64) << 10);
            self.has_ended().then_some(())
        });
        (self.finish(), peak)
    }

    /// Ends it with SIGKILL, as a power cut would, where it still runs.
    pub(crate) fn kill(mut self) -> Outcome {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.outcome(status)
    }

    /// Sends it a signal, by the name that `kill -s` takes.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(status.success(), "`{}` was gone before SIG{name}", self.what);
    }

    /// Waits until it has said `words` on standard error. Panics when it ends without.
    pub(crate) fn wait_for_words(&mut self, words: &str) {
        wait::until(&format!("`{}` to say `{words}`", self.what), LIMIT, || {
            let has_ended = self.child.try_wait().unwrap().is_some();
            let said = self.stderr.so_far();
            assert!(!has_ended || said.contains(words), "it ended without `{words}`: {said}");
            said.contains(words).then_some(())
        });
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn wait(&mut self) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > LIMIT {
                let (out, err) = (self.stdout.so_far(), self.stderr.so_far());
                panic!("`{}` has not ended within {LIMIT:?}:\n{out}\n{err}", self.what);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn outcome(&mut self, status: ExitStatus) -> Outcome {
        Outcome { code: status.code(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error here says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream that a thread reads to its end, so that its writer never blocks.
struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Gathered {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                target.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn all(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.so_far()
    }
}
