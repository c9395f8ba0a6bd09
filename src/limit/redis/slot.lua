-- The next turn of a lane. KEYS: lane. ARGV: spacing (us), most to wait (us).
-- Returns how long until it (us), or -1 where that is longer than wanted: then nothing is taken.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local turn = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if turn - now > tonumber(ARGV[2]) then return -1 end
local after = turn + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return math.ceil(turn - now)
