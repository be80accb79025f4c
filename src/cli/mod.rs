//! The command line: one file a verb, and how results, progress and errors look.
//!
//! A verb reads what was typed, calls `config`, `run`, `warehouse` or `transform`, and renders what
//! comes back; it decides nothing that a scheduler would have to decide again. Nothing outside this
//! folder prints.

mod args;
mod check;
mod clean;
mod completions;
mod demo;
mod export;
mod init;
mod interrupt;
mod invocation;
mod logging;
mod panics;
mod plan;
mod render;
mod rollback;
mod run;
mod runs;
mod schema;
mod sql;
mod tables;
mod talk;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use tokio_rustls::rustls::crypto::ring;

use self::{
    args::{CommandLine, Verb},
    interrupt::Interrupts,
    invocation::Invocation,
    talk::{Outcome, Output, Stop, Talk},
};
use crate::error::{Context as _, Error, ErrorKind};

/// How long work in other threads may take to notice that the process ends.
const GRACE: Duration = Duration::from_secs(2);

/// Parses the process's arguments, does what they ask, and says how that went: the exit code.
pub fn main() -> ExitCode {
    panics::watch();
    // Two providers are compiled in, so one has to be named before the first connection. It can
    // only be refused where one is set already, and then that one serves.
    let _ = ring::default_provider().install_default();
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(refusal) => return refused(&refusal),
    };
    let talk = Talk::stderr(&line.global);
    logging::start(&talk, line.global.verbose);
    let outcome = catch_unwind(AssertUnwindSafe(|| start(line, talk.clone())));
    ExitCode::from(match outcome {
        Ok(outcome) => exit_code(outcome, &talk),
        Err(_) => exit_code(Err(Error::internal("longshore stopped in the middle").into()), &talk),
    })
}

/// Help and version go to stdout with success, everything else to stderr.
fn refused(refusal: &clap::Error) -> ExitCode {
    // Nobody is left to tell where even that can't be written.
    let _ = refusal.print();
    ExitCode::from(refusal.exit_code() as u8)
}

fn exit_code(outcome: Outcome, talk: &Talk) -> u8 {
    match outcome {
        Ok(()) | Err(Stop::NobodyListens) => 0,
        Err(Stop::Told { exit }) => exit,
        Err(Stop::Failed(error)) => {
            let error = panics::explain(error);
            talk.error(&error);
            error.kind().policy().exit
        }
    }
}

fn start(line: CommandLine, talk: Talk) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("longshore-io")
        .build()
        .or_fail(ErrorKind::Internal, || "the I/O threads can't be started".to_owned())?;
    let outcome = runtime.block_on(async {
        let interrupts = Interrupts::listen(&talk)?;
        let output = Output::stdout(&line.global);
        let mut cli = Invocation { global: line.global, output, talk, interrupts };
        let outcome = dispatch(line.verb, &mut cli).await;
        // What was printed before a failure belongs to the result as well.
        outcome.and(cli.output.flush())
    });
    runtime.shutdown_timeout(GRACE);
    outcome
}

async fn dispatch(verb: Verb, cli: &mut Invocation) -> Outcome {
    match verb {
        Verb::Init(args) => init::init(&args, cli),
        Verb::Demo => Box::pin(demo::demo(cli)).await,
        Verb::Check(args) => Box::pin(check::check(&args, cli)).await,
        Verb::Plan(args) => Box::pin(plan::plan(&args, cli)).await,
        Verb::Run(args) => Box::pin(run::run(&args, cli)).await,
        Verb::Rollback(args) => Box::pin(rollback::rollback(&args, cli)).await,
        Verb::Sql(args) => Box::pin(sql::sql(&args, cli)).await,
        Verb::Tables(args) => Box::pin(tables::tables(&args, cli)).await,
        Verb::Runs(args) => Box::pin(runs::runs(&args, cli)).await,
        Verb::Clean(args) => Box::pin(clean::clean(&args, cli)).await,
        Verb::Schema(args) => schema::schema(&args, cli),
        Verb::Completions(args) => completions::completions(&args, cli),
    }
}
