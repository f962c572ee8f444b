-- Says what there is of a log, and begins one where there is none.
--
-- KEYS: log, meta, topics. ARGV: an epoch and a secret for a new log.
-- Answer: {format, epoch, secret, latest, earliest, largest, epochs}, or 'foreign'.
local log, meta, topics = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', meta) == 0 then
  if redis.call('EXISTS', log, topics) > 0 then return 'foreign' end
  redis.call('HSET', meta, 'format', 1, 'epoch', ARGV[1], 'secret', ARGV[2], 'latest', 0, 'earliest', 1,
    'time', 0, 'bytes', 0, 'largest', 0)
elseif redis.call('TYPE', meta).ok ~= 'hash' then
  return 'foreign'
end
return redis.call('HMGET', meta, 'format', 'epoch', 'secret', 'latest', 'earliest', 'largest', 'epochs')
