//! What a DBA would ask before letting us in: which server, how far behind, and what could this
//! login do besides reading.

use super::{
    catalog,
    pressure::Ceilings,
    privileges,
    replay::{Replay, Terms},
    wire::{WireConnection, WireError},
};
use crate::extract::{Preflight, Refusal};

/// The oldest server that is read.
const OLDEST: u32 = 120_000;

/// Where and as whom we connected.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) database: String,
    pub(super) login: String,
}

/// Asks all that must be known before reading.
pub(super) async fn preflight(
    connection: &mut WireConnection,
    terms: Terms,
    ceilings: &Ceilings,
    place: &Place,
) -> Result<Preflight, WireError> {
    let version = catalog::version(connection).await?;
    let server = connection.parameter("server_version").unwrap_or_default();
    let server = server.split(' ').next().unwrap_or_default().to_owned();
    let mut refusals = Vec::new();
    if version < OLDEST {
        let reason = format!("PostgreSQL {server} is too old");
        refusals.push(Refusal::new(reason, "use PostgreSQL 12 or newer"));
    }
    let replay = Replay::ask(connection).await?;
    let mut facts = vec![format!("database `{}` on `{}`", place.database, place.host)];
    facts.extend(connection.protection().map(ToString::to_string));
    facts.extend(replay.fact());
    refusals.extend(replay.refusal(terms));
    refusals.extend(ceilings.busy(connection).await?);
    let mighty = privileges::refusals(connection, &place.login).await?;
    if !mighty.is_empty() {
        facts.push(
            "`longshore check --grants` prints the SQL of a login that may read and no more"
                .to_owned(),
        );
    }
    refusals.extend(mighty);
    facts.extend(privileges::warnings(connection, &place.login).await?);
    facts.extend(privileges::hidden_rows(connection).await?);
    Ok(Preflight {
        server: format!("PostgreSQL {server}"),
        role: if replay.is_standby { "standby" } else { "primary" },
        login: Some(place.login.clone()),
        lag_seconds: replay.lag_seconds(),
        facts,
        refusals,
    })
}
