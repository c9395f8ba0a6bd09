-- Reports how many in-flight slots of a tenant a replica holds, and returns the units that it did not use.
-- KEYS: rate, slots. ARGV: interval (us), replica, slots held, how long they count (us), units returned.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local earned = tonumber(redis.call('GET', KEYS[1]) or now) - ARGV[5] * ARGV[1]
if earned > now then
  redis.call('SET', KEYS[1], string.format('%.0f', earned), 'PX', math.ceil((earned - now) / 1000) + 1000)
else
  redis.call('DEL', KEYS[1])
end
if tonumber(ARGV[3]) > 0 then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3] .. ' ' .. string.format('%.0f', now + ARGV[4]))
  redis.call('PEXPIRE', KEYS[2], math.ceil(ARGV[4] / 1000) + 1000)
else
  redis.call('HDEL', KEYS[2], ARGV[2])
end
return 0
