use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListBuilder,
        StringBuilder, StringViewArray, TimestampMicrosecondArray,
    },
    ipc::reader::StreamReader,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::*;

fn batch() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None]);
    tags.append_null();
    tags.append_value(Vec::<Option<&str>>::new());
    let price = Decimal128Array::from(vec![Some(1250), None, Some(-1_234_567_890_123_456_789)])
        .with_precision_and_scale(20, 2)
        .unwrap();
    let at = TimestampMicrosecondArray::from(vec![Some(1_500_000), None, Some(0)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(9_007_199_254_740_993)]))),
        ("name", Arc::new(StringViewArray::from(vec![Some("Ζωή, \"Z\""), None, Some("")]))),
        ("price", Arc::new(price)),
        ("score", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), None, Some(0)]))),
        ("at", Arc::new(at.clone().with_timezone("UTC"))),
        ("local", Arc::new(at)),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x00\xff"), None, Some(b"")]))),
        ("tags", Arc::new(tags.finish())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn stream(batches: Vec<RecordBatch>) -> impl Stream<Item = Result<RecordBatch>> + Unpin {
    futures::stream::iter(batches.into_iter().map(Ok))
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn printed(batches: Vec<RecordBatch>, format: RowFormat, width: Option<usize>) -> String {
    let (mut output, written) = Output::captured(width);
    let schema = batches[0].schema();
    block(to_stdout(&schema, stream(batches), format, &mut output)).unwrap();
    written.text()
}

#[test]
fn a_table_shows_every_value_whole_where_no_terminal_is() {
    insta::assert_snapshot!(printed(vec![batch()], RowFormat::Table, None), @r#"
                  id  name                      price  score  day         at                        local                    raw   tags
    ────────────────  ────────  ─────────────────────  ─────  ──────────  ────────────────────────  ───────────────────────  ────  ──────────
                   1  Ζωή, "Z"                  12.50    0.1  2024-10-04  1970-01-01T00:00:01.500Z  1970-01-01T00:00:01.500  00ff  ["a",null]
                NULL  NULL                       NULL   NULL  NULL        NULL                      NULL                     NULL  NULL
    9007199254740993            -12345678901234567.89    NaN  1970-01-01  1970-01-01T00:00:00Z      1970-01-01T00:00:00            []
    "#);
}

#[test]
fn a_table_fits_its_terminal_by_shortening_text_and_nothing_else() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 1]))),
        (
            "note",
            Arc::new(StringViewArray::from(vec!["ab ".repeat(20), "置き配で\nお願い".into()])),
        ),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]))),
    ];
    let shown =
        printed(vec![RecordBatch::try_from_iter(columns).unwrap()], RowFormat::Table, Some(72));
    assert!(shown.lines().all(|line| console::measure_text_width(line) <= 72));
    insta::assert_snapshot!(shown, @r"
                  id  note                        at
    ────────────────  ──────────────────────────  ──────────────────────────
    9007199254740993  ab ab ab ab ab ab ab ab a…  1970-01-01T00:00:00
                   1  置き配で\nお願い            1970-01-01T00:00:00.000001
    ");
}

#[test]
fn a_table_streams_after_its_first_rows() {
    let numbers = |range: std::ops::Range<i64>| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    };
    let shown = printed(vec![numbers(0..999), numbers(999..20_000)], RowFormat::Table, None);
    assert_eq!(shown.lines().count(), 20_002);
    assert_eq!(shown.lines().nth(11), Some("  9"), "three digits wide when it began");
    assert_eq!(shown.lines().last(), Some("19999"), "never cut");
}

