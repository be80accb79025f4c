//! How a run divides its one memory ceiling among what works at the same time.

use crate::{config::ParquetConfig, stage::EncodeOptions, types::ByteSize};

/// Row groups of fewer bytes cost readers more than the memory is worth.
const LEAST_ROW_GROUP: usize = 4 << 20;

/// Row groups of all writers together take at most this part of the ceiling.
const ROW_GROUPS: usize = 4;

/// How `writers` that work at once write their files under `ceiling`: as `parquet` says, with row
/// groups small enough that all of them fit.
pub(super) fn encode_options(
    parquet: &ParquetConfig,
    ceiling: ByteSize,
    writers: usize,
) -> EncodeOptions {
    let share = ceiling.as_usize() / (ROW_GROUPS * writers.max(1));
    let row_group = parquet.row_group.as_usize();
    EncodeOptions {
        compression: parquet.compression,
        row_group_bytes: row_group.min(share.max(LEAST_ROW_GROUP)),
        ..EncodeOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_are_as_asked_unless_the_ceiling_is_low() {
        let asked = |mebibytes| ParquetConfig {
            row_group: ByteSize::mib(mebibytes),
            ..ParquetConfig::default()
        };
        let row_group = |mebibytes, ceiling, writers| {
            encode_options(&asked(mebibytes), ByteSize::mib(ceiling), writers).row_group_bytes >> 20
        };
        assert_eq!(row_group(64, 4096, 4), 64);
        assert_eq!(row_group(1, 4096, 4), 1);
        assert_eq!(row_group(64, 256, 4), 16);
        assert_eq!(row_group(64, 64, 64), 4);
        assert_eq!(row_group(1, 64, 64), 1);
    }
}
