//! `longshore init`: a project to start from. It is the very project that this repository runs in
//! its quick start, so that it can't go stale.

use std::{
    fs::OpenOptions,
    io::{ErrorKind as Io, Write as _},
    path::Path,
};

use super::{args::Init, invocation::Invocation, schema, talk::Outcome};
use crate::error::{Context as _, ErrorKind, Result};

/// Path below the project, and content.
const FILES: [(&str, &str); 6] = [
    ("longshore.yml", include_str!("../../longshore.yml")),
    ("pipelines/nightly.yml", include_str!("../../pipelines/nightly.yml")),
    ("sql/nightly/core/order_facts.sql", include_str!("../../sql/nightly/core/order_facts.sql")),
    (
        "sql/nightly/mart/daily_revenue.sql",
        include_str!("../../sql/nightly/mart/daily_revenue.sql"),
    ),
    (
        "sql/nightly/mart/customer_value.sql",
        include_str!("../../sql/nightly/mart/customer_value.sql"),
    ),
    (
        "sql/nightly/mart/product_sales.sql",
        include_str!("../../sql/nightly/mart/product_sales.sql"),
    ),
];

/// What version control should not see.
const IGNORED: [&str; 3] = ["/.longshore/", "/warehouse/", ".env"];

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaffolded {
    /// It was written.
    Written,
    /// It was there, and is as it was.
    Kept,
    /// Lines were added at its end.
    Extended,
}

/// Scaffolds a project and says what to do with it.
pub(crate) fn init(args: &Init, cli: &mut Invocation) -> Outcome {
    for (path, outcome) in scaffold(&args.dir)? {
        cli.talk.say(&told(path, outcome));
    }
    let there = match args.dir.as_os_str().to_str() {
        Some(".") => String::new(),
        _ => format!("cd {} && ", args.dir.display()),
    };
    cli.talk.say(&format!(
        "\nnext: {there}longshore demo    try it on a sample database\n      or name your own in \
         longshore.yml, then {there}longshore check"
    ));
    Ok(())
}

/// One line for a person.
pub(crate) fn told(path: &str, outcome: Scaffolded) -> String {
    match outcome {
        Scaffolded::Written => format!("wrote {path}"),
        Scaffolded::Kept => format!("kept {path}: it exists"),
        Scaffolded::Extended => format!("added lines to {path}"),
    }
}

/// Writes what is missing of a project in `root`, and never over a file. The pipeline's models are
/// written only together with the pipeline, so that a removed model stays removed.
pub(crate) fn scaffold(root: &Path) -> Result<Vec<(&'static str, Scaffolded)>> {
    std::fs::create_dir_all(root)
        .or_fail(ErrorKind::Usage, || format!("`{}` can't be made", root.display()))?;
    let has_pipeline = root.join("pipelines/nightly.yml").exists();
    let mut outcomes = Vec::new();
    for (path, content) in FILES {
        if !(has_pipeline && path.starts_with("sql/")) {
            outcomes.push((path, write_new(&root.join(path), content)?));
        }
    }
    outcomes.push((".gitignore", ignore(&root.join(".gitignore"))?));
    schema::write(&root.join(".longshore"))?;
    Ok(outcomes)
}

fn write_new(path: &Path, content: &str) -> Result<Scaffolded> {
    let failed = || format!("`{}` can't be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).or_fail(ErrorKind::Storage, failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == Io::AlreadyExists => Ok(Scaffolded::Kept),
        opened => opened
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map(|()| Scaffolded::Written)
            .or_fail(ErrorKind::Storage, failed),
    }
}

/// Adds the lines that are not there yet.
fn ignore(path: &Path) -> Result<Scaffolded> {
    let failed = || format!("`{}` can't be written", path.display());
    let old = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == Io::NotFound => None,
        read => Some(read.or_fail(ErrorKind::Storage, failed)?),
    };
    let text = old.as_deref().unwrap_or_default();
    let missing: Vec<_> =
        IGNORED.into_iter().filter(|line| !text.lines().any(|old| old.trim() == *line)).collect();
    if missing.is_empty() {
        return Ok(Scaffolded::Kept);
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let added = format!("{gap}{}\n", missing.join("\n"));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(added.as_bytes()))
        .or_fail(ErrorKind::Storage, failed)?;
    Ok(if old.is_some() { Scaffolded::Extended } else { Scaffolded::Written })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(root: &Path) -> String {
        let lines = scaffold(root).unwrap();
        lines.iter().map(|(path, outcome)| told(path, *outcome) + "\n").collect()
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new");
        insta::assert_snapshot!(outcomes(&root), @r"
        wrote longshore.yml
        wrote pipelines/nightly.yml
        wrote sql/nightly/core/order_facts.sql
        wrote sql/nightly/mart/daily_revenue.sql
        wrote sql/nightly/mart/customer_value.sql
        wrote sql/nightly/mart/product_sales.sql
        wrote .gitignore
        ");
        std::fs::write(root.join("longshore.yml"), "mine").unwrap();
        std::fs::remove_file(root.join("sql/nightly/mart/product_sales.sql")).unwrap();
        insta::assert_snapshot!(outcomes(&root), @r"
        kept longshore.yml: it exists
        kept pipelines/nightly.yml: it exists
        kept .gitignore: it exists
        ");
        assert_eq!(std::fs::read_to_string(root.join("longshore.yml")).unwrap(), "mine");
        assert!(!root.join("sql/nightly/mart/product_sales.sql").exists());
    }

    #[test]
    fn an_ignore_file_keeps_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".gitignore");
        std::fs::write(&path, "target\n/warehouse/").unwrap();
        assert_eq!(ignore(&path).unwrap(), Scaffolded::Extended);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "target\n/warehouse/\n/.longshore/\n.env\n");
        assert_eq!(ignore(&path).unwrap(), Scaffolded::Kept);
    }

    #[test]
    fn every_model_of_this_repository_is_scaffolded() {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        let scaffolded = FILES.iter().filter(|(path, _)| path.starts_with("sql/"));
        assert_eq!(found.len(), scaffolded.count());
    }
}
