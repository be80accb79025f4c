//! Decodes and encodes a saved COPY stream without a server: to profile, and to tell what decoding
//! costs from what encoding costs.
//!
//! `cargo bench --bench replay -- save URL TABLE FILE` saves a stream, and
//! `cargo bench --bench replay -- run FILE` replays it. See benches/README.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that meets a mistake stops loudly; standard output is how it reports"
)]

mod save;
mod saved;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum};
use longshore::{
    extract::postgres::copy::{Decoded, Decoder, Limits},
    stage::{ChunkWriter, EncodeOptions, Stage, TableStage},
    types::{RunId, TableFiles, TableName},
};

use saved::{Chunk, Stream, schema};

#[derive(Parser)]
#[command(about = "Decodes and encodes a saved COPY stream")]
struct Arguments {
    /// What `cargo bench` adds.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Saves the COPY stream of TABLE, its columns' types beside it in FILE.json
    Save { url: String, table: String, file: PathBuf },
    /// Replays a saved stream from memory
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    file: PathBuf,
    /// Threads that take chunks of the stream in turn
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often each step is measured; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Replay the first so many rows only: all of a stream is held in memory
    #[arg(long)]
    rows: Option<u64>,
    /// One step only, for a profiler
    #[arg(long)]
    step: Option<Step>,
    /// Where files are written and removed again (the system's temporary folder)
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Decode, and throw the batches away
    Decode,
    /// Decode, and write Parquet as a run does
    Encode,
}

/// What one replay took.
struct Cost {
    wall: Duration,
    cpu: Duration,
    written: u64,
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.task {
        Some(Task::Save { url, table, file }) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(save::save(&url, &table, &file));
        }
        Some(Task::Run(run)) => report(&run),
        // `cargo bench` without a target runs this one too.
        None => println!("replay: no stream given; see benches/README.md"),
    }
}

fn report(run: &Run) {
    let stream = Stream::load(&run.file, run.rows);
    let (rows, bytes, chunks) = (stream.rows(), stream.bytes(), stream.chunks.len());
    println!("{}: {rows} rows, {bytes} bytes, {chunks} chunks", run.file.display());
    println!("{} threads, medians of {} rounds\n", run.threads, run.rounds);
    println!("| | wall | own CPU | rows/s | MB/s | ns CPU per row | written |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for step in [Step::Decode, Step::Encode] {
        if run.step.is_some_and(|only| only != step) {
            continue;
        }
        let costs: Vec<_> = (0..run.rounds.max(1)).map(|_| replay(run, step, &stream)).collect();
        let (wall, cpu) = (median(&costs, |cost| cost.wall), median(&costs, |cost| cost.cpu));
        println!(
            "| {} | {wall:.2} s | {cpu:.2} s | {:.0} | {:.0} | {:.0} | {} |",
            match step {
                Step::Decode => "decode",
                Step::Encode => "decode + encode",
            },
            rows as f64 / wall,
            bytes as f64 / 1e6 / wall,
            cpu * 1e9 / rows as f64,
            costs[0].written,
        );
    }
}

/// In seconds.
fn median(costs: &[Cost], of: impl Fn(&Cost) -> Duration) -> f64 {
    let mut all: Vec<_> = costs.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64()
}

fn replay(run: &Run, step: Step, stream: &Stream) -> Cost {
    let folder = match &run.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder for the files");
    let table = (step == Step::Encode).then(|| table(folder.path(), stream));
    let start = Instant::now();
    let cpu = work(stream, run.threads, table.as_ref());
    let before = thread_cpu();
    let files = table.map(|table| table.finish().expect("finished files"));
    let cost = Cost {
        wall: start.elapsed(),
        cpu: cpu + thread_cpu().saturating_sub(before),
        written: files.as_ref().map_or(0, TableFiles::bytes),
    };
    let staged = files.map_or(stream.rows(), |files| files.rows());
    assert_eq!(staged, stream.rows(), "rows were lost on the way into the files");
    cost
}

fn table(folder: &Path, stream: &Stream) -> TableStage {
    let run = RunId::new(jiff::Timestamp::now());
    let stage = Stage::create(folder, &run).expect("a stage");
    let name = TableName::new("replay", "stream");
    stage
        .table(name, schema(&stream.columns), EncodeOptions::default())
        .expect("a table in the stage")
}

/// Has `threads` take the chunks in turn, into `table` where there is one; the CPU time of all.
fn work(stream: &Stream, threads: usize, table: Option<&TableStage>) -> Duration {
    let next = AtomicUsize::new(0);
    let worker = || {
        let before = thread_cpu();
        while let Some(chunk) = stream.chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            one_chunk(stream, chunk, table.map(TableStage::writer));
        }
        thread_cpu().saturating_sub(before)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker's end")).sum()
    })
}

/// What a worker of a run does with a chunk, but for the socket.
fn one_chunk(stream: &Stream, chunk: &Chunk, mut writer: Option<ChunkWriter>) {
    let schema = schema(&stream.columns);
    let mut decoder = Decoder::new(&stream.columns, schema, Limits::default()).expect("a decoder");
    let mut take = |Decoded { batch, .. }| match &mut writer {
        Some(writer) => writer.push(&batch).expect("a batch that can be written"),
        None => drop(std::hint::black_box(batch)),
    };
    for block in &chunk.blocks {
        decoder.feed(block).expect("a good block");
        while let Some(batch) = decoder.take_batch() {
            take(batch);
        }
    }
    let (last, rows) = decoder.finish().expect("a whole stream");
    last.into_iter().for_each(&mut take);
    assert_eq!(rows, chunk.rows, "the decoder found another number of rows");
    if let Some(writer) = writer {
        writer.complete(rows).expect("a complete chunk");
    }
}

/// The CPU time that this thread has spent, by the kernel's scheduler.
fn thread_cpu() -> Duration {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).expect("Linux with scheduler statistics");
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}
