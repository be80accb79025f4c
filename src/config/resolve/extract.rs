//! The `extract` part of a pipeline.

use std::collections::BTreeMap;

use super::{Connections, Scope};
use crate::{
    config::{
        ColumnRules, ExtractGroup, Mask, MaxRejects, Mode, OnMismatch, OnSchemaChange, Origin,
        ParquetConfig, Selection, TablePattern, TableRule, raw,
        written::{At, Named, OrText, Text, Texts, Word},
    },
    error::{Error, Result},
    types::ColumnType,
};

/// What a pipeline says for all its tables.
pub(super) struct Defaults {
    pub(super) parquet: ParquetConfig,
    pub(super) on_schema_change: OnSchemaChange,
}

/// Where each name is given first.
type Seen<K> = BTreeMap<K, Origin>;

impl Scope<'_> {
    pub(super) fn extract(
        &self,
        written: Option<&[At<raw::ExtractGroup>]>,
        connections: &Connections,
        defaults: &Defaults,
    ) -> Result<Vec<ExtractGroup>> {
        let mut published = Seen::new();
        let mut groups = Vec::new();
        for group in written.unwrap_or_default() {
            groups.push(self.group(group, connections, defaults, &mut published)?);
        }
        Ok(groups)
    }

    fn group(
        &self,
        written: &At<raw::ExtractGroup>,
        connections: &Connections,
        defaults: &Defaults,
        published: &mut Seen<(String, String)>,
    ) -> Result<ExtractGroup> {
        let raw::ExtractGroup { from, into, tables } = &written.value;
        let connection = self.text(from)?;
        if !connections.contains(&connection) {
            let error = self.not_a(from, "a connection");
            return Err(connections.suggest(error, &from.value));
        }
        let into = match into {
            Some(into) => self.bare_name(into, "into")?,
            None => connection.clone(),
        };
        if tables.is_empty() {
            return Err(self
                .wrong(written, "it selects no tables")
                .hint("name them under `tables`, or take all with `- \"*\"`"));
        }
        let mut rules: Vec<TableRule> = Vec::new();
        let mut listed = Seen::new();
        for table in tables {
            let rule = self.rule(table, defaults)?;
            self.refuse_second(&rule, &into, &mut listed, published)?;
            rules.push(rule);
        }
        Ok(ExtractGroup { from: connection, into, tables: rules, origin: self.origin(written) })
    }

    /// Refuses a table that is listed before in its group, or a name that is taken before.
    fn refuse_second(
        &self,
        rule: &TableRule,
        into: &str,
        listed: &mut Seen<String>,
        published: &mut Seen<(String, String)>,
    ) -> Result<()> {
        let (exact, own_name) = match &rule.selection {
            Selection::Tables(pattern) if pattern.is_exact() => {
                (Some(pattern.to_string()), pattern.table.exact().map(str::to_owned))
            }
            Selection::Tables(_) => (None, None),
            Selection::Query { name, .. } => (None, Some(name.clone())),
        };
        if let Some(table) = exact
            && let Some(first) = listed.insert(table.clone(), rule.origin.clone())
        {
            return Err(self
                .document
                .wrong(&rule.origin, format!("`{table}` is listed before, in line {}", first.line))
                .hint("keep one of the two entries"));
        }
        if let Some(name) = rule.rename.clone().or(own_name).filter(|_| !rule.skip)
            && let Some(first) =
                published.insert((into.to_owned(), name.clone()), rule.origin.clone())
        {
            let detail =
                format!("the name `{into}.{name}` is taken before, in line {}", first.line);
            return Err(self
                .document
                .wrong(&rule.origin, detail)
                .hint("give one of them another name with `as`, or another schema with `into`"));
        }
        Ok(())
    }

    fn rule(&self, written: &At<OrText<raw::TableRule>>, defaults: &Defaults) -> Result<TableRule> {
        let origin = self.origin(written);
        let rule = match &written.value {
            OrText::Text(text) => {
                let text = Text { value: text.clone(), line: written.line, column: written.column };
                return Ok(TableRule {
                    selection: Selection::Tables(self.pattern(&text)?),
                    skip: false,
                    rename: None,
                    mode: Mode::default(),
                    key: Vec::new(),
                    columns: ColumnRules::default(),
                    filter: None,
                    on_mismatch: OnMismatch::default(),
                    max_rejects: MaxRejects::default(),
                    audits: Vec::new(),
                    parquet: defaults.parquet,
                    on_schema_change: defaults.on_schema_change.clone(),
                    origin,
                });
            }
            OrText::Map(rule) => rule,
        };
        let (selection, rename) = self.selection(written, rule)?;
        if let Some(At { value: OrText::Map(rules), .. }) = &rule.on_schema_change
            && let (Some(tables), false) = (&rules.tables, selection.is_pattern())
        {
            return Err(self
                .wrong(tables, "`tables` is about tables that a pattern finds")
                .hint("this rule means one table: leave `tables` out"));
        }
        let on_mismatch = match &rule.on_mismatch {
            Some(word) => self.on_mismatch(word)?,
            None => OnMismatch::default(),
        };
        let columns = self.columns(rule.columns.as_ref())?;
        Ok(TableRule {
            selection,
            skip: self.flag(rule.skip.as_ref())?,
            rename,
            mode: self.mode(rule.mode.as_ref())?,
            key: self.key(rule.key.as_ref())?,
            filter: self.optional_text(rule.filter.as_ref())?,
            on_mismatch,
            max_rejects: self.max_rejects(rule.max_rejects.as_ref(), on_mismatch, &columns)?,
            columns,
            audits: self.audits(rule.audits.as_deref())?,
            parquet: self.parquet(rule.parquet.as_ref(), defaults.parquet)?,
            on_schema_change: self
                .on_schema_change(rule.on_schema_change.as_ref(), &defaults.on_schema_change)?,
            origin,
        })
    }

    /// What a rule selects, and the table's new name where it has one.
    fn selection<T>(
        &self,
        written: &At<T>,
        rule: &raw::TableRule,
    ) -> Result<(Selection, Option<String>)> {
        let name = match &rule.name {
            Some(name) => Some(self.bare_name(name, "as")?),
            None => None,
        };
        match (&rule.table, &rule.query, name) {
            (Some(table), None, name) => {
                let pattern = self.pattern(table)?;
                match &rule.name {
                    Some(name) if !pattern.is_exact() => {
                        Err(self.wrong(name, "`as` names one table, and `table` is a pattern"))
                    }
                    _ => Ok((Selection::Tables(pattern), name)),
                }
            }
            (None, Some(query), Some(name)) => {
                if let Some(filter) = &rule.filter {
                    return Err(self
                        .wrong(filter, "`where` goes with `table`")
                        .hint("put the condition into the query"));
                }
                Ok((Selection::Query { name, sql: self.text(query)? }, None))
            }
            (None, Some(query), None) => Err(self
                .wrong(query, "a query needs a name")
                .hint("add `as: name`, the table's name in the warehouse")),
            (Some(_), Some(query), _) => {
                Err(self.wrong(query, "`query` and `table` exclude each other"))
            }
            (None, None, _) => Err(self
                .wrong(written, "neither `table` nor `query` is given")
                .hint("say which table: `table: orders`")),
        }
    }

    fn pattern(&self, written: &Text) -> Result<TablePattern> {
        self.text(written)?.parse().map_err(|why: String| {
            self.not_a(written, "a table's name or pattern")
                .because(why)
                .hint("write `orders`, `public.*`, or quote odd names: `'\"Odd.Schema\".\"T\"'`")
        })
    }

    fn columns(&self, written: Option<&At<raw::ColumnRules>>) -> Result<ColumnRules> {
        let Some(At { value: written, .. }) = written else { return Ok(ColumnRules::default()) };
        let only = match &written.only {
            Some(only) => Some(self.texts(&only.0)?),
            None => None,
        };
        let known = [("sha256", Mask::Sha256), ("redact", Mask::Redact)];
        let rules = ColumnRules {
            only,
            drop: self.texts(Texts::entries(written.drop.as_ref()))?,
            cast: each(written.cast.as_ref(), |text| self.column_type(text))?,
            mask: each(written.mask.as_ref(), |text| self.keyword(text, "a mask", &known))?,
            rename: each(written.rename.as_ref(), |text| self.text(text))?,
            on_mismatch: each(written.on_mismatch.as_ref(), |Word(text)| self.on_mismatch(text))?,
        };
        self.refuse_contradictions(written, &rules)?;
        Ok(rules)
    }

    fn on_mismatch(&self, written: &Text) -> Result<OnMismatch> {
        let known = [
            ("error", OnMismatch::Error),
            ("null", OnMismatch::Null),
            ("text", OnMismatch::Text),
            ("quarantine", OnMismatch::Quarantine),
        ];
        self.keyword(written, "an outcome of a mismatch", &known)
    }

    fn max_rejects(
        &self,
        written: Option<&Text>,
        table: OnMismatch,
        columns: &ColumnRules,
    ) -> Result<MaxRejects> {
        let Some(written) = written else { return Ok(MaxRejects::default()) };
        let mut policies = columns.on_mismatch.values().chain([&table]);
        if policies.all(|policy| *policy != OnMismatch::Quarantine) {
            return Err(self
                .wrong(written, "no row is ever rejected here")
                .hint("say which may be: `on_mismatch: quarantine`, or leave out `max_rejects`"));
        }
        self.read(written, "a number of rows or a share such as `1%`", |text| {
            let Some(percent) = text.strip_suffix('%') else {
                return text.parse().ok().map(MaxRejects::Rows);
            };
            let percent: f64 = percent.trim_end().parse().ok()?;
            (0.0..=100.0).contains(&percent).then_some(MaxRejects::Share(percent / 100.0))
        })
    }

    fn column_type(&self, written: &Text) -> Result<ColumnType> {
        self.any_text(written)?.parse().map_err(|why: String| {
            // The parser's own words quote the text, which may only be shown as it is written.
            if self.is_literal(written) {
                self.wrong(written, why)
            } else {
                self.not_a(written, "a column type")
            }
        })
    }

    /// Refuses rules for a column that other rules of the same table undo.
    fn refuse_contradictions(&self, written: &raw::ColumnRules, rules: &ColumnRules) -> Result<()> {
        let taken = |name: &String| {
            !rules.drop.contains(name) && rules.only.as_ref().is_none_or(|only| only.contains(name))
        };
        if let (Some(only), Some(drop)) = (&rules.only, &written.drop) {
            let both = rules.drop.iter().zip(&drop.0).find(|(name, _)| only.contains(name));
            if let Some((name, at)) = both {
                return Err(self.wrong(at, format!("`{name}` is both in `only` and in `drop`")));
            }
        }
        let names = [&written.cast, &written.mask, &written.rename]
            .into_iter()
            .flat_map(|map| Named::entries(map.as_ref()).iter().map(|(name, _)| name));
        let policies = Named::entries(written.on_mismatch.as_ref()).iter();
        for name in names.chain(policies.map(|(name, _)| name)) {
            if !taken(&name.value) {
                return Err(self.left_out(name));
            }
        }
        for (name, _) in Named::entries(written.cast.as_ref()) {
            if rules.mask.contains_key(&name.value) {
                return Err(self
                    .wrong(name, format!("`{}` is masked, so it is text", name.value))
                    .hint("keep either `cast` or `mask` for it"));
            }
        }
        for (name, Word(policy)) in Named::entries(written.on_mismatch.as_ref()) {
            if rules.on_mismatch.get(&name.value) != Some(&OnMismatch::Text) {
                continue;
            }
            if rules.mask.contains_key(&name.value) {
                return Err(self
                    .wrong(policy, format!("`{}` is masked, so it is text", name.value))
                    .hint("leave out this rule"));
            }
            if rules.cast.contains_key(&name.value) {
                return Err(self
                    .wrong(policy, format!("`{}` is cast, so it is not read as text", name.value))
                    .hint("keep either `cast` or `on_mismatch: text` for it"));
            }
        }
        Ok(())
    }

    fn left_out(&self, name: &Text) -> Error {
        self.wrong(name, format!("`{}` is left out by `only` or `drop`", name.value))
            .hint("keep the column, or drop this rule")
    }
}

/// Reads each value of a map that may be left out.
fn each<W, T>(
    written: Option<&Named<W>>,
    read: impl Fn(&W) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let entries = Named::entries(written).iter();
    entries.map(|(name, text)| Ok((name.value.clone(), read(text)?))).collect()
}
