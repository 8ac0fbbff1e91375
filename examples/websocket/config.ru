# frozen_string_literal: true

# WebSockets without a gem: an echo. The app takes each connection over (rack.hijack), and one thread serves all of them.
#
#   bin/serve examples/websocket/config.ru
#
# When the server is told to stop, each client gets a Close with 1001 (going away), so that it can connect elsewhere.

require_relative "echo"

ECHO = Echo.new

run(lambda do |env|
  next [426, { "upgrade" => "websocket", "content-type" => "text/plain" }, ["a WebSocket is spoken here\n"]] unless Echo.asked?(env)

  ECHO.take(env["rack.hijack"].call, env["HTTP_SEC_WEBSOCKET_KEY"], env["tidegate.draining"])
  [-1, {}, []]
end)
