//! Many generations, back and forth, and cleaning, as other software sees it.

use std::{fs::File, io::Read as _};

use super::project;
use crate::harness::{
    postgres::{Database, cluster},
    readers::{self, Fingerprint, Reader},
    s3::Bucket,
    workspace::Workspace,
};

const READERS: [Reader; 2] = [Reader::DeltaRs, Reader::DuckdbDelta];

/// A warehouse of `shop.orders`, whose generation `n` holds `n` × 100 rows.
struct Site<'a> {
    workspace: Workspace,
    database: Database<'a>,
    location: String,
    options: Vec<(&'static str, String)>,
}

impl<'a> Site<'a> {
    async fn in_bucket(name: &str) -> Site<'a> {
        let database = cluster().database(name).await;
        let bucket = Bucket::new(&format!("lake-of-{name}"));
        let workspace = project(&database, &bucket, "delta");
        let location = format!("{}/lake/shop/orders", bucket.url());
        Site { workspace, database, location, options: bucket.options() }
    }

    async fn on_disk(name: &str) -> Site<'a> {
        let site = Self::in_bucket(name).await;
        let settings = "warehouse: {url: ./warehouse}\n\
                        connections:\n  source: {url: \"${SOURCE_URL}\"}\n";
        site.workspace.write("longshore.yml", settings);
        let location = site.workspace.path("warehouse/shop/orders").display().to_string();
        Site { location, options: Vec::new(), ..site }
    }

    /// Publishes this many generations.
    async fn fill(&self, generations: u32) {
        self.database.load("create table orders (id bigint, status text);").await;
        for number in 0..generations {
            let rows = format!(
                "insert into orders select i, 'r{number}' from \
                 generate_series({number} * 100 + 1, ({number} + 1) * 100) i;"
            );
            self.database.load(&rows).await;
            self.workspace.run(&["run", "load"]).succeeded();
        }
    }

    fn retain(&self, retention: &str) {
        let text = self.workspace.read("longshore.yml");
        let (head, tail) = text.split_once("connections:").unwrap();
        let head = match head.find("  retention:") {
            Some(at) => head[..at].to_owned(),
            None => head.replace("{url: ./warehouse}", "\n  url: ./warehouse"),
        };
        let text = format!("{head}  retention: {retention}\nconnections:{tail}");
        self.workspace.write("longshore.yml", text);
    }

    fn print(&self, reader: Reader) -> Fingerprint {
        readers::fingerprint(reader, &self.location, &self.options)
    }

    fn at(&self, reader: Reader, version: u64) -> Fingerprint {
        let version = [("version", version.to_string())];
        let options: Vec<_> = self.options.iter().cloned().chain(version).collect();
        readers::fingerprint(reader, &self.location, &options)
    }

    fn can_travel(&self, version: u64) -> [bool; 2] {
        READERS.map(|reader| readers::can_travel(reader, &self.location, version, &self.options))
    }

    fn rows(&self, arguments: &[&str]) -> String {
        let query = ["sql", "--format", "csv", "select count(*) as n from shop.orders"];
        let all: Vec<_> = query.iter().chain(arguments).copied().collect();
        self.workspace.run(&all).succeeded().stdout.replace("n\n", "").trim().to_owned()
    }

    fn clean(&self) -> serde_json::Value {
        let told = self.workspace.run(&["clean", "--json"]).succeeded().stdout;
        serde_json::from_str(&told).unwrap()
    }
}

