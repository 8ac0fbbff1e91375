# frozen_string_literal: true

# What is attacked: a greeting, an echo, and a response that is large enough for slow readers.

LARGE = ("x" * 1_000_000).freeze

run(lambda do |env|
  case env["PATH_INFO"]
  when "/large" then [200, { "content-type" => "text/plain" }, [LARGE]]
  when "/echo" then [200, { "content-type" => "text/plain" }, [env["rack.input"]&.read.to_s]]
  else [200, { "content-type" => "text/plain" }, ["hello\n"]]
  end
end)
