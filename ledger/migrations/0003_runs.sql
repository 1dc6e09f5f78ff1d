-- Rows are written in runs, see ledger/runs.py: a million recipients' rows meet in the few pages of the run that is being written.
-- With the recipient first each of them met a page of its own, to be read, changed and logged whole: 4 us a row with two
-- million rows of 10,000 recipients, and more with each million.
create sequence runs as integer;

alter table deliveries add column run integer not null default 0; -- 0: written before there were runs

drop index deliveries_by_recipient;
create index deliveries_by_recipient on deliveries (run, hashtext(recipient_id));
