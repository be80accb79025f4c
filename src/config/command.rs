//! Running a user's command for the sake of one value, `${command:…}`.

use std::{
    io::Read,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A value longer than this is no value.
pub(super) const LONGEST_VALUE: u64 = 64 * 1024;

/// Runs `command` through `sh -c` in `folder`, and gives what it printed.
///
/// Its standard error is not shown, because it may hold secrets. A command that has not ended
/// within `timeout` is killed together with everything it started. Blocks the thread.
///
/// # Errors
/// Why there is no value, as a phrase: `ended with exit code 1`.
pub(super) fn run(command: &str, folder: &Path, timeout: Duration) -> Result<String, String> {
    let deadline = Instant::now() + timeout;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("could not be started: {error}"))?;
    let outcome = printed(&mut child, deadline)
        .and_then(|printed| Some((printed, ended(&mut child, deadline)?)));
    let Some((printed, status)) = outcome else {
        kill_group(&mut child);
        return Err(format!("did not end within {} s and was stopped", timeout.as_secs()));
    };
    if !status.success() {
        return Err(match status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => format!("was ended by signal {}", status.signal().unwrap_or_default()),
        });
    }
    if printed.len() as u64 > LONGEST_VALUE {
        return Err("printed more than 64 KiB".to_owned());
    }
    String::from_utf8(printed).map_err(|_| "printed something that is not UTF-8".to_owned())
}

/// What the child prints until it closes its output; `None` when the deadline comes first.
fn printed(child: &mut Child, deadline: Instant) -> Option<Vec<u8>> {
    let mut output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // The thread ends with the pipe: at the latest when the group is killed.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let kept = output.by_ref().take(LONGEST_VALUE + 1).read_to_end(&mut bytes);
        let drained = kept.and_then(|_| std::io::copy(&mut output, &mut std::io::sink()));
        // The receiver is gone only after the deadline, when nobody wants the text.
        let _ = drained.is_ok() && sender.send(bytes).is_ok();
    });
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

/// How the child ended; `None` when the deadline comes first.
fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills the child and everything in its process group, and waits for the child.
fn kill_group(child: &mut Child) {
    // The shell's own `kill` reaches a whole group without a line of unsafe code. Should it fail,
    // the child alone is killed.
    let kill = format!("kill -s KILL -- -{}", child.id());
    let killed = Command::new("sh")
        .args(["-c", &kill])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !killed.is_ok_and(|status| status.success()) {
        let _ = child.kill();
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(command: &str, timeout: Duration) -> Result<String, String> {
        run(command, Path::new("/"), timeout)
    }

    #[test]
    fn a_command_gives_its_output_or_why_not() {
        let long = Duration::from_mins(1);
        assert_eq!(sh("printf 'a b'; echo hidden >&2", long).unwrap(), "a b");
        assert_eq!(sh("echo hidden >&2; exit 3", long).unwrap_err(), "ended with exit code 3");
        assert_eq!(sh("kill -s KILL $$", long).unwrap_err(), "was ended by signal 9");
        let many = "i=0; while [ $i -lt 7000 ]; do echo 0123456789; i=$((i+1)); done";
        assert_eq!(sh(many, long).unwrap_err(), "printed more than 64 KiB");
        let binary = sh(r"printf '\377'", long).unwrap_err();
        assert_eq!(binary, "printed something that is not UTF-8");
    }

    #[test]
    fn a_late_command_is_killed_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let command = "sleep 60 & echo $! > pid; wait";
        let why = run(command, folder.path(), Duration::from_secs(1)).unwrap_err();
        assert_eq!(why, "did not end within 1 s and was stopped");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        // Gone, or a zombie that its new parent has yet to collect.
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        assert!(state.trim().is_empty() || state.starts_with('Z'), "still runs: {state}");
    }
}
