//! What is written is read back by the `parquet` crate's reader, value by value. Readers that share
//! nothing with it compare whole tables in the integration tests.

use std::sync::Arc;

use arrow::{
    array::{
        BinaryViewArray, Date32Array, Decimal128Array, Int16Array, Int32Array, Int64Array,
        ListArray, RecordBatch, StringViewArray, StructArray, TimestampMicrosecondArray,
    },
    compute::concat_batches,
    datatypes::{Field, Int32Type, Schema, SchemaRef},
};
use parquet::basic::{Compression, Encoding};
use parquet::{
    arrow::arrow_reader::ArrowReaderOptions,
    arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector},
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData},
};
use proptest::prelude::*;

use super::*;
use crate::{
    config,
    stage::file::{Layout, StageFile},
};

/// Writes `batches` as one row group and gives back what a reader makes of it.
fn round_trip(
    batches: &[RecordBatch],
    compression: config::Compression,
) -> (RecordBatch, Arc<ParquetMetaData>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let layout = Layout::of(batches[0].schema(), &batches[0], compression).unwrap();
    let mut group = layout.row_group().unwrap();
    for batch in batches {
        group.write(batch).unwrap();
    }
    assert!(group.bytes() > 0);
    let mut file = StageFile::create(path.clone(), &layout).unwrap();
    file.append(group.close().unwrap()).unwrap();
    file.finish(&layout.schema).unwrap();
    let open = || {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let file = std::fs::File::open(&path).unwrap();
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap()
    };
    let metadata = open().metadata().clone();
    let rows = |selection: Option<RowSelection>| {
        let mut reader = open().with_batch_size(1000);
        if let Some(selection) = selection {
            reader = reader.with_row_selection(selection);
        }
        let read: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&layout.schema, &read).unwrap()
    };
    let all = rows(None);
    // By the offset index: only pages that hold the last row.
    if let Some(before) = all.num_rows().checked_sub(1) {
        let last = [RowSelector::skip(before), RowSelector::select(1)].to_vec();
        assert_eq!(rows(Some(last.into())), all.slice(before, 1));
    }
    (all, metadata)
}

fn assert_same(batches: &[RecordBatch]) -> Arc<ParquetMetaData> {
    let (read, metadata) = round_trip(batches, config::Compression::Zstd { level: 1 });
    assert_eq!(read, concat_batches(&batches[0].schema(), batches).unwrap());
    metadata
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields = columns.iter().enumerate();
    let fields: Vec<_> = fields
        .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), true))
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns).unwrap()
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

