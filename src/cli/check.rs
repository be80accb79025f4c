//! `longshore check`: everything that can be known without moving a row.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use super::{
    args::Check,
    invocation::Invocation,
    plan::described,
    render::{Paint, count, plural},
    talk::{Outcome, Stop},
};
use crate::{
    config::{Pipeline, Project},
    error::Error,
    run::{
        self, CheckDepth, CheckReport, ConnectionCheck, Grants, PipelineCheck, PlanSummary, Risk,
        SchemaChange,
    },
};

/// Checks one pipeline or all, and fails when one could not run now.
pub(crate) async fn check(args: &Check, cli: &mut Invocation) -> Outcome {
    let project = Arc::new(cli.project()?);
    let pipelines = match &args.pipeline {
        Some(name) => vec![project.pipeline(name)?],
        None => project.pipelines()?,
    };
    if let Some(role) = &args.grants {
        return grants(&project, &pipelines, role, args, cli).await;
    }
    let depth = if args.values { CheckDepth::Values } else { CheckDepth::Schemas };
    let checking = async { Ok::<_, Error>(run::check(project.clone(), &pipelines, depth).await) };
    let report = cli.interrupts.or_stop(Box::pin(checking)).await?;
    if args.json {
        cli.output.json(&report)?;
    } else {
        cli.output.print(&shown(&report, cli.output.paint()))?;
    }
    cli.output.flush()?;
    if report.is_sound() {
        return Ok(());
    }
    let errors = report.connections.iter().filter_map(|check| check.error.as_ref());
    let mut told = BTreeSet::new();
    for error in errors.chain(report.pipelines.iter().filter_map(|check| check.error.as_ref())) {
        // A connection that fails fails every pipeline that needs it; once is enough.
        if told.insert(error.to_string()) {
            cli.talk.error(error);
        }
    }
    // A refusal is not an error in itself; it is why a run would fail.
    let exit = report.first_error().map_or(1, |error| error.kind().policy().exit);
    Err(Stop::Told { exit })
}

async fn grants(
    project: &Project,
    pipelines: &[Pipeline],
    role: &str,
    args: &Check,
    cli: &mut Invocation,
) -> Outcome {
    let asking = Box::pin(run::grants(project, pipelines, role));
    let grants = cli.interrupts.or_stop(asking).await?;
    if args.json {
        return cli.output.json(&grants);
    }
    let each = |Grants { connection, sql }: &Grants| {
        let none = || format!("-- Connection {connection}: a file, which knows no logins.\n");
        sql.clone().unwrap_or_else(none)
    };
    cli.output.print(&grants.iter().map(each).collect::<Vec<_>>().join("\n"))
}

fn shown(report: &CheckReport, paint: Paint) -> String {
    let connections = report.connections.iter().map(|check| connection(check, paint));
    connections.chain(report.pipelines.iter().map(|check| pipeline(check, paint))).collect()
}

/// The first line of the error; all of it follows on stderr.
fn failed(part: &str, name: &str, error: Option<&Error>, paint: Paint) -> String {
    let (name, verdict) = (paint.strong(name), paint.alarm("failed"));
    let what = error.map(|error| format!(", {}", error.what())).unwrap_or_default();
    format!("{part} {name}: {verdict}{what}\n")
}

fn connection(check: &ConnectionCheck, paint: Paint) -> String {
    let name = paint.strong(&check.name);
    let Some(preflight) = &check.preflight else {
        return failed("connection", &check.name, check.error.as_ref(), paint);
    };
    let verdict = if preflight.refusals.is_empty() {
        paint.good("ok")
    } else {
        paint.alarm("must not be read")
    };
    let mut text =
        format!("connection {name}: {verdict}, {}, {}", preflight.server, preflight.role);
    if let Some(login) = &preflight.login {
        let _ = write!(text, ", as `{login}`");
    }
    if let Some(lag) = preflight.lag_seconds {
        let _ = write!(text, ", {lag:.1} s behind");
    }
    text.push('\n');
    for fact in &preflight.facts {
        let _ = writeln!(text, "  {fact}");
    }
    for refusal in &preflight.refusals {
        let _ = writeln!(text, "  {}: {}", paint.alarm("refused"), refusal.reason);
        let _ = writeln!(text, "     {}: {}", paint.hint("hint"), refusal.remedy);
    }
    text
}

