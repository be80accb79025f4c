//! All tables of a plan against what is published.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::{Change, Incoming, Joins, SchemaChange, Terms, Verdict, columns::Held, hold, told};
use crate::{
    config::{NamePattern, OnSchemaChange, Pipeline, TablePolicy},
    extract::{ColumnRequest, Source, selecting_rule},
    run::{PlannedExtract, PlannedSource},
    transform::{Model, Settled},
    types::{ColumnType, TableFiles, TableName},
    warehouse::{GenerationRecord, TableSource},
};

/// What is published, and what was found to be different from it.
pub(in crate::run) struct Contract<'a> {
    published: &'a BTreeMap<TableName, TableFiles>,
    /// Patterns of tables whose changes are accepted, whatever the rules say.
    accepted: &'a [String],
    changes: Vec<SchemaChange>,
    /// How the rows of each model meet the published ones.
    models: BTreeMap<TableName, Joins>,
}

impl<'a> Contract<'a> {
    pub(in crate::run) fn new(
        published: &'a BTreeMap<TableName, TableFiles>,
        accepted: &'a [String],
    ) -> Self {
        Self { published, accepted, changes: Vec::new(), models: BTreeMap::new() }
    }

    /// What was found, and how the rows of models join.
    pub(in crate::run) fn into_found(self) -> (Vec<SchemaChange>, BTreeMap<TableName, Joins>) {
        (self.changes, self.models)
    }

    /// Holds what a pipeline extracts to what is published: leaves out what is not to be read,
    /// reads widened what is published wider, and notes every difference.
    pub(in crate::run) fn hold_sources(&mut self, sources: &mut [PlannedSource]) {
        for source in sources {
            self.hold_new_tables(&mut source.extracts);
            for extract in &mut source.extracts {
                self.hold_extract(&*source.source, extract);
            }
        }
    }

    /// Tables that a pattern finds for the first time, where others of their group are published.
    fn hold_new_tables(&mut self, extracts: &mut Vec<PlannedExtract>) {
        let is_published =
            |extract: &PlannedExtract| self.published.contains_key(&extract.request.into);
        let begun: Vec<usize> =
            extracts.iter().filter(|one| is_published(one)).map(|one| one.group).collect();
        let is_new = |extract: &PlannedExtract| {
            extract.is_found && begun.contains(&extract.group) && !is_published(extract)
        };
        let new: Vec<_> = extracts.iter().filter(|one| is_new(one)).cloned().collect();
        for extract in new {
            let table = &extract.request.into;
            let (rules, unsaid) = self.rules(table, &extract.rules);
            let verdict = match rules.tables.policy {
                TablePolicy::Evolve => Verdict::Published,
                TablePolicy::Freeze => Verdict::Refused,
                TablePolicy::Discard => Verdict::LeftOut,
            };
            let mut hints = Vec::new();
            if verdict == Verdict::Refused {
                let name = extract.request.from.display_name();
                hints.push(format!("or leave `{table}` out: `{{table: {name}, skip: true}}`"));
            }
            self.changes.push(SchemaChange {
                table: table.clone(),
                change: Change::TableNew,
                verdict,
                rule: told("tables", &rules.tables, unsaid),
                hints,
                acceptable: true,
            });
            if verdict == Verdict::LeftOut {
                extracts.retain(|other| other.request.into != *table);
            }
        }
    }

    fn hold_extract(&mut self, source: &dyn Source, extract: &mut PlannedExtract) {
        let table = extract.request.into.clone();
        let (rules, unsaid) = self.rules(&table, &extract.rules);
        let terms = Terms { table: &table, mode: extract.mode, rules: &rules, unsaid };
        let incoming: Vec<_> = extract
            .request
            .columns
            .iter()
            .map(|column| Incoming {
                field: column.field.clone(),
                source: &column.source.name,
                // A type that the pipeline asks for is a check as well: no other one takes its place.
                reads_as: Box::new(move |to| {
                    column.cast.is_none()
                        && ColumnType::of(to)
                            .is_some_and(|to| source.cast(&column.source, to).is_ok())
                }),
            })
            .collect();
        let mut held = hold(&terms, self.published_schema(&table), &incoming);
        drop(incoming);
        for change in &mut held.changes {
            let hint = cast_hint(source, &extract.request.columns, change);
            change.hints.extend(hint);
        }
        let columns = std::mem::take(&mut extract.request.columns).into_iter().zip(held.reads);
        extract.request.columns = columns
            .filter_map(|(column, read)| {
                let field = Field::new(column.field.name(), read?, true);
                Some(ColumnRequest { field: Arc::new(field), ..column })
            })
            .collect();
        extract.schema = held.schema;
        extract.joins = held.joins;
        self.changes.extend(held.changes);
    }

