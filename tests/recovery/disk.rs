//! Full disks: the place is named, readers keep what they have, and a later run succeeds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{fill, project, runs, visible, whole};
use crate::harness::workspace::{Outcome, Workspace};

/// A small file system of its own in place of a folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// What is in `folder` stays in it. Needs root, as `tests/run` has in CI and containers.
    fn over(folder: &Path, mebibytes: u32) -> Self {
        let kept = folder.with_extension("kept");
        fs::create_dir_all(folder).unwrap();
        fs::rename(folder, &kept).unwrap();
        fs::create_dir(folder).unwrap();
        let size = format!("size={mebibytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "tmpfs", folder.to_str().unwrap()];
        let mounted = Command::new("mount").args(mount).status().unwrap();
        assert!(mounted.success(), "a tmpfs can't be mounted: run these tests as root");
        let all = format!("{}/.", kept.display());
        assert!(Command::new("cp").args(["-a", &all]).arg(folder).status().unwrap().success());
        fs::remove_dir_all(kept).unwrap();
        Self(folder.to_owned())
    }

    /// Fills it up to the last byte.
    fn fill(&self) {
        let zeros = vec![0; 64 << 20];
        let written = fs::write(self.ballast(), zeros);
        assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    /// Makes room again.
    fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Generation 1 is published, and the source holds more since.
async fn loaded() -> Workspace {
    let workspace = project();
    fill(&workspace, 1).await;
    workspace.run(&["run", "load"]).succeeded();
    fill(&workspace, 2).await;
    workspace
}

/// Runs into the full `disk` at `place`, then again with room.
fn stops_and_recovers(workspace: &Workspace, disk: &SmallDisk, place: &str) -> Outcome {
    let published = contents(workspace);
    disk.fill();
    let stopped = workspace.run(&["run", "load"]).failed_with(1);
    let path = workspace.path(place);
    assert!(stopped.stderr.contains(path.to_str().unwrap()), "names the place: {stopped}");
    let says = |words| stopped.stderr.contains(words);
    assert!(says("No space left on device") || says("disk is full"), "{stopped}");
    assert!(says("hint: make room") || says("has room and takes writes"), "{stopped}");
    assert_eq!(visible(workspace), whole(1), "{stopped}");
    for (name, bytes) in published {
        assert_eq!(fs::read(workspace.path("warehouse").join(&name)).unwrap(), bytes, "{name}");
    }
    disk.clear();
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(visible(workspace), whole(2));
    assert_eq!(runs(workspace)[0]["outcome"], "published");
    stopped
}

fn contents(workspace: &Workspace) -> Vec<(String, Vec<u8>)> {
    let files = workspace.files("warehouse").into_iter();
    files
        .map(|name| (name.clone(), fs::read(workspace.path("warehouse").join(name)).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stage_is_named() {
    let workspace = loaded().await;
    let disk = SmallDisk::over(&workspace.path(".longshore/stage"), 4);
    let stopped = stops_and_recovers(&workspace, &disk, ".longshore/stage");
    assert!(stopped.stderr.contains("the warehouse is unchanged at generation 1"), "{stopped}");
    assert_eq!(runs(&workspace)[1]["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_warehouse_is_named_and_left_without_litter() {
    let workspace = loaded().await;
    let disk = SmallDisk::over(&workspace.path("warehouse"), 4);
    let stopped = stops_and_recovers(&workspace, &disk, "warehouse");
    assert!(stopped.stderr.contains("the warehouse is unchanged at generation 1"), "{stopped}");
    let failed = runs(&workspace)[1]["run"].as_str().unwrap().to_owned();
    let litter: Vec<_> = workspace
        .files("warehouse")
        .into_iter()
        .filter(|name| name.contains(&failed) || name.contains('#'))
        .collect();
    assert!(litter.is_empty(), "of the run that failed stay {litter:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ledger_is_named() {
    let workspace = loaded().await;
    // The stage lies elsewhere, so that only the ledger has no room.
    let disk = SmallDisk::over(&workspace.path(".longshore"), 4);
    stops_and_recovers(&workspace, &disk, ".longshore");
}

/// A disk with room for a part: every byte less is another place to stop at.
#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_fills_up_anywhere_shows_the_old_or_the_new() {
    let workspace = loaded().await;
    let _disk = SmallDisk::over(&workspace.path("warehouse"), 4);
    let mut published = 1;
    let mut stopped = 0;
    for (round, pages) in (2..).zip([1, 3, 5, 8, 11]) {
        fill(&workspace, round).await;
        let ballast = workspace.path("warehouse/ballast");
        fill_but(&ballast, pages);
        let outcome = workspace.run(&["run", "load"]);
        fs::remove_file(&ballast).unwrap();
        if outcome.code == Some(0) {
            published = round;
        } else {
            stopped += 1;
            assert_eq!(outcome.code, Some(1), "{pages} pages: {outcome}");
        }
        assert_eq!(visible(&workspace), whole(published), "{pages} pages: {outcome}");
        workspace.run(&["run", "load"]).succeeded();
        assert_eq!(visible(&workspace), whole(round));
        published = round;
    }
    assert!(stopped >= 3, "only {stopped} runs met the full disk");
}

/// Leaves this many pages free.
fn fill_but(ballast: &Path, pages: u64) {
    let _ = fs::write(ballast, vec![0; 64 << 20]);
    let file = fs::File::options().write(true).open(ballast).unwrap();
    file.set_len(file.metadata().unwrap().len().saturating_sub(pages * 4096)).unwrap();
}
