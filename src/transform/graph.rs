//! Which model reads what, read off the SQL itself.
//!
//! A table is named `schema.table`. Parts without quotes are folded to lower case, as SQL does; a
//! name with capitals, spaces or dots has to be quoted. A name without a schema means the schema
//! of the pipeline's own models ([`Model::bare_schema`]). Names of CTEs and table functions are
//! not tables.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::TableReference;

use crate::{
    error::{Error, ErrorKind, Result, did_you_mean},
    types::TableName,
};

use super::{
    diagnose::{Problem, Spot},
    model::Model,
    statement::{Allow, Reference, parse, references},
};

/// How many tables a message lists.
const LISTED: usize = 20;

/// The models of a pipeline in an order in which each can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Indices of all models: each comes after those it reads, otherwise in the order given.
    pub order: Vec<usize>,
    /// What each model reads, models and other tables alike, sorted; by index of the model.
    pub inputs: Vec<Vec<TableName>>,
    /// The models that each model reads, by index. A model may start once all of these have
    /// ended; models that don't depend on one another may run at once.
    pub depends_on: Vec<Vec<usize>>,
}

/// What one model reads, and where its SQL first says so.
type Inputs = BTreeMap<TableName, Option<Spot>>;

impl Graph {
    /// Orders `models` over the tables `known` that exist without them: what the run extracts, and
    /// published tables that none of the models makes.
    ///
    /// # Errors
    /// Of kind model: two models for one table, a model for a table that is known already, a table
    /// that nobody makes, a loop.
    pub fn new<'a>(
        models: &[Model],
        known: impl IntoIterator<Item = &'a TableName>,
    ) -> Result<Self> {
        let known: BTreeSet<&TableName> = known.into_iter().collect();
        let makers = makers(models, &known)?;
        let inputs = models.iter().map(inputs_of).collect::<Result<Vec<_>>>()?;
        for (model, inputs) in models.iter().zip(&inputs) {
            for (table, at) in inputs {
                if !known.contains(table) && !makers.contains_key(table) {
                    let all = known.iter().copied().chain(makers.keys().copied());
                    let all = all.filter(|other| **other != model.table);
                    return Err(model.refused(&unknown_table(table, all).at(*at)));
                }
            }
        }
        let depends_on: Vec<Vec<usize>> = inputs
            .iter()
            .map(|inputs| inputs.keys().filter_map(|t| makers.get(t).copied()).collect())
            .collect();
        let order =
            order(&depends_on).map_err(|stuck| loop_error(models, &inputs, &depends_on, &stuck))?;
        let inputs = inputs.into_iter().map(|inputs| inputs.into_keys().collect()).collect();
        Ok(Self { order, inputs, depends_on })
    }

    /// The models in groups: those of one group depend only on earlier groups.
    pub fn levels(&self) -> Vec<Vec<usize>> {
        let mut level_of = vec![0_usize; self.order.len()];
        let mut levels: Vec<Vec<usize>> = Vec::new();
        for &model in &self.order {
            let before = self.depends_on.get(model).into_iter().flatten();
            let level = before.filter_map(|on| Some(level_of.get(*on)? + 1)).max().unwrap_or(0);
            if let Some(slot) = level_of.get_mut(model) {
                *slot = level;
            }
            match levels.get_mut(level) {
                Some(group) => group.push(model),
                None => levels.push(vec![model]),
            }
        }
        levels
    }
}

/// Which model makes which table.
fn makers<'a>(
    models: &'a [Model],
    known: &BTreeSet<&TableName>,
) -> Result<BTreeMap<&'a TableName, usize>> {
    let mut makers: BTreeMap<&TableName, usize> = BTreeMap::new();
    for (index, model) in models.iter().enumerate() {
        let table = &model.table;
        if known.contains(table) {
            return Err(Error::new(
                ErrorKind::Model,
                format!(
                    "model `{table}` has the name of an extracted table; nothing was extracted"
                ),
            )
            .at(model.origin.moved_to(1, 1).place("this file makes the same table"))
            .hint("rename the file, or give the extract another `into` or `rename`"));
        }
        if let Some(other) = makers.insert(table, index).and_then(|other| models.get(other)) {
            return Err(Error::new(
                ErrorKind::Model,
                format!("two models make the table `{table}`; nothing was extracted"),
            )
            .at(model.origin.moved_to(1, 1).place("this is the second"))
            .because(format!("`{}` is the first", other.origin.file))
            .hint("rename or remove one of the files"));
        }
    }
    Ok(makers)
}

fn inputs_of(model: &Model) -> Result<Inputs> {
    let read = || -> Result<Inputs, Problem> {
        let statement = parse(&model.sql, Allow::Query)?;
        let named = references(&statement)?;
        named.into_iter().map(|r| Ok((table_name(&r, &model.bare_schema)?, r.at))).collect()
    };
    read().map_err(|problem| model.refused(&problem))
}

