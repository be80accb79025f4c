//! The README stays true: its commands run, its tests exist, its tables are the code's, and the
//! quick start prints what it says.

use std::{fs, path::PathBuf};

use crate::harness::workspace::Workspace;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A copy of the checkout's own project, as a newcomer has it.
fn checkout() -> Workspace {
    let workspace = Workspace::new();
    for file in ["longshore.yml", "pipelines/nightly.yml"] {
        workspace.write(file, fs::read(root().join(file)).unwrap());
    }
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "sql"])
        .current_dir(root())
        .output()
        .unwrap();
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        workspace.write(file, fs::read(root().join(file)).unwrap());
    }
    workspace
}

/// The words of a shell command, quotes respected.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for letter in command.chars() {
        match (letter, quote) {
            (mark, Some(open)) if mark == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (' ', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

#[test]
fn its_commands_run() {
    let workspace = checkout();
    let mut ran = 0;
    for block in blocks(&readme(), "sh") {
        for command in block.lines().filter(|line| !line.is_empty()) {
            if command == "tests/run" {
                assert!(root().join(command).exists());
                continue;
            }
            let Some(arguments) = command.strip_prefix("cargo run -- ") else {
                panic!("`{command}` is run by no test");
            };
            let arguments = words(arguments);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            workspace.run(&arguments).succeeded();
            ran += 1;
        }
    }
    assert!(ran >= 5, "only {ran} commands were found");
}

#[test]
fn the_quick_start_prints_what_it_says() {
    let readme = readme();
    let shown = blocks(&readme, "text").first().copied().unwrap().to_owned();
    let outcome = checkout().run(&["demo"]).succeeded();
    let said = format!("{}{}", outcome.stderr, outcome.stdout);
    // Figures that depend on the machine differ; names, row counts and the result must not.
    let mut checked = 0;
    for line in shown.lines() {
        for word in line.split_whitespace() {
            let is_name = word.contains('.')
                && word.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
            let is_count = word.len() > 4 && word.chars().all(|c| c.is_ascii_digit() || c == ',');
            let varies =
                line.contains(" s") && word.chars().all(|c| c.is_ascii_digit() || c == ',');
            if is_name || is_count && !varies {
                assert!(
                    said.contains(word),
                    "the README shows `{word}`, the demo does not:\n{said}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "only {checked} words were compared");
}

#[test]
fn its_invariants_name_tests_that_exist() {
    let readme = readme();
    let table = readme.split("### Invariants").nth(1).unwrap().split("### ").next().unwrap();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        for test in row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            assert!(exists(test), "no test `{test}`");
            named += 1;
        }
    }
    assert!(named >= 14, "only {named} tests are named");
}

/// Whether `a::b::name` is a module or test function below `tests/` or `src/`.
fn exists(test: &str) -> bool {
    let parts: Vec<_> = test.split("::").collect();
    ["tests", "src"].iter().any(|top| {
        (0..=parts.len()).any(|cut| {
            let path = root().join(top).join(parts[..cut].join("/"));
            let files = [path.with_extension("rs"), path.join("mod.rs")];
            let found = files.iter().find(|file| cut > 0 && file.is_file());
            match (found, &parts[cut..]) {
                (Some(_), []) => true,
                (Some(file), [name]) => {
                    fs::read_to_string(file).unwrap().contains(&format!("fn {name}("))
                }
                _ => false,
            }
        })
    })
}

#[test]
fn its_editor_headers_and_examples_are_read() {
    // The examples of the page are configuration that loads.
    let readme = readme();
    let blocks = blocks(&readme, "yaml");
    assert!(blocks.len() >= 2);
    let mut workspace = Workspace::new();
    workspace.set("SHOP_REPLICA_URL", "sqlite:.longshore/none.db");
    workspace.write("longshore.yml", blocks[0]);
    workspace.write("pipelines/nightly.yml", blocks[1]);
    let model =
        self::blocks(&readme, "sql").into_iter().find(|block| block.contains("/* model")).unwrap();
    workspace.write("sql/nightly/mart/daily_revenue.sql", model);
    // It gets as far as the source, which is not there.
    let outcome = workspace.run(&["plan", "nightly"]).failed_with(1);
    assert!(outcome.stderr.contains("none.db"), "{outcome}");
}

/// A Markdown table, as the page holds it.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut lines =
        vec![format!("| {} |", head.join(" | ")), format!("|{}", "---|".repeat(head.len()))];
    lines.extend(rows.into_iter().map(|row| format!("| {} |", row.join(" | "))));
    lines.join("\n")
}

#[test]
fn its_type_tables_are_the_code_s() {
    let postgres = longshore::extract::postgres::mapping::type_table().into_iter().map(|row| {
        vec![row.postgres.to_owned(), row.arrow, row.delta, row.outcome.to_owned(), row.note]
    });
    let sqlite = longshore::extract::sqlite::type_table().into_iter().map(|row| {
        let declared = row.declared.iter().map(|name| match *name {
            "" => "none".to_owned(),
            name => format!("`{name}`"),
        });
        vec![declared.collect::<Vec<_>>().join(", "), row.arrow, row.delta, row.note]
    });
    let readme = readme();
    for expected in [
        table(&["PostgreSQL", "Arrow", "Delta Lake", "values", "to know"], postgres),
        table(&["declared", "Arrow", "Delta Lake", "to know"], sqlite),
    ] {
        assert!(readme.contains(&expected), "the page should hold this table:\n{expected}");
    }
}
