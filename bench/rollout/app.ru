# frozen_string_literal: true

# The app that is rolled out: a small answer, a slow answer, and one that proves the body arrived whole.
require "digest"

TEXT = { "content-type" => "text/plain" }.freeze

run(lambda do |env|
  body =
    case env["PATH_INFO"]
    when "/" then "hello\n"
    when "/slow" then sleep(0.3) && "slow\n"
    when "/echo" then Digest::SHA256.hexdigest(env["rack.input"].read)
    else next [404, TEXT.dup, ["not found\n"]]
    end
  [200, TEXT.dup, [body]]
end)
