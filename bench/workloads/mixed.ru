# frozen_string_literal: true

# /cpu computes for 2 ms, /sleep waits for 50.
require_relative "spin"

run(lambda do |env|
  env["PATH_INFO"] == "/cpu" ? Spin.for_ms(2) : sleep(0.05)
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)