/// Back to generation 3 of `last`, then clean in two steps, with readers of each kind in between.
async fn back_and_clean(site: &Site<'_>, last: u64) {
    let third = READERS.map(|reader| site.at(reader, 2));
    assert_eq!(third[0], third[1]);
    let back = site.workspace.run(&["rollback", "3"]).succeeded();
    let words = format!("published: generation {} of", last + 1);
    assert!(back.stderr.contains(&words), "{back}");
    assert_eq!(READERS.map(|reader| site.print(reader)), third, "all of its rows, and no others");
    assert_eq!((site.rows(&[]), site.rows(&["--generation", "4"])), ("300".into(), "400".into()));
    assert_eq!(READERS.map(|reader| site.at(reader, 0).rows), [100, 100], "time travel goes on");

    site.retain("{generations: 2, age: 1ms, grace: 1h}");
    let left = site.clean();
    assert_eq!(left["expired"].as_array().unwrap().len() as u64, last - 1, "{left}");
    assert_eq!(left["tables"].as_array().unwrap().len(), 0, "{left}");
    let refused = site.workspace.run(&["sql", "--generation", "1", "select 1"]).failed_with(2);
    assert!(refused.stderr.contains("generation 1 was cleaned away"), "{refused}");
    let refused = site.workspace.run(&["rollback", "1"]).failed_with(2);
    assert!(refused.stderr.contains("generation 1 was cleaned away"), "{refused}");
    assert_eq!(site.can_travel(0), [true, true], "who reads it already comes to the end");

    site.retain("{generations: 2, age: 1ms, grace: 1s}");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let listed = site.workspace.run(&["clean", "--dry-run"]).succeeded();
    assert!(listed.stdout.contains("shop/orders/"), "{listed}");
    assert_eq!(site.can_travel(0), [true, true], "a dry run removes nothing");
    let gone = site.clean();
    let orders = gone["tables"].as_array().unwrap().iter().find(|t| t["table"] == "shop.orders");
    // All but the files of the last run, and of generation 3, which came back.
    assert_eq!(orders.unwrap()["files"].as_array().unwrap().len() as u64, last - 2, "{gone}");
    assert_eq!(site.can_travel(0), [false, false]);
    assert_eq!(READERS.map(|reader| site.print(reader)), third);
    assert_eq!(READERS.map(|reader| site.at(reader, last - 1).rows), [last * 100; 2]);
    let newest = last.to_string();
    assert_eq!(site.rows(&["--generation", &newest]), (last * 100).to_string());

    let forth = site.workspace.run(&["rollback", &newest]).succeeded();
    assert!(forth.stderr.contains(&format!("generation {}", last + 2)), "{forth}");
    assert_eq!(READERS.map(|reader| site.print(reader).rows), [last * 100; 2]);
    site.workspace.run(&["run", "load"]).succeeded();
    assert_eq!(site.rows(&[]), (last * 100).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_generations_on_disk_are_read_cleaned_and_brought_back() {
    let site = Site::on_disk("generations").await;
    site.fill(12).await;
    let listed = site.workspace.run(&["tables", "shop.orders", "--generation", "1", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.succeeded().stdout).unwrap();
    let first = listed["files"][0].as_str().unwrap().strip_prefix("file://").unwrap().to_owned();
    let mut open = File::open(&first).unwrap();
    back_and_clean(&site, 12).await;
    assert!(!std::path::Path::new(&first).exists());
    let mut content = Vec::new();
    open.read_to_end(&mut content).unwrap();
    assert!(content.ends_with(b"PAR1"), "a file that a reader has open stays whole for it");
    let runs = site.workspace.run(&["runs", "--json"]).succeeded().stdout;
    let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
    let pipelines = runs.as_array().unwrap().iter().map(|run| run["pipeline"].as_str().unwrap());
    // The two that were carried out, and the one that was refused.
    assert_eq!(pipelines.filter(|name| *name == "rollback").count(), 3);
    let told = site.workspace.run(&["tables", "--generations"]).succeeded().stdout;
    assert!(told.contains("rollback to 3") && told.contains("rollback to 12"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_in_a_bucket_are_read_cleaned_and_brought_back() {
    let site = Site::in_bucket("bucketgenerations").await;
    site.fill(4).await;
    back_and_clean(&site, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_younger_leaves_and_is_empty_for_others() {
    let site = Site::on_disk("younger").await;
    site.workspace.write("sql/load/mart/totals.sql", "select 1 as n");
    site.fill(1).await;
    site.workspace.write("sql/load/mart/late.sql", "select id from shop.orders");
    site.workspace.run(&["run", "load"]).succeeded();
    let back = site.workspace.run(&["rollback", "1"]).succeeded();
    assert!(back.stderr.contains("mart.late left it"), "{back}");
    let refused = site.workspace.run(&["sql", "select * from mart.late"]).failed_with(2);
    assert!(refused.stderr.contains("mart.late"), "{refused}");
    let late = site.workspace.path("warehouse/mart/late").display().to_string();
    for reader in READERS {
        assert_eq!(readers::fingerprint(reader, &late, &[]).rows, 0);
    }
    let same = site.workspace.run(&["rollback", "1"]).succeeded();
    assert!(same.stderr.contains("nothing to do"), "{same}");
    site.workspace.run(&["run", "load"]).succeeded();
    assert_eq!(readers::fingerprint(READERS[0], &late, &[]).rows, 100);
}
