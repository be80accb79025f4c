//! `mode: upsert` as algebra on file sets: of the published files, those that hold a key of the new
//! rows give up these rows and are written anew; all others stay as they are, and the files of the
//! new rows join them as they were staged.

pub(super) mod key;
mod prune;

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use url::Url;

use super::{
    contract::Joins,
    memory::encode_options,
    plan::{Plan, Target},
    report::UpsertReport,
    rewrite::{fill, widened},
};
use crate::{
    config::{Audit, AuditKind, Severity},
    error::{Error, ErrorKind, Result},
    stage::Stage,
    transform::{AuditOutcome, JoinBy, KeyedRows},
    types::{DataFile, TableFiles},
};

/// Files that are written anew at the same time. Each uses every thread for itself; a second one
/// fills the gaps.
const AT_ONCE: usize = 2;

/// What becomes of a table's published files.
#[derive(Debug)]
pub(super) struct Merged {
    /// Published files that leave.
    pub(super) gone: Vec<Url>,
    /// Files with what is left of them.
    pub(super) rewritten: Vec<DataFile>,
    pub(super) report: UpsertReport,
}

/// Merges `new`, the staged rows of `target`, with the published ones: finds which files hold one
/// of their keys, and stages these files again without those rows.
///
/// # Errors
/// Of kind data where new rows share a key or have none, or published rows do that would be
/// replaced; up to ten keys are told. Of kind memory or storage.
pub(super) async fn merge(
    plan: &Plan,
    target: &Target,
    stage: &Stage,
    new: &TableFiles,
) -> Result<Merged> {
    refuse_unfit_keys(plan, target, new).await?;
    let rows = new.rows();
    let empty = TableFiles::empty(target.schema.clone());
    let old = match target.joins {
        Joins::Keyed | Joins::KeyedRewritten => plan.published.get(&target.table),
        Joins::Nothing | Joins::Published | Joins::Rewritten => None,
    };
    let old = old.unwrap_or(&empty);
    let keyed = KeyedRows { table: &target.table, key: &target.key, files: new };
    let found = find(plan, &keyed, old).await?;
    let touched: Vec<(&DataFile, u64)> = old
        .files
        .iter()
        .map(|file| (file, found.rows.get(&file.url).copied().unwrap_or(0)))
        .filter(|(_, matches)| *matches > 0 || target.joins == Joins::KeyedRewritten)
        .collect();
    let updated = found.rows.values().sum();
    refuse_repeated(plan, &keyed, old, &touched, (updated, found.by)).await?;

    let rest = touched.iter().filter(|(file, matches)| *matches < file.rows);
    let writing = rest.map(|(file, _)| rewrite(plan, target, stage, (&keyed, found.by), old, file));
    let writing: Vec<_> = writing.collect();
    let rewritten: Vec<TableFiles> =
        futures::stream::iter(writing).buffered(AT_ONCE).try_collect().await?;
    let report = UpsertReport {
        inserted: rows - updated,
        updated,
        kept_files: (old.files.len() - touched.len()) as u64,
        replaced_files: touched.len() as u64,
    };
    Ok(Merged {
        gone: touched.iter().map(|(file, _)| file.url.clone()).collect(),
        rewritten: rewritten.into_iter().flat_map(|table| table.files).collect(),
        report,
    })
}

/// Which published files hold keys of new rows.
struct Found {
    /// How many rows of each, where there are any.
    rows: BTreeMap<Url, u64>,
    /// How the keys were compared.
    by: JoinBy,
}

