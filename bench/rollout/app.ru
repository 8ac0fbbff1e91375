# frozen_string_literal: true

# The app that is rolled out: something for each kind of client. On Tidegate its event streams and WebSockets end in
# order when the server drains; elsewhere it does what an app can do that is told nothing.
require_relative "app/contents"
require_relative "app/echo_sockets"
require_relative "app/event_stream"

TEXT = { "content-type" => "text/plain" }.freeze
BYTES = { "content-type" => "application/octet-stream" }.freeze
EVENTS = { "content-type" => "text/event-stream", "cache-control" => "no-cache" }.freeze
SLOW = ENV.fetch("ROLLOUT_SLOW", "1.5").to_f # seconds
SOCKETS = Rollout::EchoSockets.new

# Parts that come one by one, over a second.
PARTS = Enumerator.new do |body|
  Rollout::Contents::PARTS.each_with_index do |part, index|
    sleep(0.1) if index.positive?
    body << part
  end
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/" then [200, TEXT.dup, [Rollout::Contents::HELLO]]
  when "/digest" then [200, TEXT.dup, [Digest::SHA256.hexdigest(env["rack.input"]&.read.to_s)]]
  when "/slow"
    sleep(SLOW)
    [200, TEXT.dup, [Rollout::Contents::SLOW]]
  when "/large" then [200, { **BYTES, "content-length" => Rollout::Contents::LARGE.bytesize.to_s }, [Rollout::Contents::LARGE]]
  when "/stream" then [200, TEXT.dup, PARTS]
  when "/events" then [200, EVENTS.dup, Rollout::EventStream.new(env["HTTP_LAST_EVENT_ID"], env["tidegate.draining"])]
  when "/echo"
    next [426, { "upgrade" => "websocket" }, []] unless Rollout::EchoSockets.asked?(env)

    SOCKETS.take(env)
    [-1, {}, []]
  else [404, TEXT.dup, ["not found\n"]]
  end
end)
