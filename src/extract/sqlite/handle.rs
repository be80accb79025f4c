//! SQLite's C interface behind a safe one: open read-only, prepare one statement, step, look at
//! cells where they lie.
//!
//! A row taken through an async driver is copied cell by cell into a channel; here a cell is a
//! view of SQLite's own memory until the next step. All unsafe code of the source is in this file,
//! and it never opens a file for writing, never creates one, and never attaches another.
#![allow(
    unsafe_code,
    reason = "measured: a fifth of the CPU time that rows through the async driver take"
)]

use std::{
    ffi::{CStr, CString, c_int, c_void},
    fmt,
    path::Path,
    ptr::{NonNull, null, null_mut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libsqlite3_sys as ffi;

/// How long to wait for a writer that holds the file.
const BUSY_TIMEOUT_MS: c_int = 10_000;

/// Steps of SQLite's virtual machine between two looks at the [`Brake`].
const STEPS_BETWEEN_LOOKS: c_int = 10_000;

/// What SQLite says went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// SQLite's extended result code; its low byte is the primary one.
    pub(super) code: c_int,
    /// SQLite's words, or ours where SQLite has none.
    pub(super) message: String,
}

impl Fault {
    fn ours(message: impl Into<String>) -> Self {
        Self { code: ffi::SQLITE_MISUSE, message: message.into() }
    }

    /// What SQLite says of a statement that a [`Brake`] stopped.
    pub(super) fn interrupted() -> Self {
        Self { code: ffi::SQLITE_INTERRUPT, message: "interrupted".to_owned() }
    }

    /// The result code without its extension.
    pub(super) fn primary(&self) -> c_int {
        self.code & 0xff
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Stops a statement from outside its thread, or when its time is up.
#[derive(Debug, Default)]
pub(super) struct Brake {
    stopped: AtomicBool,
    deadline: Mutex<Option<Instant>>,
}

impl Brake {
    /// Stops what runs now, and whatever starts later, until [`Brake::release`].
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Lets statements run again, each no longer than `limit` from now.
    pub(super) fn release(&self, limit: Option<Duration>) {
        self.stopped.store(false, Ordering::Relaxed);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    /// Whether the time is up.
    pub(super) fn is_late(&self) -> bool {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    /// Whether to go no further.
    pub(super) fn is_on(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.is_late()
    }
}

unsafe extern "C" fn look_at_brake(brake: *mut c_void) -> c_int {
    // SAFETY: `Database::open` registers this with a pointer into the `Arc<Brake>` that the
    // database keeps until after it is closed, and a `Brake` is only ever used by reference.
    let brake = unsafe { &*brake.cast::<Brake>() };
    c_int::from(brake.is_on())
}

/// The header up to the end of the change counter.
const HEADER_BYTES: usize = 28;

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    /// Counts commits; those in a write-ahead log when they are moved into the file.
    pub(super) change_counter: u32,
    /// The file's length.
    pub(super) bytes: u64,
    /// Whether its journal is a write-ahead log.
    pub(super) has_write_ahead_log: bool,
}

/// A SQLite file, open for reading only.
#[derive(Debug)]
pub(super) struct Database {
    handle: NonNull<ffi::sqlite3>,
    brake: Arc<Brake>,
}

// SAFETY: the library is built thread-safe, and a connection without a mutex of its own may be used
// from any thread, one at a time. A `Database` has one owner, and is not `Sync`.
unsafe impl Send for Database {}

impl Database {
    /// Opens `path`, which must be absolute and exist, and sets the connection up so that no SQL
    /// can write through it.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        // A relative name could be read as a URI (`file:…`), which has switches of its own.
        let text = path.to_str().filter(|_| path.is_absolute());
        let text = text.ok_or_else(|| Fault::ours("its path is not absolute UTF-8"))?;
        let name = CString::new(text).map_err(|_| Fault::ours("its path holds a zero byte"))?;
        let flags = ffi::SQLITE_OPEN_READONLY
            | ffi::SQLITE_OPEN_NOMUTEX
            | ffi::SQLITE_OPEN_PRIVATECACHE
            | ffi::SQLITE_OPEN_EXRESCODE;
        let mut handle = null_mut();
        // SAFETY: `name` is a zero-ended string and `handle` a valid place for the result.
        let code = unsafe { ffi::sqlite3_open_v2(name.as_ptr(), &raw mut handle, flags, null()) };
        let Some(handle) = NonNull::new(handle) else {
            return Err(Fault { code, message: "out of memory".to_owned() });
        };
        // From here on, `Drop` closes the handle, as it must be even when opening failed.
        let database = Self { handle, brake: Arc::new(Brake::default()) };
        database.check(code)?;
        let brake = Arc::as_ptr(&database.brake).cast_mut().cast();
        // SAFETY: the handle is open; the callback's pointer lives as long as the database.
        unsafe {
            ffi::sqlite3_limit(handle.as_ptr(), ffi::SQLITE_LIMIT_ATTACHED, 0);
            ffi::sqlite3_busy_timeout(handle.as_ptr(), BUSY_TIMEOUT_MS);
            ffi::sqlite3_progress_handler(
                handle.as_ptr(),
                STEPS_BETWEEN_LOOKS,
                Some(look_at_brake),
                brake,
            );
        }
        for setting in ["PRAGMA query_only = 1", "PRAGMA trusted_schema = 0"] {
            database.run(setting)?;
        }
        Ok(database)
    }

    /// The brake of whatever runs on this connection.
    pub(super) fn brake(&self) -> &Arc<Brake> {
        &self.brake
    }

    /// Prepares `sql`, which must be exactly one statement that can't write.
    pub(super) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        let (statement, tail) = self.compile(sql)?;
        let statement = statement.ok_or_else(|| Fault::ours("there is no SQL statement"))?;
        if self.compile(tail)?.0.is_some() {
            return Err(Fault::ours("there is more than one SQL statement"));
        }
        // SAFETY: the statement is alive.
        if unsafe { ffi::sqlite3_stmt_readonly(statement.handle.as_ptr()) } == 0 {
            return Err(Fault::ours("the statement could write"));
        }
        Ok(statement)
    }

    /// Runs one statement to its end and forgets its rows.
    pub(super) fn run(&self, sql: &str) -> Result<(), Fault> {
        let mut statement = self.prepare(sql)?;
        while statement.step()? {}
        Ok(())
    }

    /// What the file's header says, to be asked while a read transaction holds the file.
    pub(super) fn file_state(&self) -> Result<FileState, Fault> {
        // The header is read through the handle that SQLite has open: opening the file ourselves
        // and closing it again would drop every POSIX lock that this process holds on it.
        let mut file: *mut ffi::sqlite3_file = null_mut();
        let (mut header, mut bytes) = ([0_u8; HEADER_BYTES], 0_i64);
        // SAFETY: the handle is open; FILE_POINTER stores a pointer that lives as long as it does.
        let code = unsafe {
            ffi::sqlite3_file_control(
                self.handle.as_ptr(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            )
        };
        self.check(code)?;
        // SAFETY: a non-null `file` is an open file of SQLite's, and its methods, where not null,
        // outlive it. `header` has room for the bytes that are asked for.
        let codes = unsafe {
            file.as_ref().and_then(|open| open.pMethods.as_ref()).and_then(|methods| {
                let (read, size) = (methods.xRead?, methods.xFileSize?);
                let read = read(file, header.as_mut_ptr().cast(), HEADER_BYTES as c_int, 0);
                Some((read, size(file, &raw mut bytes)))
            })
        };
        match codes {
            // A file of no bytes is a database without tables; SQLite fills the gap with zeros.
            Some((ffi::SQLITE_OK | ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_OK)) => {
                let [.., b0, b1, b2, b3] = header;
                Ok(FileState {
                    change_counter: u32::from_be_bytes([b0, b1, b2, b3]),
                    bytes: bytes.unsigned_abs(),
                    // The version that writers need: 1 for a rollback journal.
                    has_write_ahead_log: header.get(18) == Some(&2),
                })
            }
            _ => Err(Fault { code: ffi::SQLITE_IOERR, message: "its header can't be read".into() }),
        }
    }

    /// Compiles the first statement of `sql`, and gives back what follows it.
    fn compile<'s>(&self, sql: &'s str) -> Result<(Option<Statement<'_>>, &'s str), Fault> {
        if sql.contains('\0') {
            return Err(Fault::ours("the SQL holds a zero byte"));
        }
        let length = c_int::try_from(sql.len()).map_err(|_| Fault::ours("the SQL is too long"))?;
        let start = sql.as_ptr().cast();
        let (mut handle, mut tail) = (null_mut(), start);
        // SAFETY: `start` has `length` bytes; both results have valid places.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.handle.as_ptr(),
                start,
                length,
                0,
                &raw mut handle,
                &raw mut tail,
            )
        };
        self.check(code)?;
        let consumed = (tail as usize).saturating_sub(start as usize);
        let rest = sql.get(consumed..).unwrap_or_default();
        Ok((NonNull::new(handle).map(|handle| Statement { handle, database: self }), rest))
    }

    fn check(&self, code: c_int) -> Result<(), Fault> {
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.fault(code)) }
    }

    fn fault(&self, code: c_int) -> Fault {
        // SAFETY: the handle is open; the message is a zero-ended string until the next call, and
        // copied before.
        let message = unsafe {
            let text = ffi::sqlite3_errmsg(self.handle.as_ptr());
            if text.is_null() { "" } else { CStr::from_ptr(text).to_str().unwrap_or_default() }
        };
        Fault { code, message: message.to_owned() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used again; statements borrow the database, so none
        // is left.
        unsafe { ffi::sqlite3_close(self.handle.as_ptr()) };
    }
}

