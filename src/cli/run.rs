//! `longshore run`: a plan, carried out, with progress and a summary.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    args::{Accept, Run, Select},
    invocation::{Invocation, place_of},
    render::{self, progress},
    talk::{Detail, Outcome},
};
use crate::{
    config::{Pipeline, Project},
    run::{self, Ending, Event, Observer, PlanOptions, RunReport, RunRequest, cancellation},
};

/// Runs a pipeline and shows what it did.
pub(crate) async fn run(args: &Run, cli: &mut Invocation) -> Outcome {
    let project = Arc::new(cli.project()?);
    let pipeline = project.pipeline(&args.pipeline)?;
    let ending = if args.no_publish { Ending::StageOnly } else { Ending::Publish };
    let options = options(&args.select, &args.accept);
    let report = carry_out(&project, &pipeline, options, ending, cli).await?;
    if args.json {
        return cli.output.json(&report);
    }
    show(&report, &project, cli);
    Ok(())
}

/// What a plan takes from the command line.
pub(crate) fn options(select: &Select, accept: &Accept) -> PlanOptions {
    PlanOptions { select: select.tables.clone(), accept_schema: accept.accept_schema.clone() }
}

/// Runs `pipeline`; a signal stops it where it can be stopped.
pub(crate) async fn carry_out(
    project: &Arc<Project>,
    pipeline: &Pipeline,
    options: PlanOptions,
    ending: Ending,
    cli: &mut Invocation,
) -> Outcome<RunReport> {
    let (handle, cancel) = cancellation();
    let publishing = Arc::new(AtomicBool::new(false));
    let observer =
        Arc::new(Watched { inner: progress::observer(&cli.talk), publishing: publishing.clone() });
    let request = RunRequest { project: project.clone(), pipeline, options, ending };
    let mut work = Box::pin(run::run(request, observer, cancel));
    let report = tokio::select! {
        report = &mut work => report,
        signal = cli.interrupts.first() => {
            let publishing = publishing.load(Ordering::Relaxed);
            cli.talk.say(&stopping(signal, pipeline.name.as_str(), publishing));
            handle.cancel(signal);
            work.await
        }
    };
    Ok(report?)
}

fn stopping(signal: &str, pipeline: &str, publishing: bool) -> String {
    if publishing {
        format!(
            "{signal}: `{pipeline}` has begun to publish and finishes first; after a second signal, \
             the next run finishes or undoes it"
        )
    } else {
        format!(
            "{signal}: stopping `{pipeline}`, of which nothing will be published; a second signal \
             stops at once"
        )
    }
}

/// The summary, for people.
pub(crate) fn show(report: &RunReport, project: &Project, cli: &Invocation) {
    if cli.talk.detail() > Detail::Quiet {
        let warehouse = place_of(&project.warehouse, &project.root);
        cli.talk.raw(&render::summary(report, &warehouse, cli.talk.paint()));
    }
    if cli.talk.detail() >= Detail::Full {
        cli.talk.raw(&render::bounds(&report.steps, cli.talk.paint()));
    }
}

/// Notes when publishing begins, for what a signal means from then on.
struct Watched {
    inner: Arc<dyn Observer>,
    publishing: Arc<AtomicBool>,
}

impl Observer for Watched {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Publishing { .. }) {
            self.publishing.store(true, Ordering::Relaxed);
        }
        self.inner.event(event);
    }
}
