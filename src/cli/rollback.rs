//! `longshore rollback`: the warehouse as an older generation had it.

use super::{
    args::Rollback,
    invocation::{Invocation, place_of},
    render::{duration, plural, progress, visible},
    talk::Outcome,
};
use crate::{
    run::{self, RollbackReport},
    types::TableName,
};

/// Publishes a new generation with the tables of an older one.
pub(crate) async fn rollback(args: &Rollback, cli: &mut Invocation) -> Outcome {
    let project = cli.project()?;
    // A second is all it takes, and a signal in between is settled by the next start.
    let observer = progress::observer(&cli.talk);
    let report = run::roll_back(&project, args.generation, observer).await?;
    if args.json {
        return cli.output.json(&report);
    }
    cli.talk.say(&told(&report, &place_of(&project.warehouse, &project.root)));
    Ok(())
}

fn told(report: &RollbackReport, warehouse: &str) -> String {
    let RollbackReport { rollback_to, generation, .. } = report;
    if !report.is_new {
        return format!(
            "nothing to do: generation {generation} of {warehouse} holds what generation \
             {rollback_to} held"
        );
    }
    let left = match report.left.as_slice() {
        [] => String::new(),
        left => format!(", {} left it", names(left)),
    };
    format!(
        "published: generation {generation} of {warehouse} holds what generation {rollback_to} \
         held: {}, of which {} changed{left}, in {}",
        plural(report.tables as u64, "table"),
        report.changed.len(),
        duration(report.elapsed)
    )
}

fn names(tables: &[TableName]) -> String {
    tables
        .iter()
        .map(|table| visible(&table.to_string()).into_owned())
        .collect::<Vec<_>>()
        .join(", ")
}
