//! One run at a time on this machine and project: a file lock that dies with its process.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use crate::{
    error::{Context, Error, ErrorKind, Result},
    types::{PipelineName, RunId},
};

/// The right to run. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock below `state_dir`, or says who holds it.
    pub fn take(state_dir: &Path, run: &RunId, pipeline: &PipelineName) -> Result<Self> {
        Self::attempt(state_dir, &format!("run {run} of `{pipeline}`"))?.map_err(|holder| {
            Error::new(
                ErrorKind::Conflict,
                format!("`{pipeline}` was not started; nothing was extracted"),
            )
            .because(format!("{holder} is at work in this project"))
            .hint("wait until it has ended (`longshore runs`), then run again")
        })
    }

    /// The lock for `holder`, or else who has it.
    pub(super) fn attempt(state_dir: &Path, holder: &str) -> Result<Result<Self, String>> {
        let path = state_dir.join("run.lock");
        let failed = || format!("cannot lock `{}`", path.display());
        std::fs::create_dir_all(state_dir).or_fail(ErrorKind::Storage, failed)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .or_fail(ErrorKind::Storage, failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder_of(&mut file))),
            Err(TryLockError::Error(error)) => {
                return Err(Error::new(ErrorKind::Storage, failed()).because(error));
            }
        }
        // For the eyes of whoever finds the lock taken; the lock itself is the kernel's.
        let holder = format!("{holder}, process {}", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .or_fail(ErrorKind::Storage, failed)?;
        Ok(Ok(Self { file }))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // So that nobody is told of us once another one holds the lock.
        let _ = self.file.set_len(0);
    }
}

/// What the holder wrote. It locks first and writes then, so a moment is given to it.
fn holder_of(file: &mut File) -> String {
    let mut holder = String::new();
    for _ in 0..20 {
        let read = file.rewind().and_then(|()| file.read_to_string(&mut holder));
        if read.is_err() || !holder.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if holder.is_empty() { "another run".to_owned() } else { holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_run_learns_who_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::new("2026-01-01T00:00:00Z".parse().unwrap());
        let nightly = PipelineName::new("nightly");
        let first = RunLock::take(folder.path(), &run, &nightly).unwrap();
        let error = RunLock::take(folder.path(), &run, &nightly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(run.as_str()), "{error}");
        drop(first);
        RunLock::take(folder.path(), &run, &nightly).unwrap();
    }
}
