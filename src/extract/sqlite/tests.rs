//! The source as a whole, on real files.

use std::sync::{Arc, Mutex};

use arrow::{array::AsArray, datatypes::Int64Type, record_batch::RecordBatch};
use sqlx::{ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::{
    config::{ClientFiles, Limits, OnMismatch, Origin, Secret, SourceKind},
    extract::{BatchSink, Chunk, ChunkPart, ColumnRequest, Misfit, SourcePosition},
    types::{Budget, TableName},
};

/// A folder with one file, and a connection that may write to it.
struct Fixture {
    folder: tempfile::TempDir,
    writer: SqliteConnection,
}

impl Fixture {
    async fn new(sql: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("shop.db"))
            .create_if_missing(true);
        let mut writer = options.connect().await.unwrap();
        writer.execute(sql).await.unwrap();
        Self { folder, writer }
    }

    fn source(&self, connections: usize) -> SqliteSource {
        source(&self.folder.path().join("shop.db"), connections)
    }
}

fn source(path: &Path, connections: usize) -> SqliteSource {
    SqliteSource::new(&Connection {
        name: "shop".into(),
        kind: SourceKind::Sqlite,
        url: Secret::new(format!("sqlite:{}", path.display())),
        files: ClientFiles::default(),
        limits: Limits { connections, ..Limits::default() },
        allow_primary: false,
        origin: Origin::start("longshore.yml", ""),
    })
    .unwrap()
}

fn session() -> Session {
    Session::new("longshore/test", Budget::new(ByteSize::mib(64)))
}

fn request(table: &SourceTable) -> TableRequest {
    let columns = table.columns.iter().map(|column| ColumnRequest {
        source: column.clone(),
        field: Arc::new(arrow::datatypes::Field::new(
            &column.name,
            column.mapping.data_type().unwrap().clone(),
            true,
        )),
        cast: None,
        mask: None,
        on_mismatch: OnMismatch::Error,
    });
    TableRequest {
        into: TableName::new("shop", &table.name),
        columns: columns.collect(),
        from: table.clone(),
        filter: None,
    }
}

fn all() -> TablePattern {
    TablePattern { schema: None, table: "*".into() }
}

async fn table(source: &SqliteSource, name: &str) -> SourceTable {
    let pattern = TablePattern { schema: None, table: name.into() };
    source.discover(&[pattern]).await.unwrap().remove(0)
}

/// What a chunk gave: its batches, the rows that were confirmed, and what did not fit.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Given>>);

type Given = (Vec<RecordBatch>, Option<u64>, Vec<Misfit>);

impl BatchSink for Kept {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.0.lock().unwrap().0.push(batch);
        Ok(())
    }

    fn push_misfits(&mut self, batch: RecordBatch, misfits: Vec<Misfit>) -> Result<()> {
        let mut kept = self.0.lock().unwrap();
        kept.0.push(batch);
        kept.2.extend(misfits);
        Ok(())
    }

    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        self.0.lock().unwrap().1 = Some(rows);
        Ok(())
    }
}

async fn read(snapshot: &dyn Snapshot, chunk: &Chunk) -> Result<Vec<RecordBatch>> {
    let kept = Kept::default();
    snapshot.read(chunk, Box::new(kept.clone())).await?;
    let (batches, confirmed, misfits) = std::mem::take(&mut *kept.0.lock().unwrap());
    assert_eq!(misfits, []);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(confirmed, Some(rows as u64));
    Ok(batches)
}

async fn read_first(source: &SqliteSource, request: TableRequest) -> Result<Vec<RecordBatch>> {
    let snapshot = source.open(&[request], &session()).await?;
    let batches = read(snapshot.as_ref(), &snapshot.chunks(0)[0]).await?;
    snapshot.close().await?;
    Ok(batches)
}

fn text(error: &Error) -> String {
    let mut lines = vec![format!("{}: {}", error.kind(), error.what())];
    lines.extend(error.causes().iter().map(|cause| format!("  because {cause}")));
    lines.extend(error.hints().iter().map(|hint| format!("  hint {hint}")));
    lines.join("\n")
}