/// A value of every kind from one number, NULL where it says so.
fn row_of(seeds: &[Option<i64>]) -> RecordBatch {
    let each = || seeds.iter().copied();
    let wide = |seed: i64| i128::from(seed) * 1_000_000_007;
    batch(vec![
        Arc::new(each().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(each().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(each().collect::<Int64Array>()),
        Arc::new(each().map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
        Arc::new(each().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(
            each()
                .map(|v| v.map(|v| i128::from(v % 100_000)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(7, 2)
                .unwrap(),
        ),
        Arc::new(
            each()
                .map(|v| v.map(|v| i128::from(v % 1_000_000_000_000)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(18, 4)
                .unwrap(),
        ),
        Arc::new(
            each()
                .map(|v| v.map(wide))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(38, 0)
                .unwrap(),
        ),
        texts(each().map(|v| v.map(|v| "é".repeat(v.unsigned_abs() as usize % 90)))),
        Arc::new(each().map(|v| v.map(i64::to_be_bytes)).collect::<BinaryViewArray>()),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_values_are_read_back(
        batches in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![
                    1 => Just(None),
                    3 => any::<i64>().prop_map(Some),
                    3 => (0_i64..20).prop_map(Some),
                    1 => prop::sample::select(vec![i64::MIN, i64::MAX, i64::from(i32::MIN), i64::from(i32::MAX)]).prop_map(Some),
                ],
                1..400,
            ),
            1..4,
        ),
        slice in 0_usize..9,
    ) {
        let batches: Vec<_> = batches
            .iter()
            .map(|seeds| row_of(seeds))
            // A slice's bitmap begins in the middle of a byte.
            .map(|batch| batch.slice(slice.min(batch.num_rows()), batch.num_rows().saturating_sub(slice)))
            .collect();
        if batches[0].num_rows() > 0 {
            assert_same(&batches);
        }
    }
}

#[test]
fn columns_of_nulls_only_are_read_back() {
    let metadata = assert_same(&[row_of(&vec![None; 1500]), row_of(&[None; 3])]);
    for column in metadata.row_group(0).columns() {
        assert_eq!(column.statistics().unwrap().null_count_opt(), Some(1503), "{column:?}");
    }
}

#[test]
fn a_dictionary_that_fills_up_is_left_in_the_middle() {
    // Few values at first, then new ones without end.
    let numbers = |base: i64, different: i64| -> Vec<Option<i64>> {
        (0..20_000).map(|at| Some(base + at * at % different)).collect()
    };
    let batches: Vec<_> = std::iter::once(numbers(0, 7))
        .chain((1..20).map(|base| numbers(base * 1_000_000, 1 << 40)))
        .map(|seeds| {
            let text = |seed: i64| format!("a text that no view holds {seed}");
            batch(vec![
                Arc::new(seeds.iter().copied().collect::<Int64Array>()),
                texts(seeds.iter().map(|seed| seed.map(text))),
            ])
        })
        .collect();
    let metadata = assert_same(&batches);
    for column in metadata.row_group(0).columns() {
        let other = if column.column_type() == Type::INT64 {
            Encoding::DELTA_BINARY_PACKED
        } else {
            Encoding::DELTA_LENGTH_BYTE_ARRAY
        };
        let encodings: Vec<_> = column.encodings().collect();
        assert!(encodings.contains(&Encoding::RLE_DICTIONARY), "{encodings:?}");
        assert!(encodings.contains(&other), "{encodings:?}");
        let statistics = column.statistics().unwrap();
        assert!(statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some());
    }
}

#[test]
fn statistics_bound_what_was_written() {
    let long = format!("{}é", "z".repeat(63));
    let batches = [batch(vec![
        Arc::new(Int32Array::from(vec![Some(5), None, Some(-3), Some(9)])),
        texts(["b", "a", "ab", &long].into_iter().map(|text| Some(text.to_owned()))),
        texts([Some(long.clone()), None, Some(long.clone()), None].into_iter()),
    ])];
    let metadata = assert_same(&batches);
    let bounds = |at: usize| {
        let statistics = metadata.row_group(0).column(at).statistics().unwrap();
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        (owned(statistics.min_bytes_opt()), owned(statistics.max_bytes_opt()))
    };
    assert_eq!(
        bounds(0),
        (Some((-3_i32).to_le_bytes().to_vec()), Some(9_i32.to_le_bytes().to_vec()))
    );
    // A greatest value that would have to be cut is not given; a least one is cut at a character.
    assert_eq!(bounds(1), (Some(b"a".to_vec()), None));
    assert_eq!(bounds(2), (Some("z".repeat(63).into_bytes()), None));
}

#[test]
fn incompressible_pages_are_left_as_they_are() {
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 1) as i64
    };
    let numbers: Int64Array = (0..10_000).map(|_| Some(random())).collect();
    let words = texts((0..10_000).map(|at| Some(format!("a text that is mostly the same {at}"))));
    let metadata = assert_same(&[batch(vec![Arc::new(numbers), words])]);
    let codecs: Vec<_> =
        metadata.row_group(0).columns().iter().map(ColumnChunkMetaData::compression).collect();
    assert!(matches!(codecs[..], [Compression::UNCOMPRESSED, Compression::ZSTD(_)]));
}

#[test]
fn every_compression_is_read_back() {
    let words = texts((0..10_000).map(|at| Some(format!("a text that is mostly the same {at}"))));
    let batch = batch(vec![words]);
    for (asked, written) in [
        (config::Compression::None, "UNCOMPRESSED"),
        (config::Compression::Zstd { level: 9 }, "ZSTD"),
        (config::Compression::Lz4, "LZ4_RAW"),
        (config::Compression::Snappy, "SNAPPY"),
    ] {
        let (read, metadata) = round_trip(std::slice::from_ref(&batch), asked);
        assert_eq!(read, batch);
        let used = metadata.row_group(0).column(0).compression().to_string();
        assert!(used.starts_with(written), "{used}");
    }
}

#[test]
fn nested_columns_stand_between_flat_ones() {
    let number = |base: i32| Arc::new((base..base + 100).map(Some).collect::<Int32Array>());
    let fields = |names: [&str; 3]| -> Vec<_> {
        names.map(|name| Arc::new(Field::new(name, DataType::Int32, true))).to_vec()
    };
    let three = fields(["months", "days", "micros"]);
    let nested = StructArray::new(
        three.into(),
        vec![number(1), number(2), number(3)],
        Some((0..100).map(|at| at % 7 > 0).collect()),
    );
    let lists = (0..100).map(|at| (at % 5 > 0).then(|| vec![Some(at); at as usize % 4]));
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let wide: Decimal128Array = (0..100).map(|at| Some(i128::from(at) << 80)).collect();
    assert_same(&[batch(vec![
        texts((0..100).map(|at| Some(format!("{at}")))),
        Arc::new(nested),
        number(7),
        Arc::new(lists),
        Arc::new(wide),
        texts((0..100).map(|at| (at % 3 > 0).then(|| format!("{at}")))),
    ])]);
}
