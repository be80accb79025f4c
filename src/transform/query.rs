//! Ad-hoc SQL: one statement that reads, over the tables it is given.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    catalog::TableProvider,
    common::{DataFusionError, TableReference},
    execution::TaskContext,
    physical_plan::execute_stream,
    sql::parser::Statement,
};

use crate::{
    config::Origin,
    error::{Error, ErrorKind, Result},
    types::{TableFiles, TableName},
};

use super::{
    Engine,
    diagnose::Problem,
    engine::{Planned, Scope, plan},
    failure::failed,
    files_table::FilesTable,
    graph::{table_name, unknown_table},
    model::problem_error,
    statement::{Allow, Reference, friendlier, parse, references},
    stream::BatchStream,
};

/// The schema of names without one. It holds shortcuts only, and no user's schema has such a name
/// that a table could be hidden by it.
const BARE: &str = "unqualified name";

/// DataFusion's own schema about the others.
const INFORMATION_SCHEMA: &str = "information_schema";

/// What messages call the file of a statement that is in none.
const QUERY: &str = "query";

/// The tables of a statement: files when it is run, schemas when it is only planned.
pub(super) type Providers = BTreeMap<TableName, Arc<dyn TableProvider>>;

/// One statement and what it may see.
pub(super) struct Question<'a> {
    pub sql: &'a str,
    pub allow: Allow,
    pub tables: &'a Providers,
    /// The table that the name `this` stands for.
    pub this: Option<&'a TableName>,
}

/// Why a statement cannot be planned.
pub(super) enum Refusal {
    /// The statement is wrong.
    Problem(Problem),
    /// Something else is.
    Error(Error),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Engine {
    /// Runs one statement over `tables`. It only reads: SELECT, EXPLAIN, SHOW and DESCRIBE.
    ///
    /// A table may be named without its schema where only one schema has a table of that name.
    /// Columns keep the types that DataFusion gives them.
    ///
    /// # Errors
    /// Of kind usage, with the place in `sql` (its file is called `query`), when it cannot be
    /// planned. What goes wrong later comes out of the stream.
    pub async fn query(
        &self,
        sql: &str,
        tables: &BTreeMap<TableName, TableFiles>,
    ) -> Result<BatchStream> {
        let tables = providers(tables);
        let question = Question { sql, allow: Allow::Questions, tables: &tables, this: None };
        let refused = |refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::Problem(problem) => {
                let origin = Origin::start(QUERY, sql);
                problem_error("the query cannot be planned".to_owned(), &problem, &origin)
                    .of_kind(ErrorKind::Usage)
            }
        };
        let (planned, context) = self.plan_question(&question).await.map_err(refused)?;
        self.open(planned, context, "the query stopped").await
    }

    /// Plans `question`, and nothing else.
    pub(super) async fn plan_question(
        &self,
        question: &Question<'_>,
    ) -> Result<(Planned, Arc<TaskContext>), Refusal> {
        let statement = friendlier(parse(question.sql, question.allow)?);
        let scope = scope(&statement, question)?;
        let session = self.session(scope, &self.moment());
        let planned = self
            .on_workers(async move {
                let planned = plan(&session, statement).await?;
                Ok::<_, DataFusionError>((planned, session.task_ctx()))
            })
            .await?;
        planned.map_err(|error| Problem::of(&error, question.sql).into())
    }

    /// Starts what was planned, as one stream. `what` is the first line of errors.
    pub(super) async fn open(
        &self,
        planned: Planned,
        context: Arc<TaskContext>,
        what: impl Into<String>,
    ) -> Result<BatchStream> {
        let (what, memory) = (what.into(), self.memory());
        let stream = self
            .on_workers(async move { execute_stream(planned.physical, context) })
            .await?
            .map_err(|error| failed(what.clone(), &error, memory))?;
        let schema = stream.schema();
        let explain = move |error: &_| failed(what.clone(), error, memory);
        Ok(BatchStream::spawn(self.handle(), stream, schema, Ok, explain))
    }
}

/// `tables` as DataFusion reads them.
pub(super) fn providers(tables: &BTreeMap<TableName, TableFiles>) -> Providers {
    tables.iter().map(|(name, files)| (name.clone(), FilesTable::provider(files.clone()))).collect()
}

/// What `statement` sees; each table that it names is there.
fn scope(statement: &Statement, question: &Question<'_>) -> Result<Scope, Problem> {
    let tables = question.tables;
    let mut shortcuts = Providers::new();
    for reference in references(statement)? {
        match &reference.name {
            TableReference::Bare { table } => {
                let name = TableName::new(BARE, table.as_ref());
                let provider = shortcut(&reference, table, question)?;
                shortcuts.insert(name, provider);
            }
            TableReference::Partial { schema, .. } if &**schema == INFORMATION_SCHEMA => {}
            _ => {
                let name = table_name(&reference, BARE)?;
                if !tables.contains_key(&name) {
                    return Err(unknown_table(&name, tables.keys()).at(reference.at));
                }
            }
        }
    }
    let shortcuts = shortcuts.into_iter().map(|(name, table)| (name.table, table)).collect();
    Ok(Scope { tables: tables.clone(), bare_schema: BARE.to_owned(), shortcuts })
}

/// The table that a name without a schema stands for.
fn shortcut(
    reference: &Reference,
    name: &str,
    question: &Question<'_>,
) -> Result<Arc<dyn TableProvider>, Problem> {
    let tables = question.tables;
    if let Some(this) = question.this.filter(|_| name == "this").and_then(|t| tables.get(t)) {
        return Ok(Arc::clone(this));
    }
    let found: Vec<_> = tables.iter().filter(|(known, _)| known.table == name).collect();
    match found.as_slice() {
        [(_, table)] => Ok(Arc::clone(table)),
        [] => {
            let missing = TableName::new("", name);
            let problem = unknown_table(&missing, tables.keys()).at(reference.at);
            Err(Problem { detail: format!("no table `{name}`"), ..problem })
        }
        many => {
            let names: Vec<_> = many.iter().map(|(n, _)| format!("`{}`", n.quoted())).collect();
            Err(Problem::new(format!("`{name}` is a table in {} schemas", many.len()))
                .at(reference.at)
                .hint(format!("write one of {}", names.join(", "))))
        }
    }
}