#[tokio::test]
async fn every_kind_of_table_is_described() {
    let fixture = Fixture::new(
        "CREATE TABLE orders (
             id INTEGER PRIMARY KEY, customer TEXT NOT NULL, total DECIMAL(12,2),
             doubled REAL GENERATED ALWAYS AS (total * 2) STORED, placed DATETIME, extra);
         INSERT INTO orders (id, customer) VALUES (7, 'a'), (9, 'b');
         CREATE TABLE pairs (a INT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID;
         CREATE VIEW totals AS SELECT customer, count(*) AS n FROM orders GROUP BY 1;
         CREATE VIEW broken AS SELECT * FROM gone;
         CREATE VIRTUAL TABLE words USING fts5(body);
         ANALYZE orders;",
    )
    .await;
    let mut lines = String::new();
    for table in fixture.source(1).discover(&[all()]).await.unwrap() {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| {
                let bang = if column.nullable { "" } else { "!" };
                format!("{} {}{bang}", column.name, column.declared)
            })
            .collect();
        lines += &format!(
            "{} {:?} readable={} key={:?} rows={:?} [{}]\n",
            table.display_name(),
            table.kind,
            table.readable,
            table.key,
            table.estimated_rows,
            columns.join(", ")
        );
    }
    insta::assert_snapshot!(lines, @r#"
    main.broken View readable=false key=[] rows=None []
    main.orders Table readable=true key=["id"] rows=Some(2) [id INTEGER, customer TEXT!, total DECIMAL(12,2), doubled REAL, placed DATETIME, extra any]
    main.pairs Table readable=true key=["b", "a"] rows=None [a INT!, b INT!]
    main.totals View readable=true key=[] rows=None [customer TEXT, n any]
    main.words Table readable=true key=[] rows=None [body any]
    "#);
}

#[tokio::test]
async fn rows_arrive_as_their_declared_types() {
    let fixture = Fixture::new(
        "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, f BOOLEAN, d DECIMAL(10,2), day DATE,
                         at TIMESTAMP, loose);
         INSERT INTO t VALUES
             (1, 1, 'é', x'00ff', 1, 12.3, '2024-02-29', '2024-02-29 12:00:00.000001', 4.5),
             (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);",
    )
    .await;
    let source = fixture.source(1);
    let request = request(&table(&source, "t").await);
    let batches = read_first(&source, request).await.unwrap();
    insta::assert_snapshot!(arrow::util::pretty::pretty_format_batches(&batches).unwrap(), @r"
    +---+-----+---+------+------+-------+------------+-----------------------------+-------+
    | i | r   | s | b    | f    | d     | day        | at                          | loose |
    +---+-----+---+------+------+-------+------------+-----------------------------+-------+
    | 1 | 1.0 | é | 00ff | true | 12.30 | 2024-02-29 | 2024-02-29T12:00:00.000001Z | 4.5   |
    |   |     |   |      |      |       |            |                             |       |
    +---+-----+---+------+------+-------+------------+-----------------------------+-------+
    ");
}

#[tokio::test]
async fn chunks_hold_each_row_once() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY);
         WITH RECURSIVE n(i) AS (SELECT -1000 UNION ALL SELECT i + 1 FROM n WHERE i < 299000)
         INSERT INTO t SELECT i FROM n;
         INSERT INTO t VALUES (-9223372036854775808), (9223372036854775807), (9223372036854775806);
         CREATE TABLE empty (id INTEGER PRIMARY KEY);",
    )
    .await;
    let source = fixture.source(2);
    let requests = [request(&table(&source, "t").await), request(&table(&source, "empty").await)];
    let snapshot = source.open(&requests, &session()).await.unwrap();
    let mut ids = Vec::new();
    for chunk in snapshot.chunks(0) {
        for batch in read(snapshot.as_ref(), chunk).await.unwrap() {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
    }
    let mut expected: Vec<_> = (-1000..=299_000).collect();
    expected.insert(0, i64::MIN);
    expected.extend([i64::MAX - 1, i64::MAX]);
    assert_eq!(ids, expected);
    assert_eq!(snapshot.chunks(0).len() > 1, snapshot.parallelism() > 1);
    let [only] = snapshot.chunks(1) else { panic!("an empty table has one chunk") };
    assert_eq!(only.part, ChunkPart::Whole);
    assert!(read(snapshot.as_ref(), only).await.unwrap().is_empty());
}

