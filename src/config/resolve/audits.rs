//! Audits, in pipelines and in the headers of models.

use super::Scope;
use crate::{
    config::{
        Audit, AuditKind, RowCountBounds, Severity,
        document::listed,
        raw,
        written::{At, Text, Texts},
    },
    error::Result,
    types::TableName,
};

impl Scope<'_> {
    pub(super) fn audits(&self, written: Option<&[At<raw::Audit>]>) -> Result<Vec<Audit>> {
        written.unwrap_or_default().iter().map(|audit| self.audit(audit)).collect()
    }

    fn audit(&self, written: &At<raw::Audit>) -> Result<Audit> {
        let known = [("error", Severity::Error), ("warn", Severity::Warn)];
        let severity = match &written.value.severity {
            Some(severity) => self.keyword(severity, "a severity", &known)?,
            None => Severity::Error,
        };
        let mut kinds = self.audit_kinds(written)?;
        match (kinds.pop(), kinds.pop()) {
            (Some(kind), None) => Ok(Audit { kind, severity, origin: self.origin(written) }),
            (None, _) => Err(self
                .wrong(written, "it checks nothing")
                .hint(format!("the checks are {}", listed(&raw::CHECKS)))),
            (Some(second), Some(first)) => Err(self
                .wrong(written, format!("`{}` and `{}` in one audit", first.name(), second.name()))
                .hint("give each check its own `- `")),
        }
    }

    /// Every check that is given, which should be one.
    fn audit_kinds(&self, audit: &At<raw::Audit>) -> Result<Vec<AuditKind>> {
        let written = &audit.value;
        let mut kinds = Vec::new();
        if let Some(columns) = &written.not_null {
            kinds.push(AuditKind::NotNull(self.checked_columns(audit, columns)?));
        }
        if let Some(columns) = &written.unique {
            kinds.push(AuditKind::Unique(self.checked_columns(audit, columns)?));
        }
        if let Some(raw::AcceptedValues { column, values }) = &written.accepted_values {
            if values.is_empty() {
                return Err(self.wrong(column, "no value is accepted").hint("list them: `values`"));
            }
            let values = values.iter().map(|text| self.any_text(text)).collect::<Result<_>>()?;
            kinds.push(AuditKind::AcceptedValues { column: self.text(column)?, values });
        }
        if let Some(raw::Relationship { column, to, field }) = &written.relationships {
            kinds.push(AuditKind::Relationship {
                column: self.text(column)?,
                to_table: self.table_name(to)?,
                to_column: self.text(field)?,
            });
        }
        if let Some(bounds) = &written.row_count {
            kinds.push(AuditKind::RowCount(self.row_count(bounds)?));
        }
        if let Some(expression) = &written.expression {
            kinds.push(AuditKind::Expression(self.text(expression)?));
        }
        if let Some(query) = &written.query {
            kinds.push(AuditKind::Query(self.text(query)?));
        }
        Ok(kinds)
    }

    fn checked_columns(&self, audit: &At<raw::Audit>, columns: &Texts) -> Result<Vec<String>> {
        if columns.0.is_empty() {
            return Err(self.wrong(audit, "it names no column"));
        }
        self.texts(&columns.0)
    }

    fn table_name(&self, written: &Text) -> Result<String> {
        let expected = "a table of the warehouse, `schema.table`";
        let name: TableName = self.read(written, expected, |text| text.parse().ok())?;
        Ok(name.to_string())
    }

    fn row_count(&self, written: &At<raw::RowCount>) -> Result<RowCountBounds> {
        let raw::RowCount { min, max, max_shrink, max_growth } = &written.value;
        let count = |text: &Option<Text>| text.as_ref().map(|text| self.count(text)).transpose();
        let share = |text: &Option<Text>| text.as_ref().map(|text| self.share(text)).transpose();
        let bounds = RowCountBounds {
            min: count(min)?,
            max: count(max)?,
            max_shrink: share(max_shrink)?,
            max_growth: share(max_growth)?,
        };
        if bounds == RowCountBounds::default() {
            return Err(self
                .wrong(written, "it bounds nothing")
                .hint("give `min`, `max`, `max_shrink` or `max_growth`"));
        }
        if let (Some(least), Some(most)) = (bounds.min, bounds.max)
            && least > most
        {
            return Err(self.wrong(written, "`min` is more than `max`"));
        }
        if let (Some(share), Some(text)) = (bounds.max_shrink, max_shrink)
            && share > 1.0
        {
            return Err(self.wrong(text, "a table can't shrink by more than 100 %"));
        }
        Ok(bounds)
    }
}
