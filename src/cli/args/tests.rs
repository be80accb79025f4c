use clap::{CommandFactory, Parser};

use super::*;

fn help(verb: Option<&str>) -> String {
    let mut command = CommandLine::command().term_width(WIDTH);
    command.build();
    let shown = match verb {
        None => command.render_help(),
        Some(verb) => command.find_subcommand_mut(verb).unwrap().render_help(),
    };
    shown.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Help of verbs, each without the block of options that all of them have.
fn own_help<const N: usize>(verbs: [&str; N]) -> String {
    let main = help(None);
    let (_, rest) = main.split_once("Global options:\n").unwrap();
    let (global, _) = rest.split_once("\n\n").unwrap();
    verbs.map(|verb| help(Some(verb)).replace(&format!("{global}\n"), "  (…)\n")).join("\n")
}

fn refusal(line: &str) -> String {
    CommandLine::try_parse_from(line.split(' ')).unwrap_err().to_string()
}

#[test]
fn the_command_line_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn the_main_help_is_a_page() {
    insta::assert_snapshot!(help(None), @r"
    Unloads databases and loads warehouses: read-only extracts, SQL models, one atomic publish

    Usage: longshore [OPTIONS] <VERB>

    Verbs:
      init         Scaffold a project: longshore.yml, a pipeline and its models
      demo         Make a sample database, run the nightly pipeline on it and query the result
      check        Validate the files, connect to the sources and prove them read-only; nothing moves
      plan         Show what a run would read, compute and publish; nothing moves
      run          Run a pipeline: extract, transform, audit, publish
      sql          Query the warehouse, or the staged tables of a run
      tables       List the tables that the warehouse holds
      runs         List past runs, or show one of them
      rollback     Bring back the tables of an older generation, as a new one
      clean        Remove generations and files that nobody needs any more
      schema       Print the JSON schema of longshore.yml or of a pipeline file, for editors
      completions  Print a completion script for a shell

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
          --project <DIR>  The folder of longshore.yml [default: searched for from here upwards]
      -v, --verbose...     Say more; repeat for more still
      -q, --quiet          Say nothing but errors; results still go to stdout
          --color <WHEN>   When to colour text: auto, always or never; auto respects `NO_COLOR`
          --no-progress    Write log lines instead of drawing progress bars

    Exit codes:
      0  done
      1  the run or the data failed; the message says what that means for the warehouse
      2  the command line, a configuration file or a model is wrong
      3  a bug in Longshore

    Start with `longshore demo` in an empty folder.
    ");
}

#[test]
fn every_verb_has_a_help_text_of_one_shape() {
    let verbs = ["init", "demo", "check", "plan"];
    insta::assert_snapshot!(own_help(verbs), @r"
    Scaffold a project: longshore.yml, a pipeline and its models

    Usage: longshore init [OPTIONS] [DIR]

    Arguments:
      [DIR]  The folder to scaffold in; made if missing [default: .]

    Options:
      -h, --help  Print help

    Global options:
      (…)

    No file is ever overwritten: what exists stays, and is listed.

    Examples:
      longshore init
      longshore init warehouse-loads

    Make a sample database, run the nightly pipeline on it and query the result

    Usage: longshore demo [OPTIONS]

    Options:
      -h, --help  Print help

    Global options:
      (…)

    Validate the files, connect to the sources and prove them read-only; nothing moves

    Usage: longshore check [OPTIONS] [PIPELINE]

    Arguments:
      [PIPELINE]  The pipeline to check [default: all of them]

    Options:
          --values           Read every row as a run would, keep none, and see that all values can be
                             kept
          --grants[=<ROLE>]  Print the SQL that makes a login for reading, and nothing more, on each
                             source
          --json             Print JSON instead of text
      -h, --help             Print help

    Global options:
      (…)

    Examples:
      longshore check
      longshore check nightly --values
      longshore check nightly --json
      longshore check nightly --grants > role.sql

    Show what a run would read, compute and publish; nothing moves

    Usage: longshore plan [OPTIONS] <PIPELINE>

    Arguments:
      <PIPELINE>  The pipeline: the stem of a file in pipelines/

    Options:
          --select <TABLE,…>         Only these tables; `*` stands for any text. Models read the others
                                     as they are published
          --accept-schema <TABLE,…>  Publish the new schemas of these tables this once, whatever
                                     `on_schema_change` says
          --json                     Print JSON instead of text
      -h, --help                     Print help

    Global options:
      (…)

    Examples:
      longshore plan nightly
      longshore plan nightly --select 'mart.*'
    ");
}

#[test]
fn run_and_sql_explain_themselves() {
    insta::assert_snapshot!(own_help(["run", "sql"]), @r#"
    Run a pipeline: extract, transform, audit, publish

    Usage: longshore run [OPTIONS] <PIPELINE>

    Arguments:
      <PIPELINE>  The pipeline: the stem of a file in pipelines/

    Options:
          --select <TABLE,…>         Only these tables; `*` stands for any text. Models read the others
                                     as they are published
          --accept-schema <TABLE,…>  Publish the new schemas of these tables this once, whatever
                                     `on_schema_change` says
          --no-publish               Stop after the audits: keep the tables in the stage, leave the
                                     warehouse as it is
          --json                     Print the report as JSON
      -h, --help                     Print help

    Global options:
      (…)

    All tables become visible in one step, or none does. Interrupting a run is safe at any moment.

    Examples:
      longshore run nightly
      longshore run nightly --select shop.orders,mart.daily_revenue
      longshore run nightly --no-publish && longshore sql --run latest 'select * from shop.orders'

    Query the warehouse, or the staged tables of a run

    Usage: longshore sql [OPTIONS] [QUERY]

    Arguments:
      [QUERY]  The query, in DataFusion's SQL

    Options:
      -f, --file <FILE>      Read the query from a file
          --format <FORMAT>  table, csv, json, parquet or arrow [default: by the ending of --output,
                             else table]
      -o, --output <FILE>    Write to a file, which appears only when it is whole
          --generation <N>   Query this generation [default: the current one]
          --run <RUN>        Query the tables that this run staged: its id, the end of its id, or
                             `latest`
      -h, --help             Print help

    Global options:
      (…)

    Tables are `schema.table`, as `longshore tables` lists them. Without QUERY and --file, the query is
    read from stdin. Rows stream: a result may be larger than memory.

    Formats:
      table    aligned columns, for people; values are shortened to fit a terminal only
      csv      a header, then rows; NULL is empty, empty text is ""
      json     one object per line; numbers that a double can't hold exactly are text
      parquet  zstd-compressed; needs --output
      arrow    an Arrow IPC stream

    Examples:
      longshore sql 'select * from mart.daily_revenue order by day desc limit 10'
      longshore sql --file report.sql --output report.parquet
      longshore sql --generation 41 --format csv 'select count(*) from shop.orders'
    "#);
}

#[test]
fn lists_and_tools_explain_themselves() {
    let verbs = ["tables", "runs", "rollback", "clean", "schema", "completions"];
    insta::assert_snapshot!(own_help(verbs), @r"
    List the tables that the warehouse holds

    Usage: longshore tables [OPTIONS] [TABLE]

    Arguments:
      [TABLE]  Show this table's columns

    Options:
          --generation <N>  Look at this generation [default: the current one]
          --generations     List the generations instead
          --json            Print JSON instead of text
      -h, --help            Print help

    Global options:
      (…)

    Examples:
      longshore tables
      longshore tables shop.orders
      longshore tables --generations

    List past runs, or show one of them

    Usage: longshore runs [OPTIONS] [RUN]

    Arguments:
      [RUN]  Show this run's tables and audits: its id, the end of its id, or `latest`

    Options:
          --limit <N>  List at most so many, the newest first [default: 20]
          --json       Print JSON instead of text
      -h, --help       Print help

    Global options:
      (…)

    Examples:
      longshore runs
      longshore runs latest
      longshore runs --limit 5 --json

    Bring back the tables of an older generation, as a new one

    Usage: longshore rollback [OPTIONS] <GENERATION>

    Arguments:
      <GENERATION>  The generation to go back to

    Options:
          --json  Print the report as JSON
      -h, --help  Print help

    Global options:
      (…)

    No data is copied: the tables are made of their old files again, all in one step. Tables that are
    younger than the generation leave the warehouse; for readers of their own logs they are empty then.
    Rolling back a rollback works the same way.

    Examples:
      longshore tables --generations
      longshore rollback 41

    Remove generations and files that nobody needs any more

    Usage: longshore clean [OPTIONS]

    Options:
          --dry-run  List what would be removed, and remove nothing
          --json     Print the report as JSON
      -h, --help     Print help

    Global options:
      (…)

    What stays is set by `retention` of the warehouse in longshore.yml: by default the last 10
    generations and all that were current in the last 7 days. Older ones can't be read from then on;
    what only they held goes with the first clean after `grace` (24h), so that readers come to their
    end. Files that were never published go at that age. Files that Longshore did not write stay.

    Examples:
      longshore clean --dry-run
      longshore run nightly && longshore clean

    Print the JSON schema of longshore.yml or of a pipeline file, for editors

    Usage: longshore schema [OPTIONS] [WHICH]

    Arguments:
      [WHICH]  Whose schema: project (longshore.yml) or pipeline (pipelines/*.yml)

    Options:
          --write  Write both to .longshore/schema/, where the first lines of the scaffolded files look
      -h, --help   Print help

    Global options:
      (…)

    Examples:
      longshore schema pipeline
      longshore schema --write

    Print a completion script for a shell

    Usage: longshore completions [OPTIONS] <SHELL>

    Arguments:
      <SHELL>  bash, elvish, fish, powershell or zsh

    Options:
      -h, --help  Print help

    Global options:
      (…)

    Examples:
      longshore completions bash > ~/.local/share/bash-completion/completions/longshore
      longshore completions zsh > ~/.zfunc/_longshore
    ");
}

#[test]
fn no_help_line_is_wider_than_a_page() {
    let verbs = CommandLine::command()
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(verbs.len(), 12);
    for text in verbs.iter().map(|verb| help(Some(verb))).chain([help(None)]) {
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    insta::assert_snapshot!(refusal("longshore sql --generation 4 --run latest x"), @r"
    error: the argument '--generation <N>' cannot be used with '--run <RUN>'

    Usage: longshore sql --generation <N> <QUERY>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal("longshore sql --generation four x"), @r"
    error: invalid value 'four' for '--generation <N>': it is not a generation's number

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal("longshore tables orders"), @r"
    error: invalid value 'orders' for '[TABLE]': `orders` is not a table name such as `schema.table`

    For more information, try '--help'.
    ");
}
