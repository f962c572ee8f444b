-- How long an event is delivered, in milliseconds; none for one that is delivered as long as it is kept.
ALTER TABLE {schema}.entries ADD COLUMN ttl bigint;

-- The entry that deleted each topic last. No event of the topic before it is delivered.
CREATE TABLE {schema}.deletions (
    topic text COLLATE "C" PRIMARY KEY,
    sequence bigint NOT NULL
);
