//! Runs that must not publish, and what they say.

use super::{demo_project, edit, generations};

/// The rows of the ledger's step table, by way of the newest run's record.
fn newest_run(workspace: &crate::harness::workspace::Workspace) -> serde_json::Value {
    let runs = workspace.run(&["runs", "--json", "--limit", "1"]).succeeded();
    let runs: serde_json::Value = serde_json::from_str(&runs.stdout).unwrap();
    let id = runs[0]["run"].as_str().unwrap().to_owned();
    let run = workspace.run(&["runs", &id, "--json"]).succeeded();
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_typo_in_a_model_extracts_nothing() {
    let workspace = demo_project();
    let model = "sql/nightly/mart/typo.sql";
    workspace.write(
        model,
        "select\n    customer_id,\n    sum(totl) as total\nfrom shop.orders\ngroup by 1\n",
    );
    let outcome = workspace.run(&["run", "nightly"]).failed_with(2);
    let said = &outcome.stderr;
    assert!(said.contains("model `mart.typo` cannot be planned; nothing was extracted"), "{said}");
    assert!(said.contains("sql/nightly/mart/typo.sql:3:9"), "{said}");
    assert!(said.contains("sum(totl) as total"), "the line is shown: {said}");
    assert!(said.contains("did you mean `total`?"), "{said}");
    let run = newest_run(&workspace);
    assert_eq!(run["outcome"], "failed");
    assert_eq!(run["steps"], serde_json::json!([]), "nothing was staged");
    assert_eq!(generations(&workspace), 1);
}

#[test]
fn a_failing_audit_publishes_nothing() {
    let workspace = demo_project();
    let before = workspace.files("warehouse");
    edit(
        &workspace,
        "pipelines/nightly.yml",
        "values: [new, paid, shipped, cancelled]",
        "values: [new, paid, shipped]",
    );
    let outcome = workspace.run(&["run", "nightly"]).failed_with(1);
    let said = &outcome.stderr;
    assert!(said.contains("the warehouse is unchanged at generation 1"), "{said}");
    assert!(said.contains("accepted_values"), "{said}");
    assert!(said.contains("pipelines/nightly.yml:"), "{said}");
    assert!(said.contains("id=") || said.contains("id = "), "the rows' keys are shown: {said}");
    assert_eq!(workspace.files("warehouse"), before, "a run that fails leaves no file behind");
    let run = newest_run(&workspace);
    assert_eq!(run["outcome"], "failed");
    // The stage stays for a look at the rows.
    let id = run["run"].as_str().unwrap();
    let query = "select count(*) as n from shop.orders where status = 'cancelled'";
    let rows = workspace.run(&["sql", "--run", id, "--format", "csv", query]).succeeded();
    assert_ne!(rows.stdout.lines().nth(1), Some("0"));
}

#[test]
fn a_warning_is_told_and_published() {
    let workspace = demo_project();
    edit(&workspace, "pipelines/nightly.yml", "expression: total >= 0", "expression: total >= 50");
    let outcome = workspace.run(&["run", "nightly"]).succeeded();
    assert!(outcome.stderr.contains("total >= 50"), "{}", outcome.stderr);
    assert_eq!(generations(&workspace), 2);
}

#[test]
fn a_value_that_does_not_fit_stops_the_run_by_name() {
    let workspace = demo_project();
    edit(
        &workspace,
        "pipelines/nightly.yml",
        "drop: [weight_kg]",
        "cast: {price: \"decimal(4,2)\"}",
    );
    let narrower = workspace.run(&["run", "nightly"]).failed_with(1).stderr;
    assert!(narrower.contains("`shop.products.price` changed from `decimal(10,2)`"), "{narrower}");
    let accepted = ["run", "nightly", "--accept-schema", "shop.products"];
    let outcome = workspace.run(&accepted).failed_with(1);
    assert!(outcome.stderr.contains("stopped extracting `shop.products`"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("price"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("unchanged at generation 1"), "{}", outcome.stderr);
    assert_eq!(generations(&workspace), 1);
}

#[test]
fn a_shrunken_table_is_not_published() {
    let workspace = demo_project();
    edit(
        &workspace,
        "pipelines/nightly.yml",
        "      - table: orders\n",
        "      - table: orders\n        where: id % 2 = 0\n",
    );
    let outcome = workspace.run(&["run", "nightly"]).failed_with(1);
    assert!(outcome.stderr.contains("row_count"), "{}", outcome.stderr);
    assert_eq!(generations(&workspace), 1);
}

#[test]
fn the_source_is_never_changed() {
    let workspace = demo_project();
    let read = || std::fs::read(workspace.path(".longshore/shop.db")).unwrap();
    let before = read();
    workspace.run(&["run", "nightly"]).succeeded();
    workspace.run(&["check"]).succeeded();
    assert!(before == read(), "the source file differs after a run");
    assert!(!workspace.path(".longshore/shop.db-wal").exists());
    assert!(!workspace.path(".longshore/shop.db-journal").exists());
}
