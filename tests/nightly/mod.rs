//! The newcomer's path and the promises of a nightly load, on the sample shop.

mod contracts;
mod demo;
mod parquet;
mod refusals;
mod verbs;

use crate::harness::workspace::Workspace;

/// A project with the sample shop in it, made by `demo` itself: generation 1 is published.
fn demo_project() -> Workspace {
    let workspace = Workspace::new();
    workspace.run(&["demo"]).succeeded();
    workspace
}

/// Replaces `old`, which must be there, in a file of the project.
fn edit(workspace: &Workspace, path: &str, old: &str, new: &str) {
    let text = workspace.read(path);
    assert!(text.contains(old), "`{path}` does not hold `{old}`");
    workspace.write(path, text.replace(old, new));
}

/// The number of generations that the warehouse holds.
fn generations(workspace: &Workspace) -> usize {
    workspace.files("warehouse/_longshore/generations").len()
}