/// The table that `reference` means where names without a schema are in `bare_schema`.
pub(super) fn table_name(reference: &Reference, bare_schema: &str) -> Result<TableName, Problem> {
    match &reference.name {
        TableReference::Bare { table } => Ok(TableName::new(bare_schema, table.as_ref())),
        TableReference::Partial { schema, table } => {
            Ok(TableName::new(schema.as_ref(), table.as_ref()))
        }
        TableReference::Full { schema, table, .. } => {
            Err(Problem::new(format!("`{}` has three parts", reference.name))
                .at(reference.at)
                .hint(format!(
                    "write `{}`",
                    TableName::new(schema.as_ref(), table.as_ref()).quoted()
                )))
        }
    }
}

/// There is no `table`; `all` are the tables there are.
pub(super) fn unknown_table<'a>(
    table: &TableName,
    all: impl Iterator<Item = &'a TableName>,
) -> Problem {
    let names: BTreeMap<String, &TableName> = all.map(|known| (known.to_string(), known)).collect();
    let problem = Problem::new(format!("no table `{table}`"));
    let same_table = names.values().filter(|known| known.table == table.table);
    let close = match same_table.clone().count() {
        1 => same_table.copied().next(),
        _ => did_you_mean(&table.to_string(), names.keys().map(String::as_str))
            .and_then(|name| names.get(name).copied())
            .or_else(|| {
                let tables = names.values().map(|known| known.table.as_str());
                let close = did_you_mean(&table.table, tables)?;
                names.values().copied().find(|known| known.table == close)
            }),
    };
    let problem = match close {
        Some(close) => problem.hint(format!("did you mean `{}`?", close.quoted())),
        None => problem,
    };
    let listed: Vec<_> = names.values().take(LISTED).map(|t| format!("`{}`", t.quoted())).collect();
    let more = names.len().saturating_sub(LISTED);
    match (listed.is_empty(), more) {
        (true, _) => problem.hint("there are no tables yet: extract some"),
        (false, 0) => problem.hint(format!("there are {}", listed.join(", "))),
        (false, more) => problem.hint(format!("there are {} and {more} more", listed.join(", "))),
    }
}

/// A stable topological order, or the models that are left when nothing more can start.
fn order(depends_on: &[Vec<usize>]) -> Result<Vec<usize>, BTreeSet<usize>> {
    let mut left: BTreeSet<usize> = (0..depends_on.len()).collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let free = |model: &usize| {
            depends_on.get(*model).is_some_and(|on| on.iter().all(|other| !left.contains(other)))
        };
        let ready: Vec<usize> = left.iter().copied().filter(free).collect();
        if ready.is_empty() {
            return Err(left);
        }
        for model in ready {
            left.remove(&model);
            order.push(model);
        }
    }
    Ok(order)
}

/// Names one loop among the models that are `stuck`.
fn loop_error(
    models: &[Model],
    inputs: &[Inputs],
    depends_on: &[Vec<usize>],
    stuck: &BTreeSet<usize>,
) -> Error {
    let next =
        |model: usize| depends_on.get(model)?.iter().copied().find(|other| stuck.contains(other));
    let mut path: Vec<usize> = stuck.iter().copied().take(1).collect();
    // Each stuck model reads a stuck one, so the walk ends where it meets itself.
    while let Some(step) = path.last().copied().and_then(next) {
        if let Some(start) = path.iter().position(|model| *model == step) {
            path.drain(..start);
            break;
        }
        path.push(step);
    }
    let members: Vec<&Model> = path.iter().filter_map(|index| models.get(*index)).collect();
    let Some(first) = members.first() else {
        return Error::internal("models wait for one another without a loop");
    };
    let read_by = |at: usize| members.get((at + 1) % members.len()).unwrap_or(first);
    let what = match members.len() {
        1 => format!("model `{}` reads itself; nothing was extracted", first.table),
        count => format!("{count} models read one another in a loop; nothing was extracted"),
    };
    let spot = path.first().and_then(|at| *inputs.get(*at)?.get(&read_by(0).table)?);
    let spot = spot.unwrap_or(Spot { line: first.origin.line, column: first.origin.column });
    let detail = format!("`{}` reads `{}`", first.table, read_by(0).table);
    let mut error = Error::new(ErrorKind::Model, what)
        .at(first.origin.moved_to(spot.line, spot.column).place(detail));
    for (at, model) in members.iter().enumerate().skip(1) {
        let read = &read_by(at).table;
        error = error.because(format!("`{}` reads `{read}` ({})", model.table, model.origin.file));
    }
    error.hint("break the loop: move what both need into a model of its own")
}
