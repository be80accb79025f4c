//! Model files: one `.sql` file is one table.
//!
//! `<folder>/mart/revenue.sql` makes the table `mart.revenue`; a file right under the folder takes
//! the pipeline's name as its schema. Names are taken exactly as the files spell them. A comment
//! `/* model … */` at the file's start may hold YAML: mode, key and audits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::{self, Audit, Mode, OnSchemaChange, Origin},
    error::{Context as _, Error, ErrorKind, Result},
    types::{PipelineName, TableName},
};

use super::{
    diagnose::{Problem, Spot, first_token},
    statement::{Allow, parse},
};

/// One SQL file: the table it makes, and how that table is published.
#[derive(Debug, Clone)]
pub struct Model {
    /// The table it makes.
    pub table: TableName,
    /// How its rows meet the published ones.
    pub mode: Mode,
    /// The columns that identify a row, where the header names them.
    pub key: Vec<String>,
    /// What must hold before it is published.
    pub audits: Vec<Audit>,
    /// What becomes of the published schema when its own changes.
    pub on_schema_change: OnSchemaChange,
    /// The file's text with the header blanked out, so that each position in it is the file's. It
    /// is exactly one query.
    pub sql: String,
    /// The schema of tables that its SQL names without one: the pipeline's name.
    pub bare_schema: String,
    /// Where the SQL begins, in the file's whole text.
    pub origin: Origin,
}

impl Model {
    /// The error that `problem` makes of this model, when it is found before a run.
    pub(super) fn refused(&self, problem: &Problem) -> Error {
        let what = format!("model `{}` cannot be planned; nothing was extracted", self.table);
        problem_error(what, problem, &self.origin)
    }
}

/// An error of kind model, with `problem` at its place in the file of `origin`.
pub(super) fn problem_error(what: String, problem: &Problem, origin: &Origin) -> Error {
    let place = |problem: &Problem| {
        let spot = problem.at.unwrap_or(Spot { line: origin.line, column: origin.column });
        origin.moved_to(spot.line, spot.column).place(&problem.detail)
    };
    let mut error = Error::new(ErrorKind::Model, what).at(place(problem));
    for other in &problem.others {
        let at = place(other);
        error = error.because(format!("{}:{}:{}: {}", at.file, at.line, at.column, at.detail));
    }
    problem.hints.iter().cloned().fold(error, Error::hint)
}

/// Reads every model below `dir`, sorted by file name. `root` is the project's folder, which file
/// names in messages are relative to. Hidden files and folders are skipped.
///
/// # Errors
/// Of kind config when the folder or a file cannot be read or has no place in `schema/table.sql`;
/// of kind model, with the place, when a file is not exactly one query.
pub fn load_models(dir: &Path, root: &Path, pipeline: &PipelineName) -> Result<Vec<Model>> {
    let mut files = Vec::new();
    if !dir.is_dir() {
        let shown = shown(dir, root);
        return Err(Error::new(ErrorKind::Config, format!("there is no folder `{shown}`"))
            .because(format!("`transform` of pipeline `{pipeline}` names it"))
            .hint(format!("make it, or mend `transform` in pipelines/{pipeline}.yml")));
    }
    collect(dir, root, &mut files)?;
    files.sort();
    files.iter().map(|file| load(file, dir, root, pipeline)).collect()
}

