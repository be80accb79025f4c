//! The exam that every source passes: the same tables, made in the source's own SQL, must come out
//! of its snapshot the same way. It speaks to the library, not to the program, so that a source is
//! held to the contract of its traits.

use std::sync::{Arc, Mutex};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Int64Type},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use longshore::{
    config::{Pipeline, Project},
    error::{Error, ErrorKind, Result},
    extract::{self, BatchSink, Misfit, Session, Source, build_requests},
    types::{Budget, ByteSize},
};

use crate::harness::{postgres::cluster, workspace::Workspace};

/// What a source's SQL calls things.
struct Dialect {
    name: &'static str,
    schema: &'static str,
    make: &'static str,
}

const ROWS: i64 = 25_000;

const POSTGRES: Dialect = Dialect {
    name: "postgres",
    schema: "public",
    make: "create table numbers (id bigint primary key, half double precision, words text);
           insert into numbers select i, i / 2.0, case when i % 5 <> 0 then 'wörd ' || i end
           from generate_series(1, 25000) i;
           create table blank (id bigint, words text);
           create view few as select id, words from numbers where id <= 10;",
};

const SQLITE: Dialect = Dialect {
    name: "sqlite",
    schema: "main",
    make: "create table numbers (id integer primary key, half double, words text);
           with recursive i(n) as (select 1 union all select n + 1 from i where n < 25000)
           insert into numbers select n, n / 2.0, case when n % 5 <> 0 then 'wörd ' || n end from i;
           create table blank (id integer, words text);
           create view few as select id, words from numbers where id <= 10;",
};

/// Keeps what complete chunks brought; what was dropped before that is gone.
#[derive(Clone, Default)]
struct Kept {
    batches: Arc<Mutex<Vec<RecordBatch>>>,
}

struct Sink {
    mine: Vec<RecordBatch>,
    kept: Kept,
    fails: bool,
}

impl BatchSink for Sink {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        assert!(batch.num_rows() > 0, "no empty batches");
        if self.fails {
            return Err(Error::new(ErrorKind::Storage, "the sink is full"));
        }
        self.mine.push(batch);
        Ok(())
    }

    fn push_misfits(&mut self, batch: RecordBatch, misfits: Vec<Misfit>) -> Result<()> {
        assert!(!misfits.is_empty(), "a batch that fits is pushed as such");
        self.push(batch)
    }

    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        let pushed: usize = self.mine.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, pushed as u64, "the source's count is that of its batches");
        self.kept.batches.lock().unwrap().extend(self.mine);
        Ok(())
    }
}

struct Candidate {
    workspace: Workspace,
    source: Arc<dyn Source>,
    dialect: &'static Dialect,
}

impl Candidate {
    fn new(mut workspace: Workspace, url: &str, dialect: &'static Dialect) -> Self {
        workspace.set("UNUSED", "");
        let connection = format!(
            "warehouse: {{url: ./warehouse}}\nconnections:\n  it: {{url: '{url}', connections: 3}}\n"
        );
        workspace.write("longshore.yml", connection);
        let project = Project::load(&workspace.path("longshore.yml")).unwrap();
        let source = extract::source(&project.connection("it").unwrap()).unwrap();
        Self { workspace, source, dialect }
    }

    fn pipeline(&self, tables: &str) -> Pipeline {
        self.workspace
            .write("pipelines/exam.yml", format!("extract:\n  - from: it\n    tables: {tables}\n"));
        let project = Project::load(&self.workspace.path("longshore.yml")).unwrap();
        project.pipeline("exam").unwrap()
    }

    async fn requests(&self, tables: &str) -> Result<Vec<extract::TableRequest>> {
        let pipeline = self.pipeline(tables);
        let group = &pipeline.extract[0];
        let patterns: Vec<_> = group
            .tables
            .iter()
            .filter_map(|rule| match &rule.selection {
                longshore::config::Selection::Tables(pattern) => Some(pattern.clone()),
                longshore::config::Selection::Query { .. } => None,
            })
            .collect();
        let mut found = self.source.discover(&patterns).await?;
        for rule in &group.tables {
            if let longshore::config::Selection::Query { name, sql } = &rule.selection {
                found.push(self.source.describe(name, sql).await?);
            }
        }
        let ruled =
            build_requests(self.source.as_ref(), group, &found, self.source.default_schema())?;
        Ok(ruled.into_iter().map(|(request, _)| request).collect())
    }

    /// Reads all chunks of `tables`, up to three at once, and gives each table's batches.
    async fn read(&self, tables: &str) -> Result<Vec<Vec<RecordBatch>>> {
        let requests = self.requests(tables).await?;
        let snapshot = self.source.open(&requests, &session()).await?;
        let mut results = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let chunks = snapshot.chunks(index);
            assert!(!chunks.is_empty(), "{}: every table has a chunk", request.into);
            let kept = Kept::default();
            let reads = chunks.iter().map(|chunk| {
                assert_eq!(chunk.table, index);
                snapshot.read(
                    chunk,
                    Box::new(Sink { mine: Vec::new(), kept: kept.clone(), fails: false }),
                )
            });
            futures::future::try_join_all(reads).await?;
            let batches = std::mem::take(&mut *kept.batches.lock().unwrap());
            for batch in &batches {
                assert_eq!(batch.schema(), request.schema(), "{}", request.into);
            }
            results.push(batches);
        }
        snapshot.close().await?;
        Ok(results)
    }
}

