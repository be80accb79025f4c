-- What did not fit in a table: rows that were rejected, values that were published as NULL, and a
-- JSON list of both by column and reason.
alter table steps add column rejected integer not null default 0;
alter table steps add column nulled integer not null default 0;
alter table steps add column misfits text not null default '[]';
