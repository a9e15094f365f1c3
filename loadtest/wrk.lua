-- Sends a browser's GET for one path after the other, out of a table built before the clock starts.
-- Arguments: a file with a path on each line, without its first slash; a file with the headers of a
-- browser; the status that every answer has to have, which is slow to look at, or "any".

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local requests, count, position = {}, 0, 0
not_wanted = 0

function init(arguments)
  local head = { " HTTP/1.1", "Host: " .. wrk.headers["Host"] }
  for header in io.lines(arguments[2]) do
    head[#head + 1] = header
  end
  head = table.concat(head, "\r\n") .. "\r\n\r\n"
  for path in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = "GET /" .. path .. head
  end
  local wanted = tonumber(arguments[3])
  if wanted then
    response = function(status)
      if status ~= wanted then
        not_wanted = not_wanted + 1
      end
    end
  end
end

function request()
  position = position + 1
  if position > count then
    position = 1
  end
  return requests[position]
end

function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + (thread:get("not_wanted") or 0)
  end
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout + wrong))
end
