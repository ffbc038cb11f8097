-- Campaigns that people and services create, instead of only naming them in messages.

-- The id by which the API knows a campaign, whoever made it. Messages name it by (user_id, campaign_id), as before.
ALTER TABLE campaigns
    ADD COLUMN id            uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN name          text NOT NULL DEFAULT '',
    ADD COLUMN source        text NOT NULL DEFAULT 'messages' CHECK (source IN ('messages','api')),
    ADD COLUMN content       text NOT NULL DEFAULT '',
    ADD COLUMN brief         text NOT NULL DEFAULT '',
    ADD COLUMN own_texts     boolean NOT NULL DEFAULT false,  -- a text for each recipient
    ADD COLUMN priority      smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 4),
    ADD COLUMN share         smallint CHECK (share BETWEEN 1 AND 100), -- of the account's rate, among campaigns of one priority; null: by age
    ADD COLUMN scheduled_for timestamptz,
    ADD COLUMN expires_at    timestamptz,
    ADD COLUMN max_cost_pico bigint CHECK (max_cost_pico > 0), -- of the texts; null: no limit
    ADD COLUMN created_by    text NOT NULL DEFAULT '',
    ADD COLUMN started_at    timestamptz,
    ADD COLUMN ended_at      timestamptz,
    DROP CONSTRAINT campaigns_state_check,
    ADD CONSTRAINT campaigns_state_check CHECK (state IN ('draft','scheduled','running','paused','completed','cancelled','failed'));
CREATE UNIQUE INDEX campaigns_id ON campaigns (id);
CREATE INDEX campaigns_newest ON campaigns (created_at DESC, id DESC);
-- user_id || '' is for the lists alone: by the plain column the planner would take this index for the primary key.
CREATE INDEX campaigns_newest_of_account ON campaigns ((user_id || ''), created_at DESC, id DESC);
CREATE INDEX campaigns_due ON campaigns (scheduled_for) WHERE state = 'scheduled';

-- Who receives: one row for each recipient of a campaign, each once.
CREATE TABLE campaign_recipients (
    campaign     uuid NOT NULL,
    line         bigint NOT NULL,                   -- in the order in which they were accepted
    recipient_id text NOT NULL,
    fields       jsonb,
    PRIMARY KEY (campaign, line)
);
CREATE UNIQUE INDEX campaign_recipients_once ON campaign_recipients (campaign, recipient_id);

-- How far the recipients of a campaign have become messages. A row of its own: it is locked while a chunk is made,
-- and calls to the gateway look at the campaign's.
CREATE TABLE campaign_expansions (
    campaign     uuid PRIMARY KEY,
    step         integer NOT NULL DEFAULT 0,        -- number of the live job
    last_line    bigint NOT NULL DEFAULT 0,         -- number of the latest recipient
    recipients   bigint NOT NULL DEFAULT 0,         -- that were accepted, each once
    done         bigint NOT NULL DEFAULT 0,         -- the line up to which messages exist
    due_at       timestamptz                        -- when that job is due; null: there is none
) WITH (fillfactor = 50);
CREATE INDEX campaign_expansions_due ON campaign_expansions (due_at) WHERE due_at IS NOT NULL;

-- How far the share of a campaign has gone, where several run on an account: the smallest goes next. '' stands for the
-- messages without a campaign.
CREATE TABLE campaign_passes (
    user_id     text NOT NULL,
    campaign_id text NOT NULL,
    pass        bigint NOT NULL,
    PRIMARY KEY (user_id, campaign_id)
) WITH (fillfactor = 50);

CREATE INDEX provider_costs_campaign ON provider_costs (user_id, campaign_id) WHERE campaign_id <> '';

ALTER TABLE hybrid_workflows ADD COLUMN expires_at timestamptz;
CREATE INDEX hybrid_workflows_expiring ON hybrid_workflows (expires_at) WHERE expires_at IS NOT NULL AND stage IN ('planning', 'queued');
-- A campaign's messages, stage by stage and page by page; user_id || '' as above.
CREATE INDEX hybrid_workflows_of_campaign ON hybrid_workflows ((user_id || ''), campaign_id, stage, id) WHERE campaign_id <> '';

-- How many messages of a campaign are in which stage: what changed since the last sum, and the sum. Counted by the
-- database, so that no way of moving a message can forget it.
CREATE TABLE campaign_deltas (
    user_id     text NOT NULL,
    campaign_id text NOT NULL,
    stage       text NOT NULL,
    number      bigint NOT NULL
);
CREATE INDEX campaign_deltas_key ON campaign_deltas (user_id, campaign_id);
ALTER TABLE campaign_deltas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE campaign_counts (
    user_id     text NOT NULL,
    campaign_id text NOT NULL,
    stage       text NOT NULL,
    number      bigint NOT NULL,
    PRIMARY KEY (user_id, campaign_id, stage)
) WITH (fillfactor = 50);

CREATE FUNCTION count_new_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_deltas SELECT user_id, campaign_id, stage, count(*) FROM new_rows WHERE campaign_id <> '' GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;
CREATE TRIGGER count_new_messages AFTER INSERT ON hybrid_workflows REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_new_messages();

-- The old rows count -1 each and the new ones 1: what did not move cancels out, and nothing has to be joined.
CREATE FUNCTION count_moved_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO campaign_deltas
    SELECT user_id, campaign_id, stage, sum(number) FROM (
        SELECT user_id, campaign_id, stage, -1 AS number FROM old_rows WHERE campaign_id <> ''
        UNION ALL
        SELECT user_id, campaign_id, stage, 1 FROM new_rows WHERE campaign_id <> '') moved
    GROUP BY 1, 2, 3 HAVING sum(number) <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER count_moved_messages AFTER UPDATE ON hybrid_workflows REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_moved_messages();

INSERT INTO campaign_counts SELECT user_id, campaign_id, stage, count(*) FROM hybrid_workflows WHERE campaign_id <> '' GROUP BY 1, 2, 3;

-- Who does not want messages of an account any more.
CREATE TABLE opt_outs (
    user_id      text NOT NULL,
    recipient_id text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    PRIMARY KEY (user_id, recipient_id)
);

-- When an account sends nothing: "22:00-08:00 Europe/Berlin".
CREATE TABLE quiet_hours (
    user_id    text PRIMARY KEY,
    hours      text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
);

-- Keys of the API. The secret is stored as its SHA-256 only: it has 256 bits by chance, which nobody guesses.
CREATE TABLE api_keys (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    secret_hash bytea NOT NULL,
    previous    bytea,                              -- the secret before a rotation
    previous_until timestamptz,                     -- that is still taken until then
    admin       boolean NOT NULL,
    accounts    text[] NOT NULL,                    -- that a key which is not an admin's may use
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    used_at     timestamptz,
    CHECK (admin OR cardinality(accounts) > 0)
);

-- Answers to requests with an Idempotency-Key, for a day.
CREATE TABLE idempotency_keys (
    api_key      text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,                    -- of method and path; once it is answered of the body, too
    owner        uuid NOT NULL,                     -- which try of the request may answer
    owned_until  timestamptz NOT NULL,              -- by then its process has said that it lives, or another try takes over
    status       integer,                           -- null: the request is under way
    headers      jsonb,
    body         bytea,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (api_key, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
