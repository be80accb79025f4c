//! Keeps the tree as the architecture says: who may import whom, how long a file may be, and that
//! nothing is left lying about.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Invariant: dependencies point one way. Each folder below `src` with what it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("types", &["error"]),
    ("config", &["error", "types"]),
    ("extract", &["error", "types", "config"]),
    ("stage", &["error", "types", "config"]),
    ("transform", &["error", "types", "config"]),
    ("warehouse", &["error", "types", "config"]),
    ("run", &["error", "types", "config", "extract", "stage", "transform", "warehouse"]),
    ("cli", &["error", "types", "config", "extract", "stage", "transform", "warehouse", "run"]),
];

const LONGEST_FILE: usize = 500;

/// What a fresh clone holds at its top, and nothing else.
const TOP: &[&str] = &[
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "longshore.yml",
    "pipelines",
    "rustfmt.toml",
    "sql",
    "src",
    "tests",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All tracked and not ignored files.
fn files() -> Vec<PathBuf> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "git lists the files");
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let files: Vec<_> =
        names.lines().map(PathBuf::from).filter(|file| root().join(file).exists()).collect();
    assert!(files.len() > 50, "the listing is suspiciously short: {}", files.len());
    files
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let rust = files().into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    rust.map(|file| (file.clone(), fs::read_to_string(root().join(&file)).expect("readable")))
        .collect()
}

/// The first folder or file stem below `src`.
fn layer(file: &Path) -> Option<String> {
    let below = file.strip_prefix("src").ok()?;
    let first = below.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// The modules of this crate that `text` names after `crate::`, grouped imports included.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for after in text.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            found.push(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
            continue;
        };
        let mut depth = 0;
        let mut word = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(std::mem::take(&mut word)),
                c if depth == 0 => word.push(c),
                _ => {}
            }
        }
        found.push(word);
    }
    found
        .iter()
        .map(|path| path.trim().split("::").next().unwrap_or_default().to_owned())
        .filter(|module| !module.is_empty())
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    let mut edges = 0;
    for (file, text) in rust_files() {
        let Some(layer) = layer(&file) else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == layer) else {
            assert!(["lib", "main"].contains(&layer.as_str()), "`{}` has no layer", file.display());
            continue;
        };
        for module in imports(&text) {
            edges += 1;
            let known = MAY_IMPORT.iter().any(|(name, _)| *name == module);
            if known && module != layer && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{} imports `{module}`", file.display()));
            }
        }
    }
    assert!(edges > 100, "the check reads imports: {edges}");
    assert!(wrong.is_empty(), "imports against the flow:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = rust_files()
        .iter()
        .filter(|(_, text)| text.lines().count() > LONGEST_FILE)
        .map(|(file, text)| format!("{}: {} lines", file.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "is there a second room inside?\n{}", long.join("\n"));
}

#[test]
fn nothing_is_left_behind() {
    // Spelled in two halves so that this file does not find itself.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
    ]
    .map(|halves| halves.concat());
    let mut left = Vec::new();
    for (file, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) || line.trim() == "#[ignore]" {
                left.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
}

#[test]
fn no_file_is_an_orphan() {
    let sources = rust_files();
    let mut orphans = Vec::new();
    for (file, _) in &sources {
        let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let folder = file.parent().unwrap_or(Path::new(""));
        if !file.starts_with("src") || ["lib", "main"].contains(&stem) {
            continue;
        }
        let (name, parents) = match stem {
            "mod" => {
                let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let above = folder.parent().unwrap_or(Path::new(""));
                (name, [above.join("mod.rs"), above.join("lib.rs"), above.with_extension("rs")])
            }
            stem => {
                (stem, [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")])
            }
        };
        let declared = sources
            .iter()
            .any(|(other, text)| parents.contains(other) && text.contains(&format!("mod {name};")));
        if !declared {
            orphans.push(file.display().to_string());
        }
    }
    assert!(orphans.is_empty(), "files that no module declares:\n{}", orphans.join("\n"));
}

#[test]
fn the_top_of_the_tree_stays_small() {
    for file in files() {
        let first =
            file.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        assert!(TOP.contains(&first.as_str()), "`{first}` does not belong at the top");
    }
}