/// A value of one row, as SQLite stores it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// Text as bytes: SQLite does not promise that it is UTF-8.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// One prepared statement that can't write.
#[derive(Debug)]
pub(super) struct Statement<'db> {
    handle: NonNull<ffi::sqlite3_stmt>,
    database: &'db Database,
}

impl Statement<'_> {
    /// Goes to the next row; false when there is none.
    pub(super) fn step(&mut self) -> Result<bool, Fault> {
        // SAFETY: the statement is alive, and `&mut` ends every view of its current row.
        match unsafe { ffi::sqlite3_step(self.handle.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(self.database.fault(code)),
        }
    }

    /// The value in `column` of the current row; NULL where there is no row or no such column.
    #[inline]
    pub(super) fn cell(&self, column: c_int) -> Result<Cell<'_>, Fault> {
        let statement = self.handle.as_ptr();
        // SAFETY: the statement is alive, and SQLite answers NULL for what does not exist. A
        // value's memory stays where it is until the next step, which needs `&mut self`: looking
        // at it again converts nothing, because each type is only asked for as what it is.
        unsafe {
            match ffi::sqlite3_column_type(statement, column) {
                ffi::SQLITE_NULL => Ok(Cell::Null),
                ffi::SQLITE_INTEGER => {
                    Ok(Cell::Integer(ffi::sqlite3_column_int64(statement, column)))
                }
                ffi::SQLITE_FLOAT => Ok(Cell::Real(ffi::sqlite3_column_double(statement, column))),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(statement, column);
                    self.bytes(start, column).map(Cell::Text)
                }
                _ => {
                    let start = ffi::sqlite3_column_blob(statement, column);
                    self.bytes(start.cast(), column).map(Cell::Blob)
                }
            }
        }
    }

    /// # Safety
    /// `start` is what SQLite gave for `column` of the current row.
    unsafe fn bytes(&self, start: *const u8, column: c_int) -> Result<&[u8], Fault> {
        // SAFETY: the caller's promise; SQLite keeps `length` bytes at `start`.
        unsafe {
            let length = ffi::sqlite3_column_bytes(self.handle.as_ptr(), column);
            match usize::try_from(length) {
                Ok(length) if !start.is_null() => Ok(std::slice::from_raw_parts(start, length)),
                Ok(0)
                    if ffi::sqlite3_errcode(self.database.handle.as_ptr()) != ffi::SQLITE_NOMEM =>
                {
                    Ok(&[])
                }
                _ => Err(Fault { code: ffi::SQLITE_NOMEM, message: "out of memory".to_owned() }),
            }
        }
    }

    /// How many columns its rows have; 0 for a statement that returns none.
    pub(super) fn column_count(&self) -> c_int {
        // SAFETY: the statement is alive.
        unsafe { ffi::sqlite3_column_count(self.handle.as_ptr()) }
    }

    /// The name of a result column.
    pub(super) fn column_name(&self, column: c_int) -> Option<String> {
        // SAFETY: the statement is alive; the name is copied at once.
        unsafe { owned(ffi::sqlite3_column_name(self.handle.as_ptr(), column)) }
    }

    /// The statement's own text, without what follows it.
    pub(super) fn text(&self) -> Option<String> {
        // SAFETY: as for `column_name`.
        unsafe { owned(ffi::sqlite3_sql(self.handle.as_ptr())) }
    }

    /// The declared type of the table column that a result column shows, if it shows one.
    pub(super) fn column_declared(&self, column: c_int) -> Option<String> {
        // SAFETY: as for `column_name`.
        unsafe { owned(ffi::sqlite3_column_decltype(self.handle.as_ptr(), column)) }
    }
}

