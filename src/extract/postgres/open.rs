//! Opening one consistent view of many tables: the coordinator's sequence.
//!
//! 1. Outside any transaction: what each table is, and the server's position. The position comes
//!    first, so that all up to it is in the view.
//! 2. `BEGIN`, then `LOCK TABLE … IN ACCESS SHARE MODE`, which takes no snapshot yet: a TRUNCATE or
//!    a rewrite after a snapshot would show its table empty. Standbys allow this lock.
//! 3. The snapshot, exported for the workers.
//! 4. Each statement that will run is taken apart and planned, which also locks what views and
//!    queries read. What was rewritten between 3 and 4 is told by its file: then all starts anew.
//! 5. Only now sizes, and from them the chunks. Values that would stop the read are looked for
//!    (`probe`), so that they do before any row moves where that is cheap.

use std::collections::HashMap;

use super::{
    catalog::user_sql,
    chunks::{self, Extent},
    effects,
    leaves::leaves,
    pool,
    probe::{self, Candidate},
    rows::{query, query_one},
    snapshot::PostgresSnapshot,
    sql,
    types::TypeCatalog,
    view::{IDENTITY, Opened, Place, Plan},
    wire::{WireConnection, WireError},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{ChunkPart, Snapshot, SourcePosition, SourceTable, TableRequest},
};

/// How often all is begun anew when a table is rewritten at the wrong moment.
const ATTEMPTS: usize = 3;

/// What can't be estimated may be large, and should start early.
const UNKNOWN_BYTES: u64 = 1 << 30;

/// Opens one consistent view of `tables`.
pub(super) async fn open(place: Place, tables: &[TableRequest]) -> Result<Box<dyn Snapshot>> {
    for _ in 0..ATTEMPTS {
        let connection = place.sessions.connect_coordinator().await.map_err(|error| {
            let what = format!("`{}` can't be connected to; nothing was extracted", place.name);
            Error::from(error).context(what)
        })?;
        if let Some(opened) = begin(connection, &place, tables).await? {
            return Ok(Box::new(PostgresSnapshot::new(opened, place)));
        }
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("`{}` gives no steady view of its tables; nothing was extracted", place.name),
    )
    .because("a table was truncated or rewritten each time a snapshot was taken")
    .hint("run again when the maintenance of its tables is over"))
}

/// The sequence in this module's head; nothing where it must start anew.
async fn begin(
    mut connection: WireConnection,
    place: &Place,
    tables: &[TableRequest],
) -> Result<Option<Opened>> {
    let told = |error: WireError| {
        let what = format!("`{}` gives no view of its tables; nothing was extracted", place.name);
        Error::from(error).context(what)
    };
    let server = Server::ask(&mut connection).await.map_err(told)?;
    let position = position(&mut connection).await.map_err(told)?;
    let relations = relations(&mut connection, tables).await?;
    let types = load_types(&mut connection, server.version, tables).await.map_err(told)?;

    connection.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(told)?;
    if let Some(lock) = lock_statement(tables, &relations) {
        connection.simple(&lock).await.map_err(told)?;
    }
    let export = "SELECT pg_catalog.pg_export_snapshot()";
    let snapshot = query_one(&mut connection, export).await.map_err(told)?.text(0).to_owned();

    let mut plans = Vec::new();
    for request in tables {
        plans.push(plan(&mut connection, request, &types).await?);
    }
    if !query(&mut connection, REWRITTEN).await.map_err(told)?.is_empty() {
        return Ok(None);
    }
    let roots = relations.iter().flatten().filter(|relation| relation.has_leaves);
    let roots: Vec<_> = roots.map(|relation| relation.oid).collect();
    let leaves = leaves(&mut connection, &roots, server.version).await.map_err(told)?;
    let terms = chunks::Terms {
        block_bytes: server.block_bytes,
        workers: pool::readers(place.connections),
        attempt: place.session.attempt,
    };
    let extents: Vec<_> = tables
        .iter()
        .zip(&relations)
        .map(|(request, relation)| {
            let leaves = relation.as_ref().and_then(|relation| leaves.get(&relation.oid)?.clone());
            let bytes = request.from.estimated_bytes.unwrap_or(UNKNOWN_BYTES);
            leaves.map_or(Extent::Whole(bytes), Extent::Leaves)
        })
        .collect();
    let candidates: Vec<_> = plans
        .iter()
        .zip(&extents)
        .map(|(plan, extent)| Candidate { plan, bytes: extent.leaf_bytes() })
        .collect();
    place.sessions.set_up(&mut connection);
    let unfit = probe::unfit(&mut connection, &candidates).await.map_err(told)?;
    if let Some(unfit) = unfit {
        return Err(unfit);
    }
    let chunks = chunks::divide(&extents, terms);
    Ok(Some(Opened { connection, snapshot, server: server.identity, position, plans, chunks }))
}

/// What of the server matters while it is read.
struct Server {
    version: u32,
    block_bytes: u64,
    identity: String,
}

impl Server {
    async fn ask(connection: &mut WireConnection) -> Result<Self, WireError> {
        let row = query_one(
            connection,
            "SELECT pg_catalog.current_setting('server_version_num'),
                 pg_catalog.current_setting('block_size')",
        )
        .await?;
        Ok(Self {
            version: row.number(0).unwrap_or_default(),
            block_bytes: row.number(1).unwrap_or(8192),
            identity: query_one(connection, IDENTITY).await?.text(0).to_owned(),
        })
    }
}

