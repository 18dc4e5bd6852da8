-- What wrk asks the service, and what it counts; service.py passes the users.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
failed, versions, states = 0, 0, 0
local known, threads = {}, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  users = arguments
  math.randomseed(1)
end

function request()
  local user = users[math.random(#users)]
  return wrk.format(nil, "/nominate", nil, '{"user": ' .. user .. ', "k": 100}')
end

local function new(key)
  local first = known[key] == nil
  known[key] = true
  return first and 1 or 0
end

function response(status, headers, body)
  local version, learned = body:match('"version": "(v%d+)", "learned_until": "([^"]+)"')
  if status ~= 200 or version == nil then
    failed = failed + 1
  else
    versions = versions + new(version)
    states = states + new(version .. learned)
  end
end

function done(summary, latency)
  local lost, thread = summary.errors, threads[1] -- there is but one
  io.write(string.format(
    '{"requests": %d, "failed": %d, "p50_ms": %.1f, "p99_ms": %.1f, "versions": %d, "states": %d}\n',
    summary.requests,
    thread:get("failed") + lost.connect + lost.read + lost.write + lost.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    thread:get("versions"), thread:get("states")
  ))
end