    /// Holds what `model` makes of itself, `schema`, to what is published.
    pub(in crate::run) fn hold_model(&mut self, model: &Model, schema: &SchemaRef) -> Settled {
        let (rules, unsaid) = self.rules(&model.table, &model.on_schema_change);
        let fields = schema.fields().iter();
        let incoming: Vec<_> = fields
            .map(|field| Incoming {
                field: field.clone(),
                source: field.name(),
                reads_as: Box::new(|_| true),
            })
            .collect();
        let terms = Terms { table: &model.table, mode: model.mode, rules: &rules, unsaid };
        let Held { schema: table, reads, joins, mut changes } =
            hold(&terms, self.published_schema(&model.table), &incoming);
        for change in &mut changes {
            // They name keys of an extract's rule. A model's own SQL is the way out.
            change.hints.clear();
        }
        self.changes.extend(changes);
        self.models.insert(model.table.clone(), joins);
        let rows: Vec<Field> = incoming
            .iter()
            .zip(reads)
            .filter_map(|(column, read)| Some(Field::new(column.field.name(), read?, true)))
            .collect();
        Settled { rows: Arc::new(Schema::new(rows)), table }
    }

    /// Published tables that came from a source of `pipeline` which has them no longer, though a
    /// rule still asks for them. `makes` are the tables that it makes.
    pub(in crate::run) fn hold_gone_tables(
        &mut self,
        pipeline: &Pipeline,
        sources: &[PlannedSource],
        base: Option<&GenerationRecord>,
        makes: &dyn Fn(&TableName) -> bool,
    ) {
        for (table, pinned) in base.iter().flat_map(|base| &base.tables) {
            let Some(from) = pinned.source.as_ref().filter(|_| !makes(table)) else { continue };
            if pinned.pipeline.as_ref() != Some(&pipeline.name) {
                continue;
            }
            let Some(rules) = still_asked_for(pipeline, sources, table, from) else { continue };
            let (rules, unsaid) = self.rules(table, &rules);
            let verdict = match rules.tables.policy {
                TablePolicy::Freeze => Verdict::Refused,
                TablePolicy::Evolve | TablePolicy::Discard => Verdict::Kept,
            };
            let source =
                format!("`{}.{}` of connection `{}`", from.schema, from.table, from.connection);
            self.changes.push(SchemaChange {
                table: table.clone(),
                change: Change::TableGone { source },
                verdict,
                rule: told("tables", &rules.tables, unsaid),
                hints: Vec::new(),
                acceptable: true,
            });
        }
    }

    fn published_schema(&self, table: &TableName) -> Option<&'a Schema> {
        self.published.get(table).map(|files| files.schema.as_ref())
    }

    /// The rules that hold for `table`, and who set those that no file states.
    fn rules(&self, table: &TableName, rules: &OnSchemaChange) -> (OnSchemaChange, &'static str) {
        if matched(self.accepted, table) {
            (OnSchemaChange::accept(), "`--accept-schema`")
        } else {
            (rules.clone(), "the default")
        }
    }
}

/// Whether any of `patterns` means `table`.
pub(in crate::run) fn matched(patterns: &[String], table: &TableName) -> bool {
    let name = table.to_string();
    patterns.iter().any(|pattern| NamePattern::from(pattern.as_str()).matches(&name))
}

/// The rules of the table rule that would still extract `from` as `table`.
fn still_asked_for(
    pipeline: &Pipeline,
    sources: &[PlannedSource],
    table: &TableName,
    from: &TableSource,
) -> Option<OnSchemaChange> {
    let source = sources.iter().find(|source| source.connection == from.connection)?;
    let default_schema = source.source.default_schema();
    let mut groups = pipeline.extract.iter().filter(|group| group.from == from.connection);
    groups.find_map(|group| {
        let rule = selecting_rule(group, &from.schema, &from.table, default_schema)?;
        let name = rule.rename.as_ref().unwrap_or(&from.table);
        (!rule.skip && TableName::new(&group.into, name) == *table)
            .then(|| rule.on_schema_change.clone())
    })
}

/// How a refused column could still be read as its published type, value by value.
fn cast_hint(
    source: &dyn Source,
    columns: &[ColumnRequest],
    change: &SchemaChange,
) -> Option<String> {
    let Change::TypeChanged { column, from, .. } = &change.change else { return None };
    let request = columns.iter().find(|request| request.field.name() == column)?;
    let to: ColumnType = from.parse().ok()?;
    let is_free = change.verdict == Verdict::Refused && request.mask.is_none();
    (is_free && request.cast.is_none() && source.cast(&request.source, to).is_ok()).then(|| {
        // A comma would end the entry of a YAML map.
        let to = if from.contains(',') { format!("\"{to}\"") } else { to.to_string() };
        format!(
            "or keep the published type of `{}` while all values fit: \
             `columns: {{cast: {{{}: {to}}}}}`",
            change.subject(),
            request.source.name
        )
    })
}