async fn position(connection: &mut WireConnection) -> Result<SourcePosition, WireError> {
    let row = query_one(
        connection,
        "SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
                 THEN pg_catalog.pg_last_wal_replay_lsn()
                 ELSE pg_catalog.pg_current_wal_lsn() END,
             pg_catalog.pg_is_in_recovery(),
             pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
                 AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()',
                     'EXECUTE')",
    )
    .await?;
    let (mut system, mut timeline) = (String::new(), 0);
    if row.is(2) {
        let control = query_one(
            connection,
            "SELECT s.system_identifier, c.timeline_id
             FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c",
        )
        .await?;
        control.text(0).clone_into(&mut system);
        timeline = control.number(1).unwrap_or_default();
    }
    Ok(SourcePosition::Postgres {
        lsn: row.text(0).to_owned(),
        system,
        timeline,
        standby: row.is(1),
    })
}

/// What the catalog says of a requested table.
struct Relation {
    oid: u32,
    /// Whether LOCK TABLE takes it.
    is_lockable: bool,
    /// Whether what lies below it may be read by itself.
    has_leaves: bool,
}

/// One for each of `tables`; nothing for queries.
async fn relations(
    connection: &mut WireConnection,
    tables: &[TableRequest],
) -> Result<Vec<Option<Relation>>> {
    let names: Vec<_> = tables
        .iter()
        .enumerate()
        .filter(|(_, request)| request.from.query.is_none())
        .map(|(at, request)| {
            let (schema, name) = (&request.from.schema, &request.from.name);
            format!("({at}, {}, {})", sql::literal(schema), sql::literal(name))
        })
        .collect();
    let mut found = HashMap::new();
    if !names.is_empty() {
        let sql = format!(
            "SELECT v.place, c.oid, c.relkind, pg_catalog.has_table_privilege(c.oid, 'SELECT')
             FROM (VALUES {}) v(place, schema, name)
             JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name",
            names.join(", ")
        );
        for row in query(connection, &sql).await? {
            let relation = Relation {
                oid: row.number(1).unwrap_or_default(),
                is_lockable: matches!(row.text(2), "r" | "p" | "v") && row.is(3),
                has_leaves: matches!(row.text(2), "r" | "p") && row.is(3),
            };
            found.insert(row.number::<usize>(0).unwrap_or_default(), relation);
        }
    }
    let each = |(at, request): (usize, &TableRequest)| match found.remove(&at) {
        None if request.from.query.is_none() => Err(changed(&request.from).because("it is gone")),
        relation => Ok(relation),
    };
    tables.iter().enumerate().map(each).collect()
}

fn changed(table: &SourceTable) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "`{}` was changed while it was planned; nothing was extracted",
            table.display_name()
        ),
    )
}

async fn load_types(
    connection: &mut WireConnection,
    version: u32,
    tables: &[TableRequest],
) -> Result<TypeCatalog, WireError> {
    let columns = tables.iter().flat_map(|request| &request.columns);
    TypeCatalog::load(connection, version, columns.map(|column| column.source.type_id)).await
}

fn lock_statement(tables: &[TableRequest], relations: &[Option<Relation>]) -> Option<String> {
    let lockable = |(request, relation): (&TableRequest, &Option<Relation>)| {
        relation.as_ref()?.is_lockable.then(|| sql::from_clause(&request.from))
    };
    let names: Vec<_> = tables.iter().zip(relations).filter_map(lockable).collect();
    (!names.is_empty()).then(|| format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))
}

/// Proves that the user's SQL in `request` is what it should be, that its columns are still what
/// they were, and has the server plan what will be read.
async fn plan(
    connection: &mut WireConnection,
    request: &TableRequest,
    types: &TypeCatalog,
) -> Result<Plan> {
    let table = &request.from;
    let told_of = |error: Error| {
        let what =
            format!("`{}` can't be read as planned; nothing was extracted", table.display_name());
        error.context(what)
    };
    let told = |error: WireError| told_of(error.into());
    for sql in table.query.iter().chain(&request.filter) {
        effects::refuse(sql).map_err(told_of)?;
    }
    if let Some(query) = &table.query {
        for proof in sql::query_proofs(query) {
            connection.describe(&proof).await.map_err(|error| told_of(user_sql(error)))?;
        }
    }
    if let Some(filter) = &request.filter {
        for proof in sql::filter_proofs(&sql::from_clause(table), filter) {
            connection.describe(&proof).await.map_err(|error| {
                user_sql(error).context(format!(
                    "the filter of `{}` can't be used as written; nothing was extracted",
                    table.display_name()
                ))
            })?;
        }
    }
    let found = connection.describe(&sql::bare_select(request)).await.map_err(told)?;
    let mut column_types = Vec::new();
    for (column, found) in request.columns.iter().zip(&found) {
        let source = &column.source;
        let pg = types.resolve(source.type_id, source.type_modifier, &source.declared);
        // A server describes a domain as the type below it.
        let base = pg.undomained();
        if (found.type_oid, found.modifier) != (base.oid, base.modifier) {
            return Err(changed(table)
                .because(format!("column `{}` is no longer `{}`", source.name, source.declared)));
        }
        column_types.push(pg);
    }
    let select = sql::select(request, &column_types, &ChunkPart::Whole);
    if table.query.is_some() || request.filter.is_some() {
        connection.describe(&select).await.map_err(told)?;
    }
    // By now the text is known to be one SELECT, so this is one EXPLAIN, which runs nothing.
    connection.simple(&format!("EXPLAIN {select}")).await.map_err(told)?;
    Ok(Plan { request: request.clone(), types: column_types })
}

/// Tables that we hold a lock on and whose file is not the one that our snapshot knows.
const REWRITTEN: &str = "
    SELECT c.oid
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
            WHERE d.datname = pg_catalog.current_database())
        AND c.relkind IN ('r', 'm') AND c.relfilenode <> 0
        AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)
    LIMIT 1";
