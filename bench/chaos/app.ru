# frozen_string_literal: true

# The app of the rollout, and /grow, which keeps some megabytes for good.

GROWN = []
ROLLOUT = Rack::Builder.parse_file(File.expand_path("../rollout/app.ru", __dir__)).then { |app, *| app }

run(lambda do |env|
  next ROLLOUT.call(env) unless env["PATH_INFO"] == "/grow"

  GROWN << ("x" * 16_000_000)
  [200, { "content-type" => "text/plain" }, [Process.pid.to_s]]
end)
