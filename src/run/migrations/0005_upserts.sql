-- What an upsert came to, as JSON: rows inserted and updated, files kept and replaced. Null for
-- tables that are loaded otherwise.
alter table steps add column upsert text;
