# frozen_string_literal: true

# /hog computes for 500 ms, everything else is small.
require_relative "spin"

run(lambda do |env|
  Spin.for_ms(500) if env["PATH_INFO"] == "/hog"
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)
