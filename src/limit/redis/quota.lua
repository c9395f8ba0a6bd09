-- Admits a call of a tenant for one replica: takes an in-flight slot, and the cost from the rate (GCRA).
-- A replica may take more than it needs in advance, and returns what it did not use.
-- KEYS: rate, slots. ARGV: interval (us), burst, cost, additional units requested, maximum in flight,
-- replica, slots it holds, slots needed (0 or 1), additional slots requested, how long its slots count (us),
-- units that it spent without this script, units returned, divisor of what may be taken in advance.
-- Returns: result (0 admitted, 1 rate exceeded, 2 in-flight limit), wait (us), units left, reset (us),
-- slots of other replicas, units taken in advance, slots taken in advance.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local name, held, needed = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local spent, returned, divisor = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local window = interval * burst
local earned = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
earned = math.max(earned - returned * interval, now)
earned = math.min(earned + spent * interval, now + window)
local function left() return math.floor((window - earned + now) / interval + 1e-6) end
local others, all = 0, redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local count, expiry = string.match(all[i + 1], '^(%d+) (%d+)$')
  if all[i] ~= name then
    if tonumber(expiry) > now then others = others + count else redis.call('HDEL', KEYS[2], all[i]) end
  end
end
local function reply(result, wait, units, slots)
  local at = string.format('%.0f', earned)
  redis.call('SET', KEYS[1], at, 'PX', math.ceil((earned - now) / 1000) + 1000)
  if held > 0 then
    redis.call('HSET', KEYS[2], name, held .. ' ' .. string.format('%.0f', now + tonumber(ARGV[10])))
    redis.call('PEXPIRE', KEYS[2], math.ceil(tonumber(ARGV[10]) / 1000) + 1000)
  else
    redis.call('HDEL', KEYS[2], name)
  end
  return { result, math.ceil(wait), left(), math.ceil(earned - now), others, units, slots }
end
local free = tonumber(ARGV[5]) - others - held
if needed > free then return reply(2, 0, 0, 0) end
local wait = earned + cost * interval - now - window
if wait > 0 then return reply(1, wait, 0, 0) end
earned = earned + cost * interval
local units = math.min(tonumber(ARGV[4]), math.max(math.floor(left() / divisor), 0))
earned = earned + units * interval
local slots = math.min(tonumber(ARGV[9]), math.max(math.floor((free - needed) / divisor), 0))
held = held + needed + slots
return reply(0, 0, units, slots)
