//! `longshore completions`: scripts that make a shell complete verbs and options.

use clap::CommandFactory as _;

use super::{
    args::{CommandLine, Completions},
    invocation::Invocation,
    talk::Outcome,
};

/// Prints the script of a shell.
pub(crate) fn completions(args: &Completions, cli: &mut Invocation) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "longshore", &mut script);
    cli.output.print(&String::from_utf8_lossy(&script))
}
