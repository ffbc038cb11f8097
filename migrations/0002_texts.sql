-- Texts that are written for messages with a brief.

-- One text that is to be written, is written or could not be had: for all messages of a campaign that have the
-- same brief, or for a single message. It carries what the workflow's state says of the writing while it lasts;
-- the messages take it over when it ends.
CREATE TABLE texts (
    id               uuid PRIMARY KEY,
    user_id          text NOT NULL,
    campaign_id      text NOT NULL DEFAULT '',
    scope            text NOT NULL,                    -- whose text it is: "campaign:…" or "workflow:…"
    workflow         uuid,                             -- the only one that it is for; null: all of its scope
    brief            text NOT NULL,
    fields           jsonb NOT NULL,                   -- names of the merge fields that the text may use
    recipient        jsonb,                            -- of a text for one recipient: what the model may know of it
    template         text NOT NULL DEFAULT '',         -- "name@version" that was used; '' before the first call
    state            text NOT NULL DEFAULT 'planning' CHECK (state IN ('planning','ready','failed')),
    step             integer NOT NULL DEFAULT 1,       -- number of the live plan job; a job with another one has nothing to do
    due_at           timestamptz NOT NULL,             -- when that job is due
    waits_for        text NOT NULL DEFAULT '',         -- scenario, or 'campaign' while its campaign is paused
    body             text NOT NULL DEFAULT '',         -- with merge fields
    why              text NOT NULL DEFAULT '',         -- the model's own words, for people who look here
    source           text NOT NULL DEFAULT '' CHECK (source IN ('','azure','openai','fallback_text')),
    reason           text NOT NULL DEFAULT '',         -- why it failed; a machine word
    current_provider text NOT NULL DEFAULT 'hybrid' CHECK (current_provider IN ('azure','openai','hybrid')),
    provider_states  jsonb NOT NULL,
    fallback_history jsonb NOT NULL DEFAULT '[]',
    retry_attempts   jsonb NOT NULL,
    checkpoint_data  jsonb NOT NULL DEFAULT '{}',
    attempts         integer NOT NULL DEFAULT 0,       -- number of the latest attempt
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CHECK ((state = 'ready') = (body <> ''))
) WITH (fillfactor = 70);

-- One live text for a scope. A failed one makes room for another try by messages that come later.
CREATE UNIQUE INDEX texts_scope ON texts (user_id, scope) WHERE state <> 'failed';
-- For the reconciler, and for a campaign that goes on.
CREATE INDEX texts_planning ON texts (due_at) WHERE state = 'planning';
CREATE INDEX texts_of_campaign ON texts (user_id, campaign_id) WHERE state = 'planning';

-- A text is chosen once: what may have been sent can't become another.
CREATE FUNCTION keep_chosen_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the text % has been chosen and can''t be changed', OLD.id USING ERRCODE = 'check_violation', CONSTRAINT = 'texts_chosen_once';
END $$;
CREATE TRIGGER texts_chosen_once BEFORE UPDATE ON texts FOR EACH ROW
    WHEN (OLD.state <> 'planning' AND (NEW.state <> OLD.state OR NEW.body <> OLD.body OR NEW.source <> OLD.source OR NEW.reason <> OLD.reason))
    EXECUTE FUNCTION keep_chosen_text();

ALTER TABLE hybrid_workflows ADD COLUMN text uuid, ADD COLUMN merge_fields jsonb;
-- The messages that wait for a text.
CREATE INDEX hybrid_workflows_text ON hybrid_workflows (text, id) WHERE stage = 'planning';

-- Every call to a provider, written before it is made.
CREATE TABLE plan_attempts (
    id          uuid PRIMARY KEY,                      -- also the provider's X-Client-Request-Id
    text        uuid NOT NULL,
    sequence    integer NOT NULL,
    provider    text NOT NULL CHECK (provider IN ('azure','openai')),
    target      text NOT NULL,
    state       text NOT NULL DEFAULT 'executing' CHECK (state IN ('executing','completed','failed','timeout','canceled','lost')),
    class       text NOT NULL DEFAULT '',
    code        text NOT NULL DEFAULT '',              -- the provider's own word, of a closed list
    status      integer NOT NULL DEFAULT 0,            -- HTTP
    request_id  text NOT NULL DEFAULT '',              -- given by the provider
    violations  jsonb NOT NULL DEFAULT '[]',           -- of the gate
    probe       boolean NOT NULL,                      -- of an open breaker
    repair      boolean NOT NULL,                      -- of a text that could not be used
    worker      text NOT NULL,
    started_at  timestamptz NOT NULL,
    deadline    timestamptz NOT NULL,                  -- the call has ended by then
    ended_at    timestamptz,
    UNIQUE (text, sequence)
) WITH (fillfactor = 70);
-- A text is asked for once at a time.
CREATE UNIQUE INDEX plan_attempts_one_open ON plan_attempts (text) WHERE state = 'executing';
-- How many calls to a target are under way in the fleet.
CREATE INDEX plan_attempts_executing ON plan_attempts (target, deadline) WHERE state = 'executing';

-- What the fleet knows of a target: its breaker, and when a worker that may call it was there last.
CREATE TABLE provider_targets (
    target     text PRIMARY KEY,
    provider   text NOT NULL CHECK (provider IN ('azure','openai')),
    guard      jsonb NOT NULL DEFAULT '{}',
    seen_at    timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What each call cost. Rows are added and never changed: what was paid does not change.
CREATE TABLE provider_costs (
    attempt      uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    user_id      text NOT NULL,
    campaign_id  text NOT NULL,
    workflow     uuid,                                 -- null: the text is for a whole campaign
    text         uuid NOT NULL,
    provider     text NOT NULL,
    target       text NOT NULL,
    deployment   text NOT NULL,
    model        text NOT NULL,                        -- that is paid for
    zone         text NOT NULL,
    tier         text NOT NULL,                        -- that was used, as far as it is known
    input        bigint NOT NULL,                      -- tokens, with cached and cache_write
    cached       bigint NOT NULL,
    cache_write  bigint NOT NULL,
    output       bigint NOT NULL,                      -- tokens, with reasoning
    reasoning    bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('actual','estimated','unpriced','not_billed')),
    price_id     text NOT NULL DEFAULT '',
    pico_usd     bigint CHECK (pico_usd >= 0),
    anomaly      text NOT NULL DEFAULT '',
    CHECK ((kind = 'unpriced') = (pico_usd IS NULL)),
    CHECK ((kind IN ('actual', 'estimated')) = (price_id <> ''))
);
CREATE INDEX provider_costs_time ON provider_costs (at);
CREATE INDEX provider_costs_text ON provider_costs (text);

-- What the calls of a day (UTC) cost, so that a budget need not add up the ledger for each call.
CREATE TABLE provider_days (
    day      date PRIMARY KEY,
    pico_usd bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION keep_costs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'provider_costs is a ledger: rows are only added' USING ERRCODE = 'check_violation', CONSTRAINT = 'provider_costs_ledger';
END $$;
CREATE TRIGGER provider_costs_ledger BEFORE UPDATE OR DELETE OR TRUNCATE ON provider_costs FOR EACH STATEMENT EXECUTE FUNCTION keep_costs();
