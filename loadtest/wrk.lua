-- Sends a browser's GET for one slug after the other, out of a table built before the clock starts.
-- Arguments: a file with a slug on each line; "check" to look at every answer (slow), or "measure".

local browser = table.concat({
  "Connection: keep-alive",
  'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
  "sec-ch-ua-mobile: ?1",
  'sec-ch-ua-platform: "Android"',
  "Upgrade-Insecure-Requests: 1",
  "User-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
  "Sec-Fetch-Site: cross-site",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-User: ?1",
  "Sec-Fetch-Dest: document",
  "Referer: https://social.example.com/",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
}, "\r\n") .. "\r\n\r\n"

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local requests, count, position = {}, 0, 0
not_redirects = 0

function init(arguments)
  local head = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n" .. browser
  for slug in io.lines(arguments[1]) do
    count = count + 1
    requests[count] = "GET /" .. slug .. head
  end
  if arguments[2] == "check" then
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
