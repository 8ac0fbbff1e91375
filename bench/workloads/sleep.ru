# frozen_string_literal: true

# Waits 10 ms, as for a database: how requests overlap.
run(lambda do |_env|
  sleep(0.01)
  [200, { "content-type" => "text/plain" }, ["slept\n"]]
end)
