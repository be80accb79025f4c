//! A tile decoded once more, value by value, after one of them did not fit: the way that only
//! columns take which bear misfits, and only then.

use std::slice;

use super::{
    Column, Decode,
    cells::{ABSENT, Cells, Fault, Problem},
    shown::shown,
};
use crate::{config::OnMismatch, extract::Misfit};

impl Column {
    /// Takes the tile's `cells` again after `fault`, NULL where a value does not fit, which is
    /// noted in `misfits`. `at` is the column's place, and `before` the rows of the batch before
    /// the tile.
    ///
    /// # Errors
    /// The fault that the column does not bear: a misfit where its rule is to stop, and bytes that
    /// are not what the type says always.
    #[cold]
    pub(super) fn bear(
        &mut self,
        (at, before): (usize, usize),
        cells: Cells<'_>,
        fault: Fault,
        misfits: &mut Vec<Misfit>,
    ) -> Result<(), Fault> {
        if self.on_mismatch == OnMismatch::Error {
            return Err(fault);
        }
        self.decode.truncate(before);
        for (row, cell) in cells.at.iter().enumerate() {
            let Err(fault) = append_one(&mut *self.decode, cells.data, *cell) else { continue };
            let Problem::Unfit(what) = fault.problem else {
                return Err(fault.problem.in_row(row));
            };
            self.decode.truncate(before + row);
            append_one(&mut *self.decode, cells.data, ABSENT)
                .map_err(|fault| fault.problem.in_row(row))?;
            misfits.push(Misfit {
                row: before + row,
                column: at,
                reason: self.holds(what),
                value: shown(&self.sent, cells.get(*cell).unwrap_or_default()),
            });
        }
        Ok(())
    }

    /// What is wrong with the column where it holds `what`.
    pub(super) fn holds(&self, what: &str) -> String {
        format!("holds {what}, which {} can't", self.target)
    }
}

fn append_one(decode: &mut dyn Decode, data: &[u8], at: u32) -> Result<(), Fault> {
    decode.append(Cells { data, at: slice::from_ref(&at) })
}
