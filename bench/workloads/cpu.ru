# frozen_string_literal: true

# Computes for 1 ms.
require_relative "spin"

run(lambda do |_env|
  Spin.for_ms(1)
  [200, { "content-type" => "text/plain" }, ["computed\n"]]
end)
