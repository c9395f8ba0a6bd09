-- Reserves the next send slot of a quota key. KEYS: quota key. ARGV: spacing (us), longest wait (us).
-- Returns the time until the slot (us), or -1 if it exceeds the longest wait; then nothing is reserved.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local slot = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if slot - now > tonumber(ARGV[2]) then return -1 end
local after = slot + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000) + 1000)
return math.ceil(slot - now)
