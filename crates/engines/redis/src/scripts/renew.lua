-- Gives the log a new epoch, for events were lost. An entry that is none tells those who follow.
--
-- KEYS: log, meta, topics, deleted. ARGV: the epoch that the hub followed, a new one, and that with those before it.
local log, meta, topics = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HGET', meta, 'epoch') ~= ARGV[1] then return end
local function text(number) return string.format('%.0f', number) end
local latest = tonumber(redis.call('HGET', meta, 'latest'))
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if last then
  latest = math.max(latest, tonumber(string.match(last[1], '^%d+')))
else
  redis.call('DEL', topics, KEYS[4])
  redis.call('HSET', meta, 'bytes', 0)
end
latest = latest + 1
redis.call('XADD', log, text(latest) .. '-0', 't', redis.call('HGET', meta, 'time'), 'epoch', ARGV[2])
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
redis.call('HSET', meta, 'epoch', ARGV[2], 'epochs', ARGV[3], 'latest', text(latest), 'earliest', string.match(first[1], '^%d+'))
