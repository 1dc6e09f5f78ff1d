-- The same columns in fewer bytes: a row of a usual delivery is two thirds of what it was. Rows written before stay readable.
comment on column deliveries.outcomes is 'every outcome folded into the row, packed as fastpath/outcomes.py says';
comment on column deliveries.verdicts is 'what the rules said, packed as core/verdicts.py says; [[rule, verdict, detail], ...] in older rows';