fn session() -> Session {
    Session::new("longshore/exam/1", Budget::new(ByteSize::mib(64)))
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec()
        })
        .collect();
    ids.sort_unstable();
    ids
}

async fn candidates() -> Vec<Candidate> {
    let database = cluster().database("conformance").await;
    database.load(POSTGRES.make).await;
    let workspace = Workspace::new();
    let file = workspace.path("exam.db");
    let mut sqlite =
        sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    sqlite = sqlite.journal_mode(sqlx::sqlite::SqliteJournalMode::Delete);
    let mut connection = sqlx::ConnectOptions::connect(&sqlite).await.unwrap();
    sqlx::raw_sql(SQLITE.make).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    vec![
        Candidate::new(Workspace::new(), &database.url(), &POSTGRES),
        Candidate::new(workspace, &format!("sqlite:{}", file.display()), &SQLITE),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_passes_the_exam() {
    for candidate in candidates().await {
        let name = candidate.dialect.name;
        let preflight = candidate.source.preflight().await.unwrap();
        assert!(preflight.refusals.is_empty(), "{name}: {:?}", preflight.refusals);
        discovers(&candidate).await;
        reads_each_row_once(&candidate).await;
        keeps_values(&candidate).await;
        obeys_rules(&candidate).await;
        a_failing_sink_stops_the_read(&candidate).await;
        refuses_what_is_no_query(&candidate).await;
        let shown = candidate.source.to_string();
        assert!(!shown.contains("canary"), "{name} shows its password: {shown}");
    }
}

async fn discovers(candidate: &Candidate) {
    let pattern = candidate.pipeline("[\"*\"]").extract[0].tables[0].clone();
    let longshore::config::Selection::Tables(pattern) = pattern.selection else {
        panic!("a pattern")
    };
    let found = candidate.source.discover(&[pattern]).await.unwrap();
    let names: Vec<_> = found.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["blank", "few", "numbers"], "{}", candidate.dialect.name);
    assert!(found.iter().all(|table| table.readable && table.schema == candidate.dialect.schema));
    assert_eq!(found[2].key, ["id"]);
    assert_eq!(found[2].columns[0].mapping.data_type(), Some(&DataType::Int64));
}

async fn reads_each_row_once(candidate: &Candidate) {
    let tables = candidate.read("[few, blank, numbers]").await.unwrap();
    assert_eq!(ids(&tables[0]), [0_i64; 0], "{}", candidate.dialect.name);
    assert_eq!(ids(&tables[1]), (1..=10).collect::<Vec<_>>(), "{}", candidate.dialect.name);
    assert_eq!(ids(&tables[2]), (1..=ROWS).collect::<Vec<_>>(), "{}", candidate.dialect.name);
}

async fn keeps_values(candidate: &Candidate) {
    let tables = candidate.read("[numbers]").await.unwrap();
    let options = FormatOptions::default().with_null("∅");
    for batch in &tables[0] {
        let formatters: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let id = batch.column(0).as_primitive::<Int64Type>().value(row);
            let half = batch.column(1).as_primitive::<arrow::datatypes::Float64Type>().value(row);
            assert!((half - id as f64 / 2.0).abs() < f64::EPSILON);
            let words = formatters[2].value(row).to_string();
            assert_eq!(words, if id % 5 == 0 { "∅".into() } else { format!("wörd {id}") });
        }
        assert_eq!(batch.column(0).null_count(), 0);
    }
}

async fn obeys_rules(candidate: &Candidate) {
    let rules = "[{table: numbers, where: id > 24990, columns: {only: [id, words], rename: {words: text}}}]";
    let tables = candidate.read(rules).await.unwrap();
    assert_eq!(ids(&tables[0]), (24_991..=ROWS).collect::<Vec<_>>());
    assert_eq!(tables[0][0].schema().field(1).name(), "text");
    let query = "[{query: \"select id, words from numbers where id < 4\", as: three}]";
    assert_eq!(ids(&candidate.read(query).await.unwrap()[0]), [1, 2, 3]);
    let cast = "[{table: numbers, where: id = 7, columns: {cast: {id: text}}}]";
    let cast = candidate.read(cast).await.unwrap();
    assert_eq!(cast[0][0].column(0).as_string_view().value(0), "7");
}

async fn a_failing_sink_stops_the_read(candidate: &Candidate) {
    let requests = candidate.requests("[numbers]").await.unwrap();
    let snapshot = candidate.source.open(&requests, &session()).await.unwrap();
    let chunk = snapshot.chunks(0)[0].clone();
    let kept = Kept::default();
    let sink = Sink { mine: Vec::new(), kept: kept.clone(), fails: true };
    let error = snapshot.read(&chunk, Box::new(sink)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "the sink's own error comes out: {error}");
    assert!(kept.batches.lock().unwrap().is_empty());
    // The same chunk can be read again.
    let sink = Sink { mine: Vec::new(), kept: kept.clone(), fails: false };
    snapshot.read(&chunk, Box::new(sink)).await.unwrap();
    assert!(!kept.batches.lock().unwrap().is_empty());
    snapshot.close().await.unwrap();
}

async fn refuses_what_is_no_query(candidate: &Candidate) {
    for sql in ["select 1 as a; select 2", "delete from numbers", "drop table numbers", "selec 1"] {
        let described = candidate.source.describe("q", sql).await;
        assert!(described.is_err(), "{}: {sql}", candidate.dialect.name);
    }
    let missing = candidate.requests("[numbrs]").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
}
