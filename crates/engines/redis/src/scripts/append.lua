-- Appends batches, each whole or not at all, in one step.
--
-- KEYS: log, meta, topics, deleted, and the key of each batch that has one.
-- ARGV: epoch, the sequence that the hub has seen, the idempotency window in milliseconds, how many batches, whether
-- replicas are waited for (0 or 1), whether each batch is only appended where those before it were (0 or 1); then of each batch the place of its key in KEYS or 0, its content, whether
-- the key is one of its topic's (0 or 1), how many entries; and of each entry its topic, whether the topic ends with it (1) or is deleted (2), and its bytes.
-- Answer: of each batch {0 appended | 1 repeated, first, count, time}, {2} other content, {3, the ended topic}, or {4} one
-- before it was refused.
if redis.replicate_commands then redis.replicate_commands() end
local log, meta, topics, deleted = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local state = redis.call('HMGET', meta, 'epoch', 'latest', 'time', 'earliest', 'largest')
if state[1] ~= ARGV[1] then return 'renewed' end
local latest, earliest, largest = tonumber(state[2]), tonumber(state[4]), tonumber(state[5])
if latest < tonumber(ARGV[2]) then return 'lost' end
local clock = redis.call('TIME')
local now = math.max(clock[1] * 1000 + math.floor(clock[2] / 1000), tonumber(state[3]))
local function text(number) return string.format('%.0f', number) end
local time = text(now)

local closed, touched, gone, written = {}, {}, {}, 0
local function is_closed(topic)
  if closed[topic] == nil then
    local info = redis.call('HGET', topics, topic)
    local last, ends = string.match(info or '', '^(%d+) %d+ (%d)$')
    closed[topic] = ends == '1' and tonumber(last) >= earliest
  end
  return closed[topic]
end

-- Whether an answer is of a topic that was deleted since.
local function is_forgotten(topic, first)
  local last = gone[topic] or tonumber(redis.call('HGET', deleted, topic) or '0')
  return first < last
end

local answers, place, repeated, refused = {}, 7, false, false
for batch = 1, tonumber(ARGV[4]) do
  local key, content, count = KEYS[tonumber(ARGV[place])], ARGV[place + 1], tonumber(ARGV[place + 3])
  local is_of_topic, first = ARGV[place + 2] == '1', place + 4
  place = first + 3 * count
  local known = key and not refused and redis.call('GET', key)
  if known and is_of_topic and count > 0 and is_forgotten(ARGV[first], tonumber(string.match(known, '^%x+ (%d+)'))) then
    known = false
  end
  local answer
  if refused then
    answer = {4}
  elseif known then
    local own, from, many, at = string.match(known, '^(%x+) (%d+) (%d+) (%d+)$')
    answer = own == content and {1, tonumber(from), tonumber(many), tonumber(at)} or {2}
    repeated = true
  else
    for entry = first, place - 1, 3 do
      if ARGV[entry + 1] ~= '2' and is_closed(ARGV[entry]) then
        answer = {3, ARGV[entry]}
        break
      end
    end
  end
  if not answer then
    answer = {0, latest + 1, count, now}
    for entry = first, place - 1, 3 do
      local topic, ends, bytes = ARGV[entry], ARGV[entry + 1], ARGV[entry + 2]
      latest = latest + 1
      redis.call('XADD', log, text(latest) .. '-0', 't', time, 'e', bytes)
      if ends == '2' then
        touched[topic], gone[topic], closed[topic] = nil, latest, false
      else
        touched[topic] = text(latest) .. ' ' .. time .. ' ' .. ends
        if ends == '1' then closed[topic] = true end
      end
      written = written + #bytes + 64
      if #bytes > largest then largest = #bytes end
    end
    if key and count > 0 then
      local value = content .. ' ' .. text(answer[2]) .. ' ' .. count .. ' ' .. time
      redis.call('SET', key, value, 'PX', ARGV[3])
    end
  end
  refused = ARGV[6] == '1' and answer[1] > 1
  answers[batch] = answer
end

if written > 0 then
  for topic, last in pairs(gone) do
    redis.call('HDEL', topics, topic)
    redis.call('HSET', deleted, topic, text(last))
  end
  local fields = {}
  for topic, info in pairs(touched) do
    fields[#fields + 1] = topic
    fields[#fields + 1] = info
    if #fields == 2000 then
      redis.call('HSET', topics, unpack(fields))
      fields = {}
    end
  end
  if #fields > 0 then redis.call('HSET', topics, unpack(fields)) end
  redis.call('HSET', meta, 'latest', text(latest), 'time', time, 'largest', text(largest))
  redis.call('HINCRBY', meta, 'bytes', text(written))
elseif repeated and ARGV[5] == '1' then
  -- WAIT answers, by its documentation, for what its own connection wrote. This changes nothing, and replicas that have
  -- it have the batch that is repeated.
  redis.call('HSET', meta, 'latest', text(latest))
end
return answers
