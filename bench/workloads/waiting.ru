# frozen_string_literal: true

# /wait waits for a second, as for a language model; everything else is small.
run(lambda do |env|
  sleep(1) if env["PATH_INFO"] == "/wait"
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)
