-- One call of a tenant: a place among its calls under way, and its price from the rate (GCRA).
-- KEYS: rate, places. ARGV: interval (us), burst, cost, most in flight, place, lease (us), owed (calls).
-- Returns: what (0 admitted, 1 rate, 2 in flight), wait (us), left, reset (us), in flight.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local window = interval * burst
local earned = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
earned = math.min(earned + tonumber(ARGV[7]) * interval, now + window)
local function answer(what, wait, under_way)
  local ahead = earned - now
  return { what, math.ceil(wait), math.floor((window - ahead) / interval + 1e-6), math.ceil(ahead), under_way }
end
local function keep()
  redis.call('SET', KEYS[1], string.format('%.0f', earned), 'PX', math.ceil((earned - now) / 1000) + 1000)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
local under_way = redis.call('ZCARD', KEYS[2])
if tonumber(ARGV[7]) > 0 then keep() end
if under_way >= tonumber(ARGV[4]) then return answer(2, 0, under_way) end
local price = interval * math.min(tonumber(ARGV[3]), burst)
local wait = earned + price - now - window
if wait > 0 then return answer(1, wait, under_way) end
earned = earned + price
keep()
redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[6])), ARGV[5])
redis.call('PEXPIRE', KEYS[2], math.ceil(tonumber(ARGV[6]) / 1000) + 1000)
return answer(0, 0, under_way + 1)
