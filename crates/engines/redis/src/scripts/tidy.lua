-- Discards the oldest entries that retention does not keep, some at a time.
--
-- KEYS: log, meta, topics, deleted. ARGV: how old and how many bytes are kept, and how many entries are discarded at once.
-- Answer: {epoch, earliest, 1 where there may be more to discard}, or 'lost' where entries are missing.
if redis.replicate_commands then redis.replicate_commands() end
local log, meta, topics, deleted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local state = redis.call('HMGET', meta, 'epoch', 'latest', 'earliest', 'bytes')
if not state[1] then return 'lost' end
local latest, earliest, bytes = tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
local oldest, most, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - oldest
local function text(number) return string.format('%.0f', number) end
local function number(entry) return tonumber(string.match(entry[1], '^%d+')) end

local from, kept, discarded, more = '-', earliest, {}, 0
while true do
  -- Few at once, as each may be large.
  local entries = redis.call('XRANGE', log, from, '+', 'COUNT', 16)
  if from == '-' and earliest <= latest and (not entries[1] or number(entries[1]) > earliest) then return 'lost' end
  if #entries == 0 then break end
  local done = false
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    local value = fields[4]
    if bytes <= most and tonumber(fields[2]) >= oldest then
      done = true
      break
    end
    if #discarded >= count then
      done, more = true, 1
      break
    end
    kept = number(entry) + 1
    bytes = bytes - #value - 64
    local length = fields[3] == 'e' and string.byte(value, 2) + 256 * string.byte(value, 3) or 0
    discarded[#discarded + 1] = string.sub(value, 9, 8 + length)
  end
  if done then break end
  from = '(' .. entries[#entries][1]
end

if kept > earliest then
  redis.call('XTRIM', log, 'MINID', text(kept) .. '-0')
  for _, topic in ipairs(discarded) do
    local info = redis.call('HGET', topics, topic)
    if info and tonumber(string.match(info, '^%d+')) < kept then redis.call('HDEL', topics, topic) end
    local last = redis.call('HGET', deleted, topic)
    if last and tonumber(last) < kept then redis.call('HDEL', deleted, topic) end
  end
  redis.call('HSET', meta, 'earliest', text(kept), 'bytes', text(math.max(bytes, 0)))
end
return {state[1], kept, more}
