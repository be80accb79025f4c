//! The `parquet` part of a project, a pipeline and a table.

use super::Scope;
use crate::{
    config::{Compression, ParquetConfig, raw, written::Text},
    error::Result,
    types::ByteSize,
};

/// Smaller row groups cost readers more in metadata than they save.
const LEAST_ROW_GROUP: ByteSize = ByteSize::mib(1);

/// Larger ones are held in memory by every writer, and read by one thread each.
const LARGEST_ROW_GROUP: ByteSize = ByteSize::mib(1024);

/// The levels that zstd has.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=22;

impl Scope<'_> {
    /// What `written` says, and `inherited` where it says nothing.
    pub(super) fn parquet(
        &self,
        written: Option<&raw::Parquet>,
        inherited: ParquetConfig,
    ) -> Result<ParquetConfig> {
        let Some(raw::Parquet { compression, level, row_group }) = written else {
            return Ok(inherited);
        };
        let compression = match compression {
            Some(written) => self.compression(written, inherited.compression)?,
            None => inherited.compression,
        };
        Ok(ParquetConfig {
            compression: match level {
                Some(written) => self.level(written, compression)?,
                None => compression,
            },
            row_group: match row_group {
                Some(written) => self.row_group(written)?,
                None => inherited.row_group,
            },
        })
    }

    /// A codec; naming the inherited one again keeps its level.
    fn compression(&self, written: &Text, inherited: Compression) -> Result<Compression> {
        let zstd = match inherited {
            Compression::Zstd { .. } => inherited,
            _ => ParquetConfig::default().compression,
        };
        let known = [
            ("zstd", zstd),
            ("lz4", Compression::Lz4),
            ("snappy", Compression::Snappy),
            ("none", Compression::None),
        ];
        self.keyword(written, "a compression", &known)
    }

    fn level(&self, written: &Text, compression: Compression) -> Result<Compression> {
        let Compression::Zstd { .. } = compression else {
            return Err(self
                .wrong(written, "`level` is zstd's, and the compression here is another")
                .hint("leave out `level`, or say `compression: zstd`"));
        };
        let level = self.read(written, "a level from 1 to 22", |text| {
            text.parse().ok().filter(|level| LEVELS.contains(level))
        })?;
        Ok(Compression::Zstd { level })
    }

    fn row_group(&self, written: &Text) -> Result<ByteSize> {
        let size = self.size(written)?;
        if (LEAST_ROW_GROUP..=LARGEST_ROW_GROUP).contains(&size) {
            return Ok(size);
        }
        let detail = format!("a row group has {LEAST_ROW_GROUP} to {LARGEST_ROW_GROUP}");
        let error = self.wrong(written, detail);
        let is_slip = size < LEAST_ROW_GROUP;
        Err(if is_slip { error.hint("write the unit too: `64MiB`") } else { error })
    }
}
