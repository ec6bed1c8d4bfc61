-- One step of publishing a partition's read model, all or nothing.
--
-- A delta goes straight into the live hashes. A whole read model is written beside them (begin, part...) and replaces
-- them at its end, so that no reader sees half of it and nothing old remains.
--
-- The fence accepts one owner: the one whose epoch it holds. An owner sets its epoch in two steps, `announce` and
-- `claim`, between which the group's coordinator confirms its ownership. So an owner that lost the partition cannot
-- claim, not even in a Redis that was emptied and holds no epoch: its announcement is gone, or the successor's claim,
-- which is newer, came after it.
--
-- KEYS: fence, changes stream, sequence, partitions, live hashes..., hashes being loaded... (as many)
-- ARGV: step (announce, claim, delta, begin, part, finish, reset, retire), partition, offset, event time in us, writer, the
--       writer's count of steps, its clock, the owner's epoch, the identity of the logs that it reads, names of the
--       changed fields for readers, entries to keep in the stream, values by section
-- Answers: accepted, former (a newer owner has claimed), stale (the live state is newer), empty (what this writer put
--       there before is missing)

local fence, stream, sequence, partitions = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local step, partition, offset, stream_us, writer, count, clock = unpack(ARGV, 1, 7)
local epoch, logs, names, keep, values = tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local sections = (#KEYS - 4) / 2
local FIELDS_BATCH_SIZE = 1000

-- A missing sequence starts at the present microsecond, so that the numbers from before Redis was emptied never come
-- again: otherwise a reader that missed the emptying could take new entries for the next ones.
local function next_number()
  if redis.call('EXISTS', sequence) == 0 then
    local now = redis.call('TIME')
    redis.call('SET', sequence, now[1] .. string.format('%06d', now[2]))
  end
  return redis.call('INCR', sequence)
end

local function append_change(kind)
  local number = next_number()
  redis.call('XADD', stream, 'MAXLEN', '~', keep, '*', 'number', number, 'kind', kind, 'partition', partition,
    'offset', offset, 'stream_us', stream_us, 'names', names)
end

local function run_in_batches(list, command, key)
  for first = 1, #list, FIELDS_BATCH_SIZE do
    redis.call(command, key, unpack(list, first, math.min(first + FIELDS_BATCH_SIZE - 1, #list)))
  end
end

local function write(first_key)
  for _, change in ipairs(cmsgpack.unpack(values)) do
    local key = KEYS[first_key + change[1]]
    run_in_batches(change[2], 'HSET', key)
    run_in_batches(change[3], 'HDEL', key)
  end
end

local function drop(first_key)
  for index = first_key, first_key + sections - 1 do
    redis.call('UNLINK', KEYS[index])
  end
end

local function forget()
  drop(5)
  drop(5 + sections)
  redis.call('DEL', fence)
  redis.call('SREM', partitions, partition)
  append_change('reset')
end

local held = redis.call('HMGET', fence, 'offset', 'epoch', 'logs')
local newer = held[1] and tonumber(held[1]) > tonumber(offset)
local owner = tonumber(held[2] or 0)  -- 0: published by a version without epochs
local other_logs = held[3] and logs ~= '' and held[3] ~= '' and held[3] ~= logs

if step == 'announce' then
  if owner > epoch and not other_logs then
    return 'former'
  end
  redis.call('HSET', fence, 'announced', writer .. '/' .. count)
  return 'accepted'
end

if step == 'claim' then
  if owner > epoch and not other_logs then
    return 'former'
  end
  if redis.call('HGET', fence, 'announced') ~= writer .. '/' .. (tonumber(count) - 1) then
    return 'empty'
  end
  redis.call('HSET', fence, 'epoch', epoch)
  redis.call('HDEL', fence, 'announced', 'loader', 'load')
  return 'accepted'
end

if step == 'retire' then  -- an operator's: no owner will ever publish this partition again
  forget()
  return 'accepted'
end

if owner > epoch then
  return 'former'
end
if owner < epoch then
  return 'empty'
end

if step == 'reset' then
  forget()
  redis.call('HSET', fence, 'epoch', epoch)
  return 'accepted'
end

if step == 'begin' then
  if newer then
    return 'stale'
  end
  drop(5 + sections)
  redis.call('HSET', fence, 'loader', writer, 'load', count)
  return 'accepted'
end

if step == 'delta' then
  local last = redis.call('HMGET', fence, 'writer', 'count')
  if newer then
    return 'stale'
  end
  if last[1] ~= writer or tonumber(last[2]) ~= tonumber(count) - 1 then
    return 'empty'
  end
  write(5)
else
  local last = redis.call('HMGET', fence, 'loader', 'load')
  if newer then
    return 'stale'
  end
  if last[1] ~= writer or tonumber(last[2]) ~= tonumber(count) - 1 then
    return 'empty'
  end
  if step == 'part' then
    write(5 + sections)
    redis.call('HSET', fence, 'load', count)
    return 'accepted'
  end
  drop(5)
  for index = 5, 4 + sections do
    if redis.call('EXISTS', KEYS[index + sections]) == 1 then
      redis.call('RENAME', KEYS[index + sections], KEYS[index])
    end
  end
  redis.call('HDEL', fence, 'loader', 'load')
  redis.call('SADD', partitions, partition)
  step = 'whole'
end

redis.call('HSET', fence, 'offset', offset, 'stream_us', stream_us, 'writer', writer, 'count', count, 'clock', clock,
  'logs', logs)
append_change(step)
return 'accepted'
