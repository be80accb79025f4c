//! PostgreSQL servers, best a hot standby.
//!
//! One coordinator holds a snapshot (`open`); readers join it (`pool`) and read chunks of it by
//! binary COPY (`worker`). Every connection is [`wire`]'s, so that there is one login and one policy
//! for TLS. What each type becomes is in [`mapping`].
//!
//! No statement of ours writes, every session is read-only from its first message on, and
//! `privileges` refuses logins that could write. A user's SQL is one SELECT, which the server has
//! taken apart by the extended protocol (which knows one statement only) before any of it runs.

mod catalog;
mod chunks;
mod coordinator;
pub mod copy;
mod effects;
mod grants;
mod leaves;
pub mod mapping;
mod open;
pub mod pg_type;
mod pool;
mod preflight;
mod pressure;
mod privileges;
mod probe;
mod replay;
mod rows;
mod session;
mod snapshot;
mod sql;
mod types;
mod view;
mod watch;
pub mod wire;
mod worker;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arrow::datatypes::DataType;
use async_trait::async_trait;

use self::{
    catalog::KnownTypes,
    pg_type::{PgKind, PgType},
    preflight::Place,
    pressure::Ceilings,
    replay::Terms,
    session::{Purpose, Sessions},
    wire::{WireConnection, WireError, WireOptions},
};
use super::{
    Preflight, Session, Snapshot, Source, SourceColumn, SourceTable, TableRequest, TableUse,
    throttle::Throttle,
};
use crate::{
    config::{Connection, TablePattern},
    error::{Error, ErrorKind, Result},
    types::ColumnType,
};

/// The schema of tables that are named without one.
const DEFAULT_SCHEMA: &str = "public";

/// What connections outside a run are called.
const LABEL: &str = "longshore";

/// A PostgreSQL server as a source.
pub struct PostgresSource {
    connection: Connection,
    options: WireOptions,
    /// What the types of described columns are made of; `cast` needs more than a column keeps.
    known: Mutex<KnownTypes>,
}

impl PostgresSource {
    /// The server that `connection` names. Nothing is connected yet.
    ///
    /// # Errors
    /// When its URL is not one of a PostgreSQL server.
    pub fn new(connection: &Connection) -> Result<Self> {
        Ok(Self {
            options: WireOptions::parse(&connection.url)?.with_files(&connection.files),
            connection: connection.clone(),
            known: Mutex::default(),
        })
    }

    fn sessions(&self, label: &str) -> Sessions {
        Sessions::new(self.options.clone(), label, &self.connection.limits)
    }

    async fn connect(&self, purpose: Purpose) -> Result<WireConnection> {
        let connected = self.sessions(LABEL).connect(purpose).await;
        connected.map_err(|error| self.failed("can't be connected to", error))
    }

    fn failed(&self, what: &str, error: impl Into<Error>) -> Error {
        error.into().context(format!("`{}` {what}; nothing was extracted", self.connection.name))
    }

    fn learn(&self, known: KnownTypes) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).extend(known);
    }

    /// The whole type of `column`.
    fn pg_type(&self, column: &SourceColumn) -> PgType {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (column.type_id, column.type_modifier);
        known.get(&key).cloned().unwrap_or_else(|| {
            // Described through another source of the same server: base types need no more.
            PgType::new(column.type_id, &column.declared, column.type_modifier, PgKind::Base)
        })
    }
}

/// How long to wait before a look at the catalog that lost its connection is taken again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// What the work gives, which is begun anew when its connection was lost.
macro_rules! retried {
    ($work:expr) => {{
        let mut pauses = PAUSES.into_iter();
        loop {
            let done = $work.await;
            let is_lost = done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unreachable);
            match pauses.next().filter(|_| is_lost) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break done,
            }
        }
    }};
}

impl PostgresSource {
    async fn preflight_once(&self) -> Result<Preflight> {
        let terms = Terms {
            allow_primary: self.connection.allow_primary,
            max_lag: self.connection.limits.max_lag,
        };
        let ceilings = Ceilings::new(&self.connection.limits, LABEL);
        let place = Place {
            host: self.options.host().to_owned(),
            database: self.options.database().to_owned(),
            login: self.options.user().to_owned(),
        };
        let mut connection = self.connect(Purpose::Catalog).await?;
        let preflight = preflight::preflight(&mut connection, terms, &ceilings, &place)
            .await
            .map_err(|error| self.failed("can't be checked", error))?;
        connection.close().await;
        Ok(preflight)
    }

    async fn discover_once(&self, patterns: &[TablePattern]) -> Result<Vec<SourceTable>> {
        let mut connection = self.connect(Purpose::Catalog).await?;
        let (tables, known) = catalog::tables(&mut connection, patterns, DEFAULT_SCHEMA)
            .await
            .map_err(|error| self.failed("can't list its tables", error))?;
        connection.close().await;
        self.learn(known);
        Ok(tables)
    }

    async fn describe_once(&self, name: &str, sql: &str) -> Result<SourceTable> {
        let told = |error: Error| {
            error.context(format!(
                "query `{name}` can't be read from `{}` as written; nothing was extracted",
                self.connection.name
            ))
        };
        effects::refuse(sql).map_err(told)?;
        let mut connection = self.connect(Purpose::Reader).await?;
        let described = catalog::describe(&mut connection, name, sql).await;
        let (table, known) = described.map_err(|error| told(catalog::user_sql(error)))?;
        connection.close().await;
        self.learn(known);
        Ok(table)
    }
}

impl fmt::Display for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (PostgreSQL)", self.connection.name)
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn preflight(&self) -> Result<Preflight> {
        retried!(self.preflight_once())
    }

    async fn discover(&self, patterns: &[TablePattern]) -> Result<Vec<SourceTable>> {
        retried!(self.discover_once(patterns))
    }

    async fn describe(&self, name: &str, sql: &str) -> Result<SourceTable> {
        retried!(self.describe_once(name, sql))
    }

    async fn grants(&self, role: &str, reads: &[TableUse]) -> Result<Option<String>> {
        let told = |error: WireError| self.failed("can't be asked what a login needs", error);
        let reads = grants::with_queries_taken_apart(self, reads).await?;
        let mut connection = self.connect(Purpose::Catalog).await?;
        let open = grants::open_to_all(&mut connection, &reads).await.map_err(told)?;
        connection.close().await;
        let login =
            grants::Login { role, database: self.options.database(), connection: &self.connection };
        Ok(Some(grants::statements(&login, &reads, &open)))
    }

    fn cast(&self, column: &SourceColumn, to: ColumnType) -> Result<DataType, String> {
        mapping::cast(&self.pg_type(column), to)
    }

    fn default_schema(&self) -> &'static str {
        DEFAULT_SCHEMA
    }

    async fn open(&self, tables: &[TableRequest], session: &Session) -> Result<Box<dyn Snapshot>> {
        let sessions = self.sessions(&session.label);
        let limits = &self.connection.limits;
        let place = view::Place {
            name: self.connection.name.clone(),
            connections: limits.connections,
            ceilings: Ceilings::new(limits, sessions.label()),
            throttle: Throttle::new(limits),
            sessions,
            session: session.clone(),
        };
        open::open(place, tables).await
    }
}
