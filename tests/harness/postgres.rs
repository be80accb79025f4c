//! A PostgreSQL primary and its streaming hot standby.
//!
//! [`cluster`] is shared by all tests of the process; a test that breaks a server (promotes it,
//! pauses its replay) starts a [`Cluster`] of its own. Tests load on the primary, wait for the
//! replay, and read from the standby as [`READER`], who can only SELECT.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::{
    guardian::{Guarded, Upkeep},
    wait,
};

/// The superuser.
pub(crate) const OWNER: &str = "postgres";
/// A login that can only SELECT, in every database made by [`Cluster::database`].
pub(crate) const READER: &str = "reader";
/// The password of every login. Distinctive, so that it can be searched for where no secret may
/// be; and in need of percent-encoding in a URL.
pub(crate) const PASSWORD: &str = "canary/of:tests@1";
/// [`PASSWORD`] as URLs hold it.
pub(crate) const PASSWORD_IN_URL: &str = "canary%2Fof%3Atests%401";

const START_LIMIT: Duration = Duration::from_mins(1);
const REPLAY_LIMIT: Duration = Duration::from_mins(2);

/// Settings of both servers. Durability is off: these clusters need to survive no power cut.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "wal_level=replica",
    "hot_standby=on",
    "hot_standby_feedback=on",
    "autovacuum=off",
    "log_connections=on",
    "log_disconnections=on",
    "log_statement=all",
    "log_line_prefix=%m [%p] %q%u@%d %a ",
    "timezone=UTC",
];

/// The cluster that the tests of this process share, started by whoever asks first.
pub(crate) fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&[]))
}

/// A primary and its hot standby. Dropping it stops both and removes their data.
pub(crate) struct Cluster {
    // In this order, so that the standby stops first.
    standby: Server,
    primary: Server,
}

impl Cluster {
    /// Starts a new cluster; `settings` (`name=value`) go to both servers, over the usual ones.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let primary = Server::start(Home::temporary("primary", initdb), settings);
        prepare(&primary);
        let home = Home::temporary("standby", |data| basebackup(&primary, data));
        Self { standby: start_standby(home, &primary, settings), primary }
    }

    /// Starts the cluster that is kept in `folder`, making it where there is none yet. Its data
    /// outlives this process.
    pub(crate) fn start_in(folder: &Path, settings: &[&str]) -> Self {
        let is_new = !folder.join("primary/data/PG_VERSION").exists();
        let primary = Server::start(Home::kept(&folder.join("primary"), initdb), settings);
        if is_new {
            prepare(&primary);
        }
        let home = Home::kept(&folder.join("standby"), |data| basebackup(&primary, data));
        Self { standby: start_standby(home, &primary, settings), primary }
    }

    /// The primary's URL for a login made with [`PASSWORD`].
    pub(crate) fn primary_url(&self, database: &str, user: &str) -> String {
        self.primary.url(database, user)
    }

    /// The standby's URL for a login made with [`PASSWORD`].
    pub(crate) fn standby_url(&self, database: &str, user: &str) -> String {
        self.standby.url(database, user)
    }

    /// The primary's loopback port.
    pub(crate) fn primary_port(&self) -> u16 {
        self.primary.port
    }

    /// The standby's loopback port.
    pub(crate) fn standby_port(&self) -> u16 {
        self.standby.port
    }

    /// Runs statements on the primary as the superuser.
    pub(crate) async fn primary_sql(&self, database: &str, sql: &str) {
        execute(&self.primary_url(database, OWNER), sql)
            .await
            .unwrap_or_else(|error| panic!("{error}, in: {sql}"));
    }

    /// Waits until the standby has replayed everything that is committed on the primary now.
    pub(crate) async fn wait_for_replay(&self) {
        let written = "select pg_current_wal_flush_lsn()::text";
        let target = text(&self.primary_url(OWNER, OWNER), written).await.unwrap();
        let replayed = format!("select (pg_last_wal_replay_lsn() >= '{target}')::text");
        let mut standby = connect(&self.standby_url(OWNER, OWNER)).await.unwrap();
        wait::until_async("the standby to replay", REPLAY_LIMIT, async || {
            (text_on(&mut standby, &replayed).await.unwrap() == "true").then_some(())
        })
        .await;
    }

    /// A new, empty database on both servers. [`READER`] may SELECT from whatever the superuser
    /// makes in it, and nothing else.
    pub(crate) async fn database(&self, name: &str) -> Database<'_> {
        self.primary_sql(OWNER, &format!(r#"create database "{name}""#)).await;
        let rules = format!(
            "revoke create on schema public from public;
             revoke temporary on database \"{name}\" from public;
             grant usage on schema public to {READER};
             alter default privileges grant usage on schemas to {READER};
             alter default privileges grant select on tables to {READER};"
        );
        self.primary_sql(name, &rules).await;
        self.wait_for_replay().await;
        Database { cluster: self, name: name.to_owned() }
    }

    /// Stops every process of the standby where it is, without a word to anyone.
    pub(crate) fn freeze_standby(&self) {
        self.standby.signal_all("STOP");
    }

    /// Lets a frozen standby go on.
    pub(crate) fn thaw_standby(&self) {
        self.standby.signal_all("CONT");
    }

    /// Ends every session of the standby, shuts it down, and starts it again on the same port.
    pub(crate) fn restart_standby(&self) {
        self.standby.restart();
    }

    /// What the primary has logged: every connection and every statement.
    pub(crate) fn primary_log(&self) -> String {
        self.primary.log()
    }

    /// What the standby has logged: every connection and every statement.
    pub(crate) fn standby_log(&self) -> String {
        self.standby.log()
    }
}

