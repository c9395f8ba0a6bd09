-- Calls of a tenant: places among its calls under way, and their price from the rate (GCRA), for one
-- replica, which may take more than it needs at once and gives back what it did not use.
-- KEYS: rate, places. ARGV: interval (us), burst, price, more units wanted, most in flight, replica,
-- places it holds, places needed (0 or 1), more places wanted, how long its places count (us), units
-- given without being asked about, units given back, one in so many of what is left may be taken ahead.
-- Returns: what (0 admitted, 1 rate, 2 in flight), wait (us), left, reset (us), places of others,
-- units taken ahead, places taken ahead.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, price = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local name, held, needed = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local owed, back, part = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local window = interval * burst
local earned = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
earned = math.max(earned - back * interval, now)
earned = math.min(earned + owed * interval, now + window)
local function left() return math.floor((window - earned + now) / interval + 1e-6) end
local others, all = 0, redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local count, till = string.match(all[i + 1], '^(%d+) (%d+)$')
  if all[i] ~= name then
    if tonumber(till) > now then others = others + count else redis.call('HDEL', KEYS[2], all[i]) end
  end
end
local function answer(what, wait, units, places)
  local at = string.format('%.0f', earned)
  redis.call('SET', KEYS[1], at, 'PX', math.ceil((earned - now) / 1000) + 1000)
  if held > 0 then
    redis.call('HSET', KEYS[2], name, held .. ' ' .. string.format('%.0f', now + tonumber(ARGV[10])))
    redis.call('PEXPIRE', KEYS[2], math.ceil(tonumber(ARGV[10]) / 1000) + 1000)
  else
    redis.call('HDEL', KEYS[2], name)
  end
  return { what, math.ceil(wait), left(), math.ceil(earned - now), others, units, places }
end
local free = tonumber(ARGV[5]) - others - held
if needed > free then return answer(2, 0, 0, 0) end
local wait = earned + price * interval - now - window
if wait > 0 then return answer(1, wait, 0, 0) end
earned = earned + price * interval
local units = math.min(tonumber(ARGV[4]), math.max(math.floor(left() / part), 0))
earned = earned + units * interval
local places = math.min(tonumber(ARGV[9]), math.max(math.floor((free - needed) / part), 0))
held = held + needed + places
return answer(0, 0, units, places)