#[tokio::test]
async fn all_readers_see_one_state_while_others_write() {
    let mut fixture = Fixture::new(
        "PRAGMA journal_mode = wal;
         CREATE TABLE t (id INTEGER PRIMARY KEY);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250000)
         INSERT INTO t SELECT i FROM n;",
    )
    .await;
    let source = fixture.source(4);
    let requests = [request(&table(&source, "t").await)];
    let snapshot = source.open(&requests, &session()).await.unwrap();
    let before = snapshot.position().clone();
    fixture
        .writer
        .execute("DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (-1)")
        .await
        .unwrap();
    let reads = snapshot.chunks(0).iter().map(|chunk| read(snapshot.as_ref(), chunk));
    let batches = futures::future::try_join_all(reads).await.unwrap().concat();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 250_000);
    snapshot.close().await.unwrap();

    fixture.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let snapshot = source.open(&requests, &session()).await.unwrap();
    let counter = |position: &SourcePosition| match position {
        SourcePosition::Sqlite { change_counter, .. } => *change_counter,
        SourcePosition::Postgres { .. } => panic!("not a SQLite position"),
    };
    assert!(counter(snapshot.position()) > counter(&before));
}

#[tokio::test]
async fn reading_leaves_the_file_as_it_was() {
    let mut fixture = Fixture::new("CREATE TABLE t (a); INSERT INTO t VALUES (1)").await;
    let source = fixture.source(2);
    let path = fixture.folder.path().join("shop.db");
    let before = std::fs::read(&path).unwrap();
    source.preflight().await.unwrap();
    let request = request(&table(&source, "t").await);
    read_first(&source, request).await.unwrap();
    for harmful in
        ["DELETE FROM t RETURNING a", "PRAGMA user_version = 3", "SELECT 1; DROP TABLE t"]
    {
        assert!(source.describe("q", harmful).await.is_err(), "{harmful}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
    // No lock is left behind either.
    fixture.writer.execute("DELETE FROM t").await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_said_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let error = source(&path, 1).preflight().await.unwrap_err();
    let shown = text(&error).replace(&folder.path().display().to_string(), "[folder]");
    insta::assert_snapshot!(shown, @r"
    unreachable: `shop` can't be opened; nothing was extracted
      because there is no file `[folder]/none.db`
      hint mend the path in longshore.yml, or put the file there
    ");
    assert!(!path.exists());
    std::fs::write(&path, "not a database, but long enough to have a header of a hundred bytes")
        .unwrap();
    assert_eq!(source(&path, 1).preflight().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_cell_that_does_not_fit_is_placed_and_not_shown() {
    let fixture =
        Fixture::new("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), ('s3cret')").await;
    let source = fixture.source(1);
    let request = request(&table(&source, "t").await);
    let error = read_first(&source, request).await.unwrap_err();
    insta::assert_snapshot!(text(&error), @r#"
    data: `main.t`: a cell of column `n` does not fit its declaration `INTEGER`
      because row 2 holds `text`
      hint see such cells: SELECT rowid, "n" FROM "main"."t" WHERE typeof("n") = 'text'
      hint or read the column as it is: `columns: {cast: {n: text}}`
    "#);
}

#[tokio::test]
async fn queries_and_filters_are_one_select_and_one_condition() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL);",
    )
    .await;
    let source = fixture.source(1);
    let query = "SELECT id, upper(name) AS name FROM t WHERE id < 3; -- the first two";
    let described = source.describe("few", query).await.unwrap();
    let declared: Vec<_> = described.columns.iter().map(|column| &column.declared).collect();
    assert_eq!(declared, ["INTEGER", "any"]);
    let batches = read_first(&source, request(&described)).await.unwrap();
    insta::assert_snapshot!(arrow::util::pretty::pretty_format_batches(&batches).unwrap(), @r"
    +----+------+
    | id | name |
    +----+------+
    | 1  | A    |
    | 2  | B    |
    +----+------+
    ");
    for wrong in ["PRAGMA table_list", "EXPLAIN SELECT 1", "ATTACH 'x' AS y", "SELECT", ""] {
        assert!(source.describe("q", wrong).await.is_err(), "{wrong}");
    }

    let mut filtered = request(&table(&source, "t").await);
    filtered.filter = Some("name IS NOT NULL -- named".into());
    let batches = read_first(&source, filtered.clone()).await.unwrap();
    assert_eq!(batches[0].num_rows(), 2);
    for wrong in ["1) OR (1", "1 LIMIT 1", "1; SELECT 1", "nothing = 1", ""] {
        filtered.filter = Some(wrong.into());
        let error = read_first(&source, filtered.clone()).await.unwrap_err();
        assert_eq!(error.what(), "the filter of `main.t` can't be used as written", "{wrong}");
    }
}

#[tokio::test]
async fn a_dropped_read_frees_its_connection() {
    let fixture = Fixture::new("CREATE TABLE t (a)").await;
    let source = fixture.source(1);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) AS n FROM n";
    let requests = [
        request(&source.describe("endless", endless).await.unwrap()),
        request(&table(&source, "t").await),
    ];
    let snapshot = source.open(&requests, &session()).await.unwrap();
    let kept = Kept::default();
    let endless = snapshot.read(&snapshot.chunks(0)[0], Box::new(kept.clone()));
    let limit = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(limit, endless).await.is_err());
    assert!(read(snapshot.as_ref(), &snapshot.chunks(1)[0]).await.unwrap().is_empty());
    assert_eq!(kept.0.lock().unwrap().1, None);
    snapshot.close().await.unwrap();
}

#[test]
fn urls_name_files() {
    let path = |url: &str| path_of(url).map(|path| path.display().to_string());
    assert_eq!(path("sqlite:/a/b.db"), Ok("/a/b.db".into()));
    assert_eq!(path("sqlite:///a/b%20c.db?mode=ro"), Ok("/a/b c.db".into()));
    for wrong in
        ["sqlite:", "sqlite::memory:", "sqlite:/a?immutable=1", "sqlite:/a%2", "postgres://a"]
    {
        assert!(path(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_huge_cell_takes_no_more_than_there_is_and_gives_it_back() {
    let fixture = Fixture::new(
        "CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB);
         INSERT INTO files VALUES (1, zeroblob(40000000)), (2, x'00'), (3, zeroblob(40000000));",
    )
    .await;
    let source = fixture.source(1);
    let request = request(&table(&source, "files").await);
    let session = session();
    let snapshot = source.open(&[request], &session).await.unwrap();
    let batches = read(snapshot.as_ref(), &snapshot.chunks(0)[0]).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(session.budget.take(64 << 20).await.bytes(), 64 << 20);
}

#[tokio::test]
async fn what_a_column_bears_is_null_and_noted() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, day DATE, word TEXT);
         INSERT INTO t VALUES (1, 7, '2024-01-01', 'a'), (2, 'seven', 'soon', x'ff'),
             (3, 2.5, '2024-01-03', CAST(x'61ff' AS TEXT)), (4, NULL, NULL, NULL);",
    )
    .await;
    let source = fixture.source(1);
    let mut request = request(&table(&source, "t").await);
    let stopped = read_first(&source, request.clone()).await.unwrap_err();
    assert!(text(&stopped).contains("a cell of column `n` does not fit"), "{}", text(&stopped));
    for column in &mut request.columns {
        column.on_mismatch = OnMismatch::Quarantine;
    }
    let snapshot = source.open(&[request], &session()).await.unwrap();
    let kept = Kept::default();
    snapshot.read(&snapshot.chunks(0)[0], Box::new(kept.clone())).await.unwrap();
    let (batches, confirmed, misfits) = std::mem::take(&mut *kept.0.lock().unwrap());
    assert_eq!((batches[0].num_rows(), confirmed), (4, Some(4)));
    let nulls: Vec<_> = batches[0].columns().iter().map(|column| column.null_count()).collect();
    assert_eq!(nulls, [0, 3, 2, 3]);
    let found: Vec<_> =
        misfits.iter().map(|one| (one.row, one.column, one.value.as_str())).collect();
    let expected =
        [(1, 1, "seven"), (1, 2, "soon"), (1, 3, "\\xff"), (2, 1, "2.5"), (2, 3, "\\x61ff")];
    assert_eq!(found, expected);
    insta::assert_snapshot!(misfits[0].reason, @"holds `text`, which does not fit its declaration `INTEGER`");
}
