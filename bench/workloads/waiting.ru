# frozen_string_literal: true

# /wait waits for a second, as for a database that is slow, /hold for eight, as for a language model; everything else is small.
WAITS = { "/wait" => 1, "/hold" => 8 }.freeze

run(lambda do |env|
  seconds = WAITS[env["PATH_INFO"]]
  sleep(seconds) if seconds
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)
