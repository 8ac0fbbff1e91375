# frozen_string_literal: true

# Server-sent events, in the two ways that Rack has for them.
#
#   bin/serve examples/streaming/config.ru
#   curl -N localhost:9292/each      a body that yields: `each`
#   curl -N localhost:9292/call      a body that writes to a stream: `call` (Rack 3)

EVENTS = { "content-type" => "text/event-stream", "cache-control" => "no-cache" }.freeze
PAUSE = ENV.fetch("PAUSE", 1).to_f

# Yields an event a second. Where the client has gone, the server raises out of the yield.
class Clock
  def each
    10.times do |number|
      yield "data: #{number}\n\n"
      sleep PAUSE
    end
  end
end

# The same on a stream, which raises Errno::EPIPE where the client has gone.
WRITER = lambda do |stream|
  10.times do |number|
    stream << "data: #{number}\n\n"
    sleep PAUSE
  end
rescue Errno::EPIPE
  nil
ensure
  stream.close
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/each" then [200, EVENTS.dup, Clock.new]
  when "/call" then [200, EVENTS.dup, WRITER]
  else [404, { "content-type" => "text/plain" }, ["There is /each and /call.\n"]]
  end
end)
