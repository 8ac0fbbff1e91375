# frozen_string_literal: true

# A small Rack app to try the server with. It needs no gem.
#
#   bin/serve                                   serves this file on port 9292
#   curl localhost:9292/                        a greeting
#   curl 'localhost:9292/sleep?s=2'             an answer after two seconds, like that of a slow database
#   curl -d 'some text' localhost:9292/echo     sends the request body back
#   curl -N localhost:9292/stream               a line every half second, each sent as soon as there is one
#   curl localhost:9292/env                     what the app is told about the request
#
# To see the drain: ask for /sleep?s=5, and send the server a TERM (kill PID, or docker stop) while that is running.
# The answer still comes, and the process exits with status 0 after it.

TEXT = "text/plain; charset=utf-8"

# The headers are a new Hash for every response: middleware is free to add to them.
def text(status, body) = [status, { "content-type" => TEXT }, [body]]

# A body that is made while it is sent. The server calls `each` once and sends what is yielded; `close` is called at
# the end in any case, also when the client has gone away.
class Ticks
  def initialize(count) = @count = count

  def each
    @count.times do |number|
      sleep 0.5 if number.positive?
      yield "tick #{number + 1} of #{@count}\n"
    end
  end

  def close; end
end

# Seconds to sleep, from `?s=`; never more than a minute, because this is a toy that any client can call.
def seconds(query) = query[/(?:\A|&)s=([\d.]+)/, 1].to_f.clamp(0, 60)

run(lambda do |env|
  # To HEAD a Rack app answers without a body.
  next [200, { "content-type" => TEXT }, []] if env["REQUEST_METHOD"] == "HEAD"

  case env["PATH_INFO"]
  when "/"
    text(200, "Hello from Tidegate\n")
  when "/sleep"
    wait = seconds(env["QUERY_STRING"])
    sleep wait
    text(200, "slept for #{wait} s\n")
  when "/echo"
    text(200, env["rack.input"]&.read.to_s) # since Rack 3.1 a request without a body may come without rack.input
  when "/stream"
    [200, { "content-type" => TEXT }, Ticks.new(6)]
  when "/env"
    text(200, env.sort.map { |name, value| "#{name}: #{value.inspect}\n" }.join)
  else
    text(404, "There is /, /sleep?s=1, POST /echo, /stream and /env.\n")
  end
end)