fn pipeline(check: &PipelineCheck, paint: Paint) -> String {
    let name = paint.strong(&check.name);
    let Some(plan) = check.plan.as_ref().filter(|_| check.error.is_none()) else {
        return failed("pipeline", &check.name, check.error.as_ref(), paint);
    };
    let audits = plan.extracts.iter().map(|extract| extract.audits).sum::<usize>()
        + plan.models.iter().map(|model| model.audits).sum::<usize>();
    let mut text = format!(
        "pipeline {name}: {}, {} to extract, {} to compute, {}\n",
        paint.good("ok"),
        plural(plan.extracts.len() as u64, "table"),
        plural(plan.models.len() as u64, "model"),
        plural(audits as u64, "audit")
    );
    text += &columns(plan);
    for warning in plan.changes.iter().filter_map(SchemaChange::warning) {
        let _ = writeln!(text, "  {}: {warning}", paint.warn("warning"));
    }
    text
}

/// How many columns there are by risk, and each of them whose values may not fit.
fn columns(plan: &PlanSummary) -> String {
    let all: Vec<_> = plan
        .extracts
        .iter()
        .flat_map(|extract| extract.columns.iter().map(move |column| (&extract.table, column)))
        .collect();
    let number = |risk| all.iter().filter(|(_, column)| column.risk == risk).count() as u64;
    let risks = [Risk::Exact, Risk::Kept, Risk::Guarded, Risk::Cast, Risk::Masked];
    let numbers: Vec<_> = risks
        .into_iter()
        .map(|risk| (risk, number(risk)))
        .filter(|(_, number)| *number > 0)
        .map(|(risk, number)| format!("{} {risk}", count(number)))
        .collect();
    if numbers.is_empty() {
        return String::new();
    }
    let mut text = format!("  columns: {}\n", numbers.join(", "));
    for (table, column) in all.iter().filter(|(_, column)| column.mismatch().is_some()) {
        let _ = writeln!(text, "  {table}.{}", described(column));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        extract::{Preflight, Refusal},
    };

    #[test]
    fn a_check_says_of_each_part_whether_it_is_sound() {
        let preflight = |refusals| Preflight {
            server: "PostgreSQL 17.2".into(),
            role: "primary",
            login: Some("etl".into()),
            lag_seconds: None,
            facts: vec!["the session is read-only".into()],
            refusals,
        };
        let refusal =
            Refusal::new("the server is a primary", "name a replica, or set `allow_primary: true`");
        let unreachable = || Error::new(ErrorKind::Unreachable, "`billing` can't be reached");
        let connection = |name: &str, preflight: Option<Preflight>| ConnectionCheck {
            name: name.into(),
            error: preflight.is_none().then(unreachable),
            preflight,
        };
        let report = CheckReport {
            connections: vec![
                connection("billing", None),
                connection("orders", Some(preflight(vec![refusal]))),
                connection("shop", Some(preflight(Vec::new()))),
            ],
            pipelines: vec![PipelineCheck {
                name: "nightly".into(),
                plan: None,
                error: Some(unreachable()),
            }],
        };
        insta::assert_snapshot!(shown(&report, Paint::Plain), @r"
        connection billing: failed, `billing` can't be reached
        connection orders: must not be read, PostgreSQL 17.2, primary, as `etl`
          the session is read-only
          refused: the server is a primary
             hint: name a replica, or set `allow_primary: true`
        connection shop: ok, PostgreSQL 17.2, primary, as `etl`
          the session is read-only
        pipeline nightly: failed, `billing` can't be reached
        ");
    }
}
