-- One row: what the log is, and what is known of it beside its entries. It changes seldom: a row that changed with
-- every group would be slow to find whenever a transaction of somebody else is open for long.
CREATE TABLE {schema}.log (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    version integer NOT NULL,
    epoch text COLLATE "C" NOT NULL,
    secret bytea NOT NULL,
    -- Where the epoch was drawn. In another place, commits may be missing.
    place text COLLATE "C" NOT NULL,
    timeline text COLLATE "C" NOT NULL,
    -- Everything before this was discarded.
    earliest bigint NOT NULL DEFAULT 1,
    -- The last entry, the number that is next, and the time, are at least these.
    latest bigint NOT NULL DEFAULT 0,
    next bigint NOT NULL DEFAULT 1,
    time bigint NOT NULL DEFAULT 0,
    -- The topics table takes the entries up to this into account.
    noted bigint NOT NULL DEFAULT 0,
    -- The largest data that tidings_publish takes.
    event_bytes integer NOT NULL DEFAULT 1048576
) WITH (fillfactor = 50);

CREATE TABLE {schema}.entries (
    sequence bigint PRIMARY KEY,
    -- Milliseconds since 1970.
    time bigint NOT NULL,
    -- 0 text, 1 JSON, 2 binary.
    format smallint NOT NULL,
    -- 0 the topic goes on, 1 it ends after this, 2 this is no event and only says that it has ended.
    closing smallint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    event text COLLATE "C",
    data bytea NOT NULL
) PARTITION BY RANGE (sequence);
-- Compressing would take longer than writing.
ALTER TABLE {schema}.entries ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE {schema}.partitions (
    number bigint PRIMARY KEY,
    since bigint NOT NULL,
    -- The last entry in it, and its time; none while it is the one that is written to.
    latest bigint,
    time bigint
);

CREATE TABLE {schema}.topics (
    topic text COLLATE "C" PRIMARY KEY,
    latest bigint NOT NULL,
    time bigint NOT NULL,
    closed boolean NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE {schema}.ends (
    topic text COLLATE "C" PRIMARY KEY,
    sequence bigint NOT NULL
);

CREATE TABLE {schema}.keys (
    key bytea PRIMARY KEY,
    content bytea NOT NULL,
    first bigint NOT NULL,
    count integer NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX ON {schema}.keys (time);

-- What applications have published and no hub has moved into the log yet.
CREATE TABLE {schema}.outbox (
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigserial,
    format smallint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    event text COLLATE "C",
    data bytea NOT NULL,
    PRIMARY KEY (tx, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000
);
CREATE INDEX ON {schema}.outbox (id);
ALTER TABLE {schema}.outbox ALTER COLUMN data SET STORAGE EXTERNAL;

-- What applications have published to topics that ended before it was moved.
CREATE TABLE {schema}.refused (
    id bigint PRIMARY KEY,
    time bigint NOT NULL,
    format smallint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    event text COLLATE "C",
    data bytea NOT NULL
);

CREATE FUNCTION {schema}.add_to_outbox(topic text, data bytea, event text, format smallint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    the_topic CONSTANT text := add_to_outbox.topic;
    the_event CONSTANT text := add_to_outbox.event;
    the_data CONSTANT bytea := add_to_outbox.data;
    the_log CONSTANT {schema}.log := (SELECT l FROM {schema}.log l);
BEGIN
    IF the_topic IS NULL OR octet_length(the_topic) NOT BETWEEN 1 AND 512 THEN
        RAISE 'a topic has 1 to 512 bytes' USING ERRCODE = 'invalid_parameter_value';
    ELSIF the_topic ~ '[\u0001-\u001f\u007f-\u009f]' THEN
        RAISE 'a topic holds no control characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF left(the_topic, 1) = '/' OR right(the_topic, 1) = '/' THEN
        RAISE 'a topic neither begins nor ends with "/"' USING ERRCODE = 'invalid_parameter_value';
    ELSIF the_topic ~ '(^|/)\*{1,2}(/|$)' THEN
        RAISE '"*" and "**" stand for segments in a selector; a topic to publish to has none'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF octet_length(the_event) NOT BETWEEN 1 AND 128 THEN
        RAISE 'an event type has 1 to 128 bytes' USING ERRCODE = 'invalid_parameter_value';
    ELSIF the_event ~ '[\u0001-\u001f\u007f-\u009f]' THEN
        RAISE 'an event type holds no control characters' USING ERRCODE = 'invalid_parameter_value';
    ELSIF left(the_event, 8) = 'tidings.' THEN
        RAISE 'event types that begin with "tidings." are the hub''s own'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF the_data IS NULL THEN
        RAISE 'an event has data, which may be empty' USING ERRCODE = 'null_value_not_allowed';
    ELSIF octet_length(the_data) > the_log.event_bytes THEN
        RAISE 'the data has % bytes, and an event takes at most %', octet_length(the_data), the_log.event_bytes
            USING ERRCODE = 'program_limit_exceeded';
    ELSIF EXISTS (SELECT FROM {schema}.ends e WHERE e.topic = the_topic AND e.sequence >= the_log.earliest) THEN
        RAISE 'the topic "%" has ended and takes no more events', the_topic
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO {schema}.outbox (format, topic, event, data)
        VALUES (add_to_outbox.format, the_topic, the_event, the_data);
    IF current_setting('tidings.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('{channel}', 'outbox');
    END IF;
END $$;

CREATE FUNCTION {schema}.tidings_publish(topic text, data text, event text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {schema}.add_to_outbox($1, convert_to($2, 'UTF8'), $3, 0::smallint) $$;

CREATE FUNCTION {schema}.tidings_publish(topic text, data json, event text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {schema}.add_to_outbox($1, convert_to($2::text, 'UTF8'), $3, 1::smallint) $$;

CREATE FUNCTION {schema}.tidings_publish(topic text, data jsonb, event text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {schema}.add_to_outbox($1, convert_to($2::text, 'UTF8'), $3, 1::smallint) $$;

CREATE FUNCTION {schema}.tidings_publish(topic text, data bytea, event text DEFAULT NULL) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {schema}.add_to_outbox($1, $2, $3, 2::smallint) $$;

-- Gives the log a new epoch: for whoever has restored it from a copy that lacks events.
CREATE FUNCTION {schema}.tidings_renew() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    random CONSTANT bytea := uuid_send(gen_random_uuid());
    drawn text := '';
    place integer;
BEGIN
    -- The other bytes of such a number are not all random.
    FOREACH place IN ARRAY ARRAY[0, 1, 2, 3, 4, 5, 10, 11] LOOP
        drawn := drawn || substr('abcdefghijkmnpqrstuvwxyz23456789', (get_byte(random, place) & 31) + 1, 1);
    END LOOP;
    PERFORM pg_advisory_xact_lock({class}, {key});
    UPDATE {schema}.log SET epoch = drawn;
    PERFORM pg_notify('{channel}', 'log');
    RETURN drawn;
END $$;

-- Functions are everybody's unless that is taken away.
REVOKE ALL ON FUNCTION
    {schema}.add_to_outbox(text, bytea, text, smallint),
    {schema}.tidings_publish(text, text, text),
    {schema}.tidings_publish(text, json, text),
    {schema}.tidings_publish(text, jsonb, text),
    {schema}.tidings_publish(text, bytea, text),
    {schema}.tidings_renew()
    FROM PUBLIC;
