//! `longshore sql`: a query over a generation of the warehouse, or over what a run staged.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Read as _},
    path::Path,
    time::Instant,
};

use super::{
    args::{RowFormat, Sql},
    export::{self, Written},
    invocation::Invocation,
    render::{duration, plural},
    runs,
    talk::{Detail, Outcome, Talk},
};
use crate::{
    config::Project,
    error::{Context as _, Error, ErrorKind, Place, Result},
    run,
    stage::Stage,
    types::{Generation, TableFiles, TableName},
    warehouse::{GenerationRecord, Warehouse},
};

/// Runs a query and writes its rows.
pub(crate) async fn sql(args: &Sql, cli: &mut Invocation) -> Outcome {
    let query = query(args)?;
    let project = cli.project()?;
    let began = Instant::now();
    let format = args
        .format
        .or_else(|| args.output.as_deref().and_then(export::format_of))
        .unwrap_or(RowFormat::Table);
    let question = Question { query: &query, file: args.file.as_deref(), format };
    let mut interrupts = cli.interrupts.clone();
    let work = async {
        let warehouse = Warehouse::open_read(&project.warehouse)?;
        let tables = tables(args, &project, &warehouse, &cli.talk).await?;
        answer(&question, args.output.as_deref(), &project, &warehouse, &tables, cli).await
    };
    let Written { rows } = interrupts.or_stop(Box::pin(work)).await?;
    let seen = cli.output.width().is_some() || args.output.is_some();
    if seen || cli.talk.detail() == Detail::Full {
        let to = args.output.as_ref().map(|path| format!(" to {}", path.display()));
        cli.talk.say(&format!(
            "{}{} in {}",
            plural(rows, "row"),
            to.unwrap_or_default(),
            duration(began.elapsed())
        ));
    }
    Ok(())
}

/// A query, where it is written, and how its rows are.
pub(crate) struct Question<'a> {
    /// The SQL.
    pub(crate) query: &'a str,
    /// The file that it was read from.
    pub(crate) file: Option<&'a Path>,
    /// How to write the rows.
    pub(crate) format: RowFormat,
}

/// Writes the rows that `question` has over `tables` to the file `to`, or else to stdout.
pub(crate) async fn answer(
    question: &Question<'_>,
    to: Option<&Path>,
    project: &Project,
    warehouse: &Warehouse,
    tables: &BTreeMap<TableName, TableFiles>,
    cli: &mut Invocation,
) -> Outcome<Written> {
    let engine = run::engine(project, warehouse)?;
    let rows = engine
        .query(question.query, tables)
        .await
        .map_err(|error| in_file(error, question.file))?;
    let schema = rows.schema().clone();
    match to {
        Some(path) => export::to_file(&schema, rows, question.format, path).await,
        None => export::to_stdout(&schema, rows, question.format, &mut cli.output).await,
    }
}

/// The text of the query: as typed, from a file, or from stdin.
fn query(args: &Sql) -> Result<String> {
    if let Some(query) = &args.query {
        return Ok(query.clone());
    }
    if let Some(file) = &args.file {
        return std::fs::read_to_string(file)
            .or_fail(ErrorKind::Usage, || format!("`{}` can't be read", file.display()));
    }
    let mut stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Error::new(ErrorKind::Usage, "there is no query")
            .hint("type it after `longshore sql`, name a `--file`, or pipe it in"));
    }
    let mut query = String::new();
    stdin
        .read_to_string(&mut query)
        .or_fail(ErrorKind::Usage, || "the query on stdin can't be read".to_owned())?;
    Ok(query)
}

async fn tables(
    args: &Sql,
    project: &Project,
    warehouse: &Warehouse,
    talk: &Talk,
) -> Result<BTreeMap<TableName, TableFiles>> {
    match &args.run {
        Some(wanted) => {
            let run = runs::find(project, wanted, talk).await?.record.run;
            Stage::read(&project.state_dir(), &run)
        }
        None => {
            let generation = generation(warehouse, args.generation).await?;
            run::published(warehouse, generation.as_ref()).await
        }
    }
}

/// The generation of this number, or else the current one, which there may not be yet.
pub(crate) async fn generation(
    warehouse: &Warehouse,
    wanted: Option<Generation>,
) -> Result<Option<GenerationRecord>> {
    let Some(wanted) = wanted else { return warehouse.current().await };
    warehouse.retained(wanted).await.map(Some)
}

/// The engine does not know which file a query came from.
fn in_file(error: Error, file: Option<&Path>) -> Error {
    match (error.place().cloned(), file) {
        (Some(place), Some(file)) => error.at(Place { file: file.display().to_string(), ..place }),
        _ => error,
    }
}
