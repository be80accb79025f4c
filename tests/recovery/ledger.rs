//! A damaged ledger is kept aside, and another one tells what the generations know.

use std::{fs, path::Path};

use super::{fill, project, runs, visible, whole};
use crate::harness::workspace::Workspace;

/// Two generations, and a run that failed before them.
async fn history() -> Workspace {
    let workspace = project();
    fill(&workspace, 1).await;
    let model = workspace.read("sql/load/mart/both.sql");
    workspace.write("sql/load/mart/both.sql", "select nothing from shop.a\n");
    workspace.run(&["run", "load"]).failed_with(2);
    workspace.write("sql/load/mart/both.sql", model);
    workspace.run(&["run", "load"]).succeeded();
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(outcomes(&workspace), ["published", "published", "failed"]);
    workspace
}

fn outcomes(workspace: &Workspace) -> Vec<String> {
    runs(workspace).iter().map(|run| run["outcome"].as_str().unwrap().to_owned()).collect()
}

/// The ledgers that were set aside.
fn aside(workspace: &Workspace) -> Vec<String> {
    let files = workspace.files(".longshore").into_iter();
    files.filter(|name| name.starts_with("ledger.corrupt-") && !name.ends_with("-wal")).collect()
}

fn clear(workspace: &Workspace) {
    for name in workspace.files(".longshore") {
        if name.starts_with("ledger.") {
            fs::remove_file(workspace.path(".longshore").join(name)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_ledger_is_kept_and_rebuilt_from_the_generations() {
    let workspace = history().await;
    let ledger = workspace.path(".longshore/ledger.db");
    let published = runs(&workspace)[0].clone();
    let mut torn = fs::read(&ledger).unwrap();
    torn.truncate(torn.len() / 2);
    fs::write(&ledger, &torn).unwrap();

    let told = workspace.run(&["runs", "--json"]).succeeded();
    assert!(told.stderr.contains("ledger.db` is damaged"), "{told}");
    let [kept] = &aside(&workspace)[..] else { panic!("{told}") };
    assert!(told.stderr.contains(kept) && told.stderr.contains("the 2 runs that published"));
    assert_eq!(fs::read(workspace.path(".longshore").join(kept)).unwrap(), torn, "kept as it was");
    let rebuilt = runs(&workspace);
    assert_eq!(outcomes(&workspace), ["published", "published"]);
    for field in ["run", "pipeline", "started_at", "generation", "rows"] {
        assert_eq!(rebuilt[0][field], published[field], "{field}");
    }
    assert_eq!((&published["rebuilt"], &rebuilt[0]["rebuilt"]), (&false.into(), &true.into()));

    fill(&workspace, 2).await;
    let quiet = workspace.run(&["run", "load"]).succeeded();
    assert!(!quiet.stderr.contains("damaged"), "said once: {quiet}");
    assert_eq!((visible(&workspace), runs(&workspace).len()), (whole(2), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_flipped_byte_and_no_truncation_stops_a_run_or_loses_a_generation() {
    let workspace = history().await;
    let ledger = workspace.path(".longshore/ledger.db");
    let sound = fs::read(&ledger).unwrap();
    // Here and there in the file's header; of every page its kind, its count, a pointer, and rows.
    let pages = (0..sound.len()).step_by(4096);
    let flips =
        (0..100).step_by(9).chain(pages.flat_map(|page| [page, page + 4, page + 8, page + 3900]));
    let mut damages: Vec<(String, Vec<u8>)> = flips
        .map(|at| {
            let mut bytes = sound.clone();
            bytes[at] ^= 0xff;
            (format!("byte {at} flipped"), bytes)
        })
        .collect();
    for length in [0, 1, 100, 4096, 5000, sound.len() - 4096, sound.len() - 1] {
        damages.push((format!("{length} bytes left"), sound[..length].to_vec()));
    }
    damages.push(("zeros".into(), vec![0; sound.len()]));
    let mut replaced = 0;
    for (what, bytes) in damages {
        clear(&workspace);
        fs::write(&ledger, &bytes).unwrap();
        replaced += usize::from(is_borne(&workspace, &ledger, &what));
    }
    assert!(replaced > 15, "only {replaced} were found to be damaged");
    // The same before a run, which then works.
    for length in [0, 100, 5000] {
        clear(&workspace);
        fs::write(&ledger, &sound[..length]).unwrap();
        let told = workspace.run(&["run", "load"]).succeeded();
        assert!(told.stderr.contains("ledger.db` is damaged"), "{length}: {told}");
        assert_eq!(visible(&workspace), whole(1));
    }
}

/// Whether the ledger was replaced. Where it wasn't, the flip was in nothing that counts, or in a
/// text: no run is lost silently.
fn is_borne(workspace: &Workspace, ledger: &Path, what: &str) -> bool {
    let told = workspace.run(&["runs", "--json"]);
    assert!(matches!(told.code, Some(0 | 1)), "{what}: {told}");
    let is_replaced = told.stderr.contains("ledger.db` is damaged");
    assert_eq!(aside(workspace).len(), usize::from(is_replaced), "{what}: {told}");
    assert!(ledger.exists(), "{what}");
    if told.code == Some(1) {
        assert!(told.stderr.contains("the ledger is damaged"), "{what}: {told}");
        return false;
    }
    let known = outcomes(workspace).iter().filter(|outcome| *outcome == "published").count();
    assert_eq!(known, 2, "{what}: {told}");
    is_replaced
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_died_after_its_publish_is_remembered_as_published() {
    let workspace = history().await;
    let url = format!("sqlite:{}", workspace.path(".longshore/ledger.db").display());
    let mut ledger = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let forget = "update runs set outcome = 'running', generation = null, ended_at = null";
    sqlx::raw_sql(forget).execute(&mut ledger).await.unwrap();
    sqlx::Connection::close(ledger).await.unwrap();
    workspace.run(&["run", "load"]).succeeded();
    assert_eq!(outcomes(&workspace), ["published", "published", "published", "crashed"]);
    assert_eq!(runs(&workspace)[2]["generation"], 1);
}