#[test]
fn csv_tells_null_from_empty_text() {
    insta::assert_snapshot!(printed(vec![batch()], RowFormat::Csv, None), @r#"
    id,name,price,score,day,at,local,raw,tags
    1,"Ζωή, ""Z""",12.50,0.1,2024-10-04,1970-01-01T00:00:01.500Z,1970-01-01T00:00:01.500,00ff,"[""a"",null]"
    ,,,,,,,,
    9007199254740993,"",-12345678901234567.89,NaN,1970-01-01,1970-01-01T00:00:00Z,1970-01-01T00:00:00,"",[]
    "#);
}

#[test]
fn json_changes_no_value() {
    let shown = printed(vec![batch()], RowFormat::Json, None);
    for line in shown.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    insta::assert_snapshot!(shown, @r#"
    {"id":1,"name":"Ζωή, \"Z\"","price":12.50,"score":0.1,"day":"2024-10-04","at":"1970-01-01T00:00:01.500Z","local":"1970-01-01T00:00:01.500","raw":"00ff","tags":["a",null]}
    {"id":null,"name":null,"price":null,"score":null,"day":null,"at":null,"local":null,"raw":null,"tags":null}
    {"id":"9007199254740993","name":"","price":"-12345678901234567.89","score":"NaN","day":"1970-01-01","at":"1970-01-01T00:00:00Z","local":"1970-01-01T00:00:00","raw":"","tags":[]}
    "#);
}

#[test]
fn binary_formats_come_back_equal() {
    let folder = tempfile::tempdir().unwrap();
    let write = |format, name: &str| {
        let path = folder.path().join(name);
        let schema = batch().schema();
        let written = block(to_file(&schema, stream(vec![batch(), batch()]), format, &path));
        assert_eq!(written.unwrap(), Written { rows: 6 });
        std::fs::File::open(path).unwrap()
    };
    let both = arrow::compute::concat_batches(&batch().schema(), &[batch(), batch()]).unwrap();
    let parquet =
        ParquetRecordBatchReader::try_new(write(RowFormat::Parquet, "a.parquet"), 1024).unwrap();
    let stream = StreamReader::try_new(write(RowFormat::Arrow, "a.arrow"), None).unwrap();
    for read in [parquet.collect::<Vec<_>>(), stream.collect::<Vec<_>>()] {
        let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
        let read = arrow::compute::concat_batches(&batch().schema(), &read).unwrap();
        // NaN differs from itself, so the two are compared as text.
        assert_eq!(format!("{read:?}"), format!("{both:?}"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn a_failed_file_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.csv");
    std::fs::write(&path, "old").unwrap();
    let broken = futures::stream::iter([
        Ok(batch()),
        Err(Error::new(ErrorKind::Storage, "a file of `shop.orders` is missing")),
    ]);
    let stop = block(to_file(&batch().schema(), broken, RowFormat::Csv, &path)).unwrap_err();
    let Stop::Failed(error) = stop else { panic!("it is an error") };
    assert!(error.what().ends_with("result.csv` was not written"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let refused = |format, width, schema: &Schema| {
        let (mut output, written) = Output::captured(width);
        let stop = block(to_stdout(schema, stream(vec![]), format, &mut output)).unwrap_err();
        assert_eq!(written.text(), "");
        let Stop::Failed(error) = stop else { panic!("it is an error") };
        (error.kind(), error.what().to_owned())
    };
    let fields = batch().schema().fields().to_vec();
    let twice = Schema::new([fields.clone(), fields].concat());
    assert_eq!(refused(RowFormat::Parquet, None, &batch().schema()).0, ErrorKind::Usage);
    assert_eq!(refused(RowFormat::Arrow, Some(80), &batch().schema()).0, ErrorKind::Usage);
    assert_eq!(
        refused(RowFormat::Json, None, &twice).1,
        "two columns of the result are named `id`"
    );
}

#[test]
fn a_reader_that_leaves_is_not_an_error() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [RowFormat::Table, RowFormat::Csv, RowFormat::Json, RowFormat::Arrow] {
        let page = Page { width: None, paint: Paint::Plain };
        let mut gone = Gone;
        let stop = text_writer(&batch().schema(), format, page, &mut gone)
            .and_then(|mut writer| writer.write(&batch()).and_then(|()| writer.finish()));
        assert!(matches!(stop, Err(Stop::NobodyListens)), "{format:?}");
    }
}

#[test]
fn a_file_says_its_format() {
    let formats =
        ["a.csv", "a.NDJSON", "a.parquet", "a.arrow", "a"].map(|name| format_of(Path::new(name)));
    assert_eq!(
        formats,
        [
            Some(RowFormat::Csv),
            Some(RowFormat::Json),
            Some(RowFormat::Parquet),
            Some(RowFormat::Arrow),
            None
        ]
    );
}
