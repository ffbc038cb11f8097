-- The audit looks at what changed in the last hours, every hour, while the tables keep everything. They are written nearly in
-- the order of time, so ranges of pages tell where that is, at hardly any cost for whoever writes.
CREATE INDEX send_attempts_time ON send_attempts USING brin ((coalesce(ended_at, reserved_at))) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX hybrid_workflows_time ON hybrid_workflows USING brin (created_at, updated_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX inbox_time ON inbox USING brin (received_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX texts_time ON texts USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX plan_attempts_time ON plan_attempts USING brin ((coalesce(ended_at, started_at))) WITH (pages_per_range = 32, autosummarize = on);
