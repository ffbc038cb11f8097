-- The fleet's own tables. River's are in the schema "river" and have migrations of their own.

-- Equality on bigint inside the exclusion constraint of send_holds.
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- The one clock that limits, deadlines and waits go by. It is a function so that a test can replace it in
-- its own database. clock_timestamp(), not now(): a transaction that waited for a lock must see the time
-- at which it got it.
CREATE FUNCTION hybrid_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

-- ---------------------------------------------------------------------------------------------------------
-- Workflows

CREATE TABLE hybrid_workflows (
    id               uuid PRIMARY KEY,                 -- also the clientRef at the gateway, over all attempts
    user_id          text NOT NULL,                    -- the account
    workflow_id      text NOT NULL,
    recipient_id     text NOT NULL,
    campaign_id      text NOT NULL DEFAULT '',         -- '' belongs to no campaign
    stage            text NOT NULL CHECK (stage IN ('planning','queued','sending','in_doubt','sent','failed','cancelled','expired')),
    version          bigint NOT NULL DEFAULT 1,        -- compare-and-set of every transition
    priority         smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 4),
    not_before       timestamptz NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,       -- tries known not to have been sent
    max_retries      integer NOT NULL DEFAULT 3,
    wait_reason      text NOT NULL DEFAULT '',
    last_error       text NOT NULL DEFAULT '',
    current_provider text NOT NULL DEFAULT 'hybrid' CHECK (current_provider IN ('azure','openai','hybrid')),
    provider_states  jsonb NOT NULL,
    fallback_history jsonb NOT NULL DEFAULT '[]',
    retry_attempts   jsonb NOT NULL,
    checkpoint_data  jsonb NOT NULL DEFAULT '{}',
    trace_context    jsonb NOT NULL,
    sqs_message_id   text NOT NULL DEFAULT '',
    content          text NOT NULL DEFAULT '',
    brief            text NOT NULL DEFAULT '',
    extra            jsonb,                            -- fields of the message that the contract does not name
    send_sequence    integer NOT NULL DEFAULT 0,       -- number of the latest attempt in the send ledger
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
) WITH (fillfactor = 80);

-- The release query: the next messages of an account by campaign, priority and age. Paused campaigns are
-- skipped as a whole and messages whose time has not come lie behind those whose time has, so that it
-- reads a bounded number of rows whatever the backlog.
CREATE INDEX hybrid_workflows_queued ON hybrid_workflows (user_id, campaign_id, priority, not_before, id)
    WHERE stage = 'queued';
-- Those without a text yet, by campaign, so that a cancelled one finds its own.
CREATE INDEX hybrid_workflows_planning ON hybrid_workflows (user_id, campaign_id) WHERE stage = 'planning';
-- The few that are on their way, for the reconciler and for counts.
CREATE INDEX hybrid_workflows_open ON hybrid_workflows (stage, updated_at)
    WHERE stage IN ('sending', 'in_doubt', 'planning');

ALTER TABLE hybrid_workflows SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What happened to a workflow that no other row tells: its intake is in the inbox, its tries are in the send
-- ledger. A message that goes straight through has no entry here.
CREATE TABLE workflow_events (
    workflow   uuid NOT NULL,
    at         timestamptz NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    kind       text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}'             -- ids, reasons and times; never content
);
CREATE INDEX workflow_events_timeline ON workflow_events (workflow, id);

-- ---------------------------------------------------------------------------------------------------------
-- Intake

-- Every message that was ever taken in, by the key that makes it one: the same key delivered any number of
-- times makes one workflow. Apart from hybrid_workflows, because its rows change often and their indexes with
-- them, while this one is written once. The key starts with the workflow id, to answer "whose is it" too.
CREATE TABLE inbox (
    workflow_id   text NOT NULL,
    user_id       text NOT NULL,
    recipient_id  text NOT NULL,
    workflow      uuid NOT NULL,                       -- hybrid_workflows.id
    message_id    text NOT NULL,                       -- given by SQS to the first delivery
    source        text NOT NULL,                       -- its queue
    received_at   timestamptz NOT NULL,
    CONSTRAINT inbox_key PRIMARY KEY (workflow_id, user_id, recipient_id)
);

