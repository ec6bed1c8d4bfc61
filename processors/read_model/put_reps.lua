-- The directory's entries, each fenced by its offset on crm.reps. Readers are notified of those that changed.
--
-- KEYS: reps, offsets, changes stream, sequence
-- ARGV: entries to keep in the stream, list of {rep_id, offset, value or false (gone)}
-- Answers the number of entries that changed.

local reps, offsets, stream, sequence = unpack(KEYS)
local changed = {}

for _, entry in ipairs(cmsgpack.unpack(ARGV[2])) do
  local rep_id, offset, value = entry[1], entry[2], entry[3]
  local known = redis.call('HGET', offsets, rep_id)
  if not known or tonumber(known) <= tonumber(offset) then
    redis.call('HSET', offsets, rep_id, offset)
    if redis.call('HGET', reps, rep_id) ~= value then
      if value then
        redis.call('HSET', reps, rep_id, value)
      else
        redis.call('HDEL', reps, rep_id)
      end
      changed[#changed + 1] = rep_id
    end
  end
end

if #changed > 0 then
  if redis.call('EXISTS', sequence) == 0 then  -- as in publish.lua
    local now = redis.call('TIME')
    redis.call('SET', sequence, now[1] .. string.format('%06d', now[2]))
  end
  local number = redis.call('INCR', sequence)
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', 'number', number, 'kind', 'reps',
    'names', cmsgpack.pack(changed))
end
return #changed
