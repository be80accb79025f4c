//! Failing disks and power cuts: strace lets system calls of a run fail, or kills it in them.
//!
//! A few places each time; with `LONGSHORE_SWEEP=full` every place.

use std::{env, fs, process::Command};

use super::{fill, project, visible, whole};
use crate::harness::{
    readers::{self, Reader},
    workspace::Workspace,
};

/// What makes files and names durable, and so decides what a power cut leaves.
const CALLS: [&str; 3] = ["fsync,fdatasync", "linkat", "rename"];

/// A run of `load` with `fault` in the `nth` of these `calls` that any of its threads makes: its
/// exit code, what it said, and whether the fault met it.
fn broken_run(
    workspace: &Workspace,
    calls: &str,
    fault: &str,
    nth: u32,
) -> (Option<i32>, String, bool) {
    let plain = workspace.command(&["run", "load"]);
    let log = workspace.path("strace.log");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", log.to_str().unwrap()])
        .args([
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={calls}:{fault}:when={nth}"),
        ])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(workspace.root())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("strace is missing: `tests/run --setup` installs it");
    let traced = fs::read_to_string(log).unwrap();
    let met = traced.contains("(INJECTED)") || traced.contains("+++ killed by SIGKILL +++");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), met)
}

async fn sweep(fault: &str) {
    let workspace = project();
    fill(&workspace, 0).await;
    workspace.run(&["run", "load"]).succeeded();
    let is_full = env::var_os("LONGSHORE_SWEEP").is_some_and(|sweep| sweep == "full");
    let places: Vec<u32> = if is_full { (1..=60).collect() } else { vec![1, 3, 6] };
    let (mut round, mut published, mut met) = (0, 0, 0);
    for calls in CALLS {
        for nth in &places {
            round += 1;
            fill(&workspace, round).await;
            let (code, said, is_met) = broken_run(&workspace, calls, fault, *nth);
            let case = format!("{fault} in {calls} number {nth}: {code:?}, {said}");
            met += u32::from(is_met);
            assert!(matches!(code, Some(0 | 1) | None), "{case}");
            let seen = visible(&workspace);
            if code == Some(0) {
                assert_eq!(seen, whole(round), "success is success: {case}");
            } else {
                assert!(is_met, "{case}");
                assert!(seen == whole(published) || seen == whole(round), "{seen}: {case}");
            }
            // The next run settles what is left, and all readers agree with the source.
            workspace.run(&["run", "load"]).succeeded();
            assert_eq!(visible(&workspace), whole(round), "{case}");
            published = round;
            if !is_met {
                break;
            }
        }
        let folder = workspace.path("warehouse/shop/a");
        let print = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
        assert_eq!(print.columns["round"].min, Some(round.to_string()));
    }
    assert!(met >= 4, "only {met} runs met the fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_anywhere_leaves_a_whole_generation() {
    sweep("error=EIO").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_anywhere_leaves_a_whole_generation() {
    sweep("signal=SIGKILL").await;
}
