# frozen_string_literal: true

# Reads a request body whole and answers its length.
run(lambda do |env|
  [200, { "content-type" => "text/plain" }, ["#{env['rack.input']&.read.to_s.bytesize}\n"]]
end)
