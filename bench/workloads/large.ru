# frozen_string_literal: true

# /64k and /1m answer that much, from one string made at boot.
BODIES = { "/64k" => "k" * 65_536, "/1m" => "m" * 1_048_576 }.freeze

run(lambda do |env|
  body = BODIES.fetch(env["PATH_INFO"], "There is /64k and /1m.\n")
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
