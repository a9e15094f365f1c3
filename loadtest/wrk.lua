-- Sends a browser's GET for one slug after the other, out of a table built before the clock starts.
-- Arguments: a file with a slug on each line; a file with the headers of a browser; "check" to look at
-- every answer (slow), or "measure".

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local requests, count, position = {}, 0, 0
not_redirects = 0

function init(arguments)
  local head = { " HTTP/1.1", "Host: " .. wrk.headers["Host"] }
  for header in io.lines(arguments[2]) do
    head[#head + 1] = header
  end
  head = table.concat(head, "\r\n") .. "\r\n\r\n"
  for slug in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = "GET /" .. slug .. head
  end
  if arguments[3] == "check" then
    response = function(status)
      if status ~= 302 then
        not_redirects = not_redirects + 1
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
    wrong = wrong + (thread:get("not_redirects") or 0)
  end
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout + wrong))
end
