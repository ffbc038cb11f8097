-- Flags: what is switched on, for whom. And which orchestrator has a workflow, where there are two.

-- The number of the latest change. Its row is locked by every change, so that the changes come one after the other
-- and a higher number always means a later commit.
CREATE TABLE flags_version (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version   bigint NOT NULL
);
INSERT INTO flags_version (version) VALUES (1);

CREATE TABLE flags (
    name        text NOT NULL CHECK (name <> ''),
    user_id     text NOT NULL DEFAULT '',              -- '' is the value of all that have none of their own
    value       text NOT NULL,
    version     bigint NOT NULL DEFAULT 0,             -- set by the trigger
    changed_at  timestamptz NOT NULL DEFAULT 'epoch',  -- set by the trigger
    changed_by  text NOT NULL CHECK (changed_by <> ''),
    reason      text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (name, user_id),
    CONSTRAINT flags_value CHECK (value IN ('on', 'off') OR (user_id = '' AND value ~ '^(100|[1-9]?[0-9])%$')),
    -- A kill switch with a value that nobody understands would be one that does not work.
    CONSTRAINT flags_switch CHECK (name NOT IN ('sends_enabled', 'planning_enabled') OR value IN ('on', 'off'))
) WITH (fillfactor = 50);

-- Who changed what, when and why, for ever.
CREATE TABLE flags_history (
    version     bigint PRIMARY KEY,
    name        text NOT NULL,
    user_id     text NOT NULL,
    previous    text,                                  -- null: there was none
    value       text,                                  -- null: it was removed
    changed_at  timestamptz NOT NULL,
    changed_by  text NOT NULL,
    reason      text NOT NULL
);
CREATE INDEX flags_history_name ON flags_history (name, user_id, version);

-- A transaction that is about to start sends calls this before it reads sends_enabled(): a change of the switch waits
-- for its end, and it for the end of the change. So nothing starts after the switch was committed.
CREATE FUNCTION hold_sends_switch() RETURNS void LANGUAGE sql VOLATILE AS
    $$ SELECT pg_advisory_xact_lock_shared(7527043798650941028) $$;

-- The kill switch, as it is now: by the account's own value, else by that of all, else on. In the database, without
-- anybody's cache between.
CREATE FUNCTION sends_enabled(user_id text) RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce((SELECT f.value FROM flags f WHERE f.name = 'sends_enabled' AND f.user_id IN ($1, '') ORDER BY f.user_id DESC LIMIT 1), 'on') = 'on' $$;

-- The same for texts.
CREATE FUNCTION planning_enabled(user_id text) RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce((SELECT f.value FROM flags f WHERE f.name = 'planning_enabled' AND f.user_id IN ($1, '') ORDER BY f.user_id DESC LIMIT 1), 'on') = 'on' $$;

CREATE FUNCTION next_flags_version(flag text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    UPDATE flags_version SET version = version + 1 RETURNING version INTO STRICT number;
    IF flag = 'sends_enabled' THEN
        PERFORM pg_advisory_xact_lock(7527043798650941028); -- see hold_sends_switch
    END IF;
    RETURN number;
END $$;

-- Also a change that was made by hand has a number and a time, is written down, and is told to everybody.
CREATE FUNCTION number_flag() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.user_id) IS DISTINCT FROM (OLD.name, OLD.user_id) THEN
        RAISE EXCEPTION 'a flag can''t be renamed or given to another account: set that one' USING ERRCODE = 'check_violation', CONSTRAINT = 'flags_key';
    END IF;
    NEW.version := next_flags_version(NEW.name);
    NEW.changed_at := hybrid_clock();
    RETURN NEW;
END $$;
CREATE TRIGGER flags_number BEFORE INSERT OR UPDATE ON flags FOR EACH ROW EXECUTE FUNCTION number_flag();

CREATE FUNCTION record_flag() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN
        -- Who removes a value leaves no row to say it in; ClearFlag says it in the transaction's settings.
        number := next_flags_version(OLD.name);
        INSERT INTO flags_history (version, name, user_id, previous, changed_at, changed_by, reason) VALUES (number, OLD.name, OLD.user_id, OLD.value, hybrid_clock(),
            coalesce(nullif(current_setting('huntaze.changed_by', true), ''), session_user),
            coalesce(nullif(current_setting('huntaze.reason', true), ''), 'removed by hand'));
    ELSE
        number := NEW.version;
        INSERT INTO flags_history (version, name, user_id, previous, value, changed_at, changed_by, reason) VALUES (number, NEW.name, NEW.user_id,
            CASE WHEN TG_OP = 'UPDATE' THEN OLD.value END, NEW.value, NEW.changed_at, NEW.changed_by, NEW.reason);
    END IF;
    PERFORM pg_notify('huntaze_flags', number::text); -- at the commit
    RETURN NULL;
END $$;
CREATE TRIGGER flags_record AFTER INSERT OR UPDATE OR DELETE ON flags FOR EACH ROW EXECUTE FUNCTION record_flag();

CREATE FUNCTION refuse_flags_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the history of the flags is only added to', TG_OP, TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = 'flags_history_append';
END $$;
CREATE TRIGGER flags_history_append BEFORE UPDATE OR DELETE OR TRUNCATE ON flags_history FOR EACH STATEMENT EXECUTE FUNCTION refuse_flags_change();
CREATE TRIGGER flags_truncate BEFORE TRUNCATE ON flags FOR EACH STATEMENT EXECUTE FUNCTION refuse_flags_change();

-- On which side a workflow is, while there is another orchestrator. The first who claims it decides, before anything
-- is handed over or taken in, and it stays: what one side may have sent must never reach the other. What was taken in
-- before is in the inbox and on this side.
CREATE TABLE workflow_routes (
    workflow_id  text NOT NULL,
    user_id      text NOT NULL,                        -- '': nobody knew the account
    side         text NOT NULL CHECK (side IN ('here', 'legacy')),
    decided_at   timestamptz NOT NULL,
    request      text NOT NULL DEFAULT '',             -- what brought it: a message id or a trace id
    PRIMARY KEY (workflow_id, user_id)
);

CREATE FUNCTION keep_route() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'workflow % of account % is on the side "%", and stays there', OLD.workflow_id, OLD.user_id, OLD.side USING ERRCODE = 'check_violation', CONSTRAINT = 'workflow_routes_kept';
END $$;
CREATE TRIGGER workflow_routes_kept BEFORE UPDATE ON workflow_routes FOR EACH ROW
    WHEN ((OLD.workflow_id, OLD.user_id, OLD.side) IS DISTINCT FROM (NEW.workflow_id, NEW.user_id, NEW.side)) EXECUTE FUNCTION keep_route();