fn shown(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn collect(dir: &Path, root: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = || format!("cannot read the models in `{}`", shown(dir, root));
    for entry in fs::read_dir(dir).or_fail(ErrorKind::Config, cannot)? {
        let path = entry.or_fail(ErrorKind::Config, cannot)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        // A link to a folder would let a cycle in; a link to a file is as good as the file.
        let linked = fs::symlink_metadata(&path).or_fail(ErrorKind::Config, cannot)?.is_symlink();
        if path.is_dir() && !linked {
            collect(&path, root, files)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}

fn load(path: &Path, dir: &Path, root: &Path, pipeline: &PipelineName) -> Result<Model> {
    let file = shown(path, root);
    let table = table_of(path.strip_prefix(dir).unwrap_or(path), &file, pipeline)?;
    let text = fs::read_to_string(path)
        .or_fail(ErrorKind::Config, || format!("cannot read the model `{file}`"))?;
    let start = Origin::start(file, text.as_str());
    let header = split_header(&text, &start)?;
    let rules = match &header {
        Some(header) => config::model_header(header.yaml, &header.origin)?,
        None => config::ModelHeader::default(),
    };
    let sql = header.map_or_else(|| text.clone(), |header| blanked(&text, header.end));
    let first = first_token(&sql).unwrap_or(Spot { line: 1, column: 1 });
    let model = Model {
        table,
        mode: rules.mode,
        key: rules.key,
        audits: rules.audits,
        on_schema_change: rules.on_schema_change,
        sql,
        bare_schema: pipeline.as_str().to_owned(),
        origin: start.moved_to(first.line, first.column),
    };
    parse(&model.sql, Allow::Query).map_err(|problem| model.refused(&problem))?;
    Ok(model)
}

/// `schema.table` from the path below the models' folder.
fn table_of(below: &Path, file: &str, pipeline: &PipelineName) -> Result<TableName> {
    let refuse = |why: &str| {
        Err(Error::new(ErrorKind::Config, format!("the model `{file}` has no table: {why}"))
            .hint("a model's path is `schema/table.sql` below the folder, or `table.sql`"))
    };
    let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
    let stem = below.file_stem().and_then(|stem| stem.to_str());
    match (parts.as_deref(), stem) {
        (Some([_]), Some(table)) => Ok(TableName::new(pipeline.as_str(), table)),
        (Some([schema, _]), Some(_)) if schema.contains('.') => {
            refuse("its folder, the table's schema, has a dot in its name")
        }
        (Some([schema, _]), Some(table)) => Ok(TableName::new(*schema, table)),
        (Some(_), Some(_)) => refuse("it lies more than one folder deep"),
        _ => refuse("its name is not UTF-8"),
    }
}

/// The comment `/* model … */` at a file's start.
struct Header<'a> {
    /// The text after the word `model`.
    yaml: &'a str,
    /// Where that text begins.
    origin: Origin,
    /// The byte after the comment.
    end: usize,
}

fn split_header<'a>(text: &'a str, start: &Origin) -> Result<Option<Header<'a>>> {
    let mut at = text.len() - text.trim_start_matches('\u{feff}').len();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("--") {
            break;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
    let Some(body) = text.get(at..).and_then(|rest| rest.strip_prefix("/*")) else {
        return misplaced(text, at, start).map_or(Ok(None), Err);
    };
    let word = body.trim_start();
    let Some(yaml) = word
        .strip_prefix("model")
        .filter(|rest| rest.starts_with(char::is_whitespace) || rest.starts_with("*/"))
    else {
        return misplaced(text, at, start).map_or(Ok(None), Err);
    };
    let from = text.len() - yaml.len();
    let Some(length) = yaml.find("*/") else {
        let (line, column) = position(text, at);
        return Err(Error::new(ErrorKind::Config, format!("`{}` is not a model", start.file))
            .at(start.moved_to(line, column).place("this comment has no end"))
            .hint("end the header with `*/`"));
    };
    let (line, column) = position(text, from);
    let yaml = yaml.get(..length).unwrap_or_default();
    Ok(Some(Header { yaml, origin: start.moved_to(line, column), end: from + length + 2 }))
}

/// A header that is not at the file's start would be silently ignored: say so instead.
fn misplaced(text: &str, from: usize, start: &Origin) -> Option<Error> {
    let rest = text.get(from..)?;
    let at = rest.match_indices("/*").map(|(at, _)| from + at).find(|at| {
        let body = text.get(at + 2..).unwrap_or_default().trim_start_matches([' ', '\t']);
        body.strip_prefix("model")
            .is_some_and(|rest| rest.trim_start_matches('\r').starts_with('\n'))
    })?;
    let (line, column) = position(text, at);
    Some(
        Error::new(
            ErrorKind::Config,
            format!("the header of `{}` is not at its start", start.file),
        )
        .at(start.moved_to(line, column).place("this would be a comment like any other"))
        .hint("move `/* model … */` above the SQL"),
    )
}

/// 1-based line, and column in characters, of a byte of `text`.
fn position(text: &str, byte: usize) -> (u32, u32) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
    (line, column)
}

/// `text` with everything before byte `end` turned into blanks, so that positions stay.
fn blanked(text: &str, end: usize) -> String {
    let (header, sql) = text.split_at_checked(end).unwrap_or((text, ""));
    header.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).chain(sql.chars()).collect()
}
