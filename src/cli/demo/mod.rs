//! `longshore demo`: a sample database, the nightly pipeline on it, and a query over the result.
//!
//! It works in this repository and in an empty folder alike, and refuses to run where `nightly`
//! would read anything but the sample database.

mod database;
mod random;
mod shop;
mod words;

use std::{path::Path, sync::Arc};

use super::{
    args::RowFormat,
    init,
    invocation::Invocation,
    render::count,
    run,
    sql::{self, Question},
    talk::Outcome,
};
use crate::{
    config::{Pipeline, Project, SourceKind},
    error::{Error, ErrorKind, Result},
    run::{Ending, PlanOptions, published},
    warehouse::Warehouse,
};

/// The connection that leads to the sample database.
const CONNECTION: &str = "shop";

/// What is asked of the published mart.
const QUERY: &str = "select day, orders, customers, revenue, revenue_7_days
from mart.daily_revenue
order by day desc
limit 7";

/// What to try next.
const NEXT: &str = "
next:
  longshore tables                       what the warehouse holds
  longshore sql 'select country, count(*) as customers from shop.customers group by 1'
  longshore plan nightly                 what the next run would do
  longshore run nightly                  run it again: a new generation
  longshore runs latest                  what the ledger remembers
the files to change are longshore.yml, pipelines/nightly.yml and sql/nightly/";

/// Shows the whole flow on sample data.
pub(crate) async fn demo(cli: &mut Invocation) -> Outcome {
    let project = Arc::new(project(cli)?);
    let pipeline = project.pipeline("nightly")?;
    let database = project.state_dir().join("shop.db");
    refuse_real_sources(&project, &pipeline, &database)?;
    if !database.exists() {
        cli.talk.say("making the sample database .longshore/shop.db");
        let making = Box::pin(database::create(&database));
        cli.interrupts.or_stop(making).await?;
    }
    let options = PlanOptions::default();
    let report = run::carry_out(&project, &pipeline, options, Ending::Publish, cli).await?;
    run::show(&report, &project, cli);

    let warehouse = Warehouse::open_read(&project.warehouse)?;
    let record = warehouse.current().await?;
    let tables = published(&warehouse, record.as_ref()).await?;
    let rows: u64 = tables.values().map(crate::types::TableFiles::rows).sum();
    cli.talk.say(&format!("\nlongshore sql over {} published rows:\n\n{QUERY}\n", count(rows)));
    let question = Question { query: QUERY, file: None, format: RowFormat::Table };
    sql::answer(&question, None, &project, &warehouse, &tables, cli).await?;
    cli.talk.say(NEXT);
    Ok(())
}

/// The project here, scaffolded first where there is none.
fn project(cli: &Invocation) -> Result<Project> {
    let here = cli.global.project.as_deref().unwrap_or(Path::new("."));
    let missing = match cli.global.project {
        Some(_) => !here.join("longshore.yml").exists() && !here.is_file(),
        None => Project::find(here).is_err(),
    };
    if missing {
        for (path, outcome) in init::scaffold(here)? {
            cli.talk.say(&init::told(path, outcome));
        }
    }
    cli.project()
}

/// A demonstration must not read somebody's database because a pipeline has the same name.
fn refuse_real_sources(project: &Project, pipeline: &Pipeline, database: &Path) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::new(ErrorKind::Usage, "this project is not the demo's; nothing was run")
            .because(why)
            .hint("run `longshore demo` in an empty folder"))
    };
    if let Some(other) = pipeline.extract.iter().find(|group| group.from != CONNECTION) {
        return refuse(format!(
            "`nightly` also reads from `{}` ({})",
            other.from,
            other.origin.short()
        ));
    }
    let connection = project.connection(CONNECTION)?;
    let leads_there = connection.kind == SourceKind::Sqlite
        && connection.url.reveal().ends_with(&*database.to_string_lossy());
    if !leads_there {
        return refuse(format!(
            "`{CONNECTION}` does not lead to .longshore/shop.db ({})",
            connection.origin.short()
        ));
    }
    if project.warehouse.url.scheme() != "file" {
        return refuse(format!(
            "the warehouse is not a folder ({})",
            project.warehouse.origin.short()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the scaffolded project after `changes`: file, old text, new text.
    fn verdict(changes: &[(&str, &str, &str)]) -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        init::scaffold(folder.path()).unwrap();
        for (file, old, new) in changes {
            let path = folder.path().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(old), "{file} has changed");
            std::fs::write(&path, text.replacen(old, new, 1)).unwrap();
        }
        let project = Project::load(&folder.path().join("longshore.yml")).unwrap();
        let pipeline = project.pipeline("nightly").unwrap();
        refuse_real_sources(&project, &pipeline, &project.state_dir().join("shop.db"))
    }

    #[test]
    fn the_scaffolded_project_is_the_demo() {
        verdict(&[]).unwrap();
    }

    #[test]
    fn nobody_elses_data_is_touched() {
        let refused = |changes: &[_]| verdict(changes).unwrap_err().causes().join("; ");
        let (project, pipeline) = ("longshore.yml", "pipelines/nightly.yml");
        let elsewhere = refused(&[(project, ".longshore/shop.db", "../real.db")]);
        insta::assert_snapshot!(elsewhere, @"`shop` does not lead to .longshore/shop.db (longshore.yml:14)");
        let remote = refused(&[(project, "./warehouse", "s3://bucket/lake")]);
        insta::assert_snapshot!(remote, @"the warehouse is not a folder (longshore.yml:8)");
        let more = refused(&[
            (project, "connections:", "connections:\n  hr: {url: 'sqlite:hr.db'}\n"),
            (pipeline, "extract:", "extract:\n  - {from: hr, into: hr, tables: [people]}\n"),
        ]);
        insta::assert_snapshot!(more, @"`nightly` also reads from `hr` (pipelines/nightly.yml:9)");
    }
}
