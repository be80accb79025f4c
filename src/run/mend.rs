//! Opening the ledger, and putting a sound one in the place of a damaged one.
//!
//! A damaged file is never written to again and never deleted: it stays beside the new ledger,
//! which knows every run that published, because the warehouse's generations tell of those. Only
//! the holder of the run lock does this.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    SqlitePool,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    ledger::{Ledger, rfc3339},
    lock::RunLock,
};
use crate::{
    config::Project,
    error::{Context as _, Error, ErrorKind, Result},
    warehouse::{GenerationRecord, Warehouse},
};

/// SQLite's codes for what the surroundings of a sound file may cause: permissions, locks, memory,
/// a read-only or full disk, I/O errors.
const SURROUNDINGS: [i64; 10] = [3, 5, 6, 7, 8, 9, 10, 13, 14, 23];

/// Its code for a full disk.
const FULL: i64 = 13;

/// Its codes for damage that it noticed by itself.
const DAMAGE: [i64; 2] = [11, 26];

/// A file as it was found.
enum Found {
    Sound(Ledger),
    Damaged(String),
}

impl Ledger {
    /// Opens the ledger of `project`, making or migrating it first. A damaged one is replaced, for
    /// which no run may be at work; the second value then says so, as a sentence without its period.
    ///
    /// # Errors
    /// `Storage`, also for a ledger from a newer version of Longshore; `Conflict` when a damaged
    /// one is in use.
    pub async fn open(project: &Project) -> Result<(Self, Option<String>)> {
        let path = path_in(project);
        if (path.exists() || !rebuilt_beside(&path).exists())
            && let Found::Sound(ledger) = look(&path).await?
        {
            return Ok((ledger, None));
        }
        let lock = RunLock::attempt(&project.state_dir(), "mending the ledger")?;
        let lock = lock.map_err(|holder| {
            Error::new(ErrorKind::Conflict, damaged(&path))
                .because(format!("{holder} is at work, so that it can't be replaced now"))
                .hint("wait until it has ended: the next `longshore run` or `runs` replaces it")
        })?;
        Self::open_locked(project, &lock).await
    }

    /// [`Ledger::open`] for the holder of the project's lock.
    pub(super) async fn open_locked(
        project: &Project,
        _lock: &RunLock,
    ) -> Result<(Self, Option<String>)> {
        let path = path_in(project);
        let rebuilt = rebuilt_beside(&path);
        if !path.exists() && rebuilt.exists() {
            // The power went between the two renames of `replace`.
            fs::rename(&rebuilt, &path).or_fail(ErrorKind::Storage, || unopened(&path))?;
        }
        match look(&path).await? {
            Found::Sound(ledger) => Ok((ledger, None)),
            Found::Damaged(why) => replace(project, &path, &why).await,
        }
    }

    /// Opens the ledger in the file `path`, or says that it is damaged.
    #[cfg(test)]
    pub(super) async fn open_at(path: &Path) -> Result<Self> {
        match look(path).await? {
            Found::Sound(ledger) => Ok(ledger),
            Found::Damaged(why) => Err(Error::new(ErrorKind::Storage, damaged(path)).because(why)),
        }
    }

    /// An error in the use of a ledger that was sound when it was opened.
    pub(super) fn broken(&self, error: &sqlx::Error) -> Error {
        told(format!("the ledger `{}` can't be used", self.path.display()), error)
    }
}

fn path_in(project: &Project) -> PathBuf {
    project.state_dir().join("ledger.db")
}

fn rebuilt_beside(path: &Path) -> PathBuf {
    path.with_file_name("ledger.rebuilt.db")
}

/// SQLite's other file of transactions beside a database.
fn log_of(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn unopened(path: &Path) -> String {
    format!("cannot open the ledger `{}`", path.display())
}

fn damaged(path: &Path) -> String {
    format!("the ledger `{}` is damaged", path.display())
}

fn code(error: &sqlx::Error) -> Option<i64> {
    let code: i64 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn told(what: String, error: &sqlx::Error) -> Error {
    let told = Error::new(ErrorKind::Storage, what).because(error);
    match code(error) {
        Some(FULL) => told.hint("make room on the disk that it lies on, then run again"),
        Some(code) if DAMAGE.contains(&code) => {
            told.hint("run again: the next start puts a sound one in its place")
        }
        _ => told,
    }
}

/// Whether `error` tells of the file itself and not of its surroundings.
fn tells_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => code(error).is_none_or(|code| !SURROUNDINGS.contains(&code)),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

/// Opens the file where it is sound, making it where there is none.
async fn look(path: &Path) -> Result<Found> {
    let failed = || unopened(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_fail(ErrorKind::Storage, failed)?;
    }
    if let Some(why) = damage_of_header(path).or_fail(ErrorKind::Storage, failed)? {
        return Ok(Found::Damaged(why.to_owned()));
    }
    let pool = match connect(path).await {
        Ok(pool) => pool,
        Err(error) if tells_damage(&error) => return Ok(Found::Damaged(error.to_string())),
        Err(error) => return Err(told(failed(), &error)),
    };
    let damage = match examine(&pool).await {
        Ok(None) => migrate(&pool, path).await,
        Ok(found) => Ok(found),
        Err(error) if tells_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(told(failed(), &error)),
    };
    match damage {
        Ok(None) => Ok(Found::Sound(Ledger { pool, path: path.to_owned() })),
        Ok(Some(why)) => {
            pool.close().await;
            Ok(Found::Damaged(why))
        }
        Err(error) => {
            pool.close().await;
            Err(error)
        }
    }
}

async fn connect(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await
}

/// What SQLite takes for something else than damage: an empty file is a new database to it, and one
/// whose version bytes it doesn't know can't be written to.
fn damage_of_header(path: &Path) -> io::Result<Option<&'static str>> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(20).read_to_end(&mut header)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let sound = header.starts_with(b"SQLite format 3\0");
    Ok(match header.as_slice() {
        [] => Some("it is empty"),
        [.., 1 | 2, 1 | 2] if sound && header.len() == 20 => None,
        _ => Some("it is no SQLite database"),
    })
}

/// What is wrong with pages, rows or indexes.
async fn examine(pool: &SqlitePool) -> Result<Option<String>, sqlx::Error> {
    let verdict: String = sqlx::query_scalar("pragma integrity_check(1)").fetch_one(pool).await?;
    Ok((verdict != "ok").then_some(verdict))
}

/// Brings the tables up to date. Where the notes of earlier migrations make no sense, they are
/// damaged.
async fn migrate(pool: &SqlitePool, path: &Path) -> Result<Option<String>> {
    let migrator = sqlx::migrate!("src/run/migrations");
    let error = match migrator.run(pool).await {
        Ok(()) => return Ok(None),
        Err(error) => error,
    };
    match &error {
        MigrateError::VersionMissing(_) if is_newer(pool, migrator.iter().count()).await => {
            Err(Error::new(ErrorKind::Storage, unopened(path))
                .because(error)
                .because("a newer version of Longshore wrote it")
                .hint("use that version of Longshore, or a newer one"))
        }
        MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _)
            if !tells_damage(inner) =>
        {
            Err(told(unopened(path), inner))
        }
        _ => Ok(Some(error.to_string())),
    }
}

