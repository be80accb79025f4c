-- Where the time of a table's workers went; null in runs from before it was measured.
alter table steps add column memory_seconds real;
alter table steps add column read_seconds real;
alter table steps add column decode_seconds real;
alter table steps add column encode_seconds real;
alter table steps add column write_seconds real;
