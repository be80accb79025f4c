//! One table's columns against the published ones.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{
    Change, Joins, SchemaChange, Verdict,
    names::{Candidate, renamed},
    told,
    widening::widens,
};
use crate::{
    config::{ColumnPolicy, Mode, OnSchemaChange, TypePolicy},
    run::published_type,
    types::{TableName, canonical_type},
};

/// What a table is held to.
pub(in crate::run) struct Terms<'a> {
    pub(in crate::run) table: &'a TableName,
    pub(in crate::run) mode: Mode,
    pub(in crate::run) rules: &'a OnSchemaChange,
    /// Who set the rules that no file states.
    pub(in crate::run) unsaid: &'a str,
}

/// A column as it would be published by itself.
pub(in crate::run) struct Incoming<'a> {
    pub(in crate::run) field: FieldRef,
    /// What `columns: {rename: …}` would call it.
    pub(in crate::run) source: &'a str,
    /// Whether it can be read as another, wider type.
    pub(in crate::run) reads_as: Box<dyn Fn(&DataType) -> bool + 'a>,
}

/// What a table's columns come to.
pub(in crate::run) struct Held {
    /// What would be published. Where something is refused, as if it had not changed: so all else
    /// can still be planned.
    pub(in crate::run) schema: SchemaRef,
    /// For each column that comes, the type it is read as; `None` where it is left out.
    pub(in crate::run) reads: Vec<Option<DataType>>,
    pub(in crate::run) joins: Joins,
    pub(in crate::run) changes: Vec<SchemaChange>,
}

