//! What a person reads when a file is wrong.

use super::{Folder, PROJECT, extracting, failure, pipeline, project};

#[test]
fn unknown_keys_are_told_with_the_nearest() {
    insta::assert_snapshot!(failure(project("warehouse: {url: w}\nconections: {}\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:1: there is no key `conections` here
    |conections: {}
    |^
    hint: did you mean `connections`?
    ");
    insta::assert_snapshot!(failure(extracting("      - {tabel: orders}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:10: there is no key `tabel` here
    |      - {tabel: orders}
    |         ^
    hint: did you mean `table`?
    ");
    insta::assert_snapshot!(failure(pipeline("zzz: 1\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:1:1: there is no key `zzz` here
    |zzz: 1
    |^
    hint: the keys here are `description`, `extract`, `transform`, `parquet`, `on_schema_change`
    ");
    insta::assert_snapshot!(failure(pipeline("schedule: {cron: \"30 1 * * *\"}\n")), @r#"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:1:1: there is no key `schedule` here
    |schedule: {cron: "30 1 * * *"}
    |^
    hint: this version runs when asked: let cron or a timer call `longshore run`
    "#);
}

#[test]
fn wrong_types_are_told_in_the_words_of_yaml() {
    insta::assert_snapshot!(failure(project("warehouse: [a]\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:1:12: a map is expected here
    |warehouse: [a]
    |           ^
    hint: write `{key: value}`, or one `key: …` a line
    ");
    insta::assert_snapshot!(failure(extracting("      - [orders]\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:9: a text or a map of keys is expected here
    |      - [orders]
    |        ^
    hint: mend the file, then `longshore check`
    ");
    insta::assert_snapshot!(failure(project("memory: 1GiB\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:1:1: `warehouse` is missing
    |memory: 1GiB
    |^
    hint: add `warehouse: {url: ./warehouse}`
    ");
    let alias = "warehouse: &here {url: w}\nmemory: *here\n";
    insta::assert_snapshot!(failure(project(alias)), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:9: a text is expected here
    |memory: *here
    |        ^
    hint: mend the file, then `longshore check`
    ");
    insta::assert_snapshot!(failure(project("")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:1:1: there is nothing in it
    hint: mend the file, then `longshore check`
    ");
}

#[test]
fn broken_yaml_is_told_with_what_mends_it() {
    insta::assert_snapshot!(failure(project("warehouse:\n\turl: w\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:2: not valid YAML: tabs disallowed within this context (block indentation)
    |	url: w
    | ^
    hint: indent with spaces; YAML takes no tabs
    ");
    insta::assert_snapshot!(failure(project("warehouse:\n  url: w\n    format: delta\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:3:11: not valid YAML: mapping values are not allowed in this context
    |    format: delta
    |          ^
    hint: check the indentation; put a text with `: ` in quotes
    ");
    insta::assert_snapshot!(failure(extracting("      - *\n")), @r#"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:9: not valid YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character
    |      - *
    |        ^
    hint: put a text that starts with `*` or `&` in quotes: `"*"`
    "#);
    insta::assert_snapshot!(failure(project("warehouse: {url: w}\nwarehouse: {url: v}\n")), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:1: `warehouse` is given twice
    |warehouse: {url: v}
    |^
    hint: keep one of the two
    ");
}

#[test]
fn missing_variables_are_told_where_they_stand() {
    let yaml = "warehouse:\n  url: s3://${SET}/${BUCKET}/x\n";
    insta::assert_snapshot!(failure(project(yaml)), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:20: `BUCKET` is not set
    |  url: s3://${SET}/${BUCKET}/x
    |                   ^
    hint: set `BUCKET` in the environment or in `.env` beside longshore.yml
    ");
    insta::assert_snapshot!(failure(extracting("      - '${TABLES}'\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:10: `TABLES` is not set
    |      - '${TABLES}'
    |         ^
    hint: set `TABLES` in the environment or in `.env` beside longshore.yml
    ");
}

#[test]
fn names_that_are_not_known_are_told_with_the_nearest() {
    let from = |name: &str| pipeline(&format!("extract: [{{from: {name}, tables: [a]}}]\n"));
    insta::assert_snapshot!(failure(from("shpo")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:1:18: `shpo` is not a connection
    |extract: [{from: shpo, tables: [a]}]
    |                 ^
    hint: did you mean `shop`?
    ");
    insta::assert_snapshot!(failure(from("'${SET}'")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:1:18: `${SET}` does not stand for a connection
    |extract: [{from: '${SET}', tables: [a]}]
    |                 ^
    hint: the connections in `longshore.yml` are `shop`
    ");
    let folder = Folder::with(&[("longshore.yml", PROJECT)]);
    insta::assert_snapshot!(failure(folder.load().unwrap().connection("warehouse")), @"
    config: there is no connection `warehouse` in `longshore.yml`; nothing was run
    hint: the connections in `longshore.yml` are `shop`
    ");
}

#[test]
fn tables_are_listed_once_and_named_once() {
    insta::assert_snapshot!(failure(extracting("      - orders\n      - \"*\"\n      - table: orders\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:6:9: `orders` is listed before, in line 4
    |      - table: orders
    |        ^
    hint: keep one of the two entries
    ");
    insta::assert_snapshot!(failure(extracting("      - {table: a, as: x}\n      - {query: select 1, as: x}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:5:9: the name `shop.x` is taken before, in line 4
    |      - {query: select 1, as: x}
    |        ^
    hint: give one of them another name with `as`, or another schema with `into`
    ");
    assert!(extracting("      - orders\n      - {table: a, as: orders, skip: true}\n").is_ok());
}

#[test]
fn later_modes_say_what_to_use_now() {
    insta::assert_snapshot!(failure(extracting("      - {table: orders, mode: history}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:31: `mode: history` is not in this version
    |      - {table: orders, mode: history}
    |                              ^
    hint: use `mode: replace`, which takes the whole table each time, `append` or `upsert`
    ");
    insta::assert_snapshot!(failure(extracting("      - {table: a, mode: upsert, cursor: at}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:34: there is no key `cursor` here
    |      - {table: a, mode: upsert, cursor: at}
    |                                 ^
    hint: this version keeps no cursor: say which rows with `where`, and `mode: upsert`
    ");
    insta::assert_snapshot!(failure(extracting("      - {table: a, key: [id, id]}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:30: the key names `id` twice
    |      - {table: a, key: [id, id]}
    |                             ^
    hint: mend the file, then `longshore check`
    ");
    insta::assert_snapshot!(failure(extracting("      - {table: orders, mode: repalce}\n")), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:31: `repalce` is not a mode
    |      - {table: orders, mode: repalce}
    |                              ^
    hint: did you mean `replace`?
    ");
}

#[test]
fn column_types_are_listed() {
    let cast = "      - {table: a, columns: {cast: {total: \"decimal(50,2)\"}}}\n";
    insta::assert_snapshot!(failure(extracting(cast)), @r#"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:44: `decimal(50,2)` is not a column type; there are boolean, smallint, integer, bigint, real, double, decimal(p,s), text, binary, date, timestamp, timestamp_ntz
    |      - {table: a, columns: {cast: {total: "decimal(50,2)"}}}
    |                                           ^
    hint: mend the file, then `longshore check`
    "#);
}

/// Wrong values, each with the detail that tells it; none ends a sentence or shows a secret.
#[test]
fn wrong_values_in_a_project() {
    for (line, detail) in [
        ("memory: many", "`many` is not a size such as `512MiB` or `4GiB`"),
        ("memory: ${SET}", "`${SET}` does not stand for a size such as `512MiB` or `4GiB`"),
        ("memory: 4", "at least 64 MiB are needed"),
        ("connections: {a: {url: \"mysql://db\"}}", "MySQL and MariaDB are not in this version"),
        ("connections: {a: {url: db}}", "this is not a database's URL"),
        (
            "connections: {a.b: {url: 'sqlite:a'}}",
            "a connection's name is not empty and has no dot",
        ),
        ("connections: {a: {url: \"sqlite::memory:\"}}", "the URL names no file"),
        (
            "connections: {a: {url: \"sqlite:a\", connections: 0}}",
            "`0` is not a whole number from 1",
        ),
        (
            "connections: {a: {url: \"sqlite:a\", allow_primary: yes}}",
            "`yes` is not `true` or `false`",
        ),
        (
            "connections: {a: {url: \"sqlite:a\", max_lag: 10}}",
            "`10` is not a length of time above zero such as `45s`, `10m` or `1h30m`",
        ),
        (
            "connections: {a: {url: \"sqlite:a\", max_lag: 0s}}",
            "`0s` is not a length of time above zero such as `45s`, `10m` or `1h30m`",
        ),
        (
            "connections: {a: {url: \"postgres://u:hunt#er2@db/x\"}}",
            "this is not a PostgreSQL URL: invalid port number",
        ),
    ] {
        let error = project(&format!("warehouse: {{url: w}}\n{line}\n")).err().unwrap();
        assert_eq!(error.place().unwrap().detail, detail, "{line}");
        let told = super::rendered(&error);
        assert!(!told.contains("hunt"), "{told}");
    }
}

#[test]
fn wrong_places_of_a_warehouse() {
    for (url, detail) in [
        ("ftp://host/x", "a warehouse can't lie there"),
        ("s3://", "the URL names no bucket"),
        ("s3://key:hunter2@bucket", "a warehouse's URL is a place only"),
        ("s3://key:hunter2@bucket:port", "this is not a URL: invalid port number"),
        ("~/warehouse", "`~` is not expanded here"),
        ("''", "a text is missing here"),
    ] {
        let error = project(&format!("warehouse:\n  url: {url}\n")).err().unwrap();
        assert_eq!(error.place().unwrap().detail, detail, "{url}");
        let told = super::rendered(&error);
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn wrong_retentions() {
    for (retention, detail) in [
        ("{generations: 0}", "`0` is not a whole number from 1"),
        ("{age: 0d}", "`0d` is not a length of time above zero such as `12h` or `7d`"),
        ("{age: 7}", "`7` is not a length of time above zero such as `12h` or `7d`"),
        ("{age: 400000d}", "`400000d` is not a length of time above zero such as `12h` or `7d`"),
        ("{grace: 1x}", "`1x` is not a length of time above zero such as `12h` or `7d`"),
    ] {
        let error = project(&format!("warehouse: {{url: w, retention: {retention}}}\n"));
        assert_eq!(error.err().unwrap().place().unwrap().detail, detail, "{retention}");
    }
}

#[test]
fn wrong_values_in_a_rule() {
    for (rule, detail) in [
        ("{table: a.b.c}", "`a.b.c` is not a table's name or pattern"),
        ("{table: a*, as: b}", "`as` names one table, and `table` is a pattern"),
        ("{table: a, as: b.c}", "`as` is one name, without a dot"),
        ("{query: select 1}", "a query needs a name"),
        ("{table: a, query: select 1, as: b}", "`query` and `table` exclude each other"),
        ("{query: select 1, as: b, where: c}", "`where` goes with `table`"),
        ("{skip: true}", "neither `table` nor `query` is given"),
        ("{table: a, columns: {only: [b], drop: [b]}}", "`b` is both in `only` and in `drop`"),
        ("{table: a, columns: {drop: b, rename: {b: c}}}", "`b` is left out by `only` or `drop`"),
        (
            "{table: a, columns: {cast: {b: text}, mask: {b: redact}}}",
            "`b` is masked, so it is text",
        ),
        ("{table: a, columns: {mask: {b: md5}}}", "`md5` is not a mask"),
        ("{table: a, on_mismatch: drop}", "`drop` is not an outcome of a mismatch"),
        (
            "{table: a, columns: {drop: b, on_mismatch: {b: null}}}",
            "`b` is left out by `only` or `drop`",
        ),
        (
            "{table: a, columns: {mask: {b: redact}, on_mismatch: {b: text}}}",
            "`b` is masked, so it is text",
        ),
        (
            "{table: a, columns: {cast: {b: date}, on_mismatch: {b: text}}}",
            "`b` is cast, so it is not read as text",
        ),
        ("{table: a, max_rejects: 7}", "no row is ever rejected here"),
        (
            "{table: a, on_mismatch: quarantine, max_rejects: 101%}",
            "`101%` is not a number of rows or a share such as `1%`",
        ),
        ("{table: a, audits: [{severity: warn}]}", "it checks nothing"),
        ("{table: a, audits: [{unique: b, not_null: b}]}", "`not_null` and `unique` in one audit"),
        ("{table: a, audits: [{row_count: {}}]}", "it bounds nothing"),
        ("{table: a, audits: [{row_count: {min: 2, max: 1}}]}", "`min` is more than `max`"),
        (
            "{table: a, audits: [{row_count: {max_shrink: 0.2}}]}",
            "`0.2` is not a share such as `20%`",
        ),
        (
            "{table: a, audits: [{row_count: {max_shrink: 120%}}]}",
            "a table can't shrink by more than 100 %",
        ),
        (
            "{table: a, audits: [{relationships: {column: b, to: c, field: d}}]}",
            "`c` is not a table of the warehouse, `schema.table`",
        ),
        ("{table: a, audits: [{not_null: []}]}", "it names no column"),
    ] {
        let error = extracting(&format!("      - {rule}\n")).err().unwrap();
        assert_eq!(error.place().unwrap().detail, detail, "{rule}");
    }
}

#[test]
fn wrong_values_in_a_pipeline() {
    for (yaml, detail) in [
        ("description: a", "it neither extracts nor transforms"),
        ("transform: none", "there is no such folder"),
        ("extract: [{from: shop, tables: []}]", "it selects no tables"),
        ("extract: [{from: shop, into: a.b, tables: [c]}]", "`into` is one name, without a dot"),
    ] {
        assert_eq!(pipeline(yaml).err().unwrap().place().unwrap().detail, detail);
    }
}

/// A line with a login that an error is about shows stars.
#[test]
fn snippets_hide_credentials() {
    let yaml = "warehouse: {url: w}\nconnections:\n  a: {ulr: \"postgres://etl:hunter2@db/x\"}\n";
    insta::assert_snapshot!(failure(project(yaml)), @r#"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:3:7: there is no key `ulr` here
    |  a: {ulr: "postgres://etl:*******@db/x"}
    |      ^
    hint: the keys here are `url`, `connections`, `max_lag`, `statement_timeout`, `lock_timeout`, `max_rows_per_second`, `max_bytes_per_second`, `max_transaction_age`, `max_active_sessions`, `max_wait`, `window`, `timezone`, `allow_primary`
    "#);
    let yaml = "warehouse: {url: w, options: {aws_secret_access_key: hunter2, b: [c]}}\n";
    insta::assert_snapshot!(failure(project(yaml)), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:1:66: a text is expected here
    |warehouse: {url: w, options: {aws_secret_access_key: *******, b: [c]}}
    |                                                                 ^
    hint: mend the file, then `longshore check`
    ");
}

#[test]
fn parquet_settings_that_make_no_sense_are_refused() {
    let parquet = |settings: &str| {
        failure(project(&format!("warehouse: {{url: w}}\nparquet: {{{settings}}}\n")))
    };
    insta::assert_snapshot!(parquet("compression: gzip"), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:24: `gzip` is not a compression
    |parquet: {compression: gzip}
    |                       ^
    hint: there are `zstd`, `lz4`, `snappy`, `none`
    ");
    insta::assert_snapshot!(parquet("compression: lz4, level: 3"), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:36: `level` is zstd's, and the compression here is another
    |parquet: {compression: lz4, level: 3}
    |                                   ^
    hint: leave out `level`, or say `compression: zstd`
    ");
    insta::assert_snapshot!(parquet("level: 23"), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:18: `23` is not a level from 1 to 22
    |parquet: {level: 23}
    |                 ^
    hint: mend the file, then `longshore check`
    ");
    insta::assert_snapshot!(parquet("row_group: 64"), @"
    config: `longshore.yml` is not valid; nothing was run
    --> longshore.yml:2:22: a row group has 1 MiB to 1 GiB
    |parquet: {row_group: 64}
    |                     ^
    hint: write the unit too: `64MiB`
    ");
    let rule = "      - {table: a, parquet: {row_group: 2GiB}}\n";
    insta::assert_snapshot!(failure(extracting(rule)), @"
    config: `pipelines/nightly.yml` is not valid; nothing was run
    --> pipelines/nightly.yml:4:41: a row group has 1 MiB to 1 GiB
    |      - {table: a, parquet: {row_group: 2GiB}}
    |                                        ^
    hint: mend the file, then `longshore check`
    ");
}
