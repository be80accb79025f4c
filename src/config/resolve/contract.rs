//! The `on_schema_change` part of a project, a pipeline, a table and a model.

use super::Scope;
use crate::{
    config::{
        ColumnPolicy, OnSchemaChange, SchemaRule, TablePolicy, TypePolicy, raw,
        written::{At, OrText, Text},
    },
    error::Result,
};

/// What the one word for all of them stands for.
type Word = (TablePolicy, ColumnPolicy, TypePolicy);

const WORDS: [(&str, Word); 3] = [
    ("evolve", (TablePolicy::Evolve, ColumnPolicy::Evolve, TypePolicy::Widen)),
    ("freeze", (TablePolicy::Freeze, ColumnPolicy::Freeze, TypePolicy::Freeze)),
    ("accept", (TablePolicy::Evolve, ColumnPolicy::Accept, TypePolicy::Accept)),
];

const TABLES: [(&str, TablePolicy); 3] = [
    ("evolve", TablePolicy::Evolve),
    ("freeze", TablePolicy::Freeze),
    ("discard", TablePolicy::Discard),
];

const COLUMNS: [(&str, ColumnPolicy); 4] = [
    ("evolve", ColumnPolicy::Evolve),
    ("freeze", ColumnPolicy::Freeze),
    ("discard", ColumnPolicy::Discard),
    ("accept", ColumnPolicy::Accept),
];

const TYPES: [(&str, TypePolicy); 3] =
    [("widen", TypePolicy::Widen), ("freeze", TypePolicy::Freeze), ("accept", TypePolicy::Accept)];

impl Scope<'_> {
    /// What `written` says, and `inherited` where it says nothing.
    pub(super) fn on_schema_change(
        &self,
        written: Option<&At<OrText<raw::OnSchemaChange>>>,
        inherited: &OnSchemaChange,
    ) -> Result<OnSchemaChange> {
        let mut rules = inherited.clone();
        let Some(At { value, line, column }) = written else { return Ok(rules) };
        match value {
            OrText::Text(text) => {
                let text = Text { value: text.clone(), line: *line, column: *column };
                let (tables, columns, types) = self.keyword(&text, "one rule for all", &WORDS)?;
                let origin = Some(self.origin(&text));
                rules.tables = SchemaRule { policy: tables, origin: origin.clone() };
                rules.columns = SchemaRule { policy: columns, origin: origin.clone() };
                rules.types = SchemaRule { policy: types, origin };
            }
            OrText::Map(raw::OnSchemaChange { tables, columns, types }) => {
                self.overrule(&mut rules.tables, tables.as_ref(), "tables", &TABLES)?;
                self.overrule(&mut rules.columns, columns.as_ref(), "columns", &COLUMNS)?;
                self.overrule(&mut rules.types, types.as_ref(), "types", &TYPES)?;
            }
        }
        Ok(rules)
    }

    fn overrule<P: Copy>(
        &self,
        rule: &mut SchemaRule<P>,
        written: Option<&Text>,
        of: &str,
        known: &[(&str, P)],
    ) -> Result<()> {
        if let Some(written) = written {
            let policy = self.keyword(written, &format!("a rule for {of}"), known)?;
            *rule = SchemaRule { policy, origin: Some(self.origin(written)) };
        }
        Ok(())
    }

    /// What a model's header says. Nothing of a model can be left unread, and it is one table.
    pub(super) fn model_schema_change(
        &self,
        written: Option<&At<OrText<raw::OnSchemaChange>>>,
    ) -> Result<OnSchemaChange> {
        if let Some(At { value: OrText::Map(map), .. }) = written {
            if let Some(tables) = &map.tables {
                return Err(self
                    .wrong(tables, "`tables` is about tables that a pattern finds")
                    .hint("a model's header takes `columns` and `types`"));
            }
            if let Some(columns) = map.columns.as_ref().filter(|text| text.value == "discard") {
                return Err(self
                    .wrong(columns, "`discard` is for columns that are extracted")
                    .hint("leave the column out of the SELECT, or say `freeze`"));
            }
        }
        self.on_schema_change(written, &OnSchemaChange::accept())
    }
}