/// One test's database.
pub(crate) struct Database<'a> {
    /// The servers it lives on.
    pub cluster: &'a Cluster,
    /// Its name.
    pub name: String,
}

impl Database<'_> {
    /// The standby's URL for [`READER`]: what a careful user gives to Longshore.
    pub(crate) fn url(&self) -> String {
        self.cluster.standby_url(&self.name, READER)
    }

    /// The primary's URL for `user`.
    pub(crate) fn primary_url(&self, user: &str) -> String {
        self.cluster.primary_url(&self.name, user)
    }

    /// The standby's URL for `user`.
    pub(crate) fn standby_url(&self, user: &str) -> String {
        self.cluster.standby_url(&self.name, user)
    }

    /// Runs statements on the primary as the superuser and waits until the standby has them.
    pub(crate) async fn load(&self, sql: &str) {
        self.cluster.primary_sql(&self.name, sql).await;
        self.cluster.wait_for_replay().await;
    }

    /// The first column of the first row of a query on the primary, a text.
    pub(crate) async fn primary_text(&self, sql: &str) -> String {
        text(&self.primary_url(OWNER), sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// The same on the standby.
    pub(crate) async fn standby_text(&self, sql: &str) -> String {
        text(&self.standby_url(OWNER), sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }
}

/// A new connection.
pub(crate) async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnection::connect(url).await
}

/// Runs statements on a connection of their own.
pub(crate) async fn execute(url: &str, sql: &str) -> sqlx::Result<()> {
    let mut connection = connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// The first column of a query's first row, a text, on a connection of its own.
pub(crate) async fn text(url: &str, sql: &str) -> sqlx::Result<String> {
    text_on(&mut connect(url).await?, sql).await
}

async fn text_on(connection: &mut PgConnection, sql: &str) -> sqlx::Result<String> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)
}

/// Where a server keeps its data and its log.
struct Home {
    folder: PathBuf,
    is_kept: bool,
}

