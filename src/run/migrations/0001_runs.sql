create table runs (
    run         text primary key,
    pipeline    text not null,
    started_at  text not null,          -- RFC 3339, UTC
    ended_at    text,
    outcome     text not null,          -- running, published, staged, failed, cancelled, crashed
    generation  integer,
    seconds     real,
    error       text,                   -- as the command line showed it
    exit_code   integer
) strict;

create index runs_by_start on runs (started_at);

create table steps (
    run      text not null references runs (run),
    table_name text not null,
    kind     text not null,             -- extract, model
    rows     integer not null,
    bytes    integer not null,
    files    integer not null,
    seconds  real not null,
    primary key (run, table_name)
) strict;

create table audits (
    run          text not null references runs (run),
    table_name   text not null,
    audit        text not null,
    detail       text not null,
    passed       integer not null,
    blocking     integer not null,
    failing_rows integer not null,
    sample       text not null,         -- JSON list of keys
    origin       text not null
) strict;

create index audits_by_run on audits (run);