/// # Safety
/// `text` is null or a zero-ended string.
unsafe fn owned(text: *const std::ffi::c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: the statement is alive and not used again.
        unsafe { ffi::sqlite3_finalize(self.handle.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        // An empty file is an empty database, so no other library is needed to make one.
        std::fs::write(&path, b"").unwrap();
        let database = Database::open(&path).unwrap();
        (folder, database)
    }

    #[test]
    fn cells_are_what_sqlite_stores() {
        let (_folder, database) = database();
        let mut statement =
            database.prepare("SELECT NULL, -1, 1.5, 'é', '', x'00ff', x'', zeroblob(2)").unwrap();
        assert!(statement.step().unwrap());
        let cells: Vec<_> = (0..9).map(|column| statement.cell(column).unwrap()).collect();
        assert_eq!(
            cells,
            [
                Cell::Null,
                Cell::Integer(-1),
                Cell::Real(1.5),
                Cell::Text("é".as_bytes()),
                Cell::Text(b""),
                Cell::Blob(&[0, 255]),
                Cell::Blob(&[]),
                Cell::Blob(&[0, 0]),
                Cell::Null,
            ]
        );
        assert!(!statement.step().unwrap());
    }

    #[test]
    fn only_one_reading_statement_is_prepared() {
        let (_folder, database) = database();
        let refused = |sql: &str| database.prepare(sql).unwrap_err().message;
        assert_eq!(refused("SELECT 1; SELECT 2"), "there is more than one SQL statement");
        assert_eq!(refused(" -- nothing"), "there is no SQL statement");
        assert_eq!(refused("CREATE TABLE t (a)"), "the statement could write");
        assert_eq!(refused("SELECT 1\0; DROP TABLE t"), "the SQL holds a zero byte");
        assert!(database.prepare("SELECT 1; -- the end").is_ok());
        for harmful in ["PRAGMA user_version = 7", "ATTACH ':memory:' AS other"] {
            assert!(database.run(harmful).is_err(), "{harmful}");
        }
    }

    #[test]
    fn the_brake_stops_a_statement_that_never_ends() {
        let (_folder, database) = database();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT count(*) FROM n";
        database.brake().release(Some(Duration::from_millis(20)));
        let fault = database.prepare(endless).unwrap().step().unwrap_err();
        assert_eq!(fault.primary(), ffi::SQLITE_INTERRUPT);
        assert!(database.brake().is_late());

        database.brake().release(None);
        let brake = database.brake().clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            brake.stop();
        });
        let fault = database.prepare(endless).unwrap().step().unwrap_err();
        assert_eq!(fault.primary(), ffi::SQLITE_INTERRUPT);
        assert!(!database.brake().is_late());
        stopper.join().unwrap();
    }
}
