-- Rows of the tables that a run published, where all that is known of it comes from its generation;
-- null of runs that this ledger saw.
alter table runs add column rebuilt_rows integer;
