//! Which side of the work is slow, in words.

use std::time::Duration;

use super::{Paint, Shape, Table};
use crate::{
    run::{StepKind, StepReport},
    types::Timings,
};

/// One line a step, and one for all steps of a kind: the shares of its workers' time, and what
/// bounds it. Empty where nothing was measured.
pub(crate) fn bounds(steps: &[StepReport], paint: Paint) -> String {
    let mut table = Table::new([("table", Shape::Text), ("time of its workers", Shape::Text)]);
    let mut is_empty = true;
    let mut line = |name: String, kind, spent: Timings| {
        if let Some(words) = shares(kind, spent) {
            is_empty = false;
            table.push(vec![name, words]);
        }
    };
    for step in steps {
        line(step.table.to_string(), step.kind, step.spent.unwrap_or_default());
    }
    for (kind, name) in [(StepKind::Extract, "all extracts"), (StepKind::Model, "all models")] {
        let of_kind: Vec<_> = steps.iter().filter(|step| step.kind == kind).collect();
        if of_kind.len() > 1 {
            line(name.to_owned(), kind, of_kind.iter().filter_map(|step| step.spent).sum());
        }
    }
    if is_empty { String::new() } else { format!("\n{}", table.render(paint)) }
}

/// `read 61 %, decode 9 %, encode 28 %, write 2 %: read-bound`.
fn shares(kind: StepKind, spent: Timings) -> Option<String> {
    let Timings { memory, read, decode, encode, write } = spent;
    let parts = match kind {
        StepKind::Extract | StepKind::Rejects => [Some(("read", read)), Some(("decode", decode))],
        StepKind::Model => [Some(("query", read)), None],
    };
    let parts: Vec<(&str, Duration)> = [Some(("memory", memory))]
        .into_iter()
        .chain(parts)
        .flatten()
        .chain([("encode", encode), ("write", write)])
        .collect();
    let total = spent.total().as_secs_f64();
    let share = |part: Duration| part.as_secs_f64() / total * 100.0;
    let (most, longest) = parts.iter().copied().max_by_key(|(_, part)| *part)?;
    if longest.is_zero() {
        return None;
    }
    let words: Vec<_> = parts
        .into_iter()
        // Waiting for memory is the exception, and worth a word only then.
        .filter(|(name, part)| *name != "memory" || share(*part) >= 0.5)
        .map(|(name, part)| format!("{name} {:.0} %", share(part)))
        .collect();
    Some(format!("{}: {most}-bound", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::MisfitReport;
    use crate::types::TableName;

    fn step(table: &str, kind: StepKind, spent: Option<[u64; 5]>) -> StepReport {
        let spent = spent.map(|parts| {
            let [memory, read, decode, encode, write] = parts.map(Duration::from_millis);
            Timings { memory, read, decode, encode, write }
        });
        let elapsed = Duration::from_secs(1);
        let table = TableName::new("shop", table);
        StepReport {
            table,
            kind,
            rows: 7,
            bytes: 70,
            files: 1,
            elapsed,
            spent,
            misfits: MisfitReport::default(),
            upsert: None,
        }
    }

    #[test]
    fn the_slow_side_is_named_per_table_and_for_all() {
        let steps = [
            step("lineitem", StepKind::Extract, Some([0, 610, 90, 280, 20])),
            step("blobs", StepKind::Extract, Some([5000, 10, 90, 280, 20])),
            step("notes", StepKind::Extract, Some([0, 10, 20, 30, 400])),
            step("revenue", StepKind::Model, Some([0, 900, 0, 80, 20])),
        ];
        insta::assert_snapshot!(bounds(&steps, Paint::Plain).trim_start(), @r"
        table          time of its workers
        ─────────────  ──────────────────────────────────────────────────────────────────────
        shop.lineitem  read 61 %, decode 9 %, encode 28 %, write 2 %: read-bound
        shop.blobs     memory 93 %, read 0 %, decode 2 %, encode 5 %, write 0 %: memory-bound
        shop.notes     read 2 %, decode 4 %, encode 7 %, write 87 %: write-bound
        shop.revenue   query 90 %, encode 8 %, write 2 %: query-bound
        all extracts   memory 73 %, read 9 %, decode 3 %, encode 9 %, write 6 %: memory-bound
        ");
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let steps =
            [step("old", StepKind::Extract, None), step("fast", StepKind::Extract, Some([0; 5]))];
        assert_eq!(bounds(&steps, Paint::Plain), "");
    }
}
