//! Children that end when this process does, however it ends.
//!
//! A guardian shell stands between us and the child and reads a pipe that only we can write to.
//! The kernel closes our end when we exit, panic or are killed; the shell then signals the child
//! and removes its folder.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use super::wait;

/// `$1` is the signal for the child, `$2` the folder to remove (or empty), the rest its command.
/// The copy of standard input on descriptor 3 is there because a shell gives its background jobs
/// an empty one. A child that ends by itself leaves its folder, for whoever asks why. The log of
/// one that is removed is kept where `LONGSHORE_SERVER_LOGS` says.
const SCRIPT: &str = r#"
signal=$1 folder=$2 asked=
shift 2
exec 3<&0 </dev/null
kept=
if [ -n "$LONGSHORE_SERVER_LOGS" ] && [ -n "$folder" ]; then
  kept=$LONGSHORE_SERVER_LOGS/$(basename -- "$folder")
  : > "$kept.running"
fi
trap 'asked=yes; kill -s "$signal" "$child"' TERM
"$@" 3<&- &
child=$!
{ cat <&3 >/dev/null; kill -s TERM $$; } &
watcher=$!
exec 3<&-
wait "$child"
status=$?
if [ -n "$asked" ]; then
  wait "$child"
  if [ -n "$folder" ]; then
    [ -z "$kept" ] || cp -- "$folder/log" "$kept.log"
    rm -rf -- "$folder"
    [ -z "$kept" ] || rm -f -- "$kept.running"
  fi
else
  kill "$watcher"
fi
exit $status
"#;

/// How a guarded child lives and ends.
pub(crate) struct Upkeep {
    /// The name of the signal that ends the child, as `kill -s` takes it.
    pub signal: &'static str,
    /// Where its output goes.
    pub log: PathBuf,
    /// The folder to remove once the child has ended on our behalf.
    pub remove: Option<PathBuf>,
}

/// A running child; dropping this ends it and waits for its end.
pub(crate) struct Guarded {
    guardian: Child,
}

impl Guarded {
    /// Starts `command` (program, arguments and environment; its stdio is set here).
    pub(crate) fn spawn(command: &Command, upkeep: &Upkeep) -> Self {
        let log = File::options().create(true).append(true).open(&upkeep.log).unwrap();
        let mut guardian = Command::new("sh");
        guardian
            .args(["-c", SCRIPT, "guardian", upkeep.signal])
            .arg(upkeep.remove.as_deref().unwrap_or(Path::new("")))
            .arg(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // A Ctrl-C in the terminal is for the tests; the guardian has to outlive them.
            .process_group(0)
            .current_dir("/");
        Self { guardian: guardian.spawn().unwrap() }
    }

    /// How the child ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.guardian.try_wait().unwrap()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        wait::until("a server to stop", Duration::from_mins(1), || self.ended());
    }
}
