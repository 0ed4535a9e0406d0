"""Presence in Redis, by its own clock.

A user is a hash: a field for each gateway, with the status and the end of the entry in
microseconds; `wish` likewise; `alone`, the entry that a wish has made; and `told`, the status that
others were told. It expires with its last entry. A sorted set has those who are not told to be
offline, by that end: a hash that expires says nothing. Each command is one script, so gateways do
not come between each other's steps.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from projections.realtime.presence import HOLDS, TOLD_WITHIN, Change, Status
from projections.realtime.redis_line import Line, pool_and_prefix

#: Users of one script: while it runs nothing else does.
AT_ONCE = 200

_COMMON = """
local present, holds = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ends = string.format('%d', now + holds)
local rank = {offline = 0, away = 1, online = 2, busy = 3}
local out = {string.format('%d', now)}

local function of(user)
  return present .. ':' .. user
end

local function held(text)
  local status, at = string.match(text or '', '^(%a+) (%d+)$')
  if status and tonumber(at) > now then return status, tonumber(at) end
end

local function seen(user)
  local wish, best, last = nil, nil, 0
  local fields = redis.call('HGETALL', of(user))
  for i = 1, #fields, 2 do
    local name, status, at = fields[i], held(fields[i + 1])
    if name == 'wish' then
      wish = status
    elseif status then
      if not best or rank[status] > rank[best] then best = status end
      if at > last then last = at end
    elseif name ~= 'told' then
      redis.call('HDEL', of(user), name)
    end
  end
  return best and (wish or best) or 'offline', last
end

local function change(user)
  local status, last = seen(user)
  local told = redis.call('HGET', of(user), 'told')
  -- Who is in the set without it has lapsed, and perhaps nobody was told.
  if not told then told = redis.call('ZSCORE', present, user) and '' or 'offline' end
  if status == 'offline' then
    redis.call('ZREM', present, user)
    redis.call('HDEL', of(user), 'told')
  else
    redis.call('ZADD', present, string.format('%d', last), user)
    redis.call('HSET', of(user), 'told', status)
  end
  out[#out + 1] = status ~= told and status or ''
end
"""
_PUT = """
local gateway = ARGV[3]
for i = 4, #ARGV, 2 do
  local user, status = ARGV[i], ARGV[i + 1]
  local key = of(user)
  if status == '' then
    redis.call('HDEL', key, gateway)
  else
    local before = held(redis.call('HGET', key, gateway))
    local wish = held(redis.call('HGET', key, 'wish'))
    if wish == 'online' and before ~= status then
      redis.call('HDEL', key, 'wish')
    elseif wish then
      redis.call('HSET', key, 'wish', wish .. ' ' .. ends)
    end
    redis.call('HDEL', key, 'alone')
    redis.call('HSET', key, gateway, status .. ' ' .. ends)
    redis.call('PEXPIRE', key, math.ceil(holds / 1000))
  end
  change(user)
end
return out
"""
_WISH = """
local user, status = ARGV[3], ARGV[4]
redis.call('HDEL', of(user), 'alone')
local _, last = seen(user)
redis.call('HSET', of(user), 'wish', status .. ' ' .. ends)
if last == 0 then redis.call('HSET', of(user), 'alone', status .. ' ' .. ends) end
redis.call('PEXPIRE', of(user), math.ceil(holds / 1000))
change(user)
return out
"""
_READ = """
for i = 3, #ARGV do out[i - 1] = seen(ARGV[i]) end
return out
"""
_LAPSED = """
local due = redis.call('ZRANGEBYSCORE', present, '-inf', out[1], 'LIMIT', 0, ARGV[4])
for _, user in ipairs(due) do
  local status, last = seen(user)
  if status == 'offline' then
    last = now + tonumber(ARGV[3])
    redis.call('HDEL', of(user), 'told')
    out[#out + 1] = user
  end
  redis.call('ZADD', present, string.format('%d', last), user)
end
return out
"""
_TOLD = """
for i = 3, #ARGV do
  if seen(ARGV[i]) == 'offline' then redis.call('ZREM', present, ARGV[i]) end
end
return out
"""


class RedisPresence:
    def __init__(self, url: str, holds: float = HOLDS) -> None:
        """
        Raises:
            ValueError: the URL is wrong.
        """
        pool, prefix = pool_and_prefix(url)
        # Not the one of the publications: nobody's message waits for this.
        self._line = Line(pool)
        self._present = f"{prefix}:presence"
        self._holds = holds

    async def put(self, gateway: str, statuses: Mapping[str, Status | None]) -> Sequence[Change]:
        users = list(statuses)
        changes: list[Change] = []
        for start in range(0, len(users), AT_ONCE):
            some = users[start : start + AT_ONCE]
            words = [word for user in some for word in (user, statuses[user] or "")]
            changes += self._changes(some, await self._run(_PUT, gateway, *words))
        return changes

    async def wish(self, user: str, status: Status) -> Sequence[Change]:
        return self._changes([user], await self._run(_WISH, user, status))

    async def read(self, users: Sequence[str]) -> dict[str, Status]:
        _, *statuses = await self._run(_READ, *users)
        return dict(zip(users, cast(list[Status], statuses), strict=True))

    async def lapsed(self, limit: int) -> Sequence[Change]:
        again_after = round(self._holds * TOLD_WITHIN * 1_000_000)
        seq, *users = await self._run(_LAPSED, str(again_after), str(limit))
        return [Change(user, "offline", int(seq)) for user in users]

    async def told(self, users: Sequence[str]) -> None:
        await self._run(_TOLD, *users)

    async def close(self) -> None:
        await self._line.close()

    async def _run(self, script: str, *words: str) -> list[str]:
        """The time in microseconds, and what the script answers."""
        holds = str(round(self._holds * 1_000_000))
        command = ("EVAL", _COMMON + script, "0", self._present, holds, *words)
        [answer] = await self._line.send([command])
        return [word.decode() for word in answer]

    def _changes(self, users: Sequence[str], answer: Sequence[str]) -> list[Change]:
        seq, *statuses = answer
        return [
            Change(user, cast(Status, status), int(seq))
            for user, status in zip(users, statuses, strict=True)
            if status
        ]