CREATE TABLE quarantine (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id    text NOT NULL UNIQUE,
    source        text NOT NULL,
    field         text NOT NULL,
    reason        text NOT NULL,
    remedy        text NOT NULL DEFAULT '',
    body          bytea NOT NULL,                      -- bytes: the body may be no text at all
    received_at   timestamptz NOT NULL
);

-- ---------------------------------------------------------------------------------------------------------
-- Accounts, campaigns

CREATE TABLE accounts (
    user_id      text PRIMARY KEY,
    wake_at      timestamptz,                          -- when the account's pending release job is due; null: there is none
    rest_until   timestamptz NOT NULL DEFAULT 'epoch', -- nothing is sent before (429, gateway unreachable)
    rest_since   timestamptz NOT NULL DEFAULT 'epoch', -- when it was last told to: a call that began before says nothing about the rest
    rest_reason  text NOT NULL DEFAULT '',
    rest_count   integer NOT NULL DEFAULT 0,           -- rests in a row; while it is not 0 one message at a time probes
    created_at   timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE campaigns (
    user_id      text NOT NULL,
    campaign_id  text NOT NULL,
    state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running','paused','cancelled')),
    reason       text NOT NULL DEFAULT '',
    changed_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (user_id, campaign_id)
);
CREATE INDEX campaigns_cancelled ON campaigns (user_id, campaign_id) WHERE state = 'cancelled';

-- ---------------------------------------------------------------------------------------------------------
-- Limits

CREATE TABLE limit_policies (
    scope       text NOT NULL CHECK (scope IN ('account','recipient')),
    user_id     text NOT NULL DEFAULT '',              -- '' is the default of all accounts
    capacities  integer[] NOT NULL,                    -- one element for each rule; empty: no limit
    windows     interval[] NOT NULL,
    guard       interval NOT NULL,
    changed_at  timestamptz NOT NULL,
    changed_by  text NOT NULL,
    PRIMARY KEY (scope, user_id),
    CHECK (cardinality(capacities) = cardinality(windows))
);

-- The token bucket of an account: one row for each token that was ever used. A token is busy until the call
-- that it pays for has certainly ended; it is free one window and guard after that. The window is added when
-- a decision is made, so that a change of the rules holds at once for every token.
CREATE TABLE account_tokens (
    user_id     text NOT NULL,
    rule        smallint NOT NULL,
    slot        smallint NOT NULL,
    busy_until  timestamptz NOT NULL,
    workflow    uuid NOT NULL,                         -- the attempt that took it last; only that one may give it back
    sequence    integer NOT NULL,
    PRIMARY KEY (user_id, rule, slot)
) WITH (fillfactor = 50);

-- A recipient's messages that had to wait for its own limit are booked one after the other, so that each
-- message is put back once and not at every look.
CREATE TABLE recipient_limits (
    recipient_id  text PRIMARY KEY,
    booked_until  timestamptz NOT NULL
) WITH (fillfactor = 50);

-- ---------------------------------------------------------------------------------------------------------
-- The send ledger

CREATE SEQUENCE send_fence;

CREATE TABLE send_attempts (
    workflow           uuid NOT NULL,
    sequence           integer NOT NULL,
    user_id            text NOT NULL,
    recipient_id       text NOT NULL,
    state              text NOT NULL CHECK (state IN ('reserved','in_flight','accepted','rejected','not_sent','withdrawn','unknown')),
    limiter            text NOT NULL CHECK (limiter IN ('bucket','bypass')),
    account_slots      smallint[] NOT NULL DEFAULT '{}', -- its tokens in the account's bucket, one for each rule
    reserved_at        timestamptz NOT NULL,
    reservation_ends   timestamptz NOT NULL,           -- the call may not start after this
    fence              bigint,                         -- given when the call is about to start; names that start for ever
    started_at         timestamptz,
    call_deadline      timestamptz,
    ended_at           timestamptz,
    worker             text NOT NULL DEFAULT '',
    status             integer NOT NULL DEFAULT 0,     -- HTTP status, 0 when none was seen
    reason             text NOT NULL DEFAULT '',
    detail             text NOT NULL DEFAULT '',
    evidence           jsonb NOT NULL DEFAULT '{}',
    gateway_message_id text NOT NULL DEFAULT '',
    look_ups           integer NOT NULL DEFAULT 0,
    look_up_at         timestamptz,                    -- when the resolver asks next; null: an operator must decide
    resolved_by        text NOT NULL DEFAULT '',
    PRIMARY KEY (workflow, sequence),
    CHECK (state NOT IN ('in_flight','unknown','accepted','rejected') OR fence IS NOT NULL)
) WITH (fillfactor = 80);

-- The database refuses a second send of a message while an earlier one is open, unknown or accepted.
CREATE UNIQUE INDEX send_attempts_one_open ON send_attempts (workflow)
    WHERE state IN ('reserved','in_flight','unknown','accepted');
-- The few that are open, for the reconciler and the list of what is in doubt.
CREATE INDEX send_attempts_open ON send_attempts (state, reserved_at)
    WHERE state IN ('reserved','in_flight','unknown');

-- Which token an attempt holds, and for how long. The exclusion constraint is the limit itself: two sends
-- can't hold the same token at the same time, whoever writes them.
CREATE TABLE send_holds (
    workflow   uuid NOT NULL,
    sequence   integer NOT NULL,
    scope      text NOT NULL CHECK (scope IN ('account','recipient')),
    key        text NOT NULL,                          -- the account or the recipient
    rule       smallint NOT NULL CHECK (rule BETWEEN 0 AND 15),
    slot       smallint NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    user_id    text NOT NULL,                          -- the account that sends; its policy applies
    held       tstzrange NOT NULL,
    -- 48 bits of the bucket's name, then 4 of the rule and 12 of the slot. A collision of names would make two
    -- buckets share their tokens: slower, never beyond the limit.
    token      bigint NOT NULL GENERATED ALWAYS AS
               ((hashtextextended(scope || ':' || key, 0) & ~65535::bigint) | (rule::bigint << 12) | slot::bigint) STORED,
    PRIMARY KEY (workflow, sequence, scope, rule),
    CONSTRAINT send_holds_account CHECK (scope <> 'account' OR key = user_id), -- not by another account's policy
    CONSTRAINT send_holds_strict_limit EXCLUDE USING gist (token WITH =, held WITH &&)
);

-- The first of the tokens that belong to a bucket; the last is 65535 above it.
CREATE FUNCTION first_token(scope text, key text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT hashtextextended(scope || ':' || key, 0) & ~65535::bigint $$;

-- A hold can neither use a token beyond the limit in force nor be shorter than its window: without this a
-- faulty writer could pass the exclusion constraint with tokens of its own invention. Once per statement.
CREATE FUNCTION check_new_holds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad text;
BEGIN
    SELECT format('%s %s rule %s slot %s', h.scope, h.key, h.rule, h.slot) INTO bad
    FROM new_holds h
    JOIN LATERAL (
        SELECT p.capacities, p.windows FROM limit_policies p
        WHERE p.scope = h.scope AND p.user_id = coalesce((SELECT o.user_id FROM limit_policies o WHERE o.scope = h.scope AND o.user_id = h.user_id), '')
        LIMIT 1
    ) p ON true
    WHERE h.slot >= coalesce(p.capacities[h.rule + 1], 0)
       OR upper(h.held) IS NULL OR lower(h.held) IS NULL
       OR upper(h.held) - lower(h.held) < coalesce(p.windows[h.rule + 1], interval '0')
    LIMIT 1;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'hold beyond the limit in force: %', bad USING ERRCODE = 'check_violation', CONSTRAINT = 'send_holds_policy';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER send_holds_policy AFTER INSERT ON send_holds
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION check_new_holds();

-- ---------------------------------------------------------------------------------------------------------
-- The fleet

-- The timeline that this Postgres writes now. Not pg_control_checkpoint(): after a promotion that lags behind
-- until the first checkpoint.
CREATE FUNCTION current_timeline() RETURNS integer LANGUAGE sql VOLATILE AS
    $$ SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer $$;

-- Which Postgres the ledger was written by. Another timeline or system means a failover or a restore, in
-- which the latest sends may have been forgotten: nothing is sent before frozen_until.
CREATE TABLE fleet_state (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    system_identifier bigint NOT NULL,
    timeline          integer NOT NULL,
    frozen_until      timestamptz NOT NULL DEFAULT 'epoch',
    frozen_reason     text NOT NULL DEFAULT ''
);
INSERT INTO fleet_state (system_identifier, timeline) SELECT system_identifier, current_timeline() FROM pg_control_system();
