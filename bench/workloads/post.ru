# frozen_string_literal: true

# Reads a request body of 1 KiB and answers its length.
run(lambda do |env|
  [200, { "content-type" => "text/plain" }, ["#{env['rack.input']&.read.to_s.bytesize}\n"]]
end)
