# frozen_string_literal: true

# The app of the shots: a small answer, an echo, and 2 MB at once.

LARGE = ("x" * 2_000_000).freeze

run(lambda do |env|
  body =
    case env["PATH_INFO"]
    when "/" then "hello\n"
    when "/echo" then env["rack.input"].read
    when "/large" then LARGE
    else next [404, { "content-type" => "text/plain" }, ["not found\n"]]
    end
  [200, { "content-type" => "text/plain", "content-length" => body.bytesize.to_s }, [body]]
end)