/// Holds the columns that come to the published ones, and to nothing where there are none.
pub(in crate::run) fn hold(
    terms: &Terms<'_>,
    published: Option<&Schema>,
    incoming: &[Incoming<'_>],
) -> Held {
    let Some(published) = published else {
        let fields: Vec<_> = incoming.iter().map(|column| column.field.clone()).collect();
        return Held {
            reads: fields.iter().map(|field| Some(field.data_type().clone())).collect(),
            schema: Arc::new(Schema::new(fields)),
            joins: Joins::Nothing,
            changes: Vec::new(),
        };
    };
    let mut changes = Vec::new();
    let mut reads = Vec::new();
    let mut fields = Vec::new();
    for column in incoming {
        let old = published.field_with_name(column.field.name()).ok();
        let (read, publish) = match old {
            Some(old) => terms.same_name(old, column, &mut changes),
            None => terms.new_name(column, &mut changes),
        };
        reads.push(read);
        fields.extend(
            publish.map(|as_type| Arc::new(Field::new(column.field.name(), as_type, true))),
        );
    }
    let gone = terms.gone(published, incoming, &mut changes);
    fields.extend(gone.iter().map(|field| Arc::new(field.as_ref().clone())));
    if terms.mode != Mode::Replace {
        let place = |field: &FieldRef| published.index_of(field.name()).unwrap_or(usize::MAX);
        fields.sort_by_key(place);
    }
    let rewritten = changes.iter().any(|change| change.verdict == Verdict::Rewritten);
    let joins = match (terms.mode, rewritten) {
        (Mode::Replace, _) => Joins::Nothing,
        (Mode::Append, false) => Joins::Published,
        (Mode::Append, true) => Joins::Rewritten,
        (Mode::Upsert, false) => Joins::Keyed,
        (Mode::Upsert, true) => Joins::KeyedRewritten,
    };
    Held { schema: Arc::new(Schema::new(fields)), reads, joins, changes }
}

impl Terms<'_> {
    /// What a published column that comes again is read as, and what it is published as.
    fn same_name(
        &self,
        old: &Field,
        column: &Incoming<'_>,
        changes: &mut Vec<SchemaChange>,
    ) -> (Option<DataType>, Option<DataType>) {
        let (from, comes) = (old.data_type(), column.field.data_type());
        let to = &canonical_type(comes).unwrap_or_else(|_| comes.clone());
        if from == to {
            return (Some(comes.clone()), Some(from.clone()));
        }
        let narrower = widens(to, from) && (column.reads_as)(from);
        let policy = self.rules.types.policy;
        let verdict = match (policy, self.mode) {
            (TypePolicy::Freeze, _) => Verdict::Refused,
            (TypePolicy::Accept, Mode::Replace) => Verdict::Published,
            (TypePolicy::Widen, Mode::Replace) if widens(from, to) => Verdict::Published,
            (_, Mode::Append | Mode::Upsert) if widens(from, to) => Verdict::Rewritten,
            _ if narrower => Verdict::Kept,
            _ => Verdict::Refused,
        };
        let change = Change::TypeChanged {
            column: old.name().clone(),
            from: published_type(from),
            to: published_type(to),
        };
        let mut change =
            self.change(change, verdict, told("types", &self.rules.types, self.unsaid));
        if verdict == Verdict::Refused && self.mode != Mode::Replace {
            change.acceptable = policy == TypePolicy::Freeze && (widens(from, to) || narrower);
        }
        changes.push(change);
        match verdict {
            Verdict::Published | Verdict::Rewritten => (Some(comes.clone()), Some(to.clone())),
            Verdict::Kept => (Some(from.clone()), Some(from.clone())),
            Verdict::Refused | Verdict::LeftOut => (Some(comes.clone()), Some(from.clone())),
        }
    }

    /// The same of a column that is not published.
    fn new_name(
        &self,
        column: &Incoming<'_>,
        changes: &mut Vec<SchemaChange>,
    ) -> (Option<DataType>, Option<DataType>) {
        let comes = column.field.data_type().clone();
        let verdict = match self.rules.columns.policy {
            ColumnPolicy::Evolve | ColumnPolicy::Accept => Verdict::Published,
            ColumnPolicy::Freeze => Verdict::Refused,
            ColumnPolicy::Discard => Verdict::LeftOut,
        };
        let change = Change::ColumnNew {
            column: column.field.name().clone(),
            data_type: published_type(&comes),
        };
        let mut change =
            self.change(change, verdict, told("columns", &self.rules.columns, self.unsaid));
        if verdict == Verdict::Refused {
            let (subject, source) = (change.subject(), column.source);
            change.hints.push(format!("or leave `{subject}` out: `columns: {{drop: [{source}]}}`"));
        }
        changes.push(change);
        match verdict {
            Verdict::LeftOut => (None, None),
            Verdict::Refused => (Some(comes), None),
            _ => (Some(comes.clone()), Some(comes)),
        }
    }

    /// The published columns that do not come again and stay all the same.
    fn gone<'a>(
        &self,
        published: &'a Schema,
        incoming: &[Incoming<'_>],
        changes: &mut Vec<SchemaChange>,
    ) -> Vec<&'a FieldRef> {
        let comes = |field: &&'a FieldRef| {
            incoming.iter().any(|column| column.field.name() == field.name())
        };
        let fields = published.fields().iter();
        let (_, gone): (Vec<_>, Vec<_>) = fields.partition(comes);
        if gone.is_empty() {
            return gone;
        }
        let verdict = match (self.rules.columns.policy, self.mode) {
            (ColumnPolicy::Accept, Mode::Replace) => Verdict::Published,
            (ColumnPolicy::Accept, Mode::Append | Mode::Upsert) => Verdict::Kept,
            _ => Verdict::Refused,
        };
        for field in &gone {
            let (column, data_type) = (field.name().clone(), published_type(field.data_type()));
            let change = Change::ColumnGone { column, data_type };
            let mut change =
                self.change(change, verdict, told("columns", &self.rules.columns, self.unsaid));
            if verdict == Verdict::Refused {
                let subject = change.subject();
                change.hints.extend(rename_hint(&subject, field, &gone, published, incoming));
            }
            changes.push(change);
        }
        if verdict == Verdict::Published { Vec::new() } else { gone }
    }

    fn change(&self, change: Change, verdict: Verdict, rule: String) -> SchemaChange {
        let table = self.table.clone();
        SchemaChange { table, change, verdict, rule, hints: Vec::new(), acceptable: true }
    }
}