/// Whether the ledger went through our migrations and then through others.
async fn is_newer(pool: &SqlitePool, ours: usize) -> bool {
    let notes: Result<(i64, i64), _> =
        sqlx::query_as("select count(*), max(version) from _sqlx_migrations").fetch_one(pool).await;
    notes.is_ok_and(|(count, newest)| count == newest && count > ours as i64)
}

/// Puts a ledger with all published runs in the place of the one at `path`. Cut short at any point,
/// it can be done again.
async fn replace(project: &Project, path: &Path, why: &str) -> Result<(Ledger, Option<String>)> {
    let records = generations(project).await.map_err(|error| {
        error.context(damaged(path)).hint(
            "it is rebuilt from the warehouse's generations: see that the warehouse can be read, \
             then run again",
        )
    })?;
    let failed = || format!("{}, and no other can take its place", damaged(path));
    let rebuilt = rebuilt_beside(path);
    for litter in [rebuilt.clone(), log_of(&rebuilt), beside(&rebuilt, "-shm")] {
        remove(&litter).or_fail(ErrorKind::Storage, failed)?;
    }
    let Found::Sound(ledger) = look(&rebuilt).await? else {
        return Err(Error::new(ErrorKind::Storage, failed()).because("a new one is damaged too"));
    };
    ledger.remember(&records).await?;
    ledger.close().await;
    let aside = path.with_file_name(format!(
        "ledger.corrupt-{}",
        jiff::Timestamp::now().strftime("%Y%m%dt%H%M%S%3fz")
    ));
    move_aside(path, &aside)
        .and_then(|()| fs::rename(&rebuilt, path))
        .and_then(|()| path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all()))
        .or_fail(ErrorKind::Storage, failed)?;
    let Found::Sound(ledger) = look(path).await? else {
        return Err(Error::new(ErrorKind::Storage, failed()).because("a new one is damaged too"));
    };
    let what = format!(
        "{} ({why}); it is kept as `{}`, and a new one tells of the {} runs that published, as \
         the warehouse knows them",
        damaged(path),
        aside.display(),
        records.len()
    );
    Ok((ledger, Some(what)))
}

async fn generations(project: &Project) -> Result<Vec<GenerationRecord>> {
    let mut records = Warehouse::open_read(&project.warehouse)?.generations(usize::MAX).await?;
    records.reverse();
    Ok(records)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The log goes first: no new database may find it beside itself.
fn move_aside(path: &Path, aside: &Path) -> io::Result<()> {
    match fs::rename(log_of(path), log_of(aside)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    remove(&beside(path, "-shm"))?;
    fs::rename(path, aside)
}

impl Ledger {
    /// Notes what generations tell of their runs, all or nothing.
    async fn remember(&self, records: &[GenerationRecord]) -> Result<()> {
        let failed = |error: sqlx::Error| self.broken(&error);
        let mut all = self.pool.begin().await.map_err(failed)?;
        for record in records {
            let rows: u64 =
                record.tables.values().filter(|table| table.changed).map(|table| table.rows).sum();
            let start = record.run.started_at().map(rfc3339);
            sqlx::query(
                "insert or ignore into runs (run, pipeline, started_at, ended_at, outcome, \
                 generation, exit_code, rebuilt_rows) values (?, ?, ?, ?, 'published', ?, 0, ?)",
            )
            .bind(record.run.as_str())
            .bind(record.pipeline.as_str())
            .bind(start.as_deref().unwrap_or(&record.published_at))
            .bind(&record.published_at)
            .bind(record.generation.0 as i64)
            .bind(rows as i64)
            .execute(&mut *all)
            .await
            .map_err(failed)?;
        }
        all.commit().await.map_err(failed)
    }
}
