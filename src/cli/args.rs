//! The command line as it was typed. One definition per option carries its name, help and parser;
//! help texts and completions come from it. Parsing has no effects.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::types::{Generation, TableName};

const WIDTH: usize = 100;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the run or the data failed; the message says what that means for the warehouse
  2  the command line, a configuration file or a model is wrong
  3  a bug in Longshore

Start with `longshore demo` in an empty folder.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "longshore",
    version,
    about = "Unloads databases and loads warehouses: read-only extracts, SQL models, one atomic \
             publish",
    after_help = EXIT_CODES,
    max_term_width = WIDTH,
    disable_help_subcommand = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    arg_required_else_help = true
)]
pub(crate) struct CommandLine {
    /// Options that every verb takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The folder of longshore.yml [default: searched for from here upwards]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) project: Option<PathBuf>,
    /// Say more; repeat for more still
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors; results still go to stdout
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// When to colour text: auto, always or never; auto respects `NO_COLOR`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) color: Color,
    /// Write log lines instead of drawing progress bars
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// When to colour text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal that has colours, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Scaffold a project: longshore.yml, a pipeline and its models
    Init(Init),
    /// Make a sample database, run the nightly pipeline on it and query the result
    Demo,
    /// Validate the files, connect to the sources and prove them read-only; nothing moves
    Check(Check),
    /// Show what a run would read, compute and publish; nothing moves
    Plan(Plan),
    /// Run a pipeline: extract, transform, audit, publish
    Run(Run),
    /// Query the warehouse, or the staged tables of a run
    Sql(Sql),
    /// List the tables that the warehouse holds
    Tables(Tables),
    /// List past runs, or show one of them
    Runs(Runs),
    /// Bring back the tables of an older generation, as a new one
    Rollback(Rollback),
    /// Remove generations and files that nobody needs any more
    Clean(Clean),
    /// Print the JSON schema of longshore.yml or of a pipeline file, for editors
    Schema(Schema),
    /// Print a completion script for a shell
    Completions(Completions),
}

/// `longshore init`
#[derive(Debug, Args)]
#[command(after_help = "\
No file is ever overwritten: what exists stays, and is listed.

Examples:
  longshore init
  longshore init warehouse-loads")]
pub(crate) struct Init {
    /// The folder to scaffold in; made if missing
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

/// `longshore check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore check
  longshore check nightly --values
  longshore check nightly --json
  longshore check nightly --grants > role.sql")]
pub(crate) struct Check {
    /// The pipeline to check [default: all of them]
    pub(crate) pipeline: Option<String>,
    /// Read every row as a run would, keep none, and see that all values can be kept
    #[arg(long)]
    pub(crate) values: bool,
    /// Print the SQL that makes a login for reading, and nothing more, on each source
    #[arg(
        long,
        value_name = "ROLE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "longshore",
        conflicts_with = "values"
    )]
    pub(crate) grants: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore plan`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore plan nightly
  longshore plan nightly --select 'mart.*'")]
pub(crate) struct Plan {
    /// The pipeline: the stem of a file in pipelines/
    pub(crate) pipeline: String,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) accept: Accept,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore run`
#[derive(Debug, Args)]
#[command(after_help = "\
All tables become visible in one step, or none does. Interrupting a run is safe at any moment.

Examples:
  longshore run nightly
  longshore run nightly --select shop.orders,mart.daily_revenue
  longshore run nightly --no-publish && longshore sql --run latest 'select * from shop.orders'")]
pub(crate) struct Run {
    /// The pipeline: the stem of a file in pipelines/
    pub(crate) pipeline: String,
    #[command(flatten)]
    pub(crate) select: Select,
    #[command(flatten)]
    pub(crate) accept: Accept,
    /// Stop after the audits: keep the tables in the stage, leave the warehouse as it is
    #[arg(long)]
    pub(crate) no_publish: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which tables of a pipeline.
#[derive(Debug, Clone, Args)]
pub(crate) struct Select {
    /// Only these tables; `*` stands for any text. Models read the others as they are published
    #[arg(long = "select", value_name = "TABLE,…", value_delimiter = ',')]
    pub(crate) tables: Vec<String>,
}

/// Which changes of published schemas are taken as they are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Accept {
    /// Publish the new schemas of these tables this once, whatever `on_schema_change` says
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',')]
    pub(crate) accept_schema: Vec<String>,
}