async fn find(plan: &Plan, new: &KeyedRows<'_>, old: &TableFiles) -> Result<Found> {
    let mut by = plan.engine.join_by(new);
    let may_match = |file: &&DataFile| {
        new.files.files.iter().any(|one| prune::may_share_keys(one, file, new.key))
    };
    let candidates = TableFiles {
        schema: old.schema.clone(),
        files: old.files.iter().filter(may_match).cloned().collect(),
    };
    if candidates.files.is_empty() {
        return Ok(Found { rows: BTreeMap::new(), by });
    }
    let matches = match plan.engine.matches(new, &candidates, by).await {
        // Long texts take more than was reckoned with.
        Err(error) if error.kind() == ErrorKind::Memory && by == JoinBy::Hash => {
            by = JoinBy::Sort;
            plan.engine.matches(new, &candidates, by).await?
        }
        matches => matches?,
    };
    let url = |(place, rows)| Some((candidates.files.get::<usize>(place)?.url.clone(), rows));
    Ok(Found { rows: matches.into_iter().filter_map(url).collect(), by })
}

/// Stages what is left of `file`, one of the files of `old`, without the keys of the new rows.
async fn rewrite(
    plan: &Plan,
    target: &Target,
    stage: &Stage,
    (new, by): (&KeyedRows<'_>, JoinBy),
    old: &TableFiles,
    file: &DataFile,
) -> Result<TableFiles> {
    let schema = widened(&old.schema, target)?;
    let near = new.files.files.iter().filter(|one| prune::may_share_keys(one, file, new.key));
    let near = TableFiles { schema: new.files.schema.clone(), files: near.cloned().collect() };
    let near = KeyedRows { files: &near, ..*new };
    let file = TableFiles { schema: old.schema.clone(), files: vec![file.clone()] };
    let streams = plan.engine.unmatched(&near, &file, by, &schema).await?;
    let writers = AT_ONCE * plan.engine.threads();
    let options = encode_options(&target.parquet, plan.memory(), writers);
    // A table of its own for each: rows stay with those that they were with, so that the next
    // upsert can leave out as many files as this one.
    fill(stage.table(target.table.clone(), schema, options)?, streams).await
}

/// Each new row has a key, and no two the same one.
async fn refuse_unfit_keys(plan: &Plan, target: &Target, new: &TableFiles) -> Result<()> {
    let check = |kind| Audit { kind, severity: Severity::Error, origin: target.origin.clone() };
    let checks = [
        check(AuditKind::NotNull(target.key.clone())),
        check(AuditKind::Unique(target.key.clone())),
    ];
    let tables = BTreeMap::from([(target.table.clone(), new.clone())]);
    let outcomes = plan.engine.run_audits(&plan.audit_target(target), &checks, &tables).await?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let error = failed.iter().fold(unfit(target), |error, outcome| error.because(told(outcome)));
    Err(error.hint("see to the source, or name columns that tell rows apart: `key: [id]`"))
}

fn told(outcome: &AuditOutcome) -> String {
    let rows = match outcome.failing_rows {
        1 => "1 new row".to_owned(),
        many => format!("{many} new rows"),
    };
    let fault = match outcome.audit {
        "not_null" => "without a value in the key",
        _ => "that share a key with another",
    };
    format!("{rows} {fault} ({}): {}", outcome.detail, outcome.sample.join(", "))
}

fn unfit(target: &Target) -> Error {
    let what = format!("the new rows of `{}` can't be told apart by their key", target.table);
    Error::new(ErrorKind::Data, what).at(target.origin.place("`mode: upsert` goes by the key"))
}

/// A row takes the place of one row: where it would be that of several, rows would vanish.
async fn refuse_repeated(
    plan: &Plan,
    new: &KeyedRows<'_>,
    old: &TableFiles,
    touched: &[(&DataFile, u64)],
    (replaced, by): (u64, JoinBy),
) -> Result<()> {
    if replaced == 0 {
        return Ok(());
    }
    let files = touched.iter().map(|(file, _)| (*file).clone()).collect();
    let touched = TableFiles { schema: old.schema.clone(), files };
    let matched = plan.engine.matched(new, &touched, by).await?;
    if matched == replaced {
        return Ok(());
    }
    let what = format!("published rows of `{}` repeat a key, and can't be upserted", new.table);
    Err(Error::new(ErrorKind::Data, what)
        .because(format!(
            "{matched} new rows would take the place of {replaced} published ones, by {}",
            new.key.join(", ")
        ))
        .hint("load the table once with `mode: replace`, or name columns that tell rows apart"))
}
