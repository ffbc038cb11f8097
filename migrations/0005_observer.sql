-- What the fleet says of itself as a whole: how many messages are in each stage, and which process looks.

-- All messages by stage, kept as the campaigns' counts are: each statement adds what it changed, the reconciler adds it up.
CREATE TABLE stage_deltas (
    stage  text NOT NULL,
    number bigint NOT NULL
);
ALTER TABLE stage_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE stage_counts (
    stage  text PRIMARY KEY,
    number bigint NOT NULL
) WITH (fillfactor = 50);

LOCK TABLE hybrid_workflows IN SHARE ROW EXCLUSIVE MODE; -- so that none is missed between the first count and the triggers
INSERT INTO stage_counts SELECT stage, count(*) FROM hybrid_workflows GROUP BY 1;

CREATE OR REPLACE FUNCTION count_new_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_deltas SELECT user_id, campaign_id, stage, count(*) FROM new_rows WHERE campaign_id <> '' GROUP BY 1, 2, 3;
    INSERT INTO stage_deltas SELECT stage, count(*) FROM new_rows GROUP BY 1;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_moved_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_deltas
    SELECT user_id, campaign_id, stage, sum(number) FROM (
        SELECT user_id, campaign_id, stage, -1 AS number FROM old_rows WHERE campaign_id <> ''
        UNION ALL
        SELECT user_id, campaign_id, stage, 1 FROM new_rows WHERE campaign_id <> '') moved
    GROUP BY 1, 2, 3 HAVING sum(number) <> 0;
    INSERT INTO stage_deltas
    SELECT stage, sum(number) FROM (SELECT stage, -1 AS number FROM old_rows UNION ALL SELECT stage, 1 FROM new_rows) moved
    GROUP BY 1 HAVING sum(number) <> 0;
    RETURN NULL;
END $$;

-- What one process at a time does for the fleet, who does it, until when. Whoever holds a lease extends it; when it stops, another takes
-- over.
CREATE TABLE fleet_leases (
    task   text PRIMARY KEY,
    holder text NOT NULL DEFAULT '',
    until  timestamptz NOT NULL DEFAULT 'epoch'
) WITH (fillfactor = 50);
INSERT INTO fleet_leases (task) VALUES ('observe'), ('reconcile');
