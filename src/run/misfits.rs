//! What did not fit in a table: rows to be rejected are parted from the others, and everything is
//! counted, so that no row goes missing without a word.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::BooleanArray, buffer::BooleanBuffer, compute::filter_record_batch,
    record_batch::RecordBatch,
};

use super::{
    rejects::RejectWriter,
    report::{ColumnMisfits, MisfitOutcome, MisfitReport},
};
use crate::{
    config::{MaxRejects, OnMismatch},
    error::{Error, ErrorKind, Result},
    extract::{Misfit, TableRequest},
};

/// How often a column held what did not fit, by its place, the reason and what became of it.
type Counts = BTreeMap<(usize, String, MisfitOutcome), u64>;

/// What did not fit so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Rows.
    pub(super) rejected: u64,
    /// Values.
    nulled: u64,
    counts: Counts,
}

impl Tally {
    /// Adds what another part of the table came to.
    pub(super) fn add(&mut self, other: Self) {
        self.rejected += other.rejected;
        self.nulled += other.nulled;
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }

    /// The same for people and machines, with the columns' names in the source.
    pub(super) fn report(&self, request: &TableRequest) -> MisfitReport {
        let column = |((at, reason, outcome), values): (&(usize, String, MisfitOutcome), &u64)| {
            let column = request.columns.get(*at)?;
            Some(ColumnMisfits {
                column: column.source.name.clone(),
                reason: reason.clone(),
                outcome: *outcome,
                values: *values,
            })
        };
        MisfitReport {
            rejected: self.rejected,
            nulled: self.nulled,
            columns: self.counts.iter().filter_map(column).collect(),
        }
    }

    /// An error where more of `rows` are rejected than `most` allows.
    pub(super) fn guard(&self, most: MaxRejects, rows: u64, request: &TableRequest) -> Result<()> {
        if most.allows(self.rejected, rows) {
            return Ok(());
        }
        let rejected = self.rejected;
        let error = Error::new(
            ErrorKind::Data,
            format!(
                "{rejected} of {rows} rows hold values that do not fit, and `max_rejects` is {most}"
            ),
        );
        let columns = self.report(request).columns;
        let error = columns.iter().fold(error, |error, column| error.because(column.to_string()));
        Err(error
            .hint("see to the source, or read the columns as text: `on_mismatch: text`")
            .hint("or raise `max_rejects` of the table's rule"))
    }
}

/// Takes the batches of one chunk in which something did not fit.
pub(super) struct MisfitSorter {
    policies: Vec<OnMismatch>,
    /// Where rows go that are rejected, in a table that may reject any.
    rejects: Option<RejectWriter>,
    /// Of this chunk.
    pub(super) tally: Tally,
}

impl MisfitSorter {
    /// A sorter for a chunk of `request`.
    pub(super) fn new(request: &TableRequest, rejects: Option<RejectWriter>) -> Self {
        let policies = request.columns.iter().map(|column| column.on_mismatch).collect();
        Self { policies, rejects, tally: Tally::default() }
    }

    /// The rows of `batch` that are kept; the others are written to the rejects. `before` rows of
    /// the chunk came before the batch.
    pub(super) fn sort(
        &mut self,
        batch: &RecordBatch,
        mut misfits: Vec<Misfit>,
        before: u64,
    ) -> Result<RecordBatch> {
        misfits.sort_by_key(|misfit| (misfit.row, misfit.column));
        let rejected: BTreeSet<usize> =
            misfits.iter().filter(|one| self.is_quarantined(one)).map(|one| one.row).collect();
        for misfit in &misfits {
            let outcome = if rejected.contains(&misfit.row) {
                MisfitOutcome::Rejected
            } else {
                self.tally.nulled += 1;
                MisfitOutcome::Nulled
            };
            let key = (misfit.column, misfit.reason.clone(), outcome);
            *self.tally.counts.entry(key).or_default() += 1;
        }
        if rejected.is_empty() {
            return Ok(batch.clone());
        }
        self.tally.rejected += rejected.len() as u64;
        let Some(writer) = &mut self.rejects else {
            return Err(Error::internal("a row is to be rejected, and there is no place for it"));
        };
        misfits.retain(|misfit| rejected.contains(&misfit.row));
        writer.write(batch, &misfits, before)?;
        let kept = BooleanBuffer::collect_bool(batch.num_rows(), |row| !rejected.contains(&row));
        filter_record_batch(batch, &BooleanArray::from(kept))
            .map_err(|error| Error::internal(format!("a batch can't be parted: {error}")))
    }

    fn is_quarantined(&self, misfit: &Misfit) -> bool {
        self.policies.get(misfit.column) == Some(&OnMismatch::Quarantine)
    }

    /// Bytes that it holds at most between two batches.
    pub(super) fn footprint(&self) -> u64 {
        self.rejects.as_ref().map_or(0, RejectWriter::footprint)
    }

    /// Lets go of as much memory as it can.
    pub(super) fn relieve(&mut self) -> Result<()> {
        self.rejects.as_mut().map_or(Ok(()), RejectWriter::relieve)
    }

    /// The chunk is whole: its rejects count from here on. Gives how much did not fit.
    pub(super) fn complete(self) -> Result<Tally> {
        let written = self.rejects.map_or(Ok(0), RejectWriter::complete)?;
        if written != self.tally.rejected {
            return Err(Error::internal(format!(
                "{} rows were rejected, and {written} of them written",
                self.tally.rejected
            )));
        }
        Ok(self.tally)
    }
}