/// `longshore sql`
#[derive(Debug, Args)]
#[command(after_help = "\
Tables are `schema.table`, as `longshore tables` lists them. Without QUERY and --file, the query is
read from stdin. Rows stream: a result may be larger than memory.

Formats:
  table    aligned columns, for people; values are shortened to fit a terminal only
  csv      a header, then rows; NULL is empty, empty text is \"\"
  json     one object per line; numbers that a double can't hold exactly are text
  parquet  zstd-compressed; needs --output
  arrow    an Arrow IPC stream

Examples:
  longshore sql 'select * from mart.daily_revenue order by day desc limit 10'
  longshore sql --file report.sql --output report.parquet
  longshore sql --generation 41 --format csv 'select count(*) from shop.orders'")]
pub(crate) struct Sql {
    /// The query, in DataFusion's SQL
    pub(crate) query: Option<String>,
    /// Read the query from a file
    #[arg(
        long,
        short,
        value_name = "FILE",
        conflicts_with = "query",
        value_hint = clap::ValueHint::FilePath
    )]
    pub(crate) file: Option<PathBuf>,
    /// table, csv, json, parquet or arrow [default: by the ending of --output, else table]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: Option<RowFormat>,
    /// Write to a file, which appears only when it is whole
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Query this generation [default: the current one]
    #[arg(long, value_name = "N", value_parser = generation, conflicts_with = "run")]
    pub(crate) generation: Option<Generation>,
    /// Query the tables that this run staged: its id, the end of its id, or `latest`
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Aligned columns, for people.
    Table,
    /// Comma-separated values.
    Csv,
    /// One JSON object per line.
    Json,
    /// Parquet.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

/// `longshore tables`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore tables
  longshore tables shop.orders
  longshore tables --generations")]
pub(crate) struct Tables {
    /// Show this table's columns
    pub(crate) table: Option<TableName>,
    /// Look at this generation [default: the current one]
    #[arg(long, value_name = "N", value_parser = generation)]
    pub(crate) generation: Option<Generation>,
    /// List the generations instead
    #[arg(long, conflicts_with_all = ["table", "generation"])]
    pub(crate) generations: bool,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore runs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore runs
  longshore runs latest
  longshore runs --limit 5 --json")]
pub(crate) struct Runs {
    /// Show this run's tables and audits: its id, the end of its id, or `latest`
    pub(crate) run: Option<String>,
    /// List at most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "run")]
    pub(crate) limit: u32,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore rollback`
#[derive(Debug, Args)]
#[command(after_help = "\
No data is copied: the tables are made of their old files again, all in one step. Tables that are
younger than the generation leave the warehouse; for readers of their own logs they are empty then.
Rolling back a rollback works the same way.

Examples:
  longshore tables --generations
  longshore rollback 41")]
pub(crate) struct Rollback {
    /// The generation to go back to
    #[arg(value_parser = generation)]
    pub(crate) generation: Generation,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore clean`
#[derive(Debug, Args)]
#[command(after_help = "\
What stays is set by `retention` of the warehouse in longshore.yml: by default the last 10
generations and all that were current in the last 7 days. Older ones can't be read from then on;
what only they held goes with the first clean after `grace` (24h), so that readers come to their
end. Files that were never published go at that age. Files that Longshore did not write stay.

Examples:
  longshore clean --dry-run
  longshore run nightly && longshore clean")]
pub(crate) struct Clean {
    /// List what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `longshore schema`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore schema pipeline
  longshore schema --write")]
pub(crate) struct Schema {
    /// Whose schema: project (longshore.yml) or pipeline (pipelines/*.yml)
    #[arg(hide_possible_values = true, required_unless_present = "write")]
    pub(crate) which: Option<SchemaOf>,
    /// Write both to .longshore/schema/, where the first lines of the scaffolded files look
    #[arg(long, conflicts_with = "which")]
    pub(crate) write: bool,
}

/// Whose schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Of `longshore.yml`.
    Project,
    /// Of a pipeline file.
    Pipeline,
}

/// `longshore completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore completions bash > ~/.local/share/bash-completion/completions/longshore
  longshore completions zsh > ~/.zfunc/_longshore")]
pub(crate) struct Completions {
    /// bash, elvish, fish, powershell or zsh
    #[arg(hide_possible_values = true)]
    pub(crate) shell: clap_complete::Shell,
}

fn generation(text: &str) -> Result<Generation, String> {
    text.parse().map(Generation).map_err(|_| "it is not a generation's number".to_owned())
}

#[cfg(test)]
mod tests;