/// `subject` is the column as messages call it.
fn rename_hint(
    subject: &str,
    field: &Field,
    gone: &[&FieldRef],
    published: &Schema,
    incoming: &[Incoming<'_>],
) -> Option<String> {
    let old = |field: &Field| published.index_of(field.name()).ok();
    let all_gone: Vec<_> =
        gone.iter().filter_map(|field| Some(Candidate::new(old(field)?, field))).collect();
    let new: Vec<_> = incoming
        .iter()
        .enumerate()
        .filter(|(_, column)| published.field_with_name(column.field.name()).is_err())
        .map(|(place, column)| Candidate {
            name: column.source,
            ..Candidate::new(place, &column.field)
        })
        .collect();
    let this = all_gone.iter().find(|one| one.name == field.name())?;
    let now = renamed(this, &all_gone, &new)?;
    Some(format!(
        "or, if `{now}` is the new name of `{subject}`, keep the published one: \
         `columns: {{rename: {{{now}: {}}}}}`",
        field.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SchemaRule, types::ColumnType};

    /// A schema from `name type, name type`.
    fn schema(text: &str) -> Schema {
        let fields = text.split(", ").map(|column| {
            let (name, as_type) = column.split_once(' ').unwrap();
            Field::new(name, as_type.parse::<ColumnType>().unwrap().arrow(), true)
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn told_schema(schema: &Schema) -> String {
        let fields = schema.fields().iter();
        let fields: Vec<_> = fields
            .map(|field| format!("{} {}", field.name(), published_type(field.data_type())))
            .collect();
        fields.join(", ")
    }

    /// What holding `now` to `before` comes to, on one line; every column can be read widened
    /// except `fixed`.
    fn told_of(rules: &OnSchemaChange, mode: Mode, before: &str, now: &str) -> String {
        let (table, before, now) = (TableName::new("shop", "t"), schema(before), schema(now));
        let fields = now.fields().iter();
        let incoming: Vec<_> = fields
            .map(|field| Incoming {
                field: field.clone(),
                source: field.name(),
                reads_as: Box::new(|_| field.name() != "fixed"),
            })
            .collect();
        let terms = Terms { table: &table, mode, rules, unsaid: "the default" };
        let held = hold(&terms, Some(&before), &incoming);
        let changes: Vec<_> = held
            .changes
            .iter()
            .map(|change| {
                let hopeless = if change.acceptable { "" } else { " for good" };
                format!("{} {}{hopeless}", change.subject(), change.verdict)
            })
            .collect();
        let reads: Vec<_> = held
            .reads
            .iter()
            .map(|read| read.as_ref().map_or("-".to_owned(), published_type))
            .collect();
        let (changes, schema) = (changes.join(", "), told_schema(&held.schema));
        format!("{changes} | reads {} | {schema} | {:?}", reads.join(", "), held.joins)
    }

    fn ruled(columns: ColumnPolicy, types: TypePolicy) -> OnSchemaChange {
        OnSchemaChange {
            columns: SchemaRule { policy: columns, origin: None },
            types: SchemaRule { policy: types, origin: None },
            ..OnSchemaChange::default()
        }
    }

    #[test]
    fn an_upsert_is_held_as_an_append_is() {
        for types in [TypePolicy::Widen, TypePolicy::Freeze, TypePolicy::Accept] {
            for (before, now) in [
                ("a integer", "a bigint"),
                ("a bigint", "a integer"),
                ("a integer", "a text"),
                ("a integer, old text", "new text, a integer"),
            ] {
                let rules = ruled(ColumnPolicy::Accept, types);
                let append = told_of(&rules, Mode::Append, before, now)
                    .replace("| Published", "| Keyed")
                    .replace("| Rewritten", "| KeyedRewritten");
                assert_eq!(told_of(&rules, Mode::Upsert, before, now), append);
            }
        }
    }

    /// Every rule in both modes, as lines.
    fn matrix(rules: &[(&str, OnSchemaChange)], before: &str, now: &str) -> String {
        let mut lines = String::new();
        for (name, rules) in rules {
            for mode in [Mode::Replace, Mode::Append] {
                lines += &format!("{name} {mode}: {}\n", told_of(rules, mode, before, now));
            }
        }
        lines
    }

    #[test]
    fn types_follow_their_rule() {
        let rules = [TypePolicy::Widen, TypePolicy::Freeze, TypePolicy::Accept]
            .map(|types| (types.to_string(), ruled(ColumnPolicy::Evolve, types)));
        let rules = rules.each_ref().map(|(name, rules)| (name.as_str(), rules.clone()));
        insta::assert_snapshot!(matrix(&rules, "a integer", "a bigint"), @r"
        widen replace: shop.t.a published | reads bigint | a bigint | Nothing
        widen append: shop.t.a rewritten | reads bigint | a bigint | Rewritten
        freeze replace: shop.t.a refused | reads bigint | a integer | Nothing
        freeze append: shop.t.a refused | reads bigint | a integer | Published
        accept replace: shop.t.a published | reads bigint | a bigint | Nothing
        accept append: shop.t.a rewritten | reads bigint | a bigint | Rewritten
        ");
        insta::assert_snapshot!(matrix(&rules, "a bigint", "a integer"), @r"
        widen replace: shop.t.a kept | reads bigint | a bigint | Nothing
        widen append: shop.t.a kept | reads bigint | a bigint | Published
        freeze replace: shop.t.a refused | reads integer | a bigint | Nothing
        freeze append: shop.t.a refused | reads integer | a bigint | Published
        accept replace: shop.t.a published | reads integer | a integer | Nothing
        accept append: shop.t.a kept | reads bigint | a bigint | Published
        ");
        insta::assert_snapshot!(matrix(&rules, "fixed bigint", "fixed integer"), @r"
        widen replace: shop.t.fixed refused | reads integer | fixed bigint | Nothing
        widen append: shop.t.fixed refused for good | reads integer | fixed bigint | Published
        freeze replace: shop.t.fixed refused | reads integer | fixed bigint | Nothing
        freeze append: shop.t.fixed refused for good | reads integer | fixed bigint | Published
        accept replace: shop.t.fixed published | reads integer | fixed integer | Nothing
        accept append: shop.t.fixed refused for good | reads integer | fixed bigint | Published
        ");
        insta::assert_snapshot!(matrix(&rules, "a integer", "a text"), @r"
        widen replace: shop.t.a refused | reads text | a integer | Nothing
        widen append: shop.t.a refused for good | reads text | a integer | Published
        freeze replace: shop.t.a refused | reads text | a integer | Nothing
        freeze append: shop.t.a refused for good | reads text | a integer | Published
        accept replace: shop.t.a published | reads text | a text | Nothing
        accept append: shop.t.a refused for good | reads text | a integer | Published
        ");
    }

    #[test]
    fn columns_follow_their_rule() {
        let rules = [
            ColumnPolicy::Evolve,
            ColumnPolicy::Freeze,
            ColumnPolicy::Discard,
            ColumnPolicy::Accept,
        ]
        .map(|columns| (columns.to_string(), ruled(columns, TypePolicy::Widen)));
        let rules = rules.each_ref().map(|(name, rules)| (name.as_str(), rules.clone()));
        insta::assert_snapshot!(matrix(&rules, "a text, b date", "c real, b date, a text"), @r"
        evolve replace: shop.t.c published | reads real, date, text | c real, b date, a text | Nothing
        evolve append: shop.t.c published | reads real, date, text | a text, b date, c real | Published
        freeze replace: shop.t.c refused | reads real, date, text | b date, a text | Nothing
        freeze append: shop.t.c refused | reads real, date, text | a text, b date | Published
        discard replace: shop.t.c left_out | reads -, date, text | b date, a text | Nothing
        discard append: shop.t.c left_out | reads -, date, text | a text, b date | Published
        accept replace: shop.t.c published | reads real, date, text | c real, b date, a text | Nothing
        accept append: shop.t.c published | reads real, date, text | a text, b date, c real | Published
        ");
        insta::assert_snapshot!(matrix(&rules, "a text, b date", "b date"), @r"
        evolve replace: shop.t.a refused | reads date | b date, a text | Nothing
        evolve append: shop.t.a refused | reads date | a text, b date | Published
        freeze replace: shop.t.a refused | reads date | b date, a text | Nothing
        freeze append: shop.t.a refused | reads date | a text, b date | Published
        discard replace: shop.t.a refused | reads date | b date, a text | Nothing
        discard append: shop.t.a refused | reads date | a text, b date | Published
        accept replace: shop.t.a published | reads date | b date | Nothing
        accept append: shop.t.a kept | reads date | a text, b date | Published
        ");
    }

    #[test]
    fn a_table_that_is_not_published_is_held_to_nothing() {
        let (table, now) = (TableName::new("shop", "t"), schema("a text"));
        let field = now.field(0).clone();
        let column = Incoming { field: field.into(), source: "a", reads_as: Box::new(|_| false) };
        let rules = ruled(ColumnPolicy::Freeze, TypePolicy::Freeze);
        let terms =
            Terms { table: &table, mode: Mode::Append, rules: &rules, unsaid: "the default" };
        let held = hold(&terms, None, &[column]);
        assert_eq!((held.changes.len(), held.joins, held.schema), (0, Joins::Nothing, now.into()));
    }

    #[test]
    fn a_renamed_column_comes_with_the_way_to_keep_its_name() {
        let rules = OnSchemaChange::default();
        let (table, now) = (TableName::new("shop", "t"), schema("id integer, remark text"));
        let fields = now.fields().iter();
        let incoming: Vec<_> = fields
            .map(|field| Incoming {
                field: field.clone(),
                source: field.name(),
                reads_as: Box::new(|_| true),
            })
            .collect();
        let terms =
            Terms { table: &table, mode: Mode::Replace, rules: &rules, unsaid: "the default" };
        let held = hold(&terms, Some(&schema("id integer, note text")), &incoming);
        let hints: Vec<_> = held.changes.iter().flat_map(|change| &change.hints).collect();
        insta::assert_snapshot!(hints[0], @"or, if `remark` is the new name of `shop.t.note`, keep the published one: `columns: {rename: {remark: note}}`");
        assert_eq!(hints.len(), 1);
    }
}