impl Home {
    fn temporary(name: &str, fill: impl FnOnce(&Path)) -> Self {
        let prefix = format!("longshore-{name}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap().keep();
        give_to_server(&folder);
        let home = Self { folder, is_kept: false };
        fill(&home.data());
        home
    }

    fn kept(folder: &Path, fill: impl FnOnce(&Path)) -> Self {
        let home = Self { folder: folder.to_owned(), is_kept: true };
        if !home.data().join("PG_VERSION").exists() {
            fs::create_dir_all(folder).unwrap();
            give_to_server(folder);
            fill(&home.data());
        }
        home
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

struct Server {
    port: u16,
    settings: Vec<String>,
    postmaster: Mutex<Guarded>,
    // Last, because the postmaster has to be gone before.
    home: Home,
}

impl Server {
    /// Starts the server, again where another process took the free port in between.
    fn start(home: Home, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        for _ in 0..5 {
            let port = free_port();
            if let Some(postmaster) = launched(&home, port, &settings) {
                return Self { port, settings, postmaster: Mutex::new(postmaster), home };
            }
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(home.log()).unwrap());
    }

    fn restart(&self) {
        let mut postmaster = self.postmaster.lock().unwrap();
        signal("INT", &[self.postmaster_pid()]);
        wait::until("PostgreSQL to stop", START_LIMIT, || postmaster.ended());
        *postmaster = launched(&self.home, self.port, &self.settings)
            .unwrap_or_else(|| panic!("PostgreSQL does not start again: {}", self.log()));
    }

    /// Sends a signal to every process of the server.
    fn signal_all(&self, name: &str) {
        let postmaster = self.postmaster_pid();
        let mut children = Command::new("ps");
        children.args(["-o", "pid=", "--ppid", &postmaster]);
        let children = String::from_utf8(children.output().unwrap().stdout).unwrap();
        let mut all: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        all.push(postmaster);
        signal(name, &all);
    }

    fn postmaster_pid(&self) -> String {
        let file = fs::read_to_string(self.home.data().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().trim().to_owned()
    }

    fn url(&self, database: &str, user: &str) -> String {
        format!("postgres://{user}:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}", self.port)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.log()).unwrap()).into_owned()
    }
}

/// The running server; nothing where it ended by itself.
fn launched(home: &Home, port: u16, settings: &[String]) -> Option<Guarded> {
    let mut postmaster = launch(home, port, settings);
    let is_up = wait::until("PostgreSQL to start", START_LIMIT, || {
        if postmaster.ended().is_some() {
            return Some(false);
        }
        is_ready(port).then_some(true)
    });
    is_up.then_some(postmaster)
}

fn launch(home: &Home, port: u16, settings: &[String]) -> Guarded {
    let mut command = as_server("postgres");
    command.arg("-D").arg(home.data()).arg("-p").arg(port.to_string());
    let settings = settings.iter().map(String::as_str);
    for setting in SETTINGS.iter().copied().chain(settings) {
        command.args(["-c", setting]);
    }
    // What is kept is shut down properly; what is thrown away may end at once.
    let (signal, remove) =
        if home.is_kept { ("INT", None) } else { ("QUIT", Some(home.folder.clone())) };
    Guarded::spawn(&command, &Upkeep { signal, log: home.log(), remove })
}

fn signal(name: &str, processes: &[String]) {
    let mut command = Command::new("kill");
    command.args(["-s", name]).args(processes);
    finish(command);
}

fn initdb(data: &Path) {
    let password = data.with_file_name("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = as_server("initdb");
    command
        .args(["--username", OWNER, "--auth=scram-sha-256", "--encoding=UTF8"])
        .args(["--locale=C.UTF-8", "--no-sync", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(data);
    finish(command);
    fs::remove_file(password).unwrap();
}

fn basebackup(primary: &Server, data: &Path) {
    let mut command = as_server("pg_basebackup");
    command.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", &conninfo(primary)]);
    command.arg("-D").arg(data);
    finish(command);
}

/// Makes the logins.
fn prepare(primary: &Server) {
    let sql = format!("create role {READER} login password '{PASSWORD}'");
    let mut command = as_server("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &conninfo(primary), "-c", &sql]);
    finish(command);
}

/// Starts a standby of `primary`, wherever that listens this time.
fn start_standby(home: Home, primary: &Server, settings: &[&str]) -> Server {
    let follow = format!("primary_conninfo={}", conninfo(primary));
    Server::start(home, &[settings, &[&follow]].concat())
}

fn conninfo(server: &Server) -> String {
    let port = server.port;
    format!("host=127.0.0.1 port={port} user={OWNER} password={PASSWORD} dbname={OWNER}")
}

fn is_ready(port: u16) -> bool {
    let mut command = Command::new(binary("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    command.stdin(Stdio::null()).status().unwrap().success()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One of PostgreSQL's programs, run as the user that servers run as: PostgreSQL refuses root.
fn as_server(program: &str) -> Command {
    let program = binary(program);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // The folder we are in may be closed to that user.
    command.current_dir("/");
    command
}

/// Makes the user that servers run as the owner of a file or a folder.
pub(crate) fn give_to_server(folder: &Path) {
    if is_root() {
        let mut command = Command::new("chown");
        command.arg("postgres:").arg(folder);
        finish(command);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The newest installed version's program: Debian keeps them out of the search path.
fn binary(name: &str) -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: see `tests/run --setup`");
    let newest = versions
        .map(|entry| entry.unwrap().path())
        .filter(|version| version.join("bin/initdb").exists())
        .max_by_key(|version| version.file_name().unwrap().to_str().unwrap().parse::<u32>().ok());
    newest.expect("PostgreSQL's server: see `tests/run --setup`").join("bin").join(name)
}

fn finish(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
