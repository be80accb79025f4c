//! Which generations stay, and what their readers may still read.
//!
//! A generation leaves in two steps. First its record moves from `_longshore/generations/` to
//! `_longshore/expired/`, so that nobody begins to read it. Its files stay for the grace, because
//! somebody may have begun just before. Only when that is over, the files that nobody else holds go,
//! and after them the record.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::{ObjectStoreExt as _, path::Path};
use serde::{Deserialize, Serialize};

use super::{
    GenerationRecord, Version, Warehouse,
    root::{child, number, numbered, storage},
};
use crate::{
    config::{Format, Retention},
    error::{Context as _, ErrorKind, Result},
    types::{Generation, TableName},
};

/// How many records are read at once.
const READ_AHEAD: usize = 16;

/// A generation that nobody begins to read any more.
#[derive(Debug, Serialize, Deserialize)]
struct Expired {
    /// Since when, RFC 3339 in UTC.
    expired_at: String,
    /// The generation as it was kept.
    record: GenerationRecord,
}

/// The versions of each table that somebody may read. Tables go by their names as records write
/// them, where a dot in a schema's name looks like the one behind it: so too much is held, if ever.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<String, BTreeSet<(Format, Version)>>);

impl Held {
    /// The versions of `table` that are held.
    pub(super) fn of(&self, table: &TableName) -> BTreeSet<(Format, Version)> {
        self.0.get(&table.to_string()).cloned().unwrap_or_default()
    }

    fn hold(&mut self, table: &TableName, format: Format, version: Version) {
        self.0.entry(table.to_string()).or_default().insert((format, version));
    }

    fn hold_all(&mut self, record: &GenerationRecord) {
        for (table, pinned) in &record.tables {
            self.hold(table, pinned.format, pinned.version);
        }
    }
}

/// Where every generation stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// What must stay readable.
    pub(super) held: Held,
    /// Generations that stay, in no order.
    pub(super) kept: Vec<Generation>,
    /// Generations that have to leave now, the oldest first.
    pub(super) leaving: Vec<Generation>,
    /// Generations that left, and whose readers may still be at work.
    pub(super) waiting: Vec<Generation>,
    /// Generations that left so long ago that nobody reads them any more.
    pub(super) over: Vec<Generation>,
}

impl Warehouse {
    /// Looks at every generation there is or was. Changes nothing.
    pub(super) async fn standing(&self, retention: &Retention, now: Timestamp) -> Result<Standing> {
        let mut standing = Standing::default();
        self.look_at_generations(retention, now, &mut standing).await?;
        self.look_at_expired(retention, now, &mut standing).await?;
        self.look_at_intents(&mut standing).await?;
        Ok(standing)
    }

    async fn look_at_generations(
        &self,
        retention: &Retention,
        now: Timestamp,
        standing: &mut Standing,
    ) -> Result<()> {
        let names = self.root.names(&self.generations_folder()?).await?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        let mut records = futures::stream::iter(numbers)
            .map(|number| self.generation(Generation(number)))
            .buffered(READ_AHEAD);
        let young = now.checked_sub(retention.age).unwrap_or(Timestamp::MIN);
        // When the one after it was published; the newest is current to this day. A time that can't
        // be read keeps the generation.
        let mut current_until: Option<Timestamp> = None;
        while let Some(record) = records.try_next().await? {
            let Some(record) = record else { continue };
            let stays = standing.kept.len() < retention.generations.max(1)
                || current_until.is_none_or(|until| until >= young);
            if stays && standing.leaving.is_empty() {
                standing.kept.push(record.generation);
            } else {
                standing.leaving.push(record.generation);
            }
            standing.held.hold_all(&record);
            current_until = record.published_at.parse().ok();
        }
        standing.leaving.reverse();
        Ok(())
    }

    async fn look_at_expired(
        &self,
        retention: &Retention,
        now: Timestamp,
        standing: &mut Standing,
    ) -> Result<()> {
        let folder = self.expired_folder()?;
        for name in self.root.names(&folder).await? {
            let Some(generation) = number(&name).map(Generation) else { continue };
            if standing.leaving.contains(&generation) {
                // A crash came between the two copies: it is still offered, and expires anew.
                continue;
            }
            let Some(expired) = self.expired(&child(&folder, &name)?).await? else { continue };
            let since: Option<Timestamp> = expired.expired_at.parse().ok();
            let end = since.and_then(|since| since.checked_add(retention.grace).ok());
            if end.is_some_and(|end| end < now) || standing.kept.contains(&generation) {
                standing.over.push(generation);
            } else {
                standing.held.hold_all(&expired.record);
                standing.waiting.push(generation);
            }
        }
        standing.waiting.sort_unstable();
        standing.over.sort_unstable();
        Ok(())
    }

    /// A publish under way may still be taken back to the versions that it found.
    async fn look_at_intents(&self, standing: &mut Standing) -> Result<()> {
        for name in self.root.names(&self.intents_folder()?).await? {
            let Some(run) = name.strip_suffix(".json").and_then(|run| run.parse().ok()) else {
                continue;
            };
            let Some(intent) = self.read_intent(&run).await? else { continue };
            for (table, base) in &intent.bases {
                let (_, pinned) = intent.of(table)?;
                let newest = self.table_format(pinned.format).current(table).await?;
                let versions = base.iter().chain([&pinned.version]);
                for version in versions.filter(|version| newest >= Some(**version)) {
                    standing.held.hold(table, pinned.format, *version);
                }
            }
        }
        Ok(())
    }

    /// Takes generations out of what is offered, the oldest first. Cut short, the next clean goes on.
    pub(super) async fn expire(&self, leaving: &[Generation], now: Timestamp) -> Result<()> {
        let (from, to) = (self.generations_folder()?, self.expired_folder()?);
        for generation in leaving {
            let name = numbered(generation.0);
            let Some(record) = self.generation(*generation).await? else { continue };
            let expired = Expired { expired_at: now.to_string(), record };
            let content = serde_json::to_vec_pretty(&expired)
                .or_fail(ErrorKind::Internal, || "a generation can't be written".to_owned())?;
            let path = child(&to, &name)?;
            self.store()
                .put(&path, content.into())
                .await
                .map_err(|error| storage(format!("`{path}` can't be written"), error))?;
            self.step(&format!("expired_written:{generation}"))?;
            self.root.remove(&child(&from, &name)?).await?;
            self.step(&format!("generation_removed:{generation}"))?;
        }
        Ok(())
    }

    /// Forgets generations that left, after their files.
    pub(super) async fn forget(&self, over: &[Generation]) -> Result<()> {
        let folder = self.expired_folder()?;
        for generation in over {
            self.root.remove(&child(&folder, &numbered(generation.0))?).await?;
        }
        Ok(())
    }

    async fn expired(&self, path: &Path) -> Result<Option<Expired>> {
        let Some(content) = self.root.read(path).await? else { return Ok(None) };
        serde_json::from_slice(&content)
            .map(Some)
            .or_fail(ErrorKind::Storage, || format!("the record `{path}` is damaged"))
    }

    fn expired_folder(&self) -> Result<Path> {
        self.root.at("_longshore/expired")
    }
}
